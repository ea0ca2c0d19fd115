// Bounds of what is asked of a vLLM endpoint and kept of it.
export const limits = {
  /** To open a socket of its event stream, to the end of the handshake. */
  connectMs: 5_000,
  /** Until a replay begins: its publisher looks for requests ten times a second, when its engine lets it. */
  replayMs: 5_000,
  /** Silence within a replay, which is sent in one go: its end was dropped, and is asked for again. */
  replaySilenceMs: 1_000,
  /** Askings for the rest of a replay that brought nothing, in a row. */
  replayStalls: 3,
  /** Messages of a replay that wait unread. The more, the less is dropped and asked for again; a step's take 0.3 to 50 KB. */
  replayMessages: 4_000,
  /** Messages that wait unread; what comes on top is dropped by the socket, seen as a gap, and replayed. */
  unreadMessages: 1_000,
  /** One message: a step's blocks with their tokens. A million tokens take 10 MB. */
  messageBytes: 64 * 1024 * 1024,
  /** A peer that has gone without a word is noticed after this. */
  heartbeatMs: 5_000,
  heartbeatTimeoutMs: 15_000,
  /** Waits before the stream is connected to again; the last is repeated. */
  reconnectMs: [50, 200, 1_000, 2_000, 5_000],
  /** Failures in a row after which what was known of the cache counts as lost. */
  failuresUntilCleared: 4,
  /** Cache salts that are remembered, and salts seen whose owner is not known. */
  salts: 10_000,
  /** Between two rereadings of the stream because an unknown salt became known. */
  rereadMs: 2_000,
} as const;
