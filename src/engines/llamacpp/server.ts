// What only llama.cpp's server has beside OpenAI's routes: `/props` (context of a slot, slots, media, what the chat template can), and
// exact counts by `/apply-template` and `/tokenize`. It takes no cache salt.
//
// What its model answers depends on how the server was started (`--embeddings`, `--reranking`), and no route says it. So each API is asked
// once for one token. A server answers 501 for an API that it lacks, and 500 where the model writes no text. A server that reranks also
// answers embeddings, whose numbers are zeros, so it is asked for no embeddings. A start of the server is asked again when its properties
// have changed or it was away. A template that knows no tools drops them without a word, so tools are refused there.
//
// Whether it continues a last message of the role `assistant` depends on its version, on how it was started (`--no-prefill-assistant`) and
// on its model: a template that thinks refuses it in many versions. Servers since May 2026 have the field `continue_final_message`. Older
// servers continue such a message by themselves and ignore the field, so the same request suits both. The template is asked for such a
// prompt, and then the model for one token behind it, because some versions repeat in the answer what stood before it. The model is asked
// for a stream, as every continued answer is: versions b11434 and b11549 repeat the beginning in a whole answer, and not in a stream.
//
// Its usage is that of one answer to one prompt, also where it gives several, so calls for several answers are refused. Where vectors of
// another size are asked for, it sends its own without a word, so they are refused too.
import { ask } from "../wire/ask.ts";
import { completionPaths, completionReaders } from "../wire/chat/reader.ts";
import { openExchange } from "../wire/exchange.ts";
import { EngineError } from "../types.ts";
import { toolFields, wholeNumber, type OpenServer, type OpenServerAddress, type ServerFacts } from "../openServer.ts";
import type { Shape } from "../asked.ts";
import type { MediaKind, TokenizedPrompt } from "../types.ts";
import { limits } from "../limits.ts";

type Json = Record<string, unknown>;

/** A conversation that ends within an answer, and that answer's beginning, which no model writes by itself. */
const beginning = "Lineshaft 7 3 1";
const begun: Json = {
  messages: [
    { role: "user", content: "a" },
    { role: "assistant", content: beginning },
  ],
  continue_final_message: true,
  add_generation_prompt: false,
};
const continueFields = ["continue_final_message", "add_generation_prompt"];

/** One question to each API that costs one token. */
const questions: { speaks: readonly Shape[]; path: string; body: Json }[] = [
  {
    speaks: ["chat", "completions"],
    path: "/v1/completions",
    body: { prompt: "a", max_tokens: 1, cache_prompt: false },
  },
  { speaks: ["embeddings"], path: "/v1/embeddings", body: { input: "a" } },
  { speaks: ["rerank"], path: "/v1/rerank", body: { query: "a", documents: ["a"] } },
];

export class LlamacppServer implements OpenServer {
  readonly #address: OpenServerAddress;
  /** What a start of the server answers, and its properties as a text. */
  #spoken: { of: string; speaks: readonly Shape[]; continues: boolean } | undefined;

  constructor(address: OpenServerAddress) {
    this.#address = address;
  }

  async probe(signal?: AbortSignal): Promise<ServerFacts> {
    const { root, headers } = this.#address;
    try {
      const props = await ask("GET", `${root}/props`, headers, undefined, signal);
      const { speaks, continues } = await this.#asked(props, signal);
      return llamacppFacts(props, speaks, continues);
    } catch (error) {
      this.#spoken = undefined;
      throw error;
    }
  }

  /** Throws EngineError where the answer would be another than the call asks for, or its usage that of a part. */
  prepare(shape: Shape, body: Json): Json {
    if (typeof body["n"] === "number" && body["n"] > 1)
      throw unsupported(
        "n",
        "llama.cpp's server reports the usage of one answer only.",
        "Ask for one answer in each call.",
      );
    if (shape === "completions" && isSeveral(body["prompt"]))
      throw unsupported(
        "prompt",
        "llama.cpp's server reports the usage of one prompt only.",
        "Send one prompt in each call.",
      );
    const { dimensions } = body;
    const own = (this.#address.listed["meta"] as Json | null | undefined)?.["n_embd"];
    if (shape === "embeddings" && dimensions !== undefined && dimensions !== null && dimensions !== own)
      throw unsupported("dimensions", "llama.cpp's server does not shorten vectors.", "Leave the field out.");
    return {};
  }

  async tokenize(shape: Shape, body: Json, signal?: AbortSignal): Promise<TokenizedPrompt | undefined> {
    try {
      const content = shape === "chat" ? await this.#rendered(body, signal) : body["prompt"];
      if (Array.isArray(content) && content.every((one) => typeof one === "number"))
        return { count: content.length, tokens: content };
      if (typeof content !== "string") return undefined;
      const { tokens } = await this.#put("/tokenize", { content, add_special: true, parse_special: true }, signal);
      if (!Array.isArray(tokens) || !tokens.every((token) => typeof token === "number")) return undefined;
      return { count: tokens.length, tokens };
    } catch {
      return undefined;
    }
  }

  close(): void {}

  /** A chat as its template writes it. */
  async #rendered(chat: Json, signal?: AbortSignal): Promise<unknown> {
    const { messages, tools, tool_choice, chat_template_kwargs, continue_final_message, add_generation_prompt } = chat;
    const body = {
      messages,
      tools,
      tool_choice,
      chat_template_kwargs,
      continue_final_message,
      add_generation_prompt,
    };
    return (await this.#put("/apply-template", body, signal))["prompt"];
  }

  #put(path: string, body: Json, signal?: AbortSignal): Promise<Json> {
    const { root, headers } = this.#address;
    return ask("POST", root + path, headers, JSON.stringify(body), signal, limits.countMs);
  }

