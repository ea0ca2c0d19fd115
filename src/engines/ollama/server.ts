// What only Ollama has beside OpenAI's routes: what a model can do and the context that it is loaded with, and a guard against its trap.
//
// The trap: OpenAI's routes cut a prompt that is longer than the context, without an error, so that the model answers something else: the
// older messages are left out, and what is still too long loses its beginning. No field of these routes changes the context or forbids the
// cut. So a call is sent only where its prompt fits:
//
//   - it has no more bytes than the context has tokens: it fits, whatever the tokenizer;
//   - else Ollama counts it by its own API, which is told to refuse instead of cutting (native.ts);
//   - a version that cannot be told so (before 0.13) is sent no such prompt.
//
// An answer that reaches the end of the context would have its oldest tokens dropped, so a call has a limit of output, of what is left at
// most. Ollama knows no `max_completion_tokens` (the answer would have no limit), no `tool_choice` and no role `developer`, and says nothing of
// that, so these are written in its words. It takes no cache salt and does not count while it streams.
import { ask } from "../wire/ask.ts";
import { limits } from "../limits.ts";
import { EngineError } from "../types.ts";
import type { OpenServer, OpenServerAddress, ServerFacts } from "../openServer.ts";
import type { Shape } from "../asked.ts";
import { capabilitiesOf, fieldsBeyond, isUnversioned, loadedContext, modelOf, refusesLongPrompts } from "./facts.ts";
import { chatQuestion, completionQuestion, embeddingQuestion, type Question } from "./native.ts";

type Json = Record<string, unknown>;

/** Context of a model that an old version loads without saying it: its smallest default. */
const leastContextTokens = 2_048;
/** Tokens that a template adds, at most, beside what stands in the body; more where it explains how to call tools. */
const templateTokens = 128;
const toolTemplateTokens = 512;
/** Tokens that a model of embeddings adds. */
const specialTokens = 8;
/** Bytes of text that make a token at least, on average, for the room that is left to the answer. No prompt is judged by it. */
const bytesPerToken = 2;
const leastOutputTokens = 16;

export class OllamaServer implements OpenServer {
  readonly #address: OpenServerAddress;
  #contextTokens: number | undefined;
  /** Undefined until it has said its version. */
  #refuses: boolean | undefined;

  constructor(address: OpenServerAddress) {
    this.#address = address;
  }

  async probe(signal?: AbortSignal): Promise<ServerFacts> {
    const { model } = this.#address;
    const [version, show] = await Promise.all([
      this.#get("/api/version", signal),
      this.#post("/api/show", { model }, signal).catch(() => ({})),
    ]);
    this.#refuses = await this.#refusesLongPrompts(version["version"], signal);
    const { ownContextTokens, trainedTokens, abilities } = modelOf(show);
    const own = ownContextTokens === undefined ? undefined : Math.min(ownContextTokens, trainedTokens ?? Infinity);
    const loaded = await this.#loadedContext(signal);
    this.#contextTokens = loaded ?? own ?? this.#contextTokens ?? (await this.#load(limits.questionMs, signal));
    return {
      ...(this.#contextTokens !== undefined && { contextTokens: this.#contextTokens }),
      capabilities: capabilitiesOf(abilities),
      ...(abilities && { ignoredFields: fieldsBeyond(abilities) }),
    };
  }

  async prepare(shape: Shape, body: Json, _hints: unknown, signal?: AbortSignal): Promise<Json> {
    const context = await this.#context(signal);
    if (shape === "embeddings") {
      const inputs = (Array.isArray(body["input"]) ? body["input"] : [body["input"]]) as unknown[];
      const longest = Math.max(...inputs.map((one) => bytesOf(one)));
      if (longest + specialTokens > context) await this.#fits(shape, body, context, signal);
      return {};
    }
    const own = shape === "chat" ? ownWords(body) : {};
    const sent = { ...body, ...own };
    const bytes = bytesOf(shape === "chat" ? [sent["messages"], sent["tools"]] : sent["prompt"]);
    const template = sent["tools"] === undefined ? templateTokens : toolTemplateTokens;
    const tokens =
      bytes + template <= context
        ? Math.ceil(bytes / bytesPerToken) + template
        : await this.#fits(shape, sent, context, signal);
    return { ...own, ...clipped(body, context - tokens) };
  }

  close(): void {}

  /**
   * A version that is told so refuses prompts that are too long. A server that was built without a version is judged by a route of OpenAI's
   * that came later (0.13.3): asked for nothing, it refuses where it is there.
   */
  async #refusesLongPrompts(version: unknown, signal?: AbortSignal): Promise<boolean> {
    if (!isUnversioned(version)) return refusesLongPrompts(version);
    return this.#post("/v1/responses", {}, signal).then(
      () => true,
      (error: unknown) => error instanceof EngineError && error.status === 400,
    );
  }

  /** The context that counts. A model that is not loaded is loaded, because nothing else says it. */
  async #context(signal?: AbortSignal): Promise<number> {
    // Where its own routes are closed, nothing is known.
    if (this.#refuses === undefined) await this.probe(signal).catch(() => {});
    this.#contextTokens ??= await this.#load(limits.loadMs, signal);
    return this.#contextTokens ?? leastContextTokens;
  }

  async #load(mostMs: number, signal?: AbortSignal): Promise<number | undefined> {
    const { model } = this.#address;
    // A request without a prompt loads the model and answers nothing. Models of embeddings are loaded by their own route.
    await this.#post("/api/generate", { model, stream: false }, signal, mostMs).catch(() =>
      this.#post("/api/embed", { model, input: [] }, signal, mostMs).catch(() => ({})),
    );
    return this.#loadedContext(signal);
  }

  async #loadedContext(signal?: AbortSignal): Promise<number | undefined> {
    return loadedContext(await this.#get("/api/ps", signal).catch(() => ({})), this.#address.model);
  }

  /** Tokens of the prompt, by Ollama's own count. Throws EngineError where it does not fit, or where that cannot be known. */
  async #fits(shape: Shape, body: Json, context: number, signal?: AbortSignal): Promise<number> {
    if (this.#refuses === undefined)
      throw tooLong(
        context,
        "may be longer than",
        "Let Lineshaft reach Ollama's own API (/api), which can count it, or",
      );
    if (!this.#refuses)
      throw tooLong(context, "may be longer than", "Update Ollama to 0.13 or newer, which can count it, or");
    const { path, body: question } = this.#question(shape, body);
    const answer = await this.#post(path, question, signal, limits.loadMs).catch((error: unknown) => {
      const isLong =
        error instanceof EngineError && error.status === 400 && /context|too long|exceed/i.test(error.message);
      if (isLong) throw tooLong(context, "is longer than", "Shorten it, or");
      throw error;
    });
    const tokens = answer["prompt_eval_count"];
    if (shape !== "embeddings" && typeof tokens === "number" && tokens >= context)
      throw tooLong(context, "fills", "Shorten it, or");
    return typeof tokens === "number" ? tokens : 0;
  }

  #question(shape: Shape, body: Json): Question {
    const { model } = this.#address;
    if (shape === "embeddings") return embeddingQuestion(model, body);
    return shape === "chat" ? chatQuestion(model, body) : completionQuestion(model, body);
  }

  #get(path: string, signal?: AbortSignal): Promise<Json> {
    const { root, headers } = this.#address;
    return ask("GET", root + path, headers, undefined, signal);
  }

  #post(path: string, body: Json, signal?: AbortSignal, mostMs?: number): Promise<Json> {
    const { root, headers } = this.#address;
    return ask("POST", root + path, headers, JSON.stringify(body), signal, mostMs);
  }
}

