// Every bound of the room in one place. A structure that reaches its bound evicts or refuses; no structure grows without a bound.

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

/** Life of a predicted entry: at least half of it, at most all of it. Short where events confirm it, long where no events come. */
export const expectedTtlMs = 5_000;
export const learnedTtlMs = 240_000;

/** Blocks of one prompt that are looked at: 1,048,576 tokens at 16 a block. */
export const maxPromptBlocks = 65_536;

/** Bytes of prompts kept to hash conversations incrementally. */
export const chainCacheBytesDefault = 64 * 1024 * 1024;

/** Bytes of text in a block where the engine cannot tokenise, and the tokens they are taken for. */
export const textBlockBytes = 256;
export const textBlockTokens = 64;

/** The janitor closes a load handle that is still open after this long without a change. */
export const loadHandleMaxAgeMs = 30 * 60_000;

/** The janitor looks at all handles this often: a tick comes every 100 ms, and a handle may be minutes late. */
export const janitorEveryMs = 5_000;

/** A peer gateway that has been silent for this long is forgotten, its load with it. */
export const peerSilentMs = 15_000;

/** A gateway without changes of load sends a message this often: well within the time after which it would be forgotten. */
export const peerAliveMs = 4_000;

/** How long a peer's message of a placement usually takes: a tick and the carrier. */
export const peerNewsMs = 250;

/** Tenants that a message between gateways names for a queue. */
export const toldTenantsMax = 24;

/** Programs that a message between gateways names: some 4 KB, so that it fits beside the loads. What is left goes with the next message. */
export const toldProgramsMax = 32;

/** Live programs are told again this often, so that a lost message is wrong for no longer. */
export const programNewsEveryMs = 20_000;

/** People's calls that were taken beside waiting batch work of another gateway and are not gone for yet: more are forgotten. */
export const owedMost = 64;

/**
 * A tenant does not yield to a tenant that waits at another gateway for a lead smaller than what is served in this time, because the
 * message that tells the other tenant's service may not have arrived yet.
 */
export const yieldSlackMs = 500;

/** While calls of people and batch work both wait, one call in this many that are taken is batch work. */
export const batchEvery = 8;

/** One in this many slots of an endpoint is kept free of batch work, so that a person's call finds a place at once. */
export const slotsPerReserve = 8;

/** Calls waiting in the fair queue, all tenants together, and of one tenant. */
export const queueCallsMax = 10_000;
export const queueCallsPerTenantMax = 4_000;

/** Waiting calls that are looked at for one that fits somewhere, when the first few in credit fit nowhere now. */
export const headsScanned = 64;

/** Tenants and programs that the fair queue remembers while they are idle. */
export const idleDeficitsMax = 10_000;

/** Outcomes of an endpoint's last calls that are remembered; it is ejected when half of them, and at least `faultsSeen` outcomes, are faults. */
export const outcomesRemembered = 16;
export const faultsSeen = 8;

/** An endpoint gets no calls for at most this long before one call tries it again. */
export const ejectedMostMs = 60_000;

/** A call waits at most this long while no ready endpoint may answer it; a worker restarts within that time. */
export const stalledMostMs = 60_000;

/** Waiting calls are checked for that this often: it is one pass over all of them. */
export const stallsEveryMs = 1_000;

/**
 * Wait for a first token before its endpoint is given up: at least `firstTokenLeastMs`, and beyond that `firstTokenSlack` times the expected
 * time where the endpoint's speed is measured, or `slowestMsPerToken` for each token to compute (10 tokens a second) where it is not.
 */
export const firstTokenLeastMs = 15_000;
export const firstTokenSlack = 8;
export const slowestMsPerToken = 100;

/** How often the scheduler is told that time has passed. */
export const tickMs = 100;

/**
 * Calls that an endpoint is given for each call that it can run. Further calls wait in the fair queue, because an engine's own queue
 * knows no tenants. It is more than one, so that a call can wait for a full endpoint that has its cache.
 */
const inFlightPerSlot = 2;

/** Calls that an endpoint with so many slots is given at once. */
export const maxInFlightOf = (slots: number): number => slots * inFlightPerSlot;

/** Attempts of one call, over all endpoints that serve its model. */
export const attemptsMost = 3;

/** Output tokens that a deployment's calls are expected to have before any has ended, and the weight of the newest answer afterwards. */
export const firstOutputTokens = 256;
export const newestOutputShare = 0.05;

/** Speeds of an endpoint until calls have shown better ones: a core's for the embedded engine, a GPU's for the others. */
export const firstSpeed = {
  embedded: { prefillTokensPerSecond: 400, decodeTokensPerSecond: 60, overheadMs: 5 },
  added: { prefillTokensPerSecond: 8_000, decodeTokensPerSecond: 50, overheadMs: 20 },
} as const;

/** Uncached tokens up to which a decode-only endpoint computes the prompt itself, since a hand-over costs more. */
export const decodeLocalTokensDefault = 128;

/**
 * Longest wait of a call whose program is paused because the KV of live programs does not fit. Clients give up soon afterwards: a model step
 * of a run and Node's own client after 300 s, so that a longer wait would end in an error. Shorter bounds change programs places more often,
 * and each change computes a whole context again: at 120 s agent sessions lose most of what pauses gain.
 */
export const programPauseMs = 240_000;

/**
 * A program that was let go on because it had waited for so long is not paused again before this time. It is a protective floor, about as
 * long as a few turns: less would stop a program again before it has used the KV that was computed for it.
 */
export const programTurnMs = 60_000;

/**
 * A program that neither computes nor runs a tool belongs to the working set for this long after its last call. Caches keep what was used
 * last, so the programs of the last minute must fit for calls that come within a minute to find their KV.
 */
export const programLiveMs = 60_000;

/**
 * Shares of the KV: programs are paused from the first on until they need the second, and let in while they need less than the third. The
 * first is below 1 because running calls still grow. The gaps between the three are protective floors, so that one call does not
 * pause a program and the next let it in.
 */
export const pauseFromShare = 0.95;
export const pauseUntilShare = 0.8;
export const resumeBelowShare = 0.85;

/** The working set is looked at this often, because it is one pass over all programs. */
export const admitEveryMs = 1_000;

/**
 * First tokens after which a busy period of prefill is cut in two, so that an endpoint whose prompts never cease is measured too. At a cut
 * a part of the next prompts has been computed already, at most one batch; among so many prompts that is little.
 */
export const periodCallsMost = 8;

/** Traffic is remembered for about this long: several outputs, so that rates are means over many calls, and they follow a changed load. */
export const trafficMemoryMs = 60_000;

/** Until so much time has been seen, rates of arrival are of this span: one early call is no rate. */
export const trafficLeastMs = 1_000;

/** Prefill counts as at most this busy, since beyond it a queue has no steady state and its cost no bound. */
export const busyMost = 0.95;

/** Prompts count as cached to at most this share, so that an evicted token counts as computed again nine times at most. */
export const cachedMost = 0.9;

/** A cache counts as full from this share of its capacity on, because engines keep the last blocks free for what runs. */
export const fullShare = 0.98;

/** Costs of placement this close (share of the least, at least so many ms) are equal, since no estimate is more exact. */
export const slackShare = 0.02;
export const slackLeastMs = 1;

/** PD calls under way. */
export const pdCallsMax = 20_000;

/** Programs that are remembered at once. */
export const programsMax = 100_000;
