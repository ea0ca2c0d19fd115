// The seam between the gateway and whatever serves tokens. Every engine (our embedded worker, vLLM, Ollama, a provider)
// is reached through this one interface, and everything above it is written without knowing which one it has.
//
// Bodies are in OpenAI's wire shape because every engine speaks it; what Lineshaft adds travels beside the body as `hints`,
// which an adapter translates for its engine or leaves out. Hints never come from clients.
import { LineshaftError, type FailureDetail } from "../errors/index.ts";

/** Where a KV block lies, nearest first (DESIGN section 1). */
export type Tier = "device" | "host" | "disk" | "remote";

export type Endpoint = "chat" | "completions";

/** What the platform knows of a call and an engine may use. Set by the gateway after authentication, never by a client. */
export interface CallHints {
  /** Id of the attempt, unique; the engine's handle for cancelling. */
  attempt: string;
  /**
   * Prefix salt: calls under different salts never share a prefix, else `cached_tokens` and time tell one what another asked. The
   * project, or one key of it where the call asks for that.
   */
  cacheSalt: string;
  /** Owner of KV files: they are erased with it. */
  project: string;
  /** The tree of calls that belong together: a run with its sub-agents, or a client's session. */
  program?: string;
  /** Higher goes first within an engine's queue; 0 by default. */
  priority?: number;
  /** Ids of the prompt, tokenised before: an engine that says `takesTokens` uses them instead of tokenising again. */
  promptTokens?: readonly number[];
  /** KV that was computed elsewhere. It is pulled whole before the first token, or the attempt fails with `kv_lost`. */
  transfer?: KvTransfer;
}

/** A prompt's KV on its way from the endpoint that prefilled it to the one that decodes. */
export interface KvTransfer {
  /** Name of the state, as `Prefilled` gave it. */
  state: string;
  /** Prompt tokens that the decoder must get. */
  tokens: number;
}

export interface EngineRequest {
  endpoint: Endpoint;
  /** What the client sent: where `body` still has its values, their bytes may be passed on instead of being written anew. */
  source?: { bytes: Uint8Array; text: string; object: Record<string, unknown> };
  /** Body in OpenAI's shape, validated by the gateway; `model` is already the engine's own name for it. */
  body: Record<string, unknown> & { model: string; stream?: boolean };
  hints: CallHints;
}

/** Tokens an attempt really used. `prompt` includes `cached`; `output` includes `reasoning`. */
export interface Usage {
  promptTokens: number;
  cachedTokens: number;
  /** `cachedTokens` split by the tier they came from, where the engine says so. */
  cachedByTier?: Partial<Record<Tier, number>>;
  outputTokens: number;
  reasoningTokens: number;
  /** `engine`: it said so; `counted`: we counted what passed, because it did not. */
  source: "engine" | "counted";
}

/** Where an attempt's time went, in milliseconds, where the engine says so. */
export interface Timings {
  queueMs?: number;
  restoreMs?: number;
  prefillMs?: number;
  decodeMs?: number;
}

/**
 * What a chunk of a stream adds to one answer of a call, or all of that answer where it came whole. Absent fields add nothing. Texts are
 * pieces: a reader appends them.
 */
export interface AnswerDelta {
  /** Which answer of the call, from 0. */
  index: number;
  text?: string;
  /** What the model thought, where the engine shows it. */
  reasoning?: string;
  /** Why the model declined to answer. */
  refusal?: string;
  toolCalls?: ToolCallDelta[];
  /** Why the answer ended: `stop`, `length`, `tool_calls`, or the engine's own word. */
  finish?: string;
}

export interface ToolCallDelta {
  /** Which tool call of the answer, from 0. */
  index: number;
  id?: string;
  name?: string;
  /** JSON text, as the model writes it. */
  arguments?: string;
}

/** A part of an answer in the shape in which the engine sent it, for readers that speak the same shape. */
export interface WireObject {
  /** Shape: that of this route's answers. */
  endpoint: Endpoint;
  data: Record<string, unknown>;
  /** JSON text of `data`, where the engine sent one that may be passed on unchanged. */
  text: string | undefined;
}

