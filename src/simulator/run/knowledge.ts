// What the router believes about the caches of the fleet. The truth lies in the engines' KvCaches; a router sees it exactly,
// late (events), by its own guess (an LRU over its placements), or not at all. Answers leading matched tokens per tier in
// the layout of the scheduler's PlacementView.
import { LruBlocks } from "../cache/lru.ts";
import type { KvCache, KvListener } from "../engine/kv-cache.ts";
import type { Knowledge } from "../fleet.ts";
import type { SimCall } from "../types.ts";

/** Tiers a view distinguishes; matches the scheduler's `tiers`. */
export const viewTiers = 4;

export interface CacheView {
  /** Fills `matched[offset .. offset + 4)` with leading matched tokens by tier and returns their sum. */
  match(endpoint: number, call: SimCall, matched: Float64Array, offset: number, nowMs: number): number;
  /** The router has sent the call there. */
  placed(endpoint: number, call: SimCall, nowMs: number): void;
  /** Tokens of KV in all tiers of the endpoint; NaN when the router cannot know. */
  residentTokens(endpoint: number): number;
  /** The endpoint started anew with an empty cache. */
  cleared(endpoint: number): void;
}

/** Builds the view, and the listeners that engines' caches must be created with (if any). */
export function createKnowledge(
  knowledge: Knowledge,
  endpoints: number,
  blockCount: number,
  blockTokens: number,
  now: () => number,
): { listener(endpoint: number): KvListener | undefined; connect(caches: readonly KvCache[]): CacheView } {
  if (knowledge.kind === "exact") {
    return { listener: () => undefined, connect: (caches) => new ExactView(caches, blockTokens) };
  }
  if (knowledge.kind === "events") {
    const view = new EventView(endpoints, blockCount, blockTokens, knowledge.lagMs, knowledge.believeMs);
    return {
      listener: (endpoint) => (block, present) => view.hear(endpoint, block, present, now()),
      connect: () => view,
    };
  }
  if (knowledge.kind === "estimated") {
    const capacity = Math.floor(knowledge.capacityTokens / blockTokens);
    const depth = Math.floor(knowledge.maxMatchTokens / blockTokens);
    return {
      listener: () => undefined,
      connect: () => new EstimatedView(endpoints, blockCount, blockTokens, capacity, depth),
    };
  }
  return { listener: () => undefined, connect: () => new BlindView() };
}

/** Tokens of a leading run of `hit` blocks; an engine always computes the last token itself. */
function tokensOf(hit: number, blockTokens: number, call: SimCall): number {
  return Math.min(hit * blockTokens, call.promptTokens - 1);
}

function setDevice(matched: Float64Array, offset: number, tokens: number): number {
  matched[offset] = tokens;
  matched[offset + 1] = 0;
  matched[offset + 2] = 0;
  matched[offset + 3] = 0;
  return tokens;
}

class ExactView implements CacheView {
  readonly #caches: readonly KvCache[];
  readonly #blockTokens: number;

  constructor(caches: readonly KvCache[], blockTokens: number) {
    this.#caches = caches;
    this.#blockTokens = blockTokens;
  }

