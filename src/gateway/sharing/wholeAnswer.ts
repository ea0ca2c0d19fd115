// An answer gathered from its chunks so that it can be given again, in any protocol. Parts that only its engine understands (proofs of
// thoughts, items that are not read) are not kept, and neither is an answer that did not end by itself.
import type { AnswerDelta, ToolCallDelta, Usage } from "../../engines/index.ts";
import { limits } from "../limits.ts";
import type { AnswerChunk } from "../types.ts";
import type { KeptAnswer } from "./keptAnswer.ts";

type Text = "text" | "reasoning" | "refusal";

/** Gathers an answer; `whole` is undefined where it cannot be given again. */
export class AnswerGatherer {
  readonly #answers = new Map<number, AnswerDelta>();
  #frame: Record<string, unknown> | undefined;
  #characters = 0;
  #isLost = false;

  add({ deltas, wire }: Pick<AnswerChunk, "deltas" | "wire">): void {
    if (this.#isLost) return;
    if (this.#frame === undefined) {
      const { id, created, model } = wire.data;
      this.#frame = { id, created, model };
    }
    for (const delta of deltas) this.#add(delta);
    if (this.#characters > limits.keptAnswerCharacters || this.#answers.size > limits.answersPerPrompt) this.#lose();
  }

  /** The answer, where all of it came to an end by itself. `usage`: what was used for it. */
  whole(usage: Usage): KeptAnswer | undefined {
    const deltas = [...this.#answers.values()];
    const ended = deltas.length > 0 && deltas.every(({ finish }) => finish === "stop" || finish === "tool_calls");
    return this.#isLost || !ended ? undefined : { deltas, usage, frame: this.#frame ?? {} };
  }

  #lose(): void {
    this.#isLost = true;
    this.#answers.clear();
  }

  #add(delta: AnswerDelta): void {
    if (delta.proof || delta.opaque || delta.blocks || delta.stopSequence !== undefined) return this.#lose();
    const answer = this.#answers.get(delta.index) ?? { index: delta.index };
    this.#answers.set(delta.index, answer);
    for (const name of ["text", "reasoning", "refusal"] as const) this.#append(answer, name, delta[name]);
    for (const call of delta.toolCalls ?? []) this.#addCall((answer.toolCalls ??= []), call);
    if (delta.finish !== undefined) answer.finish = delta.finish;
  }

  #append(answer: AnswerDelta, name: Text, piece: string | undefined): void {
    if (piece === undefined) return;
    answer[name] = (answer[name] ?? "") + piece;
    this.#characters += piece.length;
  }

  #addCall(calls: ToolCallDelta[], { index, id, name, arguments: text }: ToolCallDelta): void {
    if (!(index >= 0 && index < limits.answerToolCalls)) return this.#lose();
    const call = calls.find((one) => one.index === index) ?? { index };
    if (!calls.includes(call)) calls.push(call);
    if (id !== undefined) call.id = id;
    if (name !== undefined) call.name = (call.name ?? "") + name;
    if (text !== undefined) call.arguments = (call.arguments ?? "") + text;
    this.#characters += (name?.length ?? 0) + (text?.length ?? 0);
  }
}

/** A kept answer as a reader is given it whole. The shape is one that the reader's protocol writes anew. */
export function wholeOf({ deltas, usage, frame }: KeptAnswer, asked: { shape: string }): AnswerChunk {
  return { deltas, usage, wire: wireOf(frame, asked), altered: true };
}

/** The same in pieces, and the usage where the reader wants it. */
export function* piecesOf(kept: KeptAnswer, asked: { shape: string; streamUsage: boolean }): Generator<AnswerChunk> {
  const wire = wireOf(kept.frame, asked);
  for (const { index, toolCalls, finish, ...texts } of kept.deltas) {
    for (const name of ["reasoning", "text", "refusal"] as const)
      for (const piece of cut(texts[name])) yield { deltas: [{ index, [name]: piece }], wire, altered: true };
    const last = { index, ...(toolCalls && { toolCalls }), ...(finish !== undefined && { finish }) };
    yield { deltas: [last], wire, altered: true };
  }
  if (asked.streamUsage) yield { deltas: [], usage: kept.usage, wire, altered: true };
}

function* cut(text = ""): Generator<string> {
  for (let from = 0; from < text.length;) {
    let to = Math.min(text.length, from + limits.replayedCharacters);
    // A character of two code units stays whole.
    if (to < text.length && /[\uD800-\uDBFF]/.test(text[to - 1]!)) to++;
    yield text.slice(from, to);
    from = to;
  }
}

const wireOf = (data: Record<string, unknown>, { shape }: { shape: string }): AnswerChunk["wire"] => ({
  shape: shape === "chat" ? "completions" : "chat",
  data,
  text: undefined,
});
