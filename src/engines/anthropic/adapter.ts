// Anthropic's API as an engine: Messages for calls, count_tokens for questions of a prompt's length, and the list of models for what a
// model can do. A client that speaks Messages reaches it with the body and the `anthropic-*` headers that it sent; what is not passed on is
// judged before (wire/messages/denied.ts).
//
// The other headers sent are exactly those written here. Nothing of a client's request is passed on, least of all its key.
import { ask, requestHeaders } from "../wire/ask.ts";
import { openExchange } from "../wire/exchange.ts";
import { messagesReader } from "../wire/messages/read.ts";
import { object, tokenCount } from "../wire/values.ts";
import { limits } from "../limits.ts";
import { EngineError } from "../types.ts";
import type { Shape } from "../asked.ts";
import type { Engine } from "../engine.ts";
import type {
  Capabilities,
  EndpointBounds,
  EndpointFacts,
  EngineAnswer,
  EngineRequest,
  MediaKind,
  ThinkingKinds,
  TokenizedPrompt,
} from "../types.ts";

type Json = Record<string, unknown>;

interface AnthropicEngineOptions {
  /** Base address up to and with its version: `https://api.anthropic.com/v1`. */
  url: string;
  /** Anthropic's name of the model. */
  model: string;
  key?: string | undefined;
  /** How long it may take to connect and between two pieces of an answer. */
  bounds?: EndpointBounds | undefined;
}

/** The engine at an address of Anthropic's API. */
export function createAnthropicEngine(options: AnthropicEngineOptions): Engine {
  return new AnthropicEngine(options);
}

/** The version of the API that is asked for where the client names none. */
const apiVersion = "2023-06-01";
const prefix = "anthropic-";

/** Members of a call that a question of its length has too; Anthropic refuses others there. */
const counted = ["system", "messages", "tools", "tool_choice", "thinking", "output_config", "cache_control"] as const;

class AnthropicEngine implements Engine {
  readonly kind = "anthropic";
  readonly #url: string;
  readonly #model: string;
  readonly #headers: string[];
  /** Headers of the engine's own questions. */
  readonly #asking: string[];
  readonly #bounds: EndpointBounds | undefined;

  constructor({ url, model, key, bounds }: AnthropicEngineOptions) {
    this.#bounds = bounds;
    this.#url = url;
    this.#model = model;
    this.#headers = requestHeaders(key, "x-api-key");
    this.#asking = [...this.#headers, "anthropic-version", apiVersion];
  }

  async probe(signal?: AbortSignal): Promise<EndpointFacts> {
    const answer = await ask("GET", `${this.#url}/models?limit=1000`, this.#asking, undefined, signal);
    const listed = (Array.isArray(answer["data"]) ? answer["data"] : []) as Json[];
    const names = listed.flatMap((model) => (typeof model?.["id"] === "string" ? [model["id"]] : []));
    const mine = listed.find((model) => model?.["id"] === this.#model) ?? (await this.#mine(signal));
    const contextTokens = tokenCount(mine?.["max_input_tokens"]);
    return {
      models: mine && !names.includes(this.#model) ? [...names, this.#model] : names,
      ...(contextTokens !== undefined && contextTokens > 0 && { contextTokens }),
      capabilities: capabilitiesOf(object(mine?.["capabilities"])),
    };
  }

  /** A model that the list does not name: an alias, or one that is not listed any more. Undefined where Anthropic does not know it. */
  async #mine(signal: AbortSignal | undefined): Promise<Json | undefined> {
    const url = `${this.#url}/models/${encodeURIComponent(this.#model)}`;
    return ask("GET", url, this.#asking, undefined, signal).catch((error: unknown) => {
      if (error instanceof EngineError && error.code === "engine_model_missing") return undefined;
      throw error;
    });
  }

  async open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
    return openExchange({
      url: `${this.#url}/messages`,
      wire: messagesReader,
      saysAs: "messages",
      headers: this.#headersOf(request),
      body: request.body,
      stream: request.body.stream === true,
      source: request.source,
      bounds: this.#bounds,
      signal,
    });
  }

  /** The client's own headers of Anthropic's API, and the version where it names none. */
  #headersOf({ headers = [] }: EngineRequest): string[] {
    const own = headers.filter(([name]) => name.startsWith(prefix));
    const version = own.some(([name]) => name === "anthropic-version") ? [] : ["anthropic-version", apiVersion];
    return [...this.#headers, ...version, ...own.flat()];
  }

  async tokenize(
    shape: Shape,
    body: Json,
    _cacheSalt: string,
    signal?: AbortSignal,
  ): Promise<TokenizedPrompt | undefined> {
    if (shape !== "messages" || namesAddress(body)) return undefined;
    const question: Json = { model: this.#model };
    for (const name of counted) if (body[name] !== undefined) question[name] = body[name];
    try {
      const url = `${this.#url}/messages/count_tokens`;
      const answer = await ask("POST", url, this.#asking, JSON.stringify(question), signal, limits.countMs);
      const count = tokenCount(answer["input_tokens"]);
      return count === undefined ? undefined : { count };
    } catch {
      return undefined;
    }
  }

  async close(): Promise<void> {}
}

/** Whether the prompt names a medium by its address, which Anthropic would fetch. Before a call that is done by the gateway. */
function namesAddress(body: Json): boolean {
  const open: unknown[] = [body["messages"]];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (Array.isArray(at)) open.push(...(at as unknown[]).filter((one) => typeof one === "object" && one !== null));
    const block = object(at);
    if (!block) continue;
    if (block["type"] === "url") return true;
    for (const name of ["content", "source"]) if (typeof block[name] === "object") open.push(block[name] ?? undefined);
  }
  return false;
}

/** What the model can do, as the list of models says it (`capabilities`). */
function capabilitiesOf(said: Json | undefined): Capabilities {
  const can = (of: Json | undefined, name: string): boolean | undefined => {
    const supported = object(of?.[name])?.["supported"];
    return typeof supported === "boolean" ? supported : undefined;
  };
  const media: MediaKind[] = [];
  if (can(said, "image_input") !== false) media.push("image");
  if (can(said, "pdf_input") !== false) media.push("file");
  const types = object(object(said?.["thinking"])?.["types"]);
  const thinks: ThinkingKinds | undefined = types && {
    adaptive: can(types, "adaptive") === true,
    budget: can(types, "enabled") === true,
    effort: can(said, "effort") === true,
  };
  return {
    speaks: ["messages"],
    tokenize: true,
    countsAfar: true,
    kvEvents: false,
    media,
    ...(thinks && { thinks }),
    // Models that decide by themselves how much they think refuse the beginning of an answer.
    ...(thinks && !thinks.adaptive && { prefills: true }),
  };
}
