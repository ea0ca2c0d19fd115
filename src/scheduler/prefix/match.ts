// The longest leading match of a prompt, for all holders in one walk.
//
// The walk reads the prompt's blocks in order and splits them into runs of equal set ids; a holder stays in as long as
// every run's set has it, in whatever tier. Cost: one neighbour comparison a block, and one pass over the set's members a
// run. Holders with no match cost nothing.
import type { PromptBlocks } from "../types.ts";
import { type BlockTable, noBlock } from "./blockTable.ts";
import { emptySet } from "./holderSets.ts";

/** Matches of one walk; reused, valid until the next one. Indexed by holder slot. */
export class Matches {
  /** Leading blocks by slot and tier: `blocks[4 * slot + tier]`. */
  blocks: Int32Array = new Int32Array(64);
  /** Leading blocks by slot, all tiers. */
  total: Int32Array = new Int32Array(16);
  /** Slots with a match, in no order: `slots[0..count)`. */
  slots: Uint16Array = new Uint16Array(16);
  count = 0;
  /** The run in which a slot was last seen, 1 for the first. */
  private seen = new Int32Array(16);

  reserve(slots: number): void {
    if (slots <= this.total.length) return;
    const length = 2 ** Math.ceil(Math.log2(slots));
    this.clear();
    this.blocks = new Int32Array(length * 4);
    this.total = new Int32Array(length);
    this.slots = new Uint16Array(length);
    this.seen = new Int32Array(length);
  }

  clear(): void {
    for (let i = 0; i < this.count; i++) {
      const slot = this.slots[i]!;
      this.total[slot] = 0;
      this.seen[slot] = 0;
      this.blocks.fill(0, slot * 4, slot * 4 + 4);
    }
    this.count = 0;
  }

  /** Takes over every match of `other` that is longer. Both must be of one size. */
  takeLonger(other: Matches): void {
    for (let i = 0; i < other.count; i++) {
      const slot = other.slots[i]!;
      if (other.total[slot]! <= this.total[slot]!) continue;
      if (this.total[slot] === 0) this.slots[this.count++] = slot;
      this.total[slot] = other.total[slot]!;
      for (let tier = 0; tier < 4; tier++) this.blocks[slot * 4 + tier] = other.blocks[slot * 4 + tier]!;
    }
  }

  /** Walks `prompt` through `table`. Blocks that were found are marked as used. */
  walk(table: BlockTable, prompt: PromptBlocks): void {
    this.clear();
    const { hashes, blocks } = prompt;
    let block = noBlock;
    let set = emptySet;
    let runs = 0;
    let runStart = 0;
    let at = 0;
    for (; at < blocks; at++) {
      const low = hashes[at * 2]!;
      const high = hashes[at * 2 + 1]!;
      const next = block + 1;
      block = block !== noBlock && table.isBlock(next, low, high) ? next : table.find(low, high);
      if (block === noBlock) break;
      table.touch(block);
      const found = table.setOf(block);
      if (found === set) continue;
      if (at > runStart && this.endRun(table, set, ++runs, at - runStart) === 0) return;
      set = found;
      runStart = at;
    }
    if (at > runStart) this.endRun(table, set, runs + 1, at - runStart);
  }

  /** Credits the run's length to every holder that was in all runs before; answers how many there are. */
  private endRun(table: BlockTable, set: number, run: number, length: number): number {
    const { pool, start, size } = table.sets;
    const from = start[set]!;
    const to = from + size[set]!;
    const { seen, total, blocks } = this;
    let alive = 0;
    for (let i = from; i < to; i++) {
      const member = pool[i]!;
      const slot = member >>> 2;
      // Members are sorted, so a holder's nearest tier comes first and its others find it seen.
      if (seen[slot] !== run - 1) continue;
      if (run === 1) this.slots[this.count++] = slot;
      seen[slot] = run;
      total[slot]! += length;
      blocks[member]! += length;
      alive++;
    }
    return alive;
  }
}
