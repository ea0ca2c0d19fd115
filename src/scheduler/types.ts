// The scheduler's words as data: what a call asks, what an endpoint is and bears, and what was decided and why. What the state machine takes
// in is in `events.ts`, what it answers in `actions.ts`, and what gateways tell each other in `news.ts`. Read this before any code of the
// room.
//
// Everything here is plain data. Times are milliseconds on the caller's clock (`now` is always passed in), amounts are
// tokens unless a name says otherwise, randomness is a function that was seeded by the caller.

// ---------------------------------------------------------------------------------------------------------- basics

/** Where a KV block lies, nearest first. The position in `tiers` is the tier's number in every table of this room. */
export type Tier = "device" | "host" | "disk" | "remote";
export const tiers: readonly Tier[] = ["device", "host", "disk", "remote"];

/** Uniform in [0, 1); see `rng.ts` for the seeded one. */
export type Rng = () => number;

/** What a group of replicas does for a call. */
export type Role = "both" | "prefill" | "decode";

/**
 * Chained content hashes of a prompt's whole blocks, 64 bits each, as pairs: `hashes[2i]` is the low, `hashes[2i + 1]` the
 * high half of block i. Equal hashes at i mean that everything up to and including block i is equal.
 */
export type BlockHashes = Uint32Array;

/**
 * A prompt as one index space sees it. A space is the set of endpoints whose blocks can be compared: the same model
 * (tokeniser), the same block size, the same unit. Its name is part of every hash, so spaces never match each other.
 */
export interface PromptBlocks {
  space: string;
  hashes: BlockHashes;
  /** Whole blocks, `hashes.length / 2` or fewer when the buffer is shared with a longer chain. */
  blocks: number;
  /** Tokens of a block; where the unit is text, what 256 bytes are estimated to be. */
  blockTokens: number;
}

// ------------------------------------------------------------------------------------------------------------ calls

/** One logical model request, as the scheduler sees it: identities, sizes and wishes, never content. */
export interface Call {
  id: string;
  /** The paying tenant: the fair queue's first level. */
  tenant: string;
  /** The credential that sent it; `tenant` when absent. A timeout that only one sender has met does not eject an endpoint. */
  sender?: string;
  /** Run or session the call belongs to, the queue's second level; a call without one is its own program. */
  program?: string;
  /** The program above, for sub-agents of a runtime that names each by itself. A client's sub-agents have its session's name. */
  parent?: string;
  /** Deployment asked for; only its endpoints are candidates. */
  deployment: string;
  promptTokens: number;
  /** Expected output: `max_tokens` or what the caller has learned; charged first, settled by what was used. */
  outputTokens: number;
  /** The prompt's blocks, one entry per space that candidate endpoints use (usually one). Empty: the blocks are not known. */
  prompt: PromptBlocks[];
  /** Higher goes first, within its tenant only; 0 by default. */
  priority?: number;
  /** Batch work: it goes after the calls that people wait for, of any tenant. */
  batch?: boolean;
  /** Latest useful time of the first token, absolute. A call that cannot make it is refused at once. */
  deadlineMs?: number;
  /** Key for sticky policies (session or program id); `program`, then `id` when absent. */
  affinity?: string;
  /** Endpoints that must not be used: they have failed this call before, or cannot take its request. */
  avoid?: readonly string[];
}

// -------------------------------------------------------------------------------------------------------- endpoints

/** Measured rates of an endpoint, learned while running or given by a profile. */
export interface EndpointSpeed {
  /** Of a prompt of `ratePromptTokens` (4,096) tokens with nothing cached. */
  prefillTokensPerSecond: number;
  /** Milliseconds for each pair of a new token and a token before it, where measured: what makes long contexts dearer. */
  attentionMsPerPair?: number;
  /** Of one sequence, at the usual batch. */
  decodeTokensPerSecond: number;
  /** Milliseconds to bring one token's KV back to the device, by tier; a tier that is absent cannot be reloaded. */
  reloadMsPerToken: Partial<Record<Tier, number>>;
  /** Milliseconds that a call costs beside its tokens (network, scheduling of a batch). */
  overheadMs: number;
}

