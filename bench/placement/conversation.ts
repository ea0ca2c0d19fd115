// From block ids to chat messages. A token of the scaled trace is a word that its block id chooses, so that prompts begin alike
// exactly where the trace says; the model's own answers stand where the trace has an answer.
import type { BlockIds, SimCall } from "../../src/simulator/types.ts";

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

/** Words of one token each in most vocabularies. */
const list = (
  "river stone light green table north paper glass water house field cloud bread chair music garden window bridge summer " +
  "winter market street doctor letter number people school station train ship road island forest mountain valley morning " +
  "evening night silver gold iron wood metal bird horse fish apple lemon sugar coffee"
).split(" ");

/** Words that stand for blocks; neighbours in the list are no neighbours in the text. */
export const wordsOf = (blocks: BlockIds): string =>
  Array.from(blocks, (block) => list[(Math.imul(block + 1, 2654435761) >>> 8) % list.length]!).join(" ");

interface Piece {
  message: Message;
  /** Position in the prompt's blocks behind this piece. */
  end: number;
}

/** One linear conversation: each call's messages go on from those before it, as far as the trace's prompts do. */
export class Conversation {
  readonly #systemTokens: number;
  #pieces: Piece[] = [];
  #blocks: BlockIds = new Int32Array(0);

  constructor(systemTokens: number) {
    this.#systemTokens = systemTokens;
  }

  /** Messages of the thread's next call, and whether they go on from all of the last one's. */
  next(call: SimCall): { messages: Message[]; continues: boolean } {
    const common = leadingEqual(this.#blocks, call.blocks);
    const kept = this.#pieces.findIndex(({ end }) => end > common);
    const continues = this.#pieces.length > 0 && kept < 0;
    if (kept >= 0) this.#pieces.length = kept;
    if (this.#pieces.length === 0) {
      const end = Math.min(this.#systemTokens, call.blocks.length >> 1);
      this.#add("system", call.blocks, end);
    }
    this.#add("user", call.blocks, Math.max(call.blocks.length, this.#end));
    this.#blocks = call.blocks;
    return { messages: this.#pieces.map(({ message }) => message), continues };
  }

  /** The answer takes the place of as many blocks of the next prompt as it has tokens. */
  answered(text: string, next: SimCall | undefined, outputTokens: number): void {
    const end = Math.min(this.#end + outputTokens, next?.blocks.length ?? Infinity);
    this.#pieces.push({ message: { role: "assistant", content: text }, end });
    if (next !== undefined && leadingEqual(this.#blocks, next.blocks) === this.#blocks.length)
      this.#blocks = next.blocks.subarray(0, Math.max(end, this.#blocks.length));
  }

  get #end(): number {
    return this.#pieces.at(-1)?.end ?? 0;
  }

  #add(role: Message["role"], blocks: BlockIds, end: number): void {
    // A call always asks something, though the trace counts whole blocks only.
    const content = wordsOf(blocks.subarray(this.#end, end)) || "go on";
    this.#pieces.push({ message: { role, content }, end });
  }
}

export function leadingEqual(a: BlockIds, b: BlockIds): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
