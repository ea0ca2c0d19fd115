// A store of KV that several replicas share (a folder of parked conversations, LMCache, Mooncake Store): what one
// replica has put there serves the others, and outlives each of them. One least-recently-used tree of blocks, known to every replica's cache.
//
// Blocks, not states: pools of blocks (LMCache, Mooncake) are modelled as they are. The embedded engine parks a conversation's whole
// state, of which a beginning may be taken; so a block is never kept without the blocks before it, but what two parked
// conversations have in common takes room once here and twice there.
//
// Reading leaves a block where it is. A block with blocks behind it is never evicted; the oldest block without any is. To keep the list in
// that order each path is touched last to first, and an inner block that still comes to the front is moved to the back.
import type { BlockIds, BlockListener, SimCall } from "../types.ts";

/** When replicas write: as soon as a prompt is computed (Mooncake, LMCache), or what leaves their own memory (parking). */
export type StoreWrites = "computed" | "evicted";

interface StoreOptions {
  blockCount: number;
  capacityTokens: number;
  blockTokens: number;
  writes: StoreWrites;
  /** By block the one before it in every prompt, -1 for a first one; see `parentsOf`. */
  parents: Int32Array;
  listener?: BlockListener | undefined;
}

/** Sums over a store's life, in tokens; `saved` counts what was not there. */
interface StoreTotals {
  saved: number;
  fetched: number;
  evicted: number;
}

const sentinel = 0;
const nothing = -1;

export class SharedStore {
  readonly writes: StoreWrites;
  readonly capacityTokens: number;
  readonly totals: StoreTotals = { saved: 0, fetched: 0, evicted: 0 };
  readonly #blockTokens: number;
  readonly #blockCount: number;
  readonly #capacity: number;
  readonly #parents: Int32Array;
  readonly #held: Uint8Array;
  /** Kept blocks directly behind each. */
  readonly #children: Int32Array;
  readonly #listener: BlockListener | undefined;
  /** Block b is node b + 1, oldest first; nodes from `blockCount + 1` on are outputs that no prompt asks for. */
  #next: Int32Array;
  #previous: Int32Array;
  #nodes: number;
  readonly #freeOutputs: number[] = [];
  #count = 0;
  readonly #path: number[] = [];

  constructor({ blockCount, capacityTokens, blockTokens, writes, parents, listener }: StoreOptions) {
    this.writes = writes;
    this.capacityTokens = capacityTokens;
    this.#blockTokens = blockTokens;
    this.#blockCount = blockCount;
    this.#capacity = Math.floor(capacityTokens / blockTokens);
    this.#parents = parents;
    this.#held = new Uint8Array(blockCount);
    this.#children = new Int32Array(blockCount);
    this.#listener = listener;
    this.#nodes = blockCount + 1;
    this.#next = new Int32Array(this.#nodes + 1024);
    this.#previous = new Int32Array(this.#nodes + 1024);
  }

  get tokens(): number {
    return this.#count * this.#blockTokens;
  }

  has(block: number): boolean {
    return this.#held[block] === 1;
  }

