// The data that crosses the seam between the gateway and what serves tokens: requests, answers, facts, failures. engine.ts has the
// verbs of every engine, kv.ts those of engines whose KV cache can be seen and steered.
//
// What Lineshaft itself knows of a call travels beside what was asked as `hints`; an adapter translates them for its engine or leaves
// them out. Hints never come from clients.
import type { Arrivals } from "../bounded/index.ts";
import { LineshaftError, type FailureDetail } from "../errors/index.ts";
import type { Part, Proof, Received, Shape } from "./asked.ts";

/** Where a KV block lies, nearest first (DESIGN section 1). */
export type Tier = "device" | "host" | "disk" | "remote";

/** What the platform knows of a call and an engine may use. The gateway sets it after authentication, never a client. */
export interface CallHints {
  /** Id of the attempt, unique: the name by which an engine is told to stop it. */
  attempt: string;
  /**
   * Salt of prefixes: calls under different salts never share a prefix, because `cached_tokens` and response time would tell one caller
   * what another asked. It is the project, or one key of it where the call asks for that.
   */
  cacheSalt: string;
  /** Owner of KV files: they are erased with it. */
  project: string;
  /** The tree of calls that belong together: a run with its sub-agents, or a client's session. */
  program?: string;
  /** Token ids of the prompt. An engine with `takesTokens` uses them instead of tokenising again. */
  promptTokens?: readonly number[];
  /** KV that another endpoint computed. The engine pulls all of it before the first token, or the attempt fails with `kv_lost`. */
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
  /** The wire format of `body`, which the engine speaks. */
  shape: Shape;
  /** What the client sent. Where `body` still has a value of it, the value's bytes may be passed on instead of being written anew. */
  source?: Received;
  /** Validated by the gateway. It names the engine's own model, where the API names models in bodies. */
  body: Record<string, unknown> & { stream?: boolean };
  /** The answer is to stream, where the API says so in the address and not in `body.stream`. */
  streamByPath?: boolean;
  /** Headers of the client that belong to its API; an adapter sends those that its own API has. */
  headers?: readonly (readonly [name: string, value: string])[];
  hints: CallHints;
}

/** Tokens that an attempt used. `promptTokens` includes cached and written ones; `outputTokens` includes `reasoningTokens`. */
export interface Usage {
  promptTokens: number;
  /** 0 also where the engine does not report them, so that what is not known to be cached is priced as uncached. */
  cachedTokens: number;
  /** The engine does not report cached tokens: `cachedTokens` is no measurement. */
  cachedUnreported?: true;
  /** Tokens that were written to the engine's cache: of its usual lifetime, and of the longer one, where it says so. */
  cacheWriteTokens?: number;
  cacheWriteLongTokens?: number;
  /** `cachedTokens` split by the tier they came from, where the engine says so. */
  cachedByTier?: Partial<Record<Tier, number>>;
  outputTokens: number;
  reasoningTokens: number;
  /** What else is billed by its number, by name: searches, images, documents. */
  units?: Readonly<Record<string, number>>;
  /** `engine`: the engine reported it. `counted`: it did not, and the adapter counted the text that passed. */
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
  /** Proves or continues the reasoning that this delta ends, for the model's next turn. */
  proof?: Proof;
  /** Items that only clients of the same API understand, whole and in order. */
  opaque?: readonly { shape: Shape; item: Record<string, unknown> }[];
  /** Which of the stop sequences ended the answer. */
  stopSequence?: string;
  /** Of a whole answer: its parts in order, where text, thought and tool calls alternate. Absent where the fields above say it all. */
  blocks?: readonly Part[];
  /**
   * Why the answer ended: `stop`, `length`, `tool_calls`, `content_filter`, `refusal`, `pause` (the client sends it back to go on), or the
   * engine's own word.
   */
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
  shape: Shape;
  data: Record<string, unknown>;
  /** JSON text of `data` as the engine sent it, in an event or whole, where it may be passed on unchanged. */
  text: string | undefined;
}

/** One event of a stream, or a whole answer. */
export interface EngineChunk {
  deltas: readonly AnswerDelta[];
  /** Characters of text that it carries to its reader. */
  characters: number;
  /** Length of its JSON as it came. Of an answer that was put together from a stream, the length of what was kept of it. */
  bytes: number;
  /** The engine reports usage in it; the figures are `EngineAnswer.usage()`. */
  reportsUsage: boolean;
  /** It carries nothing to a reader: the engine has only said how far it has got (`EngineAnswer.outputSoFar`). */
  silent?: boolean;
  wire: WireObject;
  /** Name of the event that brought it (`event:`), where its API names events. */
  eventName?: string;
}

/**
 * An attempt under way. The caller reads exactly one of `chunks` (streaming) and `whole` (not streaming), once. `usage` and `timings` are
 * complete when the answer has ended, whether by itself or by `cancel`.
 */