  /** APIs that this start of the server answers. One that does not say so in time is taken to answer all of them, and is asked again. */
  async #asked(props: Json, signal?: AbortSignal): Promise<{ speaks: readonly Shape[]; continues: boolean }> {
    const { model_path, build_info, total_slots } = props;
    const of = JSON.stringify([model_path, build_info, total_slots, contextOf(props)]);
    if (this.#spoken?.of === of) return this.#spoken;
    const answers = await Promise.all(questions.map((question) => this.#answers(question, signal)));
    const all = questions.flatMap(({ speaks }) => speaks);
    if (answers.includes(undefined)) return { speaks: all, continues: false };
    const answered = questions.flatMap((question, place) => (answers[place] ? question.speaks : []));
    // Its vectors are scores of the pooling `rank`, with zeros behind them.
    const speaks = answered.includes("rerank") ? answered.filter((shape) => shape !== "embeddings") : answered;
    if (speaks.length === 0) return { speaks: all, continues: false };
    const continues = speaks.includes("chat") ? await this.#continues(signal) : false;
    if (continues !== undefined) this.#spoken = { of, speaks, continues };
    return { speaks, continues: continues === true };
  }

  /** Whether it continues an answer that has begun, and says only what is new. Undefined where it does not say so now. */
  async #continues(signal?: AbortSignal): Promise<boolean | undefined> {
    try {
      const prompt = await this.#rendered(begun, signal);
      if (typeof prompt !== "string" || !prompt.endsWith(beginning)) return false;
      return !(await this.#repeats(signal));
    } catch (error) {
      return error instanceof EngineError && isLacking(error) ? false : undefined;
    }
  }

  /** Whether a continued answer has more than what is new: its beginning again, or marks of a thought that the template wrote. */
  async #repeats(signal?: AbortSignal): Promise<boolean> {
    const { root, headers, model } = this.#address;
    const timeout = AbortSignal.timeout(limits.countMs);
    const answer = await openExchange({
      url: `${root}/v1${completionPaths.chat}`,
      wire: completionReaders.chat,
      headers,
      body: { model, ...begun, max_tokens: 1, cache_prompt: false, stream: true },
      stream: true,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    let text = "";
    let thought = "";
    for await (const { deltas } of answer.chunks)
      for (const delta of deltas) {
        text += delta.text ?? "";
        thought += delta.reasoning ?? "";
      }
    return thought !== "" || text.includes(beginning) || text.includes("<think>");
  }

  /** Undefined where it is busy or still loads its model. */
  async #answers({ path, body }: { path: string; body: Json }, signal?: AbortSignal): Promise<boolean | undefined> {
    const { root, headers, model } = this.#address;
    const text = JSON.stringify({ model, ...body });
    return ask("POST", root + path, headers, text, signal, limits.countMs).then(
      () => true,
      (error: unknown) => (error instanceof EngineError && isLacking(error) ? false : undefined),
    );
  }
}

/** The API is not there, or the model refuses even the shortest request of it. What is busy or still loads its model says neither. */
const isLacking = ({ status, code, message }: EngineError): boolean =>
  status === 400 || code === "engine_model_missing" || /not support/i.test(message);

const unsupported = (param: string, message: string, hint: string): EngineError =>
  new EngineError({ status: 400, code: "unsupported_parameter", message, param, hint, retryable: false });

/** Whether a text completion's prompt is more than one: a list of texts, or of prompts as tokens. */
const isSeveral = (prompt: unknown): boolean =>
  Array.isArray(prompt) && prompt.length > 1 && prompt.some((one) => typeof one !== "number");

const contextOf = (props: Json): number | undefined =>
  wholeNumber((props["default_generation_settings"] as Json | null | undefined)?.["n_ctx"]);

/** Whether an answer is that of `/props`. */
export const isProps = (props: Json): boolean => contextOf(props) !== undefined;

/** What the properties say. Any of their members may be missing or of another kind than documented. */
export function llamacppFacts(props: Json, speaks: readonly Shape[], continues: boolean): ServerFacts {
  const contextTokens = contextOf(props);
  const slots = wholeNumber(props["total_slots"]);
  const modalities = props["modalities"] as Json | null | undefined;
  const template = props["chat_template_caps"] as Json | null | undefined;
  const media: MediaKind[] = [];
  const ignoredFields = [
    ...(template?.["supports_tools"] === false ? toolFields : []),
    ...(continues ? [] : continueFields),
  ];
  if (modalities?.["vision"] === true) media.push("image");
  if (modalities?.["audio"] === true) media.push("audio");
  return {
    ...(contextTokens !== undefined && { contextTokens }),
    ...(slots !== undefined && { slots }),
    capabilities: { speaks, ...(typeof modalities?.["vision"] === "boolean" && { media }) },
    ...(ignoredFields.length > 0 && { ignoredFields }),
  };
}
