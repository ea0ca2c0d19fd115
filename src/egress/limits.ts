// Bounds of this room.
export const limits = {
  /** Connections to one origin; more requests than that wait for one. */
  connectionsPerOrigin: 512,
  connectMs: 5_000,
  /** To the headers of an answer: a long prompt behind a full queue takes minutes on a small machine. */
  firstByteMs: 600_000,
  /** Between two pieces of an answer. */
  silenceMs: 300_000,
  /** For all of a fetch of what a caller named. */
  publicFetchMs: 10_000,
  /** Bytes of an answer that are kept unread before the sender is made to wait. */
  unreadBytes: 256 * 1024,
} as const;