export interface EngineAnswer {
  /** HTTP status of the engine, 200 when it accepted. */
  status: number;
  /** The stream. Throws EngineError when it is cut, cannot be read, or holds an error. */
  chunks: Arrivals<EngineChunk>;
  /** The whole answer of a call that does not stream, at once where it is here. Throws EngineError when it cannot be read. */
  whole(): EngineChunk | Promise<EngineChunk>;
  /** What was used, as far as known now. */
  usage(): Usage | undefined;
  /**
   * Output tokens of all answers that have come, at most: as the engine counts them while it streams, and of text that came after
   * its last count no more tokens than it has bytes. 0 where the answer does not stream.
   */
  outputSoFar(): number;
  timings(): Timings;
  /** Prompt tokens whose KV was pulled from elsewhere (`hints.transfer`); known once the answer has begun. */
  pulledTokens?(): number | undefined;
  /** Stops the attempt within one token (decode) or one chunk (prefill), then answers what was used. Never throws. */
  cancel(): Promise<Usage | undefined>;
}

/** What an endpoint says of itself. It is asked, never configured, wherever it can be asked. */
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

/** What an endpoint's owner allows it. What is absent has this installation's bounds. */
export interface EndpointBounds {
  /** To open a connection. */
  connectMs?: number | undefined;
  /** To the first token of an answer; it holds for the last endpoint that is left as well. */
  firstTokenMs?: number | undefined;
  /** Between two pieces of an answer, once the first has come. */
  idleMs?: number | undefined;
  /** Calls that it is sent at once; further ones wait for their turn, or go elsewhere. */
  concurrency?: number | undefined;
}

/** How much KV an endpoint keeps, and what it costs to bring it back to the device. */
export interface KvFacts {
  /** 0 where the engine does not say. */
  bytesPerToken: number;
  /** Tokens that fit the device; and all tiers together. */
  deviceTokens: number;
  totalTokens: number;
  /** Milliseconds to bring one token's KV back to the device, for each tier that the engine has. */
  reloadMsPerToken: Partial<Record<Tier, number>>;
  /** Name of the pool that its lower tiers lie in. Endpoints of the same pool see each other's states. */
  pool?: string;
}

/** What a part of a message may hold beside text. */
export type MediaKind = "image" | "audio" | "video" | "file";

export interface Capabilities {
  /** APIs that it is asked by, the preferred one first. Absent: OpenAI's chat and text completions. */
  speaks?: readonly Shape[];
  /** Counts a prompt's tokens (`Engine.tokenize`). */
  tokenize: boolean;
  /** Honours `hints.promptTokens`. */
  takesTokens?: boolean;
  /** Its KV events can be had now (`KvEngine.watch`). */
  kvEvents: boolean;
  /** Body fields it is sent (wire/chat/fields.ts); any other is refused before it is asked. Absent: those of unknown software. */
  fields?: readonly string[];
  /** Kinds of media it reads. Absent where that depends on a model that is not known: then the engine judges itself. */
  media?: readonly MediaKind[];
  /** Cuts an output limit to the room that its context leaves; other engines refuse such a limit. */
  clipsOutput?: boolean;
  /**
   * Known to stop computing when a stream is cancelled, and to count its output while it streams (`EngineAnswer.outputSoFar`). An attempt
   * at any other engine may cost all of the limit that it was sent, however it ends.
   */
  stops?: boolean;
  /** Counting a prompt is a request to a provider, so it is asked where a count is needed, and not to place every call. */
  countsAfar?: boolean;
  /** Its model goes on with a last message of the role `assistant` by itself, where the API has no field that asks for it. */
  prefills?: boolean;
  /** Puts the prompt of a text completion into the model's chat template, so that it answers a text instead of going on with it. */
  wrapsPrompts?: boolean;
  /** How its model can be asked to think, where the API has several ways. */
  thinks?: ThinkingKinds;
}

/** `adaptive`: the model decides by itself how much it thinks. `budget`: it takes a number of tokens. `effort`: it takes a word. */
export interface ThinkingKinds {
  adaptive: boolean;
  budget: boolean;
  effort: boolean;
}

/** A prompt as an engine sees it; `tokens` where the engine says which ones. */
export interface TokenizedPrompt {
  count: number;
  tokens?: number[];
}

/**
 * An engine's own words of a refusal, for clients that speak its API and retry by their wording: at most 64 KB, without the credential.
 */
export interface SaidByEngine {
  shape: Shape;
  status: number;
  text: string;
  contentType: string;
}

/**
 * Why an attempt could not be served. `retryable`: another endpoint, or the same one later, may serve it. `said`: the engine's own
 * refusal of the request, where it may be shown as it is.
 */
export class EngineError extends LineshaftError {
  readonly retryable: boolean;
  readonly said: SaidByEngine | undefined;

  constructor({
    retryable,
    said,
    ...detail
  }: FailureDetail & { status: number; retryable?: boolean; said?: SaidByEngine | undefined }) {
    super(detail);
    this.retryable = retryable ?? (detail.status >= 500 || detail.status === 429);
    this.said = said;
  }
}
