// Sets of holders, interned. A block's holders are a set of members `slot * 4 + tier`; neighbouring blocks nearly always
// have the same one, so a block stores a 4-byte set id, and a match walks runs of equal ids instead of sets.
//
// A set is identified by the xor of 64 random bits per member (Zobrist): adding or removing a member is one xor and one
// probe, and two different sets meet with probability 2^-64. Sets count their blocks and vanish with the last one.
import type { ByteBudget } from "./budget.ts";
import { finish } from "./hash.ts";

/** Id of the empty set. */
export const emptySet = 0;
/** Answer of `add` when the budget refuses a new set. */
export const refusedSet = 0xffff_ffff;

/** What `difference` and `nearestTier` return when there is no such member. */
export const noMember = -1;

const bytesPerSet = 4 + 4 + 4 + 4 + 4;
const hintSlots = 4096;

export class HolderSets {
  private readonly budget: ByteBudget;
  /** Members of all sets, each set in an extent whose length is a power of two. Read with `start` and `size`. */
  pool: Uint16Array = new Uint16Array(1024);
  start: Uint32Array<ArrayBuffer> = new Uint32Array(64);
  size: Uint32Array<ArrayBuffer> = new Uint32Array(64);
  private low = new Uint32Array(64);
  private high = new Uint32Array(64);
  private blocks = new Uint32Array(64);
  private used = 1;
  private live = 0;
  private readonly freeIds: number[] = [];
  private poolUsed = 0;
  private readonly freeExtents: number[][] = [];
  private table = new Uint32Array(128);
  /** Last result of a step from one set to the next, verified by its hash before use. */
  private readonly hints = new Uint32Array(hintSlots);
  /** Members by their random bits, to name the one by which two sets differ; at most half full. */
  private mixes = new Uint32Array(256);
  private mixed = 0;

  constructor(budget: ByteBudget) {
    this.budget = budget;
    budget.take(this.bytes);
  }

  get bytes(): number {
    return (
      this.pool.byteLength +
      this.start.length * bytesPerSet +
      this.table.byteLength +
      this.mixes.byteLength +
      hintSlots * 4
    );
  }

  /** Distinct sets alive. */
  get count(): number {
    return this.live;
  }

  has(set: number, member: number): boolean {
    return this.find(set, member) >= 0;
  }

  /** Whether a member of `slot` in any tier is in the set. */
  hasSlot(set: number, slot: number): boolean {
    const at = this.lowerBound(set, slot * 4);
    return at < this.size[set]! && this.pool[this.start[set]! + at]! >>> 2 === slot;
  }

  /** The nearest tier in which `slot` is in the set, or `noMember`. */
  nearestTier(set: number, slot: number): number {
    const at = this.lowerBound(set, slot * 4);
    const member = this.pool[this.start[set]! + at]!;
    return at < this.size[set]! && member >>> 2 === slot ? member & 3 : noMember;
  }

  /** The one member by which two sets differ; `noMember` when it is more than one. */
  difference(a: number, b: number): number {
    if (Math.abs(this.size[a]! - this.size[b]!) !== 1) return noMember;
    const low = (this.low[a]! ^ this.low[b]!) >>> 0;
    const high = (this.high[a]! ^ this.high[b]!) >>> 0;
    const mask = this.mixes.length - 1;
    for (let at = low & mask; this.mixes[at] !== 0; at = (at + 1) & mask) {
      const member = this.mixes[at]! - 1;
      if (mixLow(member) === low && mixHigh(member) === high) return member;
    }
    return noMember;
  }

  /** The set with the member; `set` itself when it is in it, `refusedSet` when there is no memory for a new set. */
  add(set: number, member: number): number {
    if (this.has(set, member)) return set;
    return this.step(set, member, true);
  }

  /** The set without the member; `set` itself when it is not in it. */
  remove(set: number, member: number): number {
    if (!this.has(set, member)) return set;
    if (this.size[set] === 1) return emptySet;
    return this.step(set, member, false);
  }

  /** One more block has this set. */
  retain(set: number): void {
    if (set !== emptySet) this.blocks[set]!++;
  }

  /** One block less has this set; the last one ends it. */
  release(set: number): void {
    if (set === emptySet || --this.blocks[set]! > 0) return;
    this.unlink(set);
    this.live--;
    (this.freeExtents[extentClass(this.size[set]!)] ??= []).push(this.start[set]!);
    this.size[set] = 0;
    this.low[set] = 0;
    this.high[set] = 0;
    this.freeIds.push(set);
  }

  private step(set: number, member: number, adding: boolean): number {
    const low = (this.low[set]! ^ mixLow(member)) >>> 0;
    const high = (this.high[set]! ^ mixHigh(member)) >>> 0;
    const hint = (low ^ high) & (hintSlots - 1);
    const guess = this.hints[hint]!;
    if (guess !== 0 && this.low[guess] === low && this.high[guess] === high && this.size[guess]! > 0) return guess;
    const found = this.lookup(low, high);
    const result = found === 0 ? this.create(set, member, adding, low, high) : found;
    if (result !== refusedSet) this.hints[hint] = result;
    return result;
  }

