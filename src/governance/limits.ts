// Bounds of this room.
export const limits = {
  /** Limits on use of one organisation: all are in the memory of every gateway process, in a few hundred bytes each. */
  usageLimitsPerOrganisation: 10_000,
  /** Rows of one statement that reads limits, and limits of one statement that takes or returns shares. */
  usageLimitsPerRead: 5_000,
  usageSharesPerTurn: 500,
  /** The largest amount of a limit: a sum of two is still a whole number in a double. */
  usageAmountMost: 2 ** 52,
  /** How often a process looks for shares to return, and after how long without a call an unused one is returned. */
  usageTickMs: 250,
  usageIdleMs: 5_000,
  /** Use that has changed is told to the database so often, for readers of what is used. */
  usageToldMs: 5_000,
  /** Every share is told to the database, and all limits are read, this often, so that a notification that was missed is made good. */
  usagePulseMs: 30_000,
  /** How often a process looks for shares of processes that have ended. */
  usageReclaimMs: 2_500,
  /** A call that others' unused shares could serve waits for their return: these pauses, then it is refused. */
  usageRecallMs: [20, 60, 150],
  /** After a refusal the next calls are refused without a statement for so long, unless use has left the window. */
  usageRefusedMs: 100,
  /** A call waits so long for one of the calls under way to end, and so many calls wait for one limit in one process. */
  usageWaitMs: 10_000,
  usageWaitingMost: 1_000,
  /** A call that has changed so often from one limit's line to another's keeps what it gets while it waits for the rest. */
  usageMovesFree: 2,
} as const;