/** Where an endpoint stands; equal strings are near each other. */
export interface Topology {
  node?: string;
  /** Pool with a fast fabric: prefill and decode are paired inside it. */
  superNode?: string;
}

/** How an endpoint's cache is known. */
export type CacheKnowledge = "events" | "usage";

/** What does not change while an endpoint lives. One entry per data-parallel rank: each rank has a cache of its own. */
export interface EndpointSpec {
  id: string;
  /** Data-parallel rank, 0 where there is one. */
  rank: number;
  deployment: string;
  role: Role;
  space: string;
  blockTokens: number;
  /** Tokens of KV that the device tier holds. */
  kvCapacityTokens: number;
  /** Tokens of KV in all tiers together; each endpoint of a pool reports the pool's shared capacity, which is counted once. */
  totalKvCapacityTokens: number;
  /** Sequences that run at once. */
  slots: number;
  /** Calls that the scheduler may have in the engine at once, running and waiting there. */
  maxInFlight: number;
  knowledge: CacheKnowledge;
  speed: EndpointSpeed;
  topology: Topology;
  /** Endpoints of one pool read each other's saved states: a program's KV at one can be brought to another (tier `remote`). */
  pool?: string;
  chip?: string;
  /** Changes whenever the engine starts with an empty cache. */
  epoch?: string;
}

/** What an endpoint bears now, by this gateway's count and its peers'. Counted by handles; see `load/`. */
export interface EndpointLoad {
  /** Prompt tokens placed there and not yet prefilled (uncached part only; where attention is measured, weighed by it). */
  prefillTokens: number;
  /** Tokens of KV that running and waiting calls hold or will hold (prompt plus output so far). */
  kvTokens: number;
  /** Calls placed there that have not ended. */
  inFlight: number;
  /** Of these, calls that still prefill. */
  prefilling: number;
  /** Tokens of the prompt that is computed there now, as far as is known, and since when it can have been its turn. */
  headTokens?: number;
  headSinceMs?: number;
  /** Calls that other gateways have placed there since this one began, and their prefill, as far as word of them has come; absent: none. */
  peersPlaced?: number;
  peersPlacedTokens?: number;
  /** Of `inFlight` and `prefillTokens`, what other gateways have placed, as far as word has come; absent: none. */
  peersInFlight?: number;
  peersPrefill?: number;
  /** Calls beyond `inFlight` that peers have probably placed there without word of them yet. For costs alone: no limit counts them. */
  guessedCalls?: number;
  /** What these add to `prefillTokens` and `kvTokens`. */
  guessedPrefill?: number;
  guessedKv?: number;
  /** Own placements so new that peers do not know of them yet, with their tokens when they were placed; some may have ended. */
  newCalls?: number;
  newPrefill?: number;
  newKv?: number;
}

/** `starting`: it restarts, and calls wait for it. `draining`: it ends its calls and takes no more. `down`: calls pass it over. */
export type EndpointHealth = "ready" | "starting" | "draining" | "down";

/** `trial`: the ejection is over, and one call at a time tests the endpoint. */
export type EndpointStanding = "serving" | "ejected" | "trial";

/**
 * A fault of the endpoint: no connection; no answer in time; an error of its own (5xx, a cut stream); an unreadable answer; a refusal of
 * this installation (key, model). A refusal of the request itself is no fault.
 */
export type EndpointFault = "connect" | "timeout" | "failure" | "garbage" | "refused";

/** `alive`: it has begun to answer a call. `served`: it has answered a call to its end. */
export type EndpointOutcome = "alive" | "served" | EndpointFault;

