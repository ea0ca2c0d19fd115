// Bounds of this room: bodies, headers, connections, feeds and creations.
export const limits = {
  /** A request's body on /v1; a million tokens of text fit. Its depth and number of values are the protocol's (gateway/limits.ts). */
  bodyBytes: 32 * 1024 * 1024,
  /** JSON values of a body that holds the requests of a batch. */
  requestsValues: 4_000_000,
  /** A body on /api: the largest is an agent's manifest with its examples. */
  apiBodyBytes: 4 * 1024 * 1024,
  /** Depth and number of the values in a JSON body on /api; a run's input of a megabyte fits in the usual case. */
  apiBodyDepth: 64,
  apiBodyValues: 100_000,
  /** Memory that a byte of a body takes until its request has ended: the bytes, the text and what was parsed. */
  heldPerBodyByte: 3,
  /** Memory for bodies of one key (two of the largest, or 85 of a megabyte at once); at most half of what new work may fill. */
  heldBytesPerKey: 256 * 1024 * 1024,
  /** A body must bring this many bytes in every such time until it ends, because a slower one holds memory that others need. */
  slowBodyBytes: 64 * 1024,
  slowBodyMs: 15_000,
  /** Bytes of a refused body that are read and dropped, and for how long, before its connection is closed. */
  discardedBytes: 64 * 1024 * 1024,
  discardMs: 10_000,
  /** Compressed bodies: so many are decompressed at once, in pieces of so many bytes; the window of zstd is 2 to this power (8 MiB). */
  decompressedAtOnce: 4,
  decompressedPieceBytes: 64 * 1024,
  zstdWindowLog: 23,
  /** How long a browser may remember that a page of another origin may call. */
  preflightSeconds: 86_400,
  /** Of a form with a file: its other parts, each with its headers, and all bytes beside the file. */
  formFieldsMost: 8,
  formFieldBytes: 4_096,
  formHeaderBytes: 8_192,
  formBytesBeside: 128 * 1024,
  /** Time for a whole request (long prompts on slow lines) and for its headers, and how long an idle connection is kept. */
  requestMs: 300_000,
  headersMs: 20_000,
  keepAliveMs: 65_000,
  /** `x-lineshaft-deadline-ms`: a day at the most. */
  deadlineMostMs: 86_400_000,
  /** `x-lineshaft-priority`, in both directions. */
  priorityMost: 100,
  /** Answers to creations that may be sent again (`Idempotency-Key`): so many of one organisation, for a day. */
  creationsRemembered: 1_000,
  creationRememberedMs: 24 * 3_600_000,
  idempotencyKeyCharacters: 200,
  /** Results of a search. */
  searchResults: 20,
  /** A feed of live events sends a comment this often, because proxies close silent connections. */
  heartbeatMs: 15_000,
  /** A stream whose answer has not begun after so long gets its head and a comment, then one every `beatMs`; looked at every tick. */
  quietMs: 5_000,
  beatMs: 10_000,
  waitingTickMs: 1_000,
  /** WebSockets of one key, and of the process. */
  socketsPerKey: 64,
  socketsMost: 4_096,
  /** A WebSocket lives so long, is closed when nothing was asked for so long, and is looked at so often. */
  socketLifeMs: 3_600_000,
  socketIdleMs: 900_000,
  socketTickMs: 5_000,
  /** Pings of a WebSocket, and how long its client may answer none: a client that reads nothing answers none either. */
  socketPingMs: 20_000,
  socketSilentMs: 60_000,
  /** Messages of a WebSocket that are refused while a turn runs, before the connection is closed. */
  framesWhileBusy: 8,
  /** How long clients may take to read that the server stops, before their connections are closed. */
  lastWordsMs: 500,
} as const;
