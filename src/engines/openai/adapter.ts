// Any OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, Ollama, a provider) as an engine. What it can do is asked, not configured:
// models and context length from /models, exact token counts from /tokenize where that exists. Which software answers is found out
// (detect.ts), and open software is asked for more on its own routes (openServer.ts).
//
// The headers sent are exactly those written here. Nothing of a client's request is passed on, least of all its key.
import { copied, picked } from "../../bounded/index.ts";
import { ask, requestHeaders } from "../wire/ask.ts";
import { completionPaths, completionReaders, completionShapeOf } from "../wire/chat/reader.ts";
import { openExchange } from "../wire/exchange.ts";
import { encodeBody } from "../wire/splice.ts";
import { fieldsOfSoftware, type Software } from "../wire/chat/fields.ts";
import { askForProgress, countsProgress } from "../wire/progress.ts";
import { limits } from "../limits.ts";
import { EngineError } from "../types.ts";
import type { CompletionShape, Received, Shape } from "../asked.ts";
import type {
  Capabilities,
  EndpointBounds,
  EndpointFacts,
  EngineAnswer,
  EngineRequest,
  TokenizedPrompt,
} from "../types.ts";
import type { Engine } from "../engine.ts";
import type { KvEngine } from "../kv.ts";
import { inputWireOf, type InputWire } from "../wire/inputWires.ts";
import { presetAt, type Preset } from "../presets/index.ts";
import type { OpenServer, ServerFacts } from "../openServer.ts";
import { serverOf, softwareAt } from "./detect.ts";

interface OpenAiEngineOptions {
  /** Base address up to and with `/v1` (engineBaseUrl makes it out of what a person typed). */
  url: string;
  /** The engine's own name of the model. */
  model: string;
  /** Credential, sent as a bearer token or in the header that the preset names. */
  key?: string | undefined;
  /** The provider that serves at the address; by its host where absent. */
  preset?: Preset | undefined;
  bounds?: EndpointBounds | undefined;
}

/** Errors after which it is still not known what the endpoint is. */
const unanswered = new Set(["engine_timeout", "engine_unreachable"]);

/** The engine at an OpenAI-compatible address. It asks what the address is at its first call or probe. */
export function createOpenAiEngine(options: OpenAiEngineOptions): Engine {
  return new OpenAiEngine(options);
}

class OpenAiEngine implements Engine {
  readonly kind = "openai";
  readonly #url: string;
  readonly #model: string;
  readonly #headers: string[];
  /** What is known of the provider that serves at the address. */
  readonly #preset: Preset | undefined;
  readonly #bounds: EndpointBounds | undefined;
  /** The software that answers at the address, as far as it is known. */
  #software: Software = "other";
  #tokenizes = false;
  /** What is asked beyond OpenAI's routes, once it has turned out to be software that has more. */
  #server: OpenServer | undefined;
  /** The owner by which the software was found out. */
  #owner: unknown;
  /** The first look at what it is. Calls wait for it, because what they must carry depends on it. */
  #looked: Promise<void> | undefined;
  /** Whether it has answered a look. */
  #isKnown = false;

