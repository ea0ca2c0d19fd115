// Bounds of the ledger, named in one place.

/** Attempts in one admission or settlement transaction. */
export const batchLimit = 256;

/** Longest period that a bill or an overview may cover without naming its start is everything: no bound, one index scan. */
export const namespaceOfOwnerLocks = 4070_0002;
