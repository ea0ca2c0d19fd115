// Every bound of the room in one place. A structure that reaches its bound evicts or refuses; none grows without one.

/** Endpoint ranks that may be known at once: a member of a holder set is `slot * 4 + tier` in 16 bits. */
export const maxSlots = 16_384;

/** Bytes that the prefix index may take, all tables together. 64 MiB holds about 1.3 million blocks of one holder each. */
export const prefixIndexBytesDefault = 64 * 1024 * 1024;

/** Share of the index's bytes that content blocks may take; the rest is for engine hashes, holder sets and predictions. */
export const blockShare = 0.45;

/** Share of the index's bytes for predicted entries, short and long-lived together. */
export const predictedShare = 0.15;

/** Entries that the eviction hand looks at before it takes what it finds. */
export const evictionScan = 4096;

/** Life of a predicted entry: at least half of it, at most all of it. Short where events confirm, long where nothing does. */
export const expectedTtlMs = 5_000;
export const learnedTtlMs = 240_000;

/** Blocks of one prompt that are looked at: 1,048,576 tokens at 16 a block. */
export const maxPromptBlocks = 65_536;

/** Bytes of prompts kept to hash conversations incrementally. */
export const chainCacheBytesDefault = 64 * 1024 * 1024;

/** Bytes of text in a block where the engine cannot tokenise, and the tokens they are taken for. */
export const textBlockBytes = 256;
export const textBlockTokens = 64;

/** A load handle that nobody closed is closed by the janitor after this long without a sign of life. */
export const loadHandleMaxAgeMs = 30 * 60_000;

/** The janitor looks at all handles this often: a tick comes every 100 ms, and a handle may be minutes late. */
export const janitorEveryMs = 5_000;

/** A peer gateway that has been silent for this long is forgotten, its load with it. */
export const peerSilentMs = 15_000;

/** A gateway with nothing to tell says so this often: well within the time after which it would be forgotten. */
export const peerAliveMs = 4_000;

/** How long the news of a peer's placement usually takes: a tick and the carrier. */
export const peerNewsMs = 250;

/** While people's calls and batch work wait both, one of so many that are taken is batch work. */
export const batchEvery = 8;

/** Of so many slots of an endpoint one is kept free of batch work, so that a person's call finds a place at once. */
export const slotsPerReserve = 8;

/** Calls waiting in the fair queue, all tenants together, and of one tenant. */
export const queueCallsMax = 10_000;
export const queueCallsPerTenantMax = 4_000;

/** Tenants and programs that the fair queue remembers while they are idle. */
export const idleDeficitsMax = 10_000;

/** Outcomes of an endpoint's last calls that are remembered; half of them faults, of at least so many, eject it. */
export const outcomesRemembered = 16;
export const faultsSeen = 8;

/** An endpoint is kept away from calls for at most so long before one call tries it again. */
export const ejectedMostMs = 60_000;

/** A call waits at most so long while no ready endpoint may answer it: a worker restarts within it. */
export const stalledMostMs = 60_000;

/**
 * Wait for a first token before its endpoint is given up: at least so long; so many times the expected time where the endpoint's speed
 * is measured, and so long for each token to compute (10 tokens a second) where it is not.
 */
export const firstTokenLeastMs = 15_000;
export const firstTokenSlack = 8;
export const slowestMsPerToken = 100;

/** PD calls under way. */
export const pdCallsMax = 20_000;

/** Programs whose KV and state are known. */
export const programsMax = 100_000;