  private create(set: number, member: number, adding: boolean, low: number, high: number): number {
    const size = this.size[set]! + (adding ? 1 : -1);
    const extent = this.takeExtent(size);
    const id = extent < 0 ? -1 : this.takeId();
    if (id < 0) {
      if (extent >= 0) (this.freeExtents[extentClass(size)] ??= []).push(extent);
      return refusedSet;
    }
    const at = this.lowerBound(set, member);
    const from = this.start[set]!;
    this.pool.copyWithin(extent, from, from + at);
    if (adding) {
      this.pool[extent + at] = member;
      this.pool.copyWithin(extent + at + 1, from + at, from + size - 1);
    } else {
      this.pool.copyWithin(extent + at, from + at + 1, from + size + 1);
    }
    this.start[id] = extent;
    this.size[id] = size;
    this.low[id] = low;
    this.high[id] = high;
    this.blocks[id] = 0;
    this.live++;
    this.link(id);
    if (adding) this.remember(member);
    return id;
  }

  /** Enters a member into the table of random bits. Refused memory costs only speed: `difference` then does not know it. */
  private remember(member: number): void {
    if (this.mixed * 2 >= this.mixes.length) {
      if (!this.budget.take(this.mixes.byteLength)) return;
      const known = this.mixes.filter((entry) => entry !== 0);
      this.mixes = new Uint32Array(this.mixes.length * 2);
      this.mixed = 0;
      for (const entry of known) this.remember(entry - 1);
    }
    const mask = this.mixes.length - 1;
    let at = mixLow(member) & mask;
    while (this.mixes[at] !== 0) {
      if (this.mixes[at] === member + 1) return;
      at = (at + 1) & mask;
    }
    this.mixes[at] = member + 1;
    this.mixed++;
  }

  private takeExtent(size: number): number {
    const wanted = extentClass(size);
    const free = this.freeExtents[wanted]?.pop();
    if (free !== undefined) return free;
    const length = 1 << wanted;
    if (this.poolUsed + length > this.pool.length) {
      const grown = Math.max(this.pool.length * 2, this.poolUsed + length);
      if (!this.budget.take((grown - this.pool.length) * 2)) return -1;
      const pool = new Uint16Array(grown);
      pool.set(this.pool);
      this.pool = pool;
    }
    this.poolUsed += length;
    return this.poolUsed - length;
  }

  private takeId(): number {
    const free = this.freeIds.pop();
    if (free !== undefined) return free;
    if (this.used === this.start.length) {
      const length = this.start.length * 2;
      const table = Math.max(128, length * 2);
      if (!this.budget.take((length - this.start.length) * bytesPerSet + (table - this.table.length) * 4)) return -1;
      this.start = grow(this.start, length);
      this.size = grow(this.size, length);
      this.low = grow(this.low, length);
      this.high = grow(this.high, length);
      this.blocks = grow(this.blocks, length);
      this.table = new Uint32Array(table);
      for (let id = 1; id < this.used; id++) if (this.size[id]! > 0) this.link(id);
    }
    return this.used++;
  }

  private find(set: number, member: number): number {
    const at = this.lowerBound(set, member);
    return at < this.size[set]! && this.pool[this.start[set]! + at] === member ? at : -1;
  }

  private lowerBound(set: number, member: number): number {
    const start = this.start[set]!;
    let from = 0;
    let to = this.size[set]!;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.pool[start + middle]! < member) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  // The intern table: linear probing over ids, at most half full, deletion by shifting back.

  private lookup(low: number, high: number): number {
    const mask = this.table.length - 1;
    for (let at = low & mask; ; at = (at + 1) & mask) {
      const id = this.table[at]!;
      if (id === 0 || (this.low[id] === low && this.high[id] === high)) return id;
    }
  }

  private link(id: number): void {
    const mask = this.table.length - 1;
    let at = this.low[id]! & mask;
    while (this.table[at] !== 0) at = (at + 1) & mask;
    this.table[at] = id;
  }

  private unlink(id: number): void {
    const mask = this.table.length - 1;
    let hole = this.low[id]! & mask;
    while (this.table[hole] !== id) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; this.table[at] !== 0; at = (at + 1) & mask) {
      const home = this.low[this.table[at]!]! & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.table[hole] = this.table[at]!;
      hole = at;
    }
    this.table[hole] = 0;
  }
}

/** 64 random bits of a member, in two halves. */
function mixLow(member: number): number {
  return finish(Math.imul(member + 1, 0x9e3779b1)) >>> 0;
}

function mixHigh(member: number): number {
  return finish(Math.imul(member + 1, 0x85ebca77) ^ 0x5bd1e995) >>> 0;
}

function extentClass(size: number): number {
  return 32 - Math.clz32(Math.max(1, size) - 1);
}

function grow(array: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(length);
  grown.set(array);
  return grown;
}
