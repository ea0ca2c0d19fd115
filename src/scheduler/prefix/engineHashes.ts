// An engine's own block hashes, for one holder and one epoch. They cannot be recomputed outside the engine (seeds, salts),
// so they are opaque: kept only to find the block again that a removal, a parent or another tier names.
//
// Open addressing, 13 bytes a slot, 55 to 75 % full. A block that the index has evicted leaves a stale entry here, seen by
// its generation and swept when the table is rebuilt.
import type { ByteBudget } from "./budget.ts";
import { type BlockTable, noBlock } from "./blockTable.ts";
import { finish } from "./hash.ts";

const slotBytes = 13;
const free = 0;
const dead = 0xffff_ffff;

export class EngineHashes {
  private readonly budget: ByteBudget;
  private readonly table: BlockTable;
  private readonly slot: number;
  private keys = new Uint32Array(0);
  /** Block number + 1; `free` and `dead` are no numbers. */
  private blocks = new Uint32Array(0);
  private generations = new Uint8Array(0);
  private live = 0;
  private lost = 0;
  /** The table's evictions at the last rebuild. */
  private seenEvictions = 0;

  constructor(budget: ByteBudget, table: BlockTable, slot: number) {
    this.budget = budget;
    this.table = table;
    this.slot = slot;
    this.seenEvictions = table.evictions;
  }

  get count(): number {
    return this.live;
  }

  get bytes(): number {
    return this.blocks.length * slotBytes;
  }

  /** Block of the engine's hash, or `noBlock` when it is unknown or has been evicted from the index. */
  find(low: number, high: number): number {
    const at = this.probe(low, high);
    if (at < 0) return noBlock;
    const block = this.blocks[at]! - 1;
    return this.isCurrent(at) ? block : noBlock;
  }

  /** Makes room for one more; false when memory is refused. */
  reserve(): boolean {
    if ((this.live + this.lost + 1) * 4 <= this.blocks.length * 3) return true;
    const current = this.mayBeStale ? this.countCurrent() : this.live;
    return this.rebuild(Math.max(16, Math.ceil((current + 1) / 0.55)));
  }

  /** Remembers; room must have been reserved. */
  set(low: number, high: number, block: number): void {
    const generation = this.table.generationOf(block);
    const at = this.probe(low, high);
    if (at < 0) {
      this.insert(low, high, block + 1, generation);
      return;
    }
    this.blocks[at] = block + 1;
    this.generations[at] = generation;
  }

  delete(low: number, high: number): void {
    const at = this.probe(low, high);
    if (at < 0) return;
    this.blocks[at] = dead;
    this.live--;
    this.lost++;
  }

  /** Calls `visit` with every block that is still known. */
  sweep(visit: (block: number) => void): void {
    for (let at = 0; at < this.blocks.length; at++) {
      if (this.isEntry(at) && this.isCurrent(at)) visit(this.blocks[at]! - 1);
    }
  }

  /** Calls `visit` with every block that is still known, then forgets all. */
  drain(visit: (block: number) => void): void {
    this.sweep(visit);
    this.budget.take(-this.bytes);
    this.keys = new Uint32Array(0);
    this.blocks = new Uint32Array(0);
    this.generations = new Uint8Array(0);
    this.live = 0;
    this.lost = 0;
  }

  private rebuild(length: number): boolean {
    if (!this.budget.take((length - this.blocks.length) * slotBytes)) return false;
    const { keys, blocks, generations } = this;
    if (this.mayBeStale) this.dropStale();
    this.seenEvictions = this.table.evictions;
    this.keys = new Uint32Array(length * 2);
    this.blocks = new Uint32Array(length);
    this.generations = new Uint8Array(length);
    this.live = 0;
    this.lost = 0;
    for (let at = 0; at < blocks.length; at++) {
      if (blocks[at] === free || blocks[at] === dead) continue;
      this.insert(keys[at * 2]!, keys[at * 2 + 1]!, blocks[at]!, generations[at]!);
    }
    return true;
  }

  /** Enters what is known not to be there. */
  private insert(low: number, high: number, blockPlusOne: number, generation: number): void {
    let at = this.home(low, high);
    while (this.isEntry(at)) at = at + 1 === this.blocks.length ? 0 : at + 1;
    if (this.blocks[at] === dead) this.lost--;
    this.live++;
    this.keys[at * 2] = low;
    this.keys[at * 2 + 1] = high;
    this.blocks[at] = blockPlusOne;
    this.generations[at] = generation;
  }

  /** Only eviction makes entries stale: every other way for a block to go passes here. */
  private get mayBeStale(): boolean {
    return this.table.evictions !== this.seenEvictions;
  }

  private countCurrent(): number {
    let current = 0;
    for (let at = 0; at < this.blocks.length; at++) if (this.isEntry(at) && this.isCurrent(at)) current++;
    return current;
  }

  private dropStale(): void {
    for (let at = 0; at < this.blocks.length; at++) if (this.isEntry(at) && !this.isCurrent(at)) this.blocks[at] = dead;
  }

  private probe(low: number, high: number): number {
    const length = this.blocks.length;
    if (length === 0) return -1;
    for (let at = this.home(low, high); this.blocks[at] !== free; at = at + 1 === length ? 0 : at + 1) {
      if (this.blocks[at] !== dead && this.keys[at * 2] === low && this.keys[at * 2 + 1] === high) return at;
    }
    return -1;
  }

  private isEntry(at: number): boolean {
    return this.blocks[at] !== free && this.blocks[at] !== dead;
  }

  private isCurrent(at: number): boolean {
    const block = this.blocks[at]! - 1;
    return (
      this.table.generationOf(block) === this.generations[at] &&
      this.table.sets.hasSlot(this.table.setOf(block), this.slot)
    );
  }

  /** Mixed, because an engine's hashes need not be spread evenly. */
  private home(low: number, high: number): number {
    return Math.floor(((finish(low ^ Math.imul(high, 0x9e3779b1)) >>> 0) / 0x1_0000_0000) * this.blocks.length);
  }
}