/** One endpoint (and rank) as policies see it. `slot` is its number in every table of this room. */
export interface EndpointState {
  readonly slot: number;
  readonly spec: EndpointSpec;
  readonly load: Readonly<EndpointLoad>;
  health: EndpointHealth;
  /** Set once calls of its own have shown how fast it prefills. */
  measured?: boolean;
  /** Names the endpoints that should be as fast, and learn their speeds together (`endpoints.ts`). */
  equals?: string;
  /** Set once calls have failed there (`health/outliers.ts`); absent: serving. */
  standing?: EndpointStanding;
  /** Whether calls prefer other endpoints: it is ejected, or its trial is under way. */
  ejected?: boolean;
  /** The one sender whose calls have timed out there; only this sender's calls prefer other endpoints. */
  doubtedBy?: string | undefined;
}

// -------------------------------------------------------------------------------------------------------- placement

/** What a policy may look at. Arrays are indexed by candidate, 0 to `count - 1`, and are only valid during the call. */
export interface PlacementView {
  call: Call;
  now: number;
  count: number;
  endpoints: readonly EndpointState[];
  /** Leading tokens of the prompt held by the candidate, by tier: `matched[4 * i + tierNumber]`; confirmed or expected. */
  matched: Float64Array;
  /** Sum over the tiers, at most `call.promptTokens - 1`: an engine always computes the last token. */
  matchedTokens: Float64Array;
  /** The part of `matchedTokens` that is only expected: predicted by our own placements, not yet confirmed by events. */
  expectedTokens: Float64Array;
  /** How old what is known of peers' load is on average; absent or 0: there are no peers. */
  peersAgeMs?: number;
  /** KV tokens that lie in all tiers of the candidate, in use or not; NaN, or no array: not known. */
  residentTokens?: Float64Array;
}

/** What a policy answers. Costs are the policy's own unit, lower is better; `cost[i]` is NaN for candidates it excluded. */
export interface Choice {
  index: number;
  /** Index of the second choice; -1 when there is only one candidate. */
  runnerUp: number;
  cost: number;
  runnerUpCost: number;
  /** Candidates that shared the lowest cost; drawn among them by the rng. */
  ties: number;
  /** One word for why this rule applied, for example "least_ttft", "spilled", "no_overlap", "turn", "drawn" or "ring". */
  reason: string;
  /** Numbers of the rule itself (averages, thresholds), for the explanation. */
  terms?: Record<string, number>;
}

/** A placement rule. Every one passes `placement/conformance.ts`. */
export interface Policy {
  readonly name: string;
  readonly card: PolicyCard;
  /** `view.count` is at least 1. Must return an index below it, deterministically given the rng. */
  choose(view: PlacementView, rng: Rng): Choice;
}

/** A policy's description of itself. */
export interface PolicyCard {
  goodFor: string;
  badAt: string;
  needs: string;
  source: string;
}

/** A candidate's numbers, kept for the chosen one and the runner-up. */
export interface CandidateNumbers {
  endpoint: string;
  rank: number;
  cost: number;
  matchedTokens: number;
  matchedByTier: Record<Tier, number>;
  expectedTokens: number;
  uncachedTokens: number;
  prefillTokensAhead: number;
  kvTokens: number;
  inFlight: number;
  /** By the one shared estimate (`placement/estimate.ts`), whatever the policy's own cost is. */
  expectedTtftMs: number;
}

/** The recorded choice of an endpoint: enough to explain it, and to ask what the runner-up would have cost. */
export interface Decision {
  call: string;
  policy: string;
  atMs: number;
  /** How long the call waited in the fair queue. */
  queuedMs: number;
  /** Of that, how long its program was paused because the KV of live programs did not fit; absent: it was not. */
  pausedMs?: number;
  chosen: CandidateNumbers;
  runnerUp?: CandidateNumbers;
  reason: string;
  ties: number;
  candidates: number;
  terms: Record<string, number>;
  /** A first token of `chosen` that has not come after this time will not come (`estimate.ts`). */
  firstTokenMostMs: number;
  /** Set when prefill happens elsewhere: `chosen` decodes, this one prefills. */
  prefill?: CandidateNumbers;
  /** `tokens` of the program's state must first be saved at `endpoint`, so that `chosen` can read them (its `remote` match). */
  bring?: { endpoint: string; tokens: number };
}
