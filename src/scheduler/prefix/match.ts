// The longest leading match of a prompt, for all holders in one walk.
//
// The walk reads the prompt's blocks in order and splits them into runs of equal set ids. A holder is credited once, when
// it falls out or changes tier: where two neighbouring sets differ by one member (an endpoint's cache ends here), the sets'
// hashes say which one, so a thousand endpoints that hold a document to a thousand depths cost a thousand look-ups and not
// a thousand passes over a thousand members.
import type { PromptBlocks } from "../types.ts";
import { type BlockTable, noBlock } from "./blockTable.ts";
import { emptySet, type HolderSets, noMember } from "./holderSets.ts";

const gone = 0;
const alive = 1;

/** Matches of one walk; reused, valid until the next one. Indexed by holder slot. */
export class Matches {
  /** Leading blocks by slot and tier: `blocks[4 * slot + tier]`. */
  blocks: Int32Array = new Int32Array(64);
  /** Leading blocks by slot, all tiers. */
  total: Int32Array = new Int32Array(16);
  /** Slots with a match, in no order: `slots[0..count)`. */
  slots: Uint16Array = new Uint16Array(16);
  count = 0;
  /** While walking: whether a slot is still in, its tier now, the block at which that tier began, and the last pass. */
  private state = new Uint8Array(16);
  private tier = new Uint8Array(16);
  private since = new Int32Array(16);
  private pass = new Int32Array(16);
  private passes = 0;
  private living = 0;

  reserve(slots: number): void {
    if (slots <= this.total.length) return;
    const length = 2 ** Math.ceil(Math.log2(slots));
    this.blocks = new Int32Array(length * 4);
    this.total = new Int32Array(length);
    this.slots = new Uint16Array(length);
    this.state = new Uint8Array(length);
    this.tier = new Uint8Array(length);
    this.since = new Int32Array(length);
    this.pass = new Int32Array(length);
    this.count = 0;
  }

  clear(): void {
    for (let i = 0; i < this.count; i++) {
      const slot = this.slots[i]!;
      this.total[slot] = 0;
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
    this.living = 0;
    const { hashes, blocks } = prompt;
    const { sets } = table;
    let block = noBlock;
    let set = emptySet;
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
      if (set === emptySet) this.begin(sets, found);
      else this.change(sets, set, found, at);
      if (this.living === 0) return;
      set = found;
    }
    for (let i = 0; i < this.count; i++) {
      const slot = this.slots[i]!;
      if (this.state[slot] === alive) this.credit(slot, at);
      this.state[slot] = gone;
    }
  }

  private begin(sets: HolderSets, set: number): void {
    const { pool, start, size } = sets;
    const from = start[set]!;
    const to = from + size[set]!;
    for (let i = from; i < to; i++) {
      const member = pool[i]!;
      const slot = member >>> 2;
      // Members are sorted: a holder's nearest tier comes first, its others find it in.
      if (this.state[slot] === alive) continue;
      this.state[slot] = alive;
      this.tier[slot] = member & 3;
      this.since[slot] = 0;
      this.slots[this.count++] = slot;
      this.living++;
    }
  }

  /** From block `at` on the holders are another set. */
  private change(sets: HolderSets, from: number, to: number, at: number): void {
    const member = sets.difference(from, to);
    if (member === noMember) return this.compare(sets, to, at);
    const slot = member >>> 2;
    if (this.state[slot] !== alive) return;
    const tier = member & 3;
    if (sets.size[to]! > sets.size[from]!) {
      if (tier < this.tier[slot]!) this.switchTier(slot, tier, at);
      return;
    }
    if (tier !== this.tier[slot]) return;
    const next = sets.nearestTier(to, slot);
    if (next === noMember) this.drop(slot, at);
    else this.switchTier(slot, next, at);
  }

  /** The sets differ by more than one member: one pass over the new one. */
  private compare(sets: HolderSets, set: number, at: number): void {
    const { pool, start, size } = sets;
    const from = start[set]!;
    const to = from + size[set]!;
    const pass = ++this.passes;
    for (let i = from; i < to; i++) {
      const member = pool[i]!;
      const slot = member >>> 2;
      if (this.state[slot] !== alive || this.pass[slot] === pass) continue;
      this.pass[slot] = pass;
      if (this.tier[slot] !== (member & 3)) this.switchTier(slot, member & 3, at);
    }
    for (let i = 0; i < this.count; i++) {
      const slot = this.slots[i]!;
      if (this.state[slot] === alive && this.pass[slot] !== pass) this.drop(slot, at);
    }
  }

  private drop(slot: number, at: number): void {
    this.credit(slot, at);
    this.state[slot] = gone;
    this.living--;
  }

  private switchTier(slot: number, tier: number, at: number): void {
    this.credit(slot, at);
    this.tier[slot] = tier;
    this.since[slot] = at;
  }

  private credit(slot: number, at: number): void {
    this.blocks[slot * 4 + this.tier[slot]!]! += at - this.since[slot]!;
    this.total[slot] = at;
  }
}
