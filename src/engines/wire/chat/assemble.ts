// A whole answer out of the chunks of a stream, in the shape in which an engine would have sent it whole. The gateway streams whole answers
// inside, so that an answer can be stopped where its money ends; its client must not see the difference.
//
// OpenAI's two shapes differ in little: a chunk's `delta` is a part of `message`, texts are appended, lists are joined (log
// probabilities, token ids), tool calls are put together by their numbers, and of everything else the last value stands. Fields that
// engines write as null in whole answers and leave out of chunks are written for those that OpenAI's own answers always have (`refusal`,
// `logprobs`). The suite of engines holds both ways of asking against each other.
import { limits } from "../../limits.ts";
import { chunkOf } from "./deltas.ts";
import { invalidAnswer } from "../read.ts";
import { Weight } from "../weight.ts";
import type { CompletionShape } from "../../asked.ts";
import type { AnswerDelta, EngineChunk } from "../../types.ts";

type Json = Record<string, unknown>;

/** Texts of a message that come in pieces. */
const appended = new Set(["content", "refusal", "reasoning", "reasoning_content"]);

/** Puts one answer together; `add` takes its chunks in order. */
export class WholeAnswer {
  readonly #shape: CompletionShape;
  readonly #frame: Json = {};
  readonly #choices = new Map<number, Choice>();
  readonly #weight = new Weight();
  #usage: unknown;

  constructor(shape: CompletionShape) {
    this.#shape = shape;
  }

