// The seam inside the adapter of OpenAI-compatible endpoints (openai/adapter.ts): what one kind of open software has beside OpenAI's routes.
// Calls go to the routes that all of them share; a server says what it is, what a call must carry there, and what it would get wrong.
import type { CallHints, Capabilities, EndpointFacts, TokenizedPrompt } from "./types.ts";
import type { Shape } from "./asked.ts";
import type { KvEngine } from "./kv.ts";

type Json = Record<string, unknown>;

/** Where a server is asked, and for which of its models. */
export interface OpenServerAddress {
  /** Base address without `/v1`: its own routes lie beside those of OpenAI. */
  root: string;
  headers: string[];
  /** The server's own name of the model. */
  model: string;
  /** The model's entry in its list. */
  listed: Json;
}

/** What a server says of itself. Capabilities replace those of its software; fields that it would ignore without a word are named apart. */
export interface ServerFacts extends Partial<Omit<EndpointFacts, "models" | "capabilities">> {
  capabilities?: Pick<Capabilities, "speaks" | "media" | "wrapsPrompts">;
  kvEvents?: boolean;
  /** Fields of its software that this model or this start of the server would ignore. */
  ignoredFields?: readonly string[];
}

export interface OpenServer {
  /** Asks what it is. Throws EngineError when it does not answer. What it does not say is left out. */
  probe(signal?: AbortSignal): Promise<ServerFacts>;
  /**
   * Fields that replace those of a body before it is sent; undefined ones are taken out. Throws EngineError where the server would answer
   * something else than what was asked.
   */
  prepare(shape: Shape, body: Json, hints: CallHints, signal?: AbortSignal): Promise<Json> | Json;
  /** The prompt of a body as the model sees it; undefined where it cannot say. Absent: `/tokenize` as vLLM has it. Never throws. */
  tokenize?(shape: Shape, body: Json, signal?: AbortSignal): Promise<TokenizedPrompt | undefined>;
  /** A call of this cache salt follows. Absent where nothing is to be known of that. */
  expect?(cacheSalt: string): void;
  readonly kv?: KvEngine;
  close(): void;
}

/** A whole number above 0 and below 2^53; undefined for anything else that a server may say. */
export const wholeNumber = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : undefined;

/** Fields without which a model cannot be given tools. */
export const toolFields = ["tools", "tool_choice", "parallel_tool_calls"] as const;