/** One event of a stream, or a whole answer. */
export interface EngineChunk {
  deltas: readonly AnswerDelta[];
  /** Characters of text that it carries to its reader. */
  characters: number;
  /** The engine reports usage in it; the figures are `EngineAnswer.usage()`. */
  reportsUsage: boolean;
  wire: WireObject;
}

/**
 * An attempt under way. Exactly one of `chunks` (streaming) and `whole` (not streaming) is read by the caller.
 * `usage` and `timings` are complete when the stream has ended, whether by itself or by `cancel`.
 */
export interface EngineAnswer {
  /** HTTP status of the engine, 200 when it accepted. */
  status: number;
  chunks: AsyncIterable<EngineChunk>;
  /** The whole answer of a call that does not stream. */
  whole(): Promise<EngineChunk>;
  /** What was used, as far as known now. */
  usage(): Usage | undefined;
  timings(): Timings;
  /** Prompt tokens whose KV was pulled from elsewhere (`hints.transfer`); known once the answer has begun. */
  pulledTokens?(): number | undefined;
  /** The client has gone: stop within one token (decode) or one chunk (prefill), then answer what was used. Never throws. */
  cancel(): Promise<Usage | undefined>;
}

/** What an endpoint says of itself; asked, never configured, wherever it can be asked. */
export interface EndpointFacts {
  /** Models it serves, under its own names. */
  models: string[];
  /** Longest prompt plus output of one call, in tokens. */
  contextTokens?: number;
  /** Tokens in a KV block, where the engine has such blocks. */
  blockTokens?: number;
  /** Changes whenever the engine's KV cache starts empty. */
  epoch?: string;
  /** Calls that run at once, and calls that may wait. */
  slots?: number;
  queueLimit?: number;
  kv?: KvFacts;
  capabilities: Capabilities;
}

/** How much KV an endpoint keeps, and at what price it comes back. */
export interface KvFacts {
  /** 0 where the engine does not say. */
  bytesPerToken: number;
  /** Tokens that fit the device; and all tiers together. */
  deviceTokens: number;
  totalTokens: number;
  /** Milliseconds to bring one token's KV back to the device, by the tiers that there are. */
  reloadMsPerToken: Partial<Record<Tier, number>>;
  /** Names the pool that its lower tiers lie in; endpoints of the same pool see each other's states. */
  pool?: string;
}

/** What a part of a message may hold beside text. */
export type MediaKind = "image" | "audio" | "video" | "file";

export interface Capabilities {
  tokenize: boolean;
  /** Honours `hints.promptTokens`. */
  takesTokens?: boolean;
  kvEvents: boolean;
  facts: boolean;
  /** Honours `hint`. */
  kvHints?: boolean;
  /** Can prefill for others (`prefill`), and pull what others prefilled (`hints.transfer`). */
  transfersKv?: boolean;
  /** Stops an attempt by name and still reports its usage. */
  cancelWithUsage: boolean;
  reportsCachedTokens: boolean;
  /** Body fields it is sent (fields.ts); any other is refused before it is asked. Absent: those of software that is not known. */
  fields?: readonly string[];
  /** Kinds of media it reads; absent where that depends on a model that we do not know: then it judges itself. */
  media?: readonly MediaKind[];
  /** Cuts an output limit to the room its context leaves, where others refuse it. */
  clipsOutput?: boolean;
}

/** Facts of the agent runtime that no router could see (DESIGN section 5, agent-aware KV). */
export type RuntimeFact =
  | { type: "program"; program: string; parent?: string; project: string }
  | { type: "tool_started"; program: string; tool: string; kind?: "quick" | "slow" | "approval" }
  | { type: "tool_ended"; program: string; tool: string }
  | { type: "run_ended"; program: string };

/** What an engine did about a fact. */
export interface FactReceipt {
  fact: RuntimeFact["type"];
  program: string;
  honoured: boolean;
  action: "none" | "kept" | "parked" | "restored" | "dropped";
  /** Tokens concerned by the action. */
  tokens?: number;
  reason?: string;
}