  /** Numbers of the answers that have not said how they ended. */
  get open(): number[] {
    return [...this.#choices.values()].filter(({ finished }) => !finished).map(({ index }) => index);
  }

  /**
   * Adds a chunk; answers the bytes of memory that it takes. Throws EngineError `engine_invalid_answer` where the answer is longer than one
   * that an engine may send whole.
   */
  add({ silent, wire: { data } }: EngineChunk): number {
    if (silent === true) return 0;
    const before = this.#weight.memoryBytes;
    this.#add(data);
    if (this.#weight.characters > limits.answerBytes)
      throw invalidAnswer(`it is longer than ${limits.answerBytes} bytes`);
    return this.#weight.memoryBytes - before;
  }

  #add(data: Json): void {
    for (const [name, value] of Object.entries(data)) {
      if (name === "choices" || name === "usage") continue;
      if (this.#frame[name] === undefined || isLarge(value)) this.#weight.add(value);
      if (this.#frame[name] === undefined || (value !== null && value !== undefined)) this.#frame[name] = value;
    }
    if (data["usage"] !== undefined && data["usage"] !== null) this.#usage = data["usage"];
    const choices = data["choices"];
    if (!Array.isArray(choices)) return;
    for (const choice of choices as (Json | null)[]) {
      if (choice === null || typeof choice !== "object") continue;
      const index = typeof choice["index"] === "number" ? choice["index"] : 0;
      this.#choice(index).add(choice);
    }
  }

  /** Adds what the gateway itself says of an answer: the part of a chunk that is paid for, and why the answer ended. */
  addDeltas(deltas: readonly AnswerDelta[]): void {
    for (const delta of deltas) this.#choice(delta.index).addDelta(delta);
  }

  /** The answer as far as it was added. */
  whole(): EngineChunk {
    const { id, object: _chunk, ...rest } = this.#frame;
    const data: Json = {
      id,
      object: this.#shape === "chat" ? "chat.completion" : "text_completion",
      ...rest,
      choices: [...this.#choices.values()].toSorted((a, b) => a.index - b.index).map((choice) => choice.whole()),
    };
    if (this.#usage !== undefined) data["usage"] = this.#usage;
    return chunkOf(this.#shape, data, undefined, this.#weight.characters);
  }

  #choice(index: number): Choice {
    let choice = this.#choices.get(index);
    if (!choice) this.#choices.set(index, (choice = new Choice(this.#shape, index, this.#weight)));
    return choice;
  }
}

/** Whether a value that replaces another one is counted as if it were kept beside it. */
const isLarge = (value: unknown): boolean => typeof value === "object" || String(value).length > 256;

/** One of the answers of a call. */
class Choice {
  readonly index: number;
  finished = false;
  readonly #chat: boolean;
  readonly #weight: Weight;
  readonly #rest: Json = {};
  readonly #message: Json = {};
  readonly #toolCalls: ToolCalls = new ToolCalls();
  #text = "";
  #logprobs: unknown = null;
  #finish: unknown = null;

  constructor(shape: CompletionShape, index: number, weight: Weight) {
    this.index = index;
    this.#weight = weight;
    this.#chat = shape === "chat";
  }

  add(choice: Json): void {
    for (const [name, value] of Object.entries(choice)) {
      if (name === "index") continue;
      this.#weight.add(value);
      if (name === "finish_reason") this.#end(value);
      else if (name === "delta" || name === "message") this.#addMessage(value as Json | null);
      else if (name === "text") this.#text += typeof value === "string" ? value : "";
      else if (name === "logprobs") this.#logprobs = joined(this.#logprobs, value);
      else this.#rest[name] = joined(this.#rest[name], value);
    }
  }

  addDelta({ text, reasoning, refusal, toolCalls, finish }: AnswerDelta): void {
    const message: Json = {};
    if (text !== undefined && this.#chat) message["content"] = text;
    else this.#text += text ?? "";
    if (refusal !== undefined) message["refusal"] = refusal;
    if (reasoning !== undefined) message["reasoning" in this.#message ? "reasoning" : "reasoning_content"] = reasoning;
    if (toolCalls)
      message["tool_calls"] = toolCalls.map(({ index, id, name, arguments: text }) => ({
        index,
        ...(id !== undefined && { id, type: "function" }),
        function: { ...(name !== undefined && { name }), ...(text !== undefined && { arguments: text }) },
      }));
    this.#addMessage(message);
    if (finish !== undefined) this.#end(finish);
  }

  whole(): Json {
    const end = { logprobs: this.#logprobs, finish_reason: this.#finish, ...this.#rest };
    if (!this.#chat) return { index: this.index, text: this.#text, ...end };
    const { role = "assistant", content = null, refusal = null, ...more } = this.#message;
    const calls = this.#toolCalls.whole();
    const message: Json = {
      role,
      content: content === "" && calls.length > 0 ? null : content,
      refusal,
      ...more,
      ...(calls.length > 0 && { tool_calls: calls }),
    };
    return { index: this.index, message, ...end };
  }

  #addMessage(part: Json | null): void {
    if (part === null || typeof part !== "object") return;
    for (const [name, value] of Object.entries(part)) {
      if (name === "tool_calls") this.#toolCalls.add(value);
      else if (!appended.has(name)) this.#message[name] = joined(this.#message[name], value);
      else if (typeof value === "string") this.#message[name] = String(this.#message[name] ?? "") + value;
      else this.#message[name] ??= value;
    }
  }

  #end(reason: unknown): void {
    if (reason === null || reason === undefined) return;
    this.#finish = reason;
    this.finished = true;
  }
}

/** Tool calls by their numbers. */
class ToolCalls {
  readonly #calls = new Map<number, Json>();

  add(pieces: unknown): void {
    if (!Array.isArray(pieces)) return;
    for (const [place, piece] of (pieces as (Json | null)[]).entries()) {
      if (piece === null || typeof piece !== "object") continue;
      const { index: number, function: named, ...rest } = piece;
      const index = typeof number === "number" ? number : place;
      const call = this.#calls.get(index) ?? {};
      this.#calls.set(index, call);
      for (const [name, value] of Object.entries(rest)) if (value !== null && value !== undefined) call[name] = value;
      if (named !== null && typeof named === "object") call["function"] = functionOf(call["function"], named as Json);
    }
  }

  whole(): Json[] {
    return [...this.#calls]
      .toSorted(([a], [b]) => a - b)
      .map(([, call]) => ("type" in call ? call : { ...call, type: "function" }));
  }
}

function functionOf(before: unknown, piece: Json): Json {
  const called = (before ?? { name: "", arguments: "" }) as Json;
  for (const [name, value] of Object.entries(piece))
    if (typeof value === "string") called[name] = String(called[name] ?? "") + value;
    else if (value !== null && value !== undefined) called[name] = value;
  return called;
}

/** Lists are joined, objects member by member; of anything else the last value that is not null stands. */
function joined(before: unknown, value: unknown): unknown {
  if (value === null || value === undefined) return before ?? null;
  if (before === null || before === undefined) return value;
  if (typeof before !== "object" || typeof value !== "object") return value;
  if (Array.isArray(before)) {
    if (!Array.isArray(value)) return value;
    // In place: copies of a list that grows by every token would cost the square of its length.
    for (const one of value as unknown[]) before.push(one);
    return before;
  }
  const both = before as Json;
  for (const [name, one] of Object.entries(value as Json)) both[name] = joined(both[name], one);
  return both;
}
