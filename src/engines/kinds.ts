// The kinds of engines that users add, by the API that they are asked by. A kind is one line here and a folder with its adapter; nothing
// else has to know it.
import { createAnthropicEngine } from "./anthropic/adapter.ts";
import type { Engine } from "./engine.ts";
import { createGeminiEngine } from "./gemini/adapter.ts";
import { createOpenAiEngine } from "./openai/adapter.ts";
import { presetAt, type Preset } from "./presets/index.ts";
import { createResponsesEngine } from "./responses/adapter.ts";
import type { EndpointBounds } from "./types.ts";

interface AddedEngine {
  /** Base address up to and with the API's version. */
  url: string;
  /** The engine's own name of the model. */
  model: string;
  /** The provider's key. */
  key?: string | undefined;
  /** The provider whose quirks it has; by its address where absent. */
  preset?: Preset | undefined;
  bounds?: EndpointBounds | undefined;
}

const makers = {
  openai: createOpenAiEngine,
  responses: createResponsesEngine,
  anthropic: createAnthropicEngine,
  gemini: createGeminiEngine,
} satisfies Record<string, (options: AddedEngine) => Engine>;

/**
 * `openai`: any OpenAI-compatible endpoint. `responses`: OpenAI's Responses. `anthropic`: Anthropic's Messages. `gemini`: Google's
 * generateContent.
 */
export type AddedKind = keyof typeof makers;

/** The engine of that kind at an address. It is asked what it is by its first probe or call. */
export const createEngine = (kind: AddedKind, options: AddedEngine): Engine => makers[kind](options);

/** The kind of the provider that serves at an address; OpenAI-compatible where none is known there. */
export const kindAt = (url: string): AddedKind => presetAt(url)?.kind ?? "openai";

/** The version that an address without a path is given. Google's first version knows no thinking and no schemas. */
export const versionOf = (kind: AddedKind): string => (kind === "gemini" ? "v1beta" : "v1");