/**
 * What is to become of an idle program's KV. One vocabulary for every engine; an adapter translates it, the receipt says what
 * was done.
 *   keep      it is wanted soon: the last to be evicted
 *   demote    it is not wanted for a while: saved to a lower tier, then the first to be evicted
 *   prefetch  it is wanted now: brought back to the device
 *   drop      nobody wants it any more: the device's room is given up
 *   share     saved to a lower tier as it is, so that endpoints of the same pool can load it; its place stays as it was
 */
export interface KvHint {
  verb: "keep" | "demote" | "prefetch" | "drop" | "share";
  program: string;
}

export interface KvReceipt extends KvHint {
  honoured: boolean;
  /** Tokens concerned. */
  tokens: number;
  reason?: string;
}

/** A prompt whose KV an endpoint has computed and keeps for another to pull. */
export interface Prefilled {
  /** Name of the state; undefined when the endpoint stopped before it had all of it, or could not keep it. */
  state: string | undefined;
  /** Prompt tokens that the state holds. */
  tokens: number;
  /** What was cached and computed; no output. */
  usage: Usage;
  timings: Timings;
  /** The state is kept for at least so long; after it, or after `release`, it may be evicted. */
  leaseMs: number;
}

/** A prompt as an engine sees it. `tokens` where it says which ones. */
export interface TokenizedPrompt {
  count: number;
  tokens?: number[];
}

/** Blocks stored and removed, in order; a consumer that sees a gap or a new epoch forgets what it knew of the endpoint. */
export interface KvEvent {
  type: "stored" | "removed" | "cleared";
  /** From 0, per epoch, no gaps. */
  sequence: number;
  epoch: string;
  tier?: Tier;
  /** Hex of 64-bit chained content hashes, in the order of the prompt. */
  blocks?: string[];
  /** Hash of the block before the first, null at the start of a prompt. */
  parent?: string | null;
  /** Token ids of the blocks, `blocks.length * blockTokens` of them, so that a router can hash them its own way. */
  tokens?: number[];
  /** Cache salt that the blocks carry: without it a router cannot tell whose prefix this is. */
  salt?: string;
}

export interface Engine {
  readonly kind: string;
  /** Asks the endpoint what it is. Throws EngineError when it cannot be reached. */
  probe(signal?: AbortSignal): Promise<EndpointFacts>;
  /** Starts an attempt. Throws EngineError before the first byte; after it, the chunk stream throws. */
  open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer>;
  /** A prompt as the engine would see it, under that cache salt (an answer's own tokens are remembered); undefined where it cannot say. */
  tokenize(
    endpoint: Endpoint,
    body: Record<string, unknown>,
    cacheSalt: string,
    signal?: AbortSignal,
  ): Promise<TokenizedPrompt | undefined>;
  /** Tells facts; one receipt each, `honoured: false` where the engine has no use for them. */
  tell(facts: RuntimeFact[]): Promise<FactReceipt[]>;
  /** Says what is to become of programs' KV; one receipt each. Absent where it cannot be said (`kvHints`). */
  hint?(hints: KvHint[]): Promise<KvReceipt[]>;
  /**
   * Computes a prompt and keeps its KV for another endpoint of the pool; present where `transfersKv`. Aborting the signal
   * stops it within a chunk, and what was computed by then is answered. Throws EngineError when it cannot begin.
   */
  prefill?(request: EngineRequest, signal?: AbortSignal): Promise<Prefilled>;
  /** The state is not needed any more for whom it was kept. Never throws. */
  release?(state: string): Promise<void>;
  /** KV events from `since` on; ends at once where the engine has none. */
  watch(since: { epoch: string; sequence: number } | undefined, signal: AbortSignal): AsyncIterable<KvEvent>;
  /** Erases what the engine keeps of a project's prompts, in memory and on disk; absent where it keeps nothing by project. */
  eraseProject?(project: string): Promise<void>;
  close(): Promise<void>;
}

/** Why an attempt could not be served. `retryable` says whether another endpoint, or the same one later, may do better. */
export class EngineError extends LineshaftError {
  readonly retryable: boolean;

  constructor({ retryable, ...detail }: FailureDetail & { status: number; retryable?: boolean }) {
    super(detail);
    this.retryable = retryable ?? (detail.status >= 500 || detail.status === 429);
  }
}
