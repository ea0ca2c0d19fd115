// How far an answer has got, while it streams. The bill needs it: an answer is stopped where its money ends, and money is held for so many
// output tokens. Three ways in which engines say it are read, each in its own place of a chunk:
//
//   usage      vLLM and SGLang, where `stream_options.continuous_usage_stats` asks for it: `usage.completion_tokens` in every chunk, of
//              the one answer that the chunk belongs to
//   timings    llama.cpp, where `timings_per_token` asks for it: `timings.predicted_n`
//   comment    the embedded worker: a comment line before the event, with the number alone
//
// What was asked for here and not by the client is taken out of the chunk, so that its reader gets the stream that it asked for.
import type { EngineChunk } from "../types.ts";
import type { Software } from "./chat/fields.ts";

type Json = Record<string, unknown>;

/** Where the count stands in a chunk. `asked`: the client asked for it too, so it stays. */
export interface ProgressField {
  field: "usage" | "timings";
  tokens: "completion_tokens" | "predicted_n";
  asked: boolean;
}

/** Software that stops when its connection is closed and can be asked to count while it streams. */
export const countsProgress = (software: Software): boolean =>
  software === "vllm" || software === "sglang" || software === "llamacpp";

/** Asks for the count in a body that streams; undefined where the software has none. Changes the body. */
export function askForProgress(software: Software, body: Json): ProgressField | undefined {
  if (!countsProgress(software)) return undefined;
  if (software === "llamacpp") {
    const asked = body["timings_per_token"] === true;
    body["timings_per_token"] = true;
    return { field: "timings", tokens: "predicted_n", asked };
  }
  const options = body["stream_options"] as Json | undefined;
  const asked = options?.["continuous_usage_stats"] === true;
  body["stream_options"] = { ...options, continuous_usage_stats: true };
  return { field: "usage", tokens: "completion_tokens", asked };
}

/** Counts the output tokens of one stream, at most: what was reported, and the bytes of text that came since. */
export class OutputProgress {
  readonly #field: ProgressField | undefined;
  /** By the number of the answer; those of a comment are of answer 0. */
  readonly #ofAnswers = new Map<number, number>();
  #reportedInAll = 0;
  #bytesSince = 0;
  /** The next chunk's text is within what was reported last. */
  #isReported = false;

  constructor(field: ProgressField | undefined) {
    this.#field = field;
  }

  /** The count stands in the chunks, and stays there for their reader. */
  get staysInChunks(): boolean {
    return this.#field?.asked === true;
  }

  /** The member of every chunk that is taken out of it. */
  get taken(): ProgressField["field"] | undefined {
    return this.#field?.asked === false ? this.#field.field : undefined;
  }

  /** Output tokens by the engine's own count, of all answers together. */
  get reported(): number {
    return this.#reportedInAll;
  }

  /** The same at most: text that came after the last count has no more tokens than bytes. */
  get outputSoFar(): number {
    return this.#reportedInAll + this.#bytesSince;
  }

  /** Takes a comment's text; only a number counts. */
  comment(text: string): void {
    const tokens = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(tokens)) this.#report(0, tokens);
  }

  /**
   * Takes the count out of a chunk, before the chunk is read. True where the chunk has become another one than came, so that its text may
   * not be passed on. A chunk without choices is the report at the end, which is left as it is.
   */
  takenFrom(data: Json): boolean {
    if (!this.#field) return false;
    const { field, asked } = this.#field;
    const report = data[field] as Json | null | undefined;
    const choices = data["choices"];
    if (report === undefined || !Array.isArray(choices) || choices.length === 0) return false;
    const [first] = choices as (Json | null)[];
    const index = first?.["index"];
    this.count(typeof index === "number" ? index : 0, report);
    if (asked) return false;
    delete data[field];
    return true;
  }

  /** Takes what stood in that place of a chunk. `index`: number of the answer that the chunk belongs to. */
  count(index: number, report: Json | null): void {
    const said = this.#field && report?.[this.#field.tokens];
    if (typeof said === "number" && Number.isFinite(said)) this.#report(index, Math.max(0, Math.round(said)));
  }

  /** Counts the text of a chunk that came without a report. */
  passed({ deltas }: EngineChunk): void {
    const isReported = this.#isReported;
    this.#isReported = false;
    if (isReported) return;
    for (const { text, reasoning, refusal, toolCalls = [] } of deltas) {
      for (const piece of [text, reasoning, refusal]) if (piece) this.#bytesSince += Buffer.byteLength(piece);
      for (const call of toolCalls) this.#bytesSince += Buffer.byteLength((call.name ?? "") + (call.arguments ?? ""));
    }
  }

  #report(index: number, tokens: number): void {
    const before = this.#ofAnswers.get(index) ?? 0;
    // An engine may name any number of answers, so the number is bounded.
    if (tokens < before || (before === 0 && this.#ofAnswers.size >= answersMost)) return;
    this.#ofAnswers.set(index, tokens);
    this.#reportedInAll += tokens - before;
    this.#bytesSince = 0;
    this.#isReported = true;
  }
}

const answersMost = 1024;