  match(endpoint: number, call: SimCall, matched: Float64Array, offset: number): number {
    const cache = this.#caches[endpoint]!;
    const blocks = call.blocks;
    const all = cache.match(blocks);
    setDevice(matched, offset, 0);
    if (all === 0) return 0;
    const total = tokensOf(all, this.#blockTokens, call);
    const onDevice = cache.matchDevice(blocks);
    matched[offset] = tokensOf(onDevice, this.#blockTokens, call);
    for (let i = onDevice; i < all; i++) {
      const tier = Math.min(cache.tierOf(blocks[i]!), viewTiers) - 1;
      matched[offset + tier]! += this.#blockTokens;
    }
    return total;
  }

  residentTokens(endpoint: number): number {
    return this.#caches[endpoint]!.residentTokens;
  }

  placed(): void {}
  cleared(): void {}
}

class EventView implements CacheView {
  readonly #visible: Uint8Array[];
  readonly #held: Int32Array;
  readonly #believedUntil: Float64Array[];
  readonly #pending: { atMs: Float64Array; block: Int32Array; head: number; tail: number }[];
  readonly #blockTokens: number;
  readonly #lagMs: number;
  readonly #believeMs: number;

  constructor(endpoints: number, blockCount: number, blockTokens: number, lagMs: number, believeMs: number) {
    const each = <T>(make: () => T) => Array.from({ length: endpoints }, make);
    this.#visible = each(() => new Uint8Array(blockCount));
    this.#held = new Int32Array(endpoints);
    this.#believedUntil = each(() => new Float64Array(blockCount));
    this.#pending = each(() => ({ atMs: new Float64Array(1024), block: new Int32Array(1024), head: 0, tail: 0 }));
    this.#blockTokens = blockTokens;
    this.#lagMs = lagMs;
    this.#believeMs = believeMs;
  }

  /** An event left the engine now; it is seen `lagMs` later. Removals are stored as the block's complement. */
  hear(endpoint: number, block: number, present: boolean, nowMs: number): void {
    const queue = this.#pending[endpoint]!;
    if (queue.tail - queue.head === queue.block.length) {
      const size = queue.block.length;
      const order = Array.from({ length: size }, (_, i) => (queue.head + i) & (size - 1));
      const atMs = new Float64Array(size * 2);
      const blocks = new Int32Array(size * 2);
      order.forEach((from, to) => {
        atMs[to] = queue.atMs[from]!;
        blocks[to] = queue.block[from]!;
      });
      queue.atMs = atMs;
      queue.block = blocks;
      queue.head = 0;
      queue.tail = size;
    }
    const slot = queue.tail++ & (queue.block.length - 1);
    queue.atMs[slot] = nowMs + this.#lagMs;
    queue.block[slot] = present ? block : ~block;
  }

  match(endpoint: number, call: SimCall, matched: Float64Array, offset: number, nowMs: number): number {
    const queue = this.#pending[endpoint]!;
    const visible = this.#visible[endpoint]!;
    const mask = queue.block.length - 1;
    while (queue.head < queue.tail && queue.atMs[queue.head & mask]! <= nowMs) {
      const entry = queue.block[queue.head++ & mask]!;
      this.#held[endpoint]! += entry >= 0 ? 1 - visible[entry]! : -visible[~entry]!;
      if (entry >= 0) visible[entry] = 1;
      else visible[~entry] = 0;
    }
    const believed = this.#believedUntil[endpoint]!;
    const blocks = call.blocks;
    let hit = 0;
    while (hit < blocks.length && (visible[blocks[hit]!] === 1 || believed[blocks[hit]!]! > nowMs)) hit++;
    return setDevice(matched, offset, hit === 0 ? 0 : tokensOf(hit, this.#blockTokens, call));
  }

  placed(endpoint: number, call: SimCall, nowMs: number): void {
    const believed = this.#believedUntil[endpoint]!;
    for (let i = 0; i < call.blocks.length; i++) believed[call.blocks[i]!] = nowMs + this.#believeMs;
  }

  residentTokens(endpoint: number): number {
    return this.#held[endpoint]! * this.#blockTokens;
  }

  cleared(endpoint: number): void {
    this.#held[endpoint] = 0;
    this.#visible[endpoint]!.fill(0);
    this.#believedUntil[endpoint]!.fill(0);
    this.#pending[endpoint]!.head = this.#pending[endpoint]!.tail;
  }
}

class EstimatedView implements CacheView {
  readonly #lru: LruBlocks[];
  readonly #blockTokens: number;
  readonly #renew: () => LruBlocks;
  /** Leading blocks that are remembered and matched. */
  readonly #depth: number;

  constructor(endpoints: number, blockCount: number, blockTokens: number, capacityBlocks: number, depth: number) {
    this.#depth = depth;
    this.#renew = () => new LruBlocks(blockCount, capacityBlocks);
    this.#lru = Array.from({ length: endpoints }, this.#renew);
    this.#blockTokens = blockTokens;
  }

  match(endpoint: number, call: SimCall, matched: Float64Array, offset: number): number {
    const lru = this.#lru[endpoint]!;
    const blocks = call.blocks;
    const depth = Math.min(this.#depth, blocks.length);
    let hit = 0;
    while (hit < depth && lru.has(blocks[hit]!)) hit++;
    return setDevice(matched, offset, hit === 0 ? 0 : tokensOf(hit, this.#blockTokens, call));
  }

  placed(endpoint: number, call: SimCall): void {
    const lru = this.#lru[endpoint]!;
    for (let i = Math.min(this.#depth, call.blocks.length) - 1; i >= 0; i--) lru.touch(call.blocks[i]!);
    lru.trim();
  }

  residentTokens(): number {
    return Number.NaN;
  }

  cleared(endpoint: number): void {
    // A router without events does not notice; its estimate stays stale, as in life, unless health checks tell it.
    this.#lru[endpoint] = this.#renew();
  }
}

class BlindView implements CacheView {
  match(_endpoint: number, _call: SimCall, matched: Float64Array, offset: number): number {
    return setDevice(matched, offset, 0);
  }

  residentTokens(): number {
    return Number.NaN;
  }

  placed(): void {}
  cleared(): void {}
}
