// What only llama.cpp's server has beside OpenAI's routes: `/props` (context of a slot, slots, media, what the chat template can), and exact
// counts by `/apply-template` and `/tokenize`. It takes no cache salt.
//
// What its model answers depends on how the server was started (`--embeddings`, `--reranking`), and no route says it. So each API is asked
// once for one token; a server that lacks it answers 501. A start of the server is asked again when its properties have changed or it was
// away. A template that knows no tools drops them without a word, so tools are refused there.
import { ask } from "../wire/ask.ts";
import { EngineError } from "../types.ts";
import { toolFields, wholeNumber, type OpenServer, type OpenServerAddress, type ServerFacts } from "../openServer.ts";
import type { Shape } from "../asked.ts";
import type { MediaKind, TokenizedPrompt } from "../types.ts";
import { limits } from "../limits.ts";

type Json = Record<string, unknown>;

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
  #spoken: { of: string; speaks: readonly Shape[] } | undefined;

  constructor(address: OpenServerAddress) {
    this.#address = address;
  }

  async probe(signal?: AbortSignal): Promise<ServerFacts> {
    const { root, headers } = this.#address;
    try {
      const props = await ask("GET", `${root}/props`, headers, undefined, signal);
      const speaks = await this.#asked(props, signal);
      return llamacppFacts(props, speaks);
    } catch (error) {
      this.#spoken = undefined;
      throw error;
    }
  }

  prepare(): Json {
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
  async #rendered(
    { messages, tools, tool_choice, chat_template_kwargs }: Json,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const body = { messages, tools, tool_choice, chat_template_kwargs };
    return (await this.#put("/apply-template", body, signal))["prompt"];
  }

  #put(path: string, body: Json, signal?: AbortSignal): Promise<Json> {
    const { root, headers } = this.#address;
    return ask("POST", root + path, headers, JSON.stringify(body), signal, limits.countMs);
  }

  /** APIs that this start of the server answers. One that does not say so in time is taken to answer all of them, and is asked again. */
  async #asked(props: Json, signal?: AbortSignal): Promise<readonly Shape[]> {
    const { model_path, build_info, total_slots } = props;
    const of = JSON.stringify([model_path, build_info, total_slots, contextOf(props)]);
    if (this.#spoken?.of === of) return this.#spoken.speaks;
    const answers = await Promise.all(questions.map((question) => this.#answers(question, signal)));
    const all = questions.flatMap(({ speaks }) => speaks);
    if (answers.includes(undefined)) return all;
    const speaks = questions.flatMap((question, place) => (answers[place] ? question.speaks : []));
    if (speaks.length === 0) return all;
    this.#spoken = { of, speaks };
    return speaks;
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

const contextOf = (props: Json): number | undefined =>
  wholeNumber((props["default_generation_settings"] as Json | null | undefined)?.["n_ctx"]);

/** Whether an answer is that of `/props`. */
export const isProps = (props: Json): boolean => contextOf(props) !== undefined;

/** What the properties say. Any of their members may be missing or of another kind than documented. */
export function llamacppFacts(props: Json, speaks: readonly Shape[]): ServerFacts {
  const contextTokens = contextOf(props);
  const slots = wholeNumber(props["total_slots"]);
  const modalities = props["modalities"] as Json | null | undefined;
  const template = props["chat_template_caps"] as Json | null | undefined;
  const media: MediaKind[] = [];
  if (modalities?.["vision"] === true) media.push("image");
  if (modalities?.["audio"] === true) media.push("audio");
  return {
    ...(contextTokens !== undefined && { contextTokens }),
    ...(slots !== undefined && { slots }),
    capabilities: { speaks, ...(typeof modalities?.["vision"] === "boolean" && { media }) },
    ...(template?.["supports_tools"] === false && { ignoredFields: toolFields }),
  };
}
