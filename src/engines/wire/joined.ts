// Deltas of one answer as one delta. An API whose chunks hold several parts in any order is read as several deltas; readers that keep text,
// thought and calls apart need one.
import type { AnswerDelta } from "../types.ts";

/** All that deltas of the same index say. Texts are appended, calls listed in their order; of proofs and ends the last one stands. */
export function joinedDeltas(deltas: readonly AnswerDelta[], index: number): AnswerDelta {
  const whole: AnswerDelta = { index };
  for (const delta of deltas) {
    const { text, reasoning, refusal, toolCalls, proof, opaque, stopSequence, blocks, finish } = delta;
    if (text !== undefined) whole.text = (whole.text ?? "") + text;
    if (reasoning !== undefined) whole.reasoning = (whole.reasoning ?? "") + reasoning;
    if (refusal !== undefined) whole.refusal = (whole.refusal ?? "") + refusal;
    if (toolCalls) whole.toolCalls = [...(whole.toolCalls ?? []), ...toolCalls];
    if (opaque) whole.opaque = [...(whole.opaque ?? []), ...opaque];
    if (blocks) whole.blocks = [...(whole.blocks ?? []), ...blocks];
    if (proof) whole.proof = proof;
    if (stopSequence !== undefined) whole.stopSequence = stopSequence;
    if (finish !== undefined) whole.finish = finish;
  }
  return whole;
}
