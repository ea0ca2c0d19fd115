// What our own placements let us expect, apart from what engines have confirmed: the blocks of a prompt are expected where
// the call was sent. Entries die by time: two tables take turns, so that each entry lives at least half of the TTL and at
// most all of it, without a clock per entry.
import type { PromptBlocks } from "../types.ts";
import { BlockTable, noBlock } from "./blockTable.ts";
import type { ByteBudget } from "./budget.ts";
import { Matches } from "./match.ts";

export class Predictions {
  readonly ttlMs: number;
  private young: BlockTable;
  private old: BlockTable;
  private turnedAtMs = Number.NEGATIVE_INFINITY;
  private readonly other = new Matches();

  constructor(budget: ByteBudget, maxBytes: number, ttlMs: number) {
    this.ttlMs = ttlMs;
    this.young = new BlockTable(budget, maxBytes / 2);
    this.old = new BlockTable(budget, maxBytes / 2);
  }

  get count(): number {
    return this.young.count + this.old.count;
  }

  get bytes(): number {
    return this.young.bytes + this.young.sets.bytes + this.old.bytes + this.old.sets.bytes;
  }

  /** From now on `slot` is expected to hold the prompt's blocks on its device. */
  expect(slot: number, prompt: PromptBlocks, now: number): void {
    this.turn(now);
    let block = noBlock;
    for (let at = 0; at < prompt.blocks; at++) {
      block = this.young.add(prompt.hashes[at * 2]!, prompt.hashes[at * 2 + 1]!, slot * 4, block);
      if (block === noBlock) return;
    }
  }

  /** Forgets what was expected of a slot: its engine has restarted. Costs a pass over all predictions; restarts are rare. */
  forget(slot: number): void {
    this.young.removeHolder(slot);
    this.old.removeHolder(slot);
  }

  /** Longest expected match by slot, in `out`. */
  match(prompt: PromptBlocks, now: number, out: Matches): void {
    this.turn(now);
    out.walk(this.young, prompt);
    if (this.old.count === 0) return;
    this.other.reserve(out.total.length);
    this.other.walk(this.old, prompt);
    out.takeLonger(this.other);
  }

  /** Lets half a life pass when it is time. */
  turn(now: number): void {
    const half = this.ttlMs / 2;
    if (now - this.turnedAtMs < half) return;
    const both = now - this.turnedAtMs >= this.ttlMs;
    [this.young, this.old] = [this.old, this.young];
    if (this.young.count > 0) this.young.reset();
    if (both && this.old.count > 0) this.old.reset();
    this.turnedAtMs = now;
  }
}
