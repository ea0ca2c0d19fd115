// Which holders have which block: an append log of blocks (64-bit hash, set id, generation) and a hash index over it.
//
// Blocks that arrive together lie side by side in the log, so a match finds the first block of a run by hash and all
// others by looking at the next entry: 12 bytes of sequential memory a block instead of a random access. It is as exact as
// a look-up per block (the hash is compared every time) and needs no nodes that split and never merge, as radix trees do.
//
// Bytes: a log entry takes 8 (hash) + 4 (set id) + 1 (generation and touched bit); the index 5 a slot (4 number, 1
// fingerprint), 55 to 75 % full. The index is split into shards by the hash's high bits, each growing alone, so that no
// insertion waits for a rehash of everything.
import { evictionScan } from "../limits.ts";
import type { ByteBudget } from "./budget.ts";
import { emptySet, HolderSets, refusedSet } from "./holderSets.ts";
import { deadFingerprint, emptyShard, fingerprint, freeFingerprint, put, type Shard, slotOf, take } from "./shard.ts";

const chunkBits = 15;
const chunkLength = 1 << chunkBits;
const chunkMask = chunkLength - 1;
const chunkBytes = chunkLength * 13;
const touchedBit = 0x80;
const generationMask = 0x7f;
const minShard = 8;

/** Answer of `find` and `add` when there is no such block, or no memory for it. */
export const noBlock = -1;

interface Chunk {
  hashes: Uint32Array;
  sets: Uint32Array;
  meta: Uint8Array;
}

export class BlockTable {
  /** Replaced by `reset`. */
  sets: HolderSets;
  private readonly budget: ByteBudget;
  private readonly maxChunks: number;
  private readonly shards: Shard[];
  private readonly shardShift: number;
  private readonly chunks: Chunk[] = [];
  private used = 0;
  private live = 0;
  private freeHead = noBlock;
  private hand = 0;
  private evicted = 0;

  /** `maxBytes`: what the log may take of the budget. */
  constructor(budget: ByteBudget, maxBytes: number) {
    this.budget = budget;
    this.sets = new HolderSets(budget);
    this.maxChunks = Math.max(1, Math.floor(maxBytes / (chunkBytes + chunkLength * 8)));
    const wanted = Math.ceil((this.maxChunks * chunkLength) / 16_384);
    const bits = Math.min(12, Math.max(1, 32 - Math.clz32(wanted)));
    this.shardShift = 32 - bits;
    this.shards = Array.from({ length: 1 << bits }, () => emptyShard);
  }

  /** Blocks with at least one holder. */
  get count(): number {
    return this.live;
  }

  get evictions(): number {
    return this.evicted;
  }

  /** Number of the block with this hash, or `noBlock`. */
  find(low: number, high: number): number {
    const shard = this.shards[high >>> this.shardShift]!;
    const size = shard.numbers.length;
    if (size === 0) return noBlock;
    const wanted = fingerprint(high);
    const { fingerprints, numbers } = shard;
    for (let at = slotOf(low, size); ;) {
      const seen = fingerprints[at]!;
      if (seen === freeFingerprint) return noBlock;
      if (seen === wanted) {
        const block = numbers[at]!;
        if (this.isBlock(block, low, high)) return block;
      }
      if (++at === size) at = 0;
    }
  }

  /** Whether entry `block` has this hash; false for numbers beyond the log. */
  isBlock(block: number, low: number, high: number): boolean {
    const chunk = this.chunks[block >>> chunkBits];
    if (chunk === undefined) return false;
    const at = (block & chunkMask) << 1;
    return chunk.hashes[at] === low && chunk.hashes[at + 1] === high && chunk.sets[block & chunkMask] !== emptySet;
  }

  setOf(block: number): number {
    return this.chunks[block >>> chunkBits]!.sets[block & chunkMask]!;
  }

  /** Changes whenever the entry is given to another block: a number kept elsewhere is valid only with its generation. */
  generationOf(block: number): number {
    return this.chunks[block >>> chunkBits]!.meta[block & chunkMask]! & generationMask;
  }

  /** Copies the block's hash to out[0], out[1]. */
  hashOf(block: number, out: Uint32Array): void {
    const chunk = this.chunks[block >>> chunkBits]!;
    const at = (block & chunkMask) << 1;
    out[0] = chunk.hashes[at]!;
    out[1] = chunk.hashes[at + 1]!;
  }

  /** Marks as used, so that the eviction hand passes it once. */
  touch(block: number): void {
    const meta = this.chunks[block >>> chunkBits]!.meta;
    if (meta[block & chunkMask]! < touchedBit) meta[block & chunkMask]! |= touchedBit;
  }

  /**
   * Records that `member` holds the block. `after` is the number of the block before it in the prompt, or `noBlock`: the
   * neighbour is tried before the index. Answers the block's number; `noBlock` when memory is refused even after eviction.
   */
  add(low: number, high: number, member: number, after: number): number {
    let block = after !== noBlock && this.isBlock(after + 1, low, high) ? after + 1 : this.find(low, high);
    const held = block === noBlock ? emptySet : this.setOf(block);
    let set = this.sets.add(held, member);
    if (set === refusedSet) {
      this.evict(256);
      // The eviction may have taken this very block.
      block = this.find(low, high);
      set = this.sets.add(block === noBlock ? emptySet : this.setOf(block), member);
      if (set === refusedSet) return noBlock;
    }
    if (block !== noBlock) {
      this.touch(block);
      this.changeSet(block, set);
      return block;
    }
    this.sets.retain(set);
    block = this.insert(low, high, set);
    if (block === noBlock) this.sets.release(set);
    return block;
  }

