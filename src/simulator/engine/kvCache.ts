// One replica's KV memory: paged prefix cache over dense block ids, with lower tiers, in typed arrays.
//
// States of a block here: absent; idle in a tier (in that tier's LRU list, evictable); pinned on the device (held by
// `refs` running calls, in no list). Device memory is shared with what running calls write beyond cached blocks
// (`privateTokens`: outputs so far). Eviction is leaf first because calls release their blocks last to first.
// An evicted device block sinks to the next tier with any capacity, whose oldest block sinks further when it is full; from the last tier
// it vanishes. Below all tiers there may be a store that other replicas share (sharedStore.ts): its blocks count as resident here, and
// stay there when read.
import type { BlockIds, BlockListener } from "../types.ts";
import type { SharedStore } from "./sharedStore.ts";

const absent = 0;
const device = 1;

/** Bytes of a node: its state, its pins, and its place in a list. */
const nodeBytes = 1 + 2 + 4 + 4;
/** Outputs that no prompt asks for are remembered in at most so many blocks. */
const phantomsMost = 1 << 24;

/** Sizes of the device and the lower tiers, in blocks, nearest first. */
interface KvSizes {
  deviceTokens: number;
  blockTokens: number;
  /** Capacity in tokens of each lower tier. */
  lowerTokens: readonly number[];
}

export class KvCache {
  readonly blockTokens: number;
  readonly deviceTokens: number;
  /** Shared with other replicas, below all tiers of this one. */
  readonly store: SharedStore | undefined;
  /** Tokens of the device held by running calls outside of cached blocks. */
  privateTokens = 0;
  /** Blocks evicted from all tiers, and blocks moved down a tier, over the cache's life. */
  dropped = 0;
  demoted = 0;

  readonly #tiers: number;
  readonly #capacity: Float64Array;
  readonly #count: Int32Array;
  readonly #state: Uint8Array;
  readonly #refs: Uint16Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #blockCount: number;
  readonly #freePhantoms: Int32Array;
  #phantomsFree: number;
  #pinned = 0;
  #listener: BlockListener | undefined;