  /** Keeps a block and those before it, as far as there is room for them; what is kept already is marked as used. */
  save(block: number): void {
    if (this.#held[block] === 1) return this.#touch(block + 1);
    const path = this.#path;
    path.length = 0;
    let at = block;
    while (at >= 0 && this.#held[at] === 0) {
      path.push(at);
      at = this.#parents[at]!;
    }
    // From the front on: what there is no room for is the end.
    for (let i = path.length - 1; i >= 0 && this.#makeRoom(at + 1); i--) {
      at = path[i]!;
      this.#insert(at);
    }
    for (const each of path) if (this.#held[each] === 1) this.#touch(each + 1);
  }

  /** Keeps the first `count` blocks of a prompt; the last is the next to go. */
  saveLeading(blocks: BlockIds, count: number): void {
    if (count === 0) return;
    this.save(blocks[count - 1]!);
    for (let i = count - 2; i >= 0; i--) if (this.#held[blocks[i]!] === 1) this.#touch(blocks[i]! + 1);
  }

  /** Keeps a block of output that no prompt will ask for: it only takes room. */
  saveOutput(): void {
    if (!this.#makeRoom(sentinel)) return;
    const node = this.#freeOutputs.pop() ?? this.#nodes++;
    if (node >= this.#next.length) this.#grow();
    this.#append(node);
    this.#count++;
    this.totals.saved += this.#blockTokens;
  }

  /** A replica has read those of `blocks[from .. to)` that lie here and not with it: `tokens` of them. */
  fetched(blocks: BlockIds, to: number, tokens: number): void {
    this.totals.fetched += tokens;
    for (let i = to - 1; i >= 0; i--) if (this.#held[blocks[i]!] === 1) this.#touch(blocks[i]! + 1);
  }

  /** Forgets the end of a conversation, as far as nothing else goes on from it. */
  drop(blocks: BlockIds): number {
    let gone = 0;
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      if (this.#held[block] === 0) continue;
      if (this.#children[block]! > 0) break;
      this.#remove(block);
      gone++;
    }
    return gone;
  }

  /** Makes room for one more block, without evicting node `spared`; false when that is not possible. */
  #makeRoom(spared: number): boolean {
    if (this.#capacity < 1) return false;
    for (let looked = 0; this.#count >= this.#capacity; looked++) {
      if (looked > this.#count) return false;
      const node = this.#next[sentinel]!;
      if (node === spared || (node <= this.#blockCount && this.#children[node - 1]! > 0)) {
        this.#touch(node);
        continue;
      }
      this.totals.evicted += this.#blockTokens;
      looked = 0;
      if (node <= this.#blockCount) this.#remove(node - 1);
      else this.#removeOutput(node);
    }
    return true;
  }

  #insert(block: number): void {
    this.#held[block] = 1;
    const parent = this.#parents[block]!;
    if (parent >= 0) this.#children[parent]!++;
    this.#append(block + 1);
    this.#count++;
    this.totals.saved += this.#blockTokens;
    this.#listener?.(block, true);
  }

  #remove(block: number): void {
    this.#held[block] = 0;
    const parent = this.#parents[block]!;
    if (parent >= 0) this.#children[parent]!--;
    this.#unlink(block + 1);
    this.#count--;
    this.#listener?.(block, false);
  }

  #removeOutput(node: number): void {
    this.#unlink(node);
    this.#count--;
    this.#freeOutputs.push(node);
  }

  #touch(node: number): void {
    this.#unlink(node);
    this.#append(node);
  }

  #append(node: number): void {
    const newest = this.#previous[sentinel]!;
    this.#previous[node] = newest;
    this.#next[node] = sentinel;
    this.#next[newest] = node;
    this.#previous[sentinel] = node;
  }

  #unlink(node: number): void {
    const next = this.#next[node]!;
    const previous = this.#previous[node]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
  }

  #grow(): void {
    const grown = (old: Int32Array): Int32Array => {
      const array = new Int32Array(old.length * 2);
      array.set(old);
      return array;
    };
    this.#next = grown(this.#next);
    this.#previous = grown(this.#previous);
  }
}

/** By block the one before it: ids are chained, so there is only one. -1 for first blocks and for ids that no call has. */
export function parentsOf(calls: readonly SimCall[], blockCount: number): Int32Array {
  const parents = new Int32Array(blockCount).fill(nothing);
  const seen = new Uint8Array(blockCount);
  for (const { blocks, outputBlocks } of calls) {
    // What has been seen has been seen with all before it.
    for (let i = blocks.length - 1; i >= 0 && seen[blocks[i]!] === 0; i--) {
      seen[blocks[i]!] = 1;
      parents[blocks[i]!] = i > 0 ? blocks[i - 1]! : nothing;
    }
    if (outputBlocks === undefined) continue;
    for (let i = outputBlocks.length - 1; i >= 0 && seen[outputBlocks[i]!] === 0; i--) {
      seen[outputBlocks[i]!] = 1;
      parents[outputBlocks[i]!] = outputBlocks[i - 1] ?? blocks[blocks.length - 1] ?? nothing;
    }
  }
  return parents;
}
