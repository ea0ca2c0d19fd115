// Any OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, Ollama, a provider) as an engine. It is asked what it can rather
// than configured: models and context length from /models, exact token counts from vLLM's /tokenize where that exists.
//
// Headers sent are exactly those written here: nothing of a client's request, its key least of all, is passed on.
import { send } from "./egress.ts";
import { openExchange, readText } from "./exchange.ts";
import { limits } from "./limits.ts";
import { EngineError } from "./types.ts";
import type {
  Capabilities,
  EndpointFacts,
  Endpoint,
  Engine,
  EngineAnswer,
  EngineRequest,
  FactReceipt,
  KvEvent,
  RuntimeFact,
  TokenizedPrompt,
} from "./types.ts";
import { refusalOf, retryAfterSeconds } from "./wire.ts";

export interface OpenAiEngineOptions {
  /** Base address up to and with `/v1` (engineBaseUrl makes it out of what a person typed). */
  url: string;
  /** The engine's own name of the model. */
  model: string;
  /** Credential, sent as a bearer token. */
  key?: string | undefined;
}

export const completionPaths: Record<Endpoint, string> = { chat: "/chat/completions", completions: "/completions" };

export function createOpenAiEngine(options: OpenAiEngineOptions): Engine {
  return new OpenAiEngine(options);
}

/** Fixed headers of every request to an endpoint. */
export function requestHeaders(key: string | undefined): string[] {
  return [
    "content-type",
    "application/json",
    "accept",
    "application/json, text/event-stream",
    "user-agent",
    "lineshaft",
    ...(key === undefined ? [] : ["authorization", `Bearer ${key}`]),
  ];
}

class OpenAiEngine implements Engine {
  readonly kind = "openai";
  readonly #url: string;
  readonly #model: string;
  readonly #headers: string[];
  /** OpenAI's own newer models refuse `max_tokens`; other endpoints know it better than its new name. */
  readonly #newNames: boolean;
  #tokenizes = false;

  constructor(options: OpenAiEngineOptions) {
    this.#url = options.url;
    this.#model = options.model;
    this.#headers = requestHeaders(options.key);
    this.#newNames = new URL(options.url).hostname === "api.openai.com";
  }

  async probe(signal?: AbortSignal): Promise<EndpointFacts> {
    const answer = await ask("GET", `${this.#url}/models`, this.#headers, undefined, signal).catch((error: unknown) => {
      // A few endpoints serve calls and no list.
      if (error instanceof EngineError && error.code === "engine_model_missing") return { data: [] };
      throw error;
    });
    const listed = (Array.isArray(answer["data"]) ? answer["data"] : []) as Record<string, unknown>[];
    const models = listed.map((model) => model?.["id"]).filter((id) => typeof id === "string");
    const mine = listed.find((model) => model?.["id"] === this.#model);
    const context = mine?.["max_model_len"] ?? mine?.["context_length"] ?? mine?.["context_window"];
    this.#tokenizes = (await this.#tokenize({ prompt: "a" }, signal)) !== undefined;
    return {
      models,
      ...(typeof context === "number" && context > 0 && { contextTokens: context }),
      capabilities: this.#capabilities(),
    };
  }

  #capabilities(): Capabilities {
    return {
      tokenize: this.#tokenizes,
      kvEvents: false,
      facts: false,
      cancelWithUsage: false,
      // Some do, and say so in usage; none says beforehand.
      reportsCachedTokens: false,
    };
  }

  async open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
    const body: EngineRequest["body"] = { ...request.body };
    if (body.stream === true)
      // Asked for always: the bill needs it. Who did not ask is not shown it.
      body["stream_options"] = { ...(body["stream_options"] as object | undefined), include_usage: true };
    if (this.#newNames && request.endpoint === "chat" && body["max_tokens"] !== undefined) {
      body["max_completion_tokens"] ??= body["max_tokens"];
      delete body["max_tokens"];
    }
    return openExchange({
      url: this.#url + completionPaths[request.endpoint],
      headers: this.#headers,
      body,
      source: request.source,
      signal,
    });
  }

  async tokenize(
    endpoint: Endpoint,
    body: Record<string, unknown>,
    _organisation: string,
    signal?: AbortSignal,
  ): Promise<TokenizedPrompt | undefined> {
    if (!this.#tokenizes) return undefined;
    return this.#tokenize(
      endpoint === "chat"
        ? { messages: body["messages"], tools: body["tools"], add_generation_prompt: true }
        : { prompt: body["prompt"] },
      signal,
    );
  }

  /** vLLM's /tokenize lies beside /v1, not below it. */
  async #tokenize(question: Record<string, unknown>, signal?: AbortSignal): Promise<TokenizedPrompt | undefined> {
    const url = `${this.#url.replace(/\/v1$/, "")}/tokenize`;
    try {
      const body = JSON.stringify({ model: this.#model, ...question });
      const answer = await ask("POST", url, this.#headers, body, signal, limits.countMs);
      const { count, tokens } = answer;
      if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0) return undefined;
      return Array.isArray(tokens) && tokens.length === count ? { count, tokens: tokens as number[] } : { count };
    } catch {
      return undefined;
    }
  }

  tell(facts: RuntimeFact[]): Promise<FactReceipt[]> {
    return Promise.resolve(
      facts.map((fact) => ({
        fact: fact.type,
        program: fact.program,
        honoured: false,
        action: "none" as const,
        reason: "this engine takes no facts",
      })),
    );
  }

  async *watch(): AsyncGenerator<KvEvent, void, void> {}

  async close(): Promise<void> {}
}

/** A small question with a JSON answer. Throws EngineError when it is not answered 200 within the time. */
export async function ask(
  method: "GET" | "POST" | "DELETE",
  url: string,
  headers: string[],
  body?: string,
  signal?: AbortSignal,
  mostMs: number = limits.questionMs,
): Promise<Record<string, unknown>> {
  const timeout = AbortSignal.timeout(mostMs);
  try {
    const response = await send({
      method,
      url,
      headers,
      body,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      firstByteMs: mostMs,
    });
    const text = await readText(response, limits.answerBytes);
    if (response.status !== 200)
      throw refusalOf(response.status, text, retryAfterSeconds(response.headers["retry-after"]));
    const answer: unknown = text === "" ? {} : JSON.parse(text);
    if (answer === null || typeof answer !== "object") throw new SyntaxError("not an object");
    return answer as Record<string, unknown>;
  } catch (error) {
    if (error instanceof EngineError && !(error.code === "aborted" && timeout.aborted)) throw error;
    const silent = timeout.aborted;
    throw new EngineError({
      status: 502,
      code: silent ? "engine_timeout" : "engine_invalid_answer",
      message: silent ? `${url} did not answer within ${mostMs} ms.` : `${url} did not answer in JSON.`,
      hint: "Check that the address belongs to an OpenAI-compatible endpoint, up to and with its /v1.",
      cause: error,
    });
  }
}
