// An endpoint that speaks OpenAI's Responses (OpenAI itself, Azure, a server with that route) as an engine. It is asked to keep nothing:
// stored responses and what goes on from them are Lineshaft's own (gateway/responses/), so every turn sends the whole conversation.
//
// The headers sent are exactly those written here. Nothing of a client's request is passed on, least of all its key.
import { copied } from "../../bounded/index.ts";
import { ask, requestHeaders } from "../wire/ask.ts";
import { openExchange } from "../wire/exchange.ts";
import { responsesReader } from "../wire/responses/read.ts";
import { listIn, textIn, tokenCount } from "../wire/values.ts";
import { presetAt, type Preset } from "../presets/index.ts";
import { EngineError } from "../types.ts";
import type { Engine } from "../engine.ts";
import type { EndpointBounds, EndpointFacts, EngineAnswer, EngineRequest } from "../types.ts";

interface ResponsesEngineOptions {
  /** Base address up to and with `/v1`. */
  url: string;
  /** The engine's own name of the model. */
  model: string;
  key?: string | undefined;
  bounds?: EndpointBounds | undefined;
}

/** The engine at an address that serves `/responses`. */
export function createResponsesEngine(options: ResponsesEngineOptions): Engine {
  return new ResponsesEngine(options);
}

class ResponsesEngine implements Engine {
  readonly kind = "responses";
  readonly #url: string;
  readonly #model: string;
  readonly #headers: string[];
  readonly #bounds: EndpointBounds | undefined;
  readonly #preset: Preset | undefined;

  constructor({ url, model, key, bounds }: ResponsesEngineOptions) {
    this.#bounds = bounds;
    this.#url = url;
    this.#model = model;
    this.#preset = presetAt(url);
    this.#headers = requestHeaders(key, this.#preset?.quirks.keyHeader);
  }

  async probe(signal?: AbortSignal): Promise<EndpointFacts> {
    const listed = listIn(await this.#models(signal), "data");
    const mine = listed.find((model) => textIn(model, "id") === this.#model);
    const said = tokenCount(mine?.["max_model_len"] ?? mine?.["context_length"] ?? mine?.["context_window"]);
    const context = said ?? this.#preset?.models.find(({ id }) => id === this.#model)?.contextTokens;
    return {
      models: listed.map((model) => textIn(model, "id")).filter((id) => id !== ""),
      ...(context !== undefined && context > 0 && { contextTokens: context }),
      capabilities: { speaks: ["responses"], tokenize: false, kvEvents: false, media: ["image", "file"] },
    };
  }

  /** A few endpoints serve calls and no list. */
  #models(signal: AbortSignal | undefined): Promise<Record<string, unknown>> {
    return ask("GET", `${this.#url}/models`, this.#headers, undefined, signal).catch((error: unknown) => {
      if (error instanceof EngineError && error.code === "engine_model_missing") return {};
      throw error;
    });
  }

  async open({ body, source }: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
    return openExchange({
      url: `${this.#url}/responses`,
      wire: responsesReader,
      saysAs: "responses",
      headers: this.#headers,
      bounds: this.#bounds,
      body: copied(body, { store: false }),
      stream: body.stream === true,
      source,
      signal,
    });
  }

  /** The API counts prompts by a call that some servers bill, so it is not asked. */
  async tokenize(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {}
}