  /** `member` no longer holds the block; a block without holders is forgotten. */
  remove(block: number, member: number): void {
    const held = this.setOf(block);
    const set = this.sets.remove(held, member);
    if (set === refusedSet) {
      // No memory for the smaller set: the block is forgotten, for its other holders too.
      this.free(block);
      this.evicted++;
    } else if (set !== held) this.changeSet(block, set);
  }

  /** Removes a holder from every block: one pass over the log, for tables that keep no list of a holder's blocks. */
  removeHolder(slot: number): void {
    for (let block = this.used - 1; block >= 0; block--) {
      for (let tier = 0; tier < 4; tier++) {
        const held = this.setOf(block);
        if (held !== emptySet && this.sets.has(held, slot * 4 + tier)) this.remove(block, slot * 4 + tier);
      }
    }
  }

  /** Forgets about `count` blocks that were not used lately, children before parents. */
  evict(count: number): void {
    for (let evicted = 0; evicted < count && this.live > 0; evicted++) {
      for (let seen = 0; ; seen++) {
        this.hand = this.hand === 0 ? this.used - 1 : this.hand - 1;
        const chunk = this.chunks[this.hand >>> chunkBits]!;
        const at = this.hand & chunkMask;
        if (chunk.sets[at] === emptySet) continue;
        if (chunk.meta[at]! >= touchedBit && seen < evictionScan) {
          chunk.meta[at]! &= generationMask;
          continue;
        }
        this.free(this.hand);
        this.evicted++;
        break;
      }
    }
  }

  /** Forgets everything and gives the memory back, except a first chunk. Numbers given out before must not be used again. */
  reset(): void {
    this.budget.take(-this.bytes - this.sets.bytes);
    this.chunks.length = Math.min(1, this.chunks.length);
    this.chunks[0]?.sets.fill(emptySet);
    this.shards.fill(emptyShard);
    this.used = 0;
    this.live = 0;
    this.freeHead = noBlock;
    this.hand = 0;
    this.budget.take(this.bytes);
    this.sets = new HolderSets(this.budget);
  }

  /** Bytes of log and index, without the sets. */
  get bytes(): number {
    let bytes = this.chunks.length * chunkBytes;
    for (const shard of this.shards) bytes += shard.numbers.length * 5;
    return bytes;
  }

  private changeSet(block: number, set: number): void {
    const chunk = this.chunks[block >>> chunkBits]!;
    const held = chunk.sets[block & chunkMask]!;
    if (held === set) return;
    if (set === emptySet) return this.free(block);
    this.sets.retain(set);
    chunk.sets[block & chunkMask] = set;
    this.sets.release(held);
  }

  private insert(low: number, high: number, set: number): number {
    if (this.freeHead === noBlock && !this.reserve()) {
      this.evict(64);
      if (this.freeHead === noBlock) return noBlock;
    }
    const shardAt = high >>> this.shardShift;
    if (!this.reserveSlot(shardAt)) return noBlock;
    let block = this.freeHead;
    if (block === noBlock) block = this.used++;
    const chunk = this.chunks[block >>> chunkBits]!;
    const at = block & chunkMask;
    // A free entry keeps the next free number where its hash was.
    if (block === this.freeHead) this.freeHead = chunk.hashes[at << 1]! - 1;
    chunk.hashes[at << 1] = low;
    chunk.hashes[(at << 1) + 1] = high;
    chunk.sets[at] = set;
    chunk.meta[at]! |= touchedBit;
    put(this.shards[shardAt]!, low, high, block);
    this.live++;
    return block;
  }

  /** Makes room for one entry at the end of the log. */
  private reserve(): boolean {
    if (this.used < this.chunks.length * chunkLength) return true;
    if (this.chunks.length >= this.maxChunks || !this.budget.take(chunkBytes)) return false;
    this.chunks.push({
      hashes: new Uint32Array(chunkLength * 2),
      sets: new Uint32Array(chunkLength),
      meta: new Uint8Array(chunkLength),
    });
    return true;
  }

  private free(block: number): void {
    const chunk = this.chunks[block >>> chunkBits]!;
    const at = block & chunkMask;
    const low = chunk.hashes[at << 1]!;
    const high = chunk.hashes[(at << 1) + 1]!;
    take(this.shards[high >>> this.shardShift]!, low, block);
    this.sets.release(chunk.sets[at]!);
    chunk.sets[at] = emptySet;
    chunk.meta[at] = (chunk.meta[at]! + 1) & generationMask;
    chunk.hashes[at << 1] = this.freeHead + 1;
    this.freeHead = block;
    this.live--;
  }

  private reserveSlot(shardAt: number): boolean {
    const shard = this.shards[shardAt]!;
    const size = shard.numbers.length;
    if ((shard.live + shard.dead + 1) * 4 <= size * 3) return true;
    const wanted = Math.max(minShard, Math.ceil((shard.live + 1) / 0.55));
    if (!this.budget.take((wanted - size) * 5)) {
      // Full to the last slots: without a free one a search would not end.
      return shard.live + shard.dead + 2 < size;
    }
    const grown: Shard = { numbers: new Uint32Array(wanted), fingerprints: new Uint8Array(wanted), live: 0, dead: 0 };
    for (let at = 0; at < size; at++) {
      if (shard.fingerprints[at]! <= deadFingerprint) continue;
      const block = shard.numbers[at]!;
      const { hashes } = this.chunks[block >>> chunkBits]!;
      put(grown, hashes[(block & chunkMask) << 1]!, hashes[((block & chunkMask) << 1) + 1]!, block);
    }
    this.shards[shardAt] = grown;
    return true;
  }
}
