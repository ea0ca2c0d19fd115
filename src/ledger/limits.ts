// Bounds of the ledger, named in one place.

/** Attempts in one admission or settlement transaction. */
export const batchLimit = 256;

/** No model takes a longer prompt: an engine that claims one is not believed, whatever its price. */
export const promptTokensPlausible = 10_000_000;

/** Most nano-currency that one attempt may add to suspense; settle_attempts bounds the sums (store/migrations/0011_suspense.sql). */
export const suspenseNanoMost = 100_000_000_000_000n;

/** Longest period that a bill or an overview may cover without naming its start is everything: no bound, one index scan. */
export const namespaceOfOwnerLocks = 4070_0002;