  constructor(options: OpenAiEngineOptions) {
    this.#url = options.url;
    this.#model = options.model;
    this.#bounds = options.bounds;
    this.#preset = options.preset ?? presetAt(options.url);
    this.#headers = requestHeaders(options.key, this.#preset?.quirks.keyHeader);
    if (this.#preset?.quirks.openAi) this.#software = "openai";
  }

  async probe(signal?: AbortSignal): Promise<EndpointFacts> {
    const { models, mine } = await this.#look(signal);
    const listed = mine?.["max_model_len"] ?? mine?.["context_length"] ?? mine?.["context_window"];
    const context = listed ?? this.#preset?.models.find(({ id }) => id === this.#model)?.contextTokens;
    const [tokenized, said] = await Promise.all([
      // A model of vLLM's without a chat template counts texts alone.
      this.#software === "vllm"
        ? this.#tokenize({ prompt: "a" }, signal)
        : this.#count("chat", { messages: [{ role: "user", content: "a" }] }, signal),
      // Its own routes may be closed by a proxy, while OpenAI's are open.
      this.#server?.probe(signal).catch(() => undefined),
    ]);
    this.#tokenizes = tokenized !== undefined;
    const { kvEvents = false, capabilities = {}, ignoredFields = [], ...facts } = said ?? {};
    return {
      models,
      ...(typeof context === "number" && context > 0 && { contextTokens: context }),
      ...facts,
      capabilities: this.#capabilities({ kvEvents, capabilities, ignoredFields }),
    };
  }

  /**
   * Without it a first call could be sent to vLLM without a salt, and so read another project's cache. Throws EngineError where the
   * endpoint does not answer. An endpoint that refuses the question is not vLLM.
   */
  #firstLook(): Promise<void> {
    return this.#look().then(
      () => {},
      (error: unknown) => {
        this.#looked = undefined;
        if (error instanceof EngineError && unanswered.has(error.code)) throw error;
      },
    );
  }

  /** Asks which models it has; which software it is follows from that. */
  async #look(signal?: AbortSignal): Promise<{ models: string[]; mine: Record<string, unknown> | undefined }> {
    const { questionMs } = limits;
    const connectMs = this.#bounds?.connectMs;
    const url = `${this.#url}/models`;
    const answer = await ask("GET", url, this.#headers, undefined, signal, questionMs, connectMs).catch(
      (error: unknown) => {
        // A few endpoints serve calls and no list.
        if (error instanceof EngineError && error.code === "engine_model_missing") return { data: [] };
        throw error;
      },
    );
    const listed = (Array.isArray(answer["data"]) ? answer["data"] : []) as Record<string, unknown>[];
    const listedAs = (name: string) => listed.find((model) => model?.["id"] === name);
    // Ollama lists a model that was named without a tag under the tag `latest`, and answers to both names.
    const latest = listedAs(`${this.#model}:latest`);
    const mine = listedAs(this.#model) ?? latest;
    // A provider's list says who owns a model, which is not what serves it.
    if (mine && !this.#preset) await this.#become(mine, signal);
    this.#isKnown = true;
    const models = listed.map((model) => model?.["id"]).filter((id) => typeof id === "string");
    return { models: mine === latest && latest ? [...models, this.#model] : models, mine };
  }

  /** Finds out which software answers, where the list says something new of it. */
  async #become(listed: Record<string, unknown>, signal?: AbortSignal): Promise<void> {
    const owner = listed["owned_by"] ?? "";
    if (owner === this.#owner) return;
    const address = { root: this.#root, headers: this.#headers, model: this.#model, listed };
    const software = await softwareAt(address, signal);
    this.#server?.close();
    this.#server = serverOf(software, address);
    this.#software = software;
    this.#owner = owner;
  }

  /** Routes of the software's own lie beside /v1, not below it. */
  get #root(): string {
    return this.#url.replace(/\/v1$/, "");
  }

  #capabilities({
    kvEvents,
    capabilities,
    ignoredFields,
  }: Required<Pick<ServerFacts, "kvEvents" | "capabilities" | "ignoredFields">>): Capabilities {
    const fields = [...fieldsOfSoftware(this.#software), ...(this.#preset?.quirks.extraFields ?? [])];
    return {
      speaks: spokenBy(this.#software),
      tokenize: this.#tokenizes,
      kvEvents,
      fields: fields.filter((field) => !ignoredFields.includes(field)),
      ...(countsProgress(this.#software) && { stops: true }),
      ...capabilities,
    };
  }

  open(request: EngineRequest, signal?: AbortSignal): Promise<EngineAnswer> {
    if (this.#isKnown) return this.#open(request, signal);
    return (this.#looked ??= this.#firstLook()).then(() => this.#open(request, signal));
  }

  #open(request: EngineRequest, signal: AbortSignal | undefined): Promise<EngineAnswer> {
    const input = inputWireOf(request.shape);
    if (input) return this.#openInput(request, input, signal);
    const shape = completionShapeOf(request);
    const body: EngineRequest["body"] = copied(request.body, {});
    if (!this.#server) return this.#send(shape, body, request, signal);
    return this.#prepare(shape, body, request, signal).then(() => this.#send(shape, body, request, signal));
  }

  #send(
    shape: CompletionShape,
    body: EngineRequest["body"],
    { source }: EngineRequest,
    signal: AbortSignal | undefined,
  ): Promise<EngineAnswer> {
    if (body.stream === true)
      // Always asked for, because the bill needs it. A client that did not ask is not shown it.
      body["stream_options"] = { ...(body["stream_options"] as object | undefined), include_usage: true };
    const progress = body.stream === true ? askForProgress(this.#software, body) : undefined;
    // OpenAI's own newer models refuse `max_tokens`; other engines know it better than its new name. One of the two is sent.
    if (this.#software === "openai" && shape === "chat" && body["max_tokens"] !== undefined) {
      body["max_completion_tokens"] = body["max_tokens"];
      delete body["max_tokens"];
    }
    return openExchange({
      url: this.#url + completionPaths[shape],
      wire: completionReaders[shape],
      headers: this.#headers,
      bounds: this.#bounds,
      body,
      stream: body.stream === true,
      source,
      signal,
      progress,
      saysAs: this.#preset && shape,
    });
  }

  /** A call whose model writes no text. */
  async #openInput(request: EngineRequest, wire: InputWire, signal?: AbortSignal): Promise<EngineAnswer> {
    const body = { ...request.body };
    await this.#prepare(request.shape, body, request, signal);
    return openExchange({
      url: this.#url + wire.path,
      wire: wire.reader,
      headers: this.#headers,
      bounds: this.#bounds,
      body,
      stream: false,
      source: request.source,
      signal,
    });
  }

  /** Puts into a body what the software must be told beside what was asked. */
  async #prepare(
    shape: Shape,
    body: Record<string, unknown>,
    { hints }: EngineRequest,
    signal?: AbortSignal,
  ): Promise<void> {
    const fields = (await this.#server?.prepare(shape, body, hints, signal)) ?? {};
    for (const [field, value] of Object.entries(fields))
      if (value === undefined) delete body[field];
      else body[field] = value;
  }

  async tokenize(
    shape: Shape,
    body: Record<string, unknown>,
    cacheSalt: string,
    signal?: AbortSignal,
    source?: Received,
  ): Promise<TokenizedPrompt | undefined> {
    if (!this.#tokenizes || (shape !== "chat" && shape !== "completions")) return undefined;
    this.#server?.expect?.(cacheSalt);
    return this.#count(shape, body, signal, source);
  }

  async #count(
    shape: "chat" | "completions",
    body: Record<string, unknown>,
    signal?: AbortSignal,
    source?: Received,
  ): Promise<TokenizedPrompt | undefined> {
    if (this.#server?.tokenize) return this.#server.tokenize(shape, body, signal);
    if (shape === "chat") return this.#tokenize(chatQuestion(body, this.#model), signal, source);
    const { prompt } = body;
    return isTokens(prompt)
      ? { count: prompt.length, tokens: prompt }
      : this.#tokenize({ model: this.#model, prompt }, signal, source);
  }

  async #tokenize(
    question: Record<string, unknown>,
    signal?: AbortSignal,
    source?: Received,
  ): Promise<TokenizedPrompt | undefined> {
    try {
      const body = encodeBody(question, source);
      const answer = await ask("POST", `${this.#root}/tokenize`, this.#headers, body, signal, limits.countMs);
      const { count, tokens } = answer;
      if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0) return undefined;
      return Array.isArray(tokens) && tokens.length === count ? { count, tokens: tokens as number[] } : { count };
    } catch {
      return undefined;
    }
  }

  get kv(): KvEngine | undefined {
    return this.#server?.kv;
  }

  async close(): Promise<void> {
    this.#server?.close();
  }
}

/**
 * APIs that an engine is asked by. Which of them its model answers, the engine judges itself. Messages and Responses, which some of this
 * software serves as well, take no cache salt and do not count while they stream, so they are not used. SGLang's rerank answers a bare list,
 * and Ollama has none.
 */
function spokenBy(software: Software): readonly Shape[] {
  return software === "sglang" || software === "ollama"
    ? ["chat", "completions", "embeddings"]
    : ["chat", "completions", "embeddings", "rerank"];
}

/** Everything in a chat call that its template sees. */
function chatQuestion(body: Record<string, unknown>, model: string): Record<string, unknown> {
  const { chat_template_kwargs, reasoning_effort, continue_final_message } = body;
  return picked(body, ["messages", "tools"], {
    model,
    // vLLM hands the effort to the template as one of its arguments.
    chat_template_kwargs:
      reasoning_effort === undefined ? chat_template_kwargs : { ...(chat_template_kwargs as object), reasoning_effort },
    add_generation_prompt: body["add_generation_prompt"] ?? continue_final_message !== true,
    continue_final_message,
  });
}

const isTokens = (prompt: unknown): prompt is number[] =>
  Array.isArray(prompt) && prompt.every((token) => typeof token === "number");
