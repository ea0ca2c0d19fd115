// Bounds of this room.
export const limits = {
  /** Of small questions: models, tokenize, facts, status. */
  questionMs: 5_000,
  /** Of counting a prompt's tokens: past it the bound from the bytes is used. */
  countMs: 2_000,
  /** Of finding out which software answers, and of loading a model there. */
  detectMs: 2_000,
  loadMs: 300_000,
  /** How long a cancelled attempt may take to say what it used. */
  drainMs: 10_000,
  /** One server-sent event; more is no event but an attack or a fault. */
  eventBytes: 4 * 1024 * 1024,
  /** Events passed on before the event loop has a turn. */
  eventsPerTurn: 256,
  /** An answer that does not stream: a hundred thousand tokens are half a megabyte, pictures and log probabilities take more. */
  answerBytes: 16 * 1024 * 1024,
  /** What the JSON of an answer may hold (bounded/json.ts): depth, values, and numbers in lists such as token ids. */
  jsonDepth: 128,
  jsonValues: 200_000,
  jsonNumbers: 2_000_000,
  /** Items and calls of tools of one answer that are told apart while it streams. */
  answerItemsMost: 16 * 1024,
  /** Texts that are longer are worked on in several turns of the event loop. */
  largeTextCharacters: 256 * 1024,
  /** A request's body that is longer is not written as JSON again only to be measured. */
  largeBodyBytes: 64 * 1024,
  /** Of an error's body, the rest is not read. */
  errorBytes: 64 * 1024,
} as const;
