// Google's Gemini API as an engine: generateContent and streamGenerateContent for calls, batchEmbedContents for embeddings, countTokens for
// questions of a prompt's length. The address names the model and says whether the answer streams. The key goes in a header of its own and
// never into the address, which proxies write into their logs.
//
// The headers sent are exactly those written here. Nothing of a client's request is passed on, least of all its key.
import { ask, requestHeaders } from "../wire/ask.ts";
import { openExchange } from "../wire/exchange.ts";
import { geminiEmbeddingsReader, writeEmbeddings } from "../wire/gemini/embed.ts";
import { geminiReader } from "../wire/gemini/read.ts";
import { listIn, textIn, tokenCount } from "../wire/values.ts";
import { limits } from "../limits.ts";
import type { Shape } from "../asked.ts";
import type { Engine } from "../engine.ts";
import type { EndpointBounds, EndpointFacts, EngineAnswer, EngineRequest, TokenizedPrompt } from "../types.ts";

interface GeminiEngineOptions {
  /** Base address up to and with its version: `https://generativelanguage.googleapis.com/v1beta`. */
  url: string;
  /** Google's name of the model, with or without `models/`. */
  model: string;
  key?: string | undefined;
  bounds?: EndpointBounds | undefined;
}

/** The engine at an address of Google's API. */
export function createGeminiEngine(options: GeminiEngineOptions): Engine {
  return new GeminiEngine(options);
}

class GeminiEngine implements Engine {
  readonly kind = "gemini";
  readonly #url: string;
  readonly #model: string;
  /** Where the model stands below the base address, as `models/…`. */
  readonly #path: string;
  readonly #headers: string[];
  readonly #bounds: EndpointBounds | undefined;

  constructor({ url, model, key, bounds }: GeminiEngineOptions) {
    this.#bounds = bounds;
    this.#url = url;
    this.#model = model;
    this.#path = pathOf(model).split("/").map(encodeURIComponent).join("/");
    this.#headers = requestHeaders(key, "x-goog-api-key");
  }

  async probe(signal?: AbortSignal): Promise<EndpointFacts> {
    const question = `${this.#url}/models?pageSize=${modelsMost}`;
    const listed = listIn(await ask("GET", question, this.#headers, undefined, signal), "models");
    const mine = listed.find((model) => textIn(model, "name") === pathOf(this.#model));
    const names = listed.map((model) => textIn(model, "name").replace(/^models\//, "")).filter((name) => name !== "");
    const contextTokens = mine && contextOf(mine);
    const methods = mine?.["supportedGenerationMethods"];
    const embeds = Array.isArray(methods) && methods.includes("embedContent") && !methods.includes("generateContent");
    return {
      // A model may be named in both ways.
      models: names.includes(this.#model) ? names : [...names, ...(mine ? [this.#model] : [])],
      ...(contextTokens !== undefined && { contextTokens }),
      capabilities: {
        speaks: embeds ? ["embeddings"] : ["gemini"],
        tokenize: !embeds,
        countsAfar: true,
        kvEvents: false,
        media: ["image", "audio", "video", "file"],
      },
    };
  }

  async open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
    if (request.shape === "embeddings")
      return openExchange({
        url: `${this.#url}/${this.#path}:batchEmbedContents`,
        wire: geminiEmbeddingsReader,
        headers: this.#headers,
        bounds: this.#bounds,
        body: writeEmbeddings(request.body, pathOf(this.#model)),
        stream: false,
        signal,
      });
    const stream = request.streamByPath === true;
    return openExchange({
      url: `${this.#url}/${this.#path}:${stream ? "streamGenerateContent?alt=sse" : "generateContent"}`,
      wire: geminiReader,
      saysAs: "gemini",
      headers: this.#headers,
      bounds: this.#bounds,
      body: request.body,
      stream,
      source: request.source,
      signal,
    });
  }

  async tokenize(
    shape: Shape,
    body: Record<string, unknown>,
    _cacheSalt: string,
    signal?: AbortSignal,
  ): Promise<TokenizedPrompt | undefined> {
    if (shape !== "gemini") return undefined;
    try {
      const question = JSON.stringify({ generateContentRequest: { model: pathOf(this.#model), ...body } });
      const url = `${this.#url}/${this.#path}:countTokens`;
      const count = tokenCount(
        (await ask("POST", url, this.#headers, question, signal, limits.countMs))["totalTokens"],
      );
      return count === undefined ? undefined : { count };
    } catch {
      return undefined;
    }
  }

  async close(): Promise<void> {}
}

/** Most models that one page of the list has. */
const modelsMost = 1_000;

/** Tuned models have a folder of their own. */
const pathOf = (model: string): string => (model.includes("/") ? model : `models/${model}`);

/** Longest prompt and longest answer together. */
function contextOf(model: Record<string, unknown>): number | undefined {
  const input = tokenCount(model["inputTokenLimit"]);
  const output = tokenCount(model["outputTokenLimit"]);
  return input === undefined || input === 0 ? undefined : input + (output ?? 0);
}