  constructor(blockCount: number, sizes: KvSizes, listener?: BlockListener, store?: SharedStore) {
    this.blockTokens = sizes.blockTokens;
    this.deviceTokens = sizes.deviceTokens;
    this.store = store;
    this.#listener = listener;
    this.#tiers = 1 + sizes.lowerTokens.length;
    const all = [sizes.deviceTokens, ...sizes.lowerTokens];
    this.#capacity = Float64Array.from([0, ...all.map((tokens) => Math.floor(tokens / sizes.blockTokens))]);
    this.#count = new Int32Array(this.#tiers + 1);
    const phantoms = phantomsOf(sizes);
    const total = blockCount + phantoms;
    this.#blockCount = blockCount;
    this.#state = new Uint8Array(total);
    this.#refs = new Uint16Array(total);
    // Nodes 0 .. tiers are the lists' sentinels; block b is node b + tiers + 1.
    this.#next = new Int32Array(total + this.#tiers + 1);
    this.#previous = new Int32Array(total + this.#tiers + 1);
    for (let tier = 0; tier <= this.#tiers; tier++) this.#next[tier] = this.#previous[tier] = tier;
    this.#freePhantoms = new Int32Array(phantoms);
    for (let i = 0; i < phantoms; i++) this.#freePhantoms[i] = total - 1 - i;
    this.#phantomsFree = phantoms;
  }

  /** Bytes that a cache of these sizes takes for a workload of `blockCount` blocks. */
  static bytesFor(blockCount: number, sizes: KvSizes): number {
    const phantoms = phantomsOf(sizes);
    return (blockCount + phantoms) * nodeBytes + phantoms * 4;
  }

  /** Tier (1 device, 2 and up lower, one more for the shared store) that holds the block; 0 when absent. */
  tierOf(block: number): number {
    const own = this.#state[block]!;
    return own === absent && this.store?.has(block) === true ? this.#tiers + 1 : own;
  }

  /** Length of the leading run of resident blocks, any tier and the shared store. */
  match(blocks: BlockIds): number {
    const state = this.#state;
    const { store } = this;
    const length = blocks.length;
    let i = 0;
    while (i < length && state[blocks[i]!] !== absent) i++;
    if (store !== undefined) while (i < length && (state[blocks[i]!] !== absent || store.has(blocks[i]!))) i++;
    return i;
  }

  /** Length of the leading run on the device only. */
  matchDevice(blocks: BlockIds): number {
    const state = this.#state;
    const length = blocks.length;
    let i = 0;
    while (i < length && state[blocks[i]!] === device) i++;
    return i;
  }

  /** Tokens of device memory not held by running calls: free or evictable. */
  get availableTokens(): number {
    return this.deviceTokens - this.privateTokens - this.#pinned * this.blockTokens;
  }

  /** Tokens in all own tiers: cached blocks, in use or not, and what running calls hold beyond them. */
  get residentTokens(): number {
    let blocks = this.#pinned;
    for (let tier = device; tier <= this.#tiers; tier++) blocks += this.#count[tier]!;
    return blocks * this.blockTokens + this.privateTokens;
  }

  /** How many of the blocks no running call holds: device memory that admitting their prompt would newly bind. */
  unpinned(blocks: BlockIds): number {
    let count = 0;
    for (let i = 0; i < blocks.length; i++) if (this.#refs[blocks[i]!] === 0) count++;
    return count;
  }

  get pinnedBlocks(): number {
    return this.#pinned;
  }

  /** Resident idle blocks of a tier (1 is the device). */
  idleBlocks(tier: number): number {
    return this.#count[tier]!;
  }

  /** Pins one block on the device, inserting or promoting it as needed. Returns the tier it came from (0: computed now). */
  pin(block: number): number {
    const from = this.#state[block]!;
    if (from === device && this.#refs[block]! > 0) {
      this.#refs[block]!++;
      return device;
    }
    if (from !== absent) this.#unlink(block, from);
    else this.#listener?.(block, true);
    this.#state[block] = device;
    this.#refs[block] = 1;
    this.#pinned++;
    return from;
  }

  /** Releases pins of `blocks[0 .. count)`, last to first, so that leaves are evicted before their parents. */
  release(blocks: BlockIds, count: number): void {
    for (let i = count - 1; i >= 0; i--) this.unpin(blocks[i]!);
  }

  unpin(block: number): void {
    if (--this.#refs[block]! > 0) return;
    this.#pinned--;
    this.#append(block, device);
  }

  /** The first `count` blocks exist now: a store that is written at once gets them. */
  computed(blocks: BlockIds, count: number): void {
    if (this.store?.writes === "computed") this.store.saveLeading(blocks, count);
  }

  /** Puts what it has of a prompt's beginning where the other replicas can read it; some of that may lie there already. */
  share(blocks: BlockIds): void {
    this.store?.saveLeading(blocks, this.match(blocks));
  }

  /** Keeps a finished call's output as blocks that no prompt will ask for: they only take room until they are evicted. */
  leaveOutput(tokens: number): void {
    const count = Math.floor(tokens / this.blockTokens);
    if (this.store?.writes === "computed") for (let i = 0; i < count; i++) this.store.saveOutput();
    for (let i = 0; i < count && this.#phantomsFree > 0; i++) {
      const block = this.#freePhantoms[--this.#phantomsFree]!;
      this.#append(block, device);
    }
  }

  /** Keeps blocks that a finished call's output completed, as idle device blocks, last to first. */
  keepOutput(blocks: BlockIds): void {
    this.computed(blocks, blocks.length);
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      const from = this.#state[block]!;
      if (from === device) continue;
      if (from !== absent) this.#unlink(block, from);
      else this.#listener?.(block, true);
      this.#append(block, device);
    }
  }

  /** Evicts idle device blocks, oldest first, until running calls and cached blocks fit. */
  fit(): void {
    const budget = Math.floor((this.deviceTokens - this.privateTokens) / this.blockTokens) - this.#pinned;
    while (this.#count[device]! > budget && this.#count[device]! > 0) this.#sink(this.#oldest(device), device);
  }

  /** Moves idle device blocks down a tier (the tool-window verb `demote`); pinned and absent ones stay as they are. */
  demote(blocks: BlockIds): number {
    let moved = 0;
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      if (this.#state[block] !== device || this.#refs[block]! > 0) continue;
      this.#sink(block, device);
      moved++;
    }
    return moved;
  }

  /** Forgets idle blocks wherever they lie (the verb `drop`). */
  drop(blocks: BlockIds): number {
    let gone = 0;
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = blocks[i]!;
      if (this.#state[block] === absent || this.#refs[block]! > 0) continue;
      this.#unlink(block, this.#state[block]!);
      this.#forget(block);
      gone++;
    }
    return gone;
  }

  /** Everything of its own is lost: the process died. What lies in a shared store stays there. */
  clear(): void {
    for (let block = 0; block < this.#state.length; block++) {
      if (this.#state[block] === absent) continue;
      if (this.#refs[block]! > 0) {
        this.#refs[block] = 0;
        this.#pinned--;
      } else this.#unlink(block, this.#state[block]!);
      this.#forget(block);
    }
    this.privateTokens = 0;
  }

  #oldest(tier: number): number {
    return this.#next[tier]! - this.#tiers - 1;
  }

  #append(block: number, tier: number): void {
    const node = block + this.#tiers + 1;
    const newest = this.#previous[tier]!;
    this.#previous[node] = newest;
    this.#next[node] = tier;
    this.#next[newest] = node;
    this.#previous[tier] = node;
    this.#state[block] = tier;
    this.#count[tier]!++;
  }

  #unlink(block: number, tier: number): void {
    const node = block + this.#tiers + 1;
    const next = this.#next[node]!;
    const previous = this.#previous[node]!;
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#count[tier]!--;
  }

  #sink(block: number, tier: number): void {
    this.#unlink(block, tier);
    let below = tier + 1;
    while (below <= this.#tiers && this.#capacity[below]! < 1) below++;
    if (below > this.#tiers) {
      this.#leave(block);
      return;
    }
    if (this.#count[below]! >= this.#capacity[below]!) this.#sink(this.#oldest(below), below);
    this.#append(block, below);
    this.demoted++;
  }

  /** A block leaves the last tier: into a store that takes evicted blocks, else it is dropped. */
  #leave(block: number): void {
    this.#forget(block);
    if (this.store?.writes !== "evicted") {
      this.dropped++;
      return;
    }
    this.demoted++;
    if (block >= this.#blockCount) this.store.saveOutput();
    else this.store.save(block);
  }

  #forget(block: number): void {
    this.#state[block] = absent;
    if (block >= this.#blockCount) this.#freePhantoms[this.#phantomsFree++] = block;
    else this.#listener?.(block, false);
  }
}

/** Blocks for outputs that no prompt asks for: as many as all tiers hold. */
function phantomsOf({ deviceTokens, lowerTokens, blockTokens }: KvSizes): number {
  const held = [deviceTokens, ...lowerTokens].reduce((sum, tokens) => sum + Math.ceil(tokens / blockTokens), 0);
  return Math.min(held, phantomsMost) + 2;
}
