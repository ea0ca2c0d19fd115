// Bounds of the ledger, named in one place.

/** No model takes a longer prompt: an engine that claims one is not believed, whatever its price. */
export const promptTokensPlausible = 10_000_000;

/**
 * Most nano-currency that one attempt may hold, a million units. No call is worth more: such a hold comes from a price or a count that
 * is wrong, and would fill every budget and report that it is added to.
 */
export const holdNanoMost = 1_000_000_000_000_000n;

/** Most nano-currency that one attempt may add to suspense; settle_attempts bounds the sums (store/migrations/0011_suspense.sql). */
export const suspenseNanoMost = 100_000_000_000_000n;

/** A statement whose outcome is not known is sent again after this pause, until the database has answered. */
export const doubtfulAgainMs = 500;

/**
 * Epochs of dead processes are looked for this often. A process that lives takes its lock again well within this time of the database's
 * return (leases/liveness.ts).
 */
export const livenessMs = 30_000;

/** Rate cards in one list. */
export const cardsListedMost = 1_000;
/** Changes of budgets and recalls are read this often, in case that their notification was lost. */
export const leaseReadMs = 2_000;

/** Bounds of the proof of the ledger (proof/). */
export const proofLimits = {
  /** A process looks this often whether a proof is due. */
  lookMs: 60_000,
  /** A proof of what is new is due when the newest proof is older than this. */
  incrementalMs: 60 * 60_000,
  /** A whole proof is due once a day, from this hour (UTC) on. */
  wholeHourUtc: 3,
  /** Memory of one sort or hash of its statements, of which one runs at a time. */
  workMemoryMiB: 96,
  /** Discrepancies that one statement answers; there are at least as many. */
  discrepanciesRead: 10_000,
  /** Discrepancies that a report keeps by name; it counts the others. */
  discrepanciesKept: 100,
  /** Batches that one proof remembers; the next one remembers more. */
  batchesRemembered: 200_000,
  batchesInStatement: 10_000,
} as const;

/** Leases and items of suspense that are answered by name; their sums are of all. */
export const namedAtMost = 100;
/** The first window of output that is held with a prompt, in tokens; the windows after it double (DESIGN section 4). */
export const firstWindowTokens = 256;

/**
 * A limit that must be held whole is lowered to no less than the first of these, in tokens, while the money for that is only held by
 * others; to no less than the next where it is gone, and so on.
 */
export const wholeLimitTokens = [8_192, 2_048, 512, 128] as const;

/**
 * Bytes of the spool that are reserved for records of what is under way (admission/room.ts). Larger ones are written while there is room.
 */
export const spoolRoom = {
  /** An attempt's hold with the context and the prices of its card, its mark, and one extension. */
  progressBytes: 3_072,
  /** An attempt's mark: two names. */
  sentBytes: 512,
  /** One extension: figures and a dozen shares. */
  extensionBytes: 1_024,
  /** A settlement with the row of its attempt: usage, phases, and a decision among some dozen endpoints. */
  settlementBytes: 4_096,
  /** The record of a call: names and figures. */
  callBytes: 2_048,
} as const;

/** Scopes without a budget that a process remembers. */
export const scopesKnownMost = 100_000;

/** Waiting for money, and leases that nothing uses (book/). */
export const bookLimits = { askAgainMs: 250, waitMostMs: 300_000, silenceMostMs: 10_000, idleMs: 5_000, asksMost: 256 };

/** With the database away for so long, a process takes no new calls (DESIGN section 4, "Outage"). */
export const offlineMs = 600_000;

/** Idle leases are looked for this often. */
export const tenureTickMs = 1_000;

/** A process that ends waits so long for the database to take what is left. */
export const closeMostMs = 2_000;

/** Bounds of the posting of spools (posting/). Times in milliseconds, sizes in bytes. */
export const posting = {
  /** Records, and bytes of them, in one transaction: a refused record is found within twelve halvings. */
  batchRecords: 4096,
  batchBytes: 4 * 1024 * 1024,
  /** Records that arrive within this time of the first share a transaction; nothing waits for it that a reader waits for. */
  lingerMs: 500,
  /** So often an idle spool says through which moment it is complete. */
  pulseMs: 5_000,
  /** Pause before a batch that failed is tried again. */
  againMs: 500,
  /** A place in another process's spool is asked for so often. */
  elsewherePollMs: 50,
  /** A reader waits so long for a place, and so many readers wait at once. */
  readMostMs: 10_000,
  readersMost: 1_000,
  /** The folders of dead processes are looked for this often. */
  replayMs: 30_000,
  /** A file with the first hold of a call without an open attempt stays until so many files have followed the call's newest record. */
  callFilesMost: 16,
  /** Crash settlements are written in groups of about so many bytes. */
  endingsBytes: 1024 * 1024,
} as const;
