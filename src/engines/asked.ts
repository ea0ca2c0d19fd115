// What is asked of a model, whatever API it was asked by: the typed view of a call. The gateway reads it, and every engine writes its
// own wire format from it, so that no API's JSON stands between the API of the client and the API of the engine.
//
// Fields are read when they are asked for. A body of 400 KB whose bytes are passed on never becomes 400 messages in memory, because
// nothing on its way needs them.
import type { Bytes, JsonMembers } from "../bounded/index.ts";

/**
 * A wire format: the JSON of one API. chat and completions: OpenAI's; responses: OpenAI's Responses; messages: Anthropic's; gemini:
 * generateContent. embeddings: OpenAI's; rerank: that of Jina, Cohere and vLLM.
 */
export type Shape = "chat" | "completions" | "responses" | "messages" | "gemini" | "embeddings" | "rerank";

/** OpenAI's two shapes of completions, which differ in little. */
export type CompletionShape = "chat" | "completions";

type Json = Record<string, unknown>;

/** Up to here the prompt is worth keeping in a cache. `ttlSeconds`: 300 or 3600, where the client said so. */
export interface CacheMark {
  ttlSeconds?: number;
}

/**
 * What proves or continues a model's thought, and the API that made it; it is worthless to any other. `signature`: Anthropic's and
 * Gemini's. `encrypted`: hidden thought, of OpenAI's reasoning items and Anthropic's redacted blocks.
 */
export interface Proof {
  origin: "anthropic" | "openai" | "gemini" | "other";
  signature?: string;
  encrypted?: string;
  id?: string;
}

/** What a message may hold, in order. */
export type Part =
  | { kind: "text"; text: string; mark?: CacheMark }
  /** `url`: an address, or `data:` with the medium itself. */
  | {
      kind: "image" | "audio" | "video" | "file";
      url: string;
      /** How closely an image is looked at, as the client's API says it. */
      detail?: string;
      /** A file's name. */
      name?: string;
      mark?: CacheMark;
    }
  /** What the model thought in an earlier turn. `summary`: the text is a summary of it. Empty text: all of it is in `proof`. */
  | { kind: "reasoning"; text: string; summary?: boolean; proof?: Proof; mark?: CacheMark }
  | { kind: "refusal"; text: string }
  /** `arguments`: JSON text, as the model wrote it. `custom`: plain text for a tool that takes text. */
  | {
      kind: "tool_call";
      id: string;
      name: string;
      arguments: string;
      custom?: boolean;
      namespace?: string;
      mark?: CacheMark;
    }
  /** Stands in a message of the role `user`. `id`: of the call that it answers. */
  | { kind: "tool_result"; id: string; name?: string; parts: readonly Part[]; isError?: boolean; mark?: CacheMark }
  /** An item that only APIs of this shape understand (server tools, compaction): it is kept whole and never read. */
  | { kind: "opaque"; shape: Shape; item: Json };

export interface Message {
  role: "system" | "developer" | "user" | "assistant";
  parts: readonly Part[];
  name?: string;
}

export type Prompt =
  | { kind: "messages"; messages: readonly Message[] }
  | { kind: "text"; text: string }
  | { kind: "tokens"; tokens: readonly number[] }
  /** Several prompts in one call, each answered by itself. */
  | { kind: "list"; prompts: readonly (string | readonly number[])[] }
  /** `top`: how many of the documents are answered. */
  | { kind: "rerank"; query: string; documents: readonly string[]; top?: number };

export interface Tool {
  name: string;
  description?: string;
  /** JSON Schema of its arguments. */
  parameters?: Json;
  strict?: boolean;
  mark?: CacheMark;
  /** Group of tools that it belongs to: its name is unique within the group alone. */
  namespace?: string;
  /** It takes plain text, of this format where one is given. */
  custom?: { format?: Json };
  /** The model is shown it only once it has searched for it. */
  deferred?: boolean;
  /** A tool that the provider runs, as an API of this shape writes it. */
  opaque?: { shape: Shape; item: Json };
}

/** `required`: the model must call a tool; `{ name }`: this one; `{ anyOf }`: it may, or must, call one of these alone. */
export type ToolChoice =
  | "none"
  | "auto"
  | "required"
  | { name: string }
  | { anyOf: readonly string[]; required: boolean };

/** What the answer's text has to be. `json`: an object of any shape. */
export type AnswerFormat =
  | { kind: "json" }
  | { kind: "schema"; schema: Json | boolean | undefined; name?: string; strict?: boolean };

export interface Sampling {
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  seed?: number;
  stop?: readonly string[];
  presencePenalty?: number;
  frequencyPenalty?: number;
  /** Log probabilities of so many tokens at each place; 0: of the chosen one alone. */
  logprobs?: number;
}

/** Whether and how the model is asked to think before it answers. */
export interface Thinking {
  asked: boolean;
  effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max";
  /** Tokens of thought, within the limit of output. */
  budgetTokens?: number;
  /** The model decides by itself how much it thinks. */
  adaptive?: boolean;
  /** What the client wants to see of it. */
  show?: "text" | "summary" | "omitted";
  /** Tokens that it may take beside the limit of output. */
  tokensBeside: number;
}

/** The body of a call as it came. */
export interface Received {
  /** The API that it was written for. */
  shape: Shape;
  /** Valid JSON. */
  bytes: Bytes;
  /** What was parsed from `bytes`; it is never changed. */
  object: Json;
  /** Where the members of `object` lie in `bytes`, where that was noted while they came. */
  members?: JsonMembers | undefined;
}

/** What is asked of a model. */
export interface Asked {
  /** The API that the client speaks. */
  readonly shape: Shape;
  readonly kind: "generate" | "embed" | "rerank";
  /** As the caller names it. */
  readonly model: string;
  readonly stream: boolean;
  readonly prompt: Prompt;
  readonly tools: readonly Tool[];
  readonly toolChoice: ToolChoice | undefined;
  /** Whether the model may call several tools at once; undefined where the client left it open. */
  readonly parallelTools: boolean | undefined;
  readonly format: AnswerFormat | undefined;
  readonly sampling: Sampling;
  readonly thinking: Thinking;
  /** How much to say: low, medium, high. */
  readonly verbosity: string | undefined;
  /** Calls of the same name are likely to share a prompt's beginning: OpenAI's `prompt_cache_key`. */
  readonly cacheKey: string | undefined;
  /** How long the prompt is worth keeping, where the client said so for all of it. */
  readonly cacheTtlSeconds: number | undefined;
  /** Answers that are computed for each prompt; the caller may get fewer of them (`best_of`). */
  readonly answersPerPrompt: number;
  /** Fields of the body that this view has no name for, by their names on the wire of `shape`. */
  readonly extensions: Readonly<Json>;
  /** Headers of the client that belong to its API (`anthropic-beta`): never keys, never those of one connection. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Characters of the prompt, tools included, as a guess of its length. */
  readonly promptCharacters: number;
  /** The body as it came, while its values may still be passed on as the bytes that they came as. */
  readonly received: Received | undefined;
}
