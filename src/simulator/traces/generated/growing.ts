// A conversation whose every prompt is the one before it, its answer, and something new: the shape of chats and of agents' threads.
import type { BlockIds } from "../../types.ts";
import type { WorkloadBuilder } from "../builder.ts";

/** One call of a growing conversation: what its prompt adds to the context, and what it answers. Tokens. */
export interface Turn {
  addedTokens: number;
  outputTokens: number;
}

/** A beginning that several conversations share (a system prompt and tools). */
export interface SharedStart {
  tokens: number;
  /** Its whole blocks; tokens beyond them belong to each conversation. */
  blocks: BlockIds;
}

/** Reserves the blocks of a beginning of `tokens` tokens. */
export function sharedStart(builder: WorkloadBuilder, tokens: number, blockTokens: number): SharedStart {
  const count = Math.floor(tokens / blockTokens);
  const first = builder.freshRange(count);
  return { tokens, blocks: Int32Array.from({ length: count }, (_, i) => first + i) };
}

interface GrownPrompt {
  promptTokens: number;
  outputTokens: number;
  blocks: BlockIds;
  outputBlocks: BlockIds;
}

/** Prompts of a conversation that begins with `start`. All are views into one array of block ids. */
export function growPrompts(
  builder: WorkloadBuilder,
  start: SharedStart,
  turns: readonly Turn[],
  blockTokens: number,
): GrownPrompt[] {
  const total = turns.reduce((sum, turn) => sum + turn.addedTokens + turn.outputTokens, start.tokens);
  const shared = start.blocks.length;
  const ids = new Int32Array(Math.max(shared, Math.floor(total / blockTokens)));
  ids.set(start.blocks);
  const own = builder.freshRange(ids.length - shared);
  for (let i = shared; i < ids.length; i++) ids[i] = own + i - shared;
  let context = start.tokens;
  return turns.map(({ addedTokens, outputTokens }, turn) => {
    const promptTokens = context + addedTokens;
    context = promptTokens + outputTokens;
    const end = Math.floor(promptTokens / blockTokens);
    // The last answer begins no later prompt.
    const answerEnd = turn === turns.length - 1 ? end : Math.floor(context / blockTokens);
    return { promptTokens, outputTokens, blocks: ids.subarray(0, end), outputBlocks: ids.subarray(end, answerEnd) };
  });
}