const bytesOf = (value: unknown): number =>
  Buffer.byteLength(typeof value === "string" ? value : (JSON.stringify(value) ?? ""));

/** The limit of output, of the room at most. */
function clipped({ max_tokens, max_completion_tokens }: Json, room: number): Json {
  const asked = max_completion_tokens ?? max_tokens ?? Infinity;
  // What is no number is refused by Ollama in its own words.
  const limit = typeof asked === "number" ? Math.min(asked, Math.max(leastOutputTokens, room)) : asked;
  return { max_tokens: limit, max_completion_tokens: undefined };
}

/** Ollama's words of effort; others are refused. */
const efforts: Record<string, string> = { minimal: "low", xhigh: "high", max: "high" };

/** What Ollama would ignore of a chat without a word, or does not know by this name, as it takes it. */
function ownWords({ messages, tools, tool_choice, reasoning_effort }: Json): Json {
  const given = Array.isArray(messages) ? (messages as Json[]) : [];
  return {
    ...(given.some(isDeveloper) && {
      messages: given.map((one) => (isDeveloper(one) ? { ...one, role: "system" } : one)),
    }),
    ...(Array.isArray(tools) && chosen(tools as Json[], tool_choice)),
    ...(typeof reasoning_effort === "string" && { reasoning_effort: efforts[reasoning_effort] ?? reasoning_effort }),
  };
}

/** Most templates leave a message of this role out. */
const isDeveloper = (message: Json | null | undefined): boolean => message?.["role"] === "developer";

/** The tools that may be called: what is not named cannot be. That one is called, the gateway checks by itself. */
function chosen(tools: Json[], choice: unknown): Json {
  if (choice === "none") return { tools: undefined, tool_choice: undefined };
  const name = (choice as { function?: Json } | undefined)?.function?.["name"];
  if (name === undefined) return {};
  return { tools: tools.filter((tool) => (tool["function"] as Json | undefined)?.["name"] === name) };
}

function tooLong(context: number, how: string, advice: string): EngineError {
  return new EngineError({
    status: 400,
    code: "context_length_exceeded",
    message: `The prompt ${how} the context length of ${context} tokens that Ollama has loaded the model with. Ollama would cut it without an error.`,
    hint: `${advice} give the model a longer context: PARAMETER num_ctx in its Modelfile, or OLLAMA_CONTEXT_LENGTH where Ollama runs.`,
    retryable: false,
  });
}
