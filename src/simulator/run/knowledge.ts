// What the router believes about the caches of the fleet. The truth lies in the engines' KvCaches; a router sees it exactly,
// late (events), by its own guess (an LRU over its placements), or not at all. Answers leading matched tokens per tier in
// the layout of the scheduler's PlacementView. What lies in a store that replicas share is told of like what is their own, as
// embedded workers tell of the folder that they share; who guesses, or sees nothing, sees nothing of stores either.
import { tiers } from "../../scheduler/index.ts";
import { LruBlocks } from "../cache/lru.ts";
import type { KvCache, KvListener } from "../engine/kvCache.ts";
import type { Fleet, Knowledge, Replica } from "../fleet.ts";
import type { SimCall } from "../types.ts";
import { HeardBlocks } from "./heard.ts";

/** Tiers a view distinguishes; matches the scheduler's `tiers`. */
export const viewTiers = 4;

export interface CacheView {
  /** Fills `matched[offset .. offset + 4)` with leading matched tokens by tier and returns their sum. */
  match(endpoint: number, call: SimCall, matched: Float64Array, offset: number, nowMs: number): number;
  /** The router has sent the call there. */
  placed(endpoint: number, call: SimCall, nowMs: number): void;
  /** Tokens of KV in all tiers of the endpoint, and its part of a store's; NaN when the router cannot know. */
  residentTokens(endpoint: number): number;
  /** The endpoint started anew with an empty cache. */
  cleared(endpoint: number): void;
}

/** What tells the view: caches and stores must be created with these listeners, where there are any. */
export interface KnowledgeFeed {
  listener(endpoint: number): KvListener | undefined;
  storeListener(store: number): KvListener | undefined;
  connect(caches: readonly KvCache[]): CacheView;
}

export function createKnowledge(
  fleet: Fleet,
  blockCount: number,
  blockTokens: number,
  now: () => number,
): KnowledgeFeed {
  const { knowledge, replicas } = fleet;
  const silent = { listener: () => undefined, storeListener: () => undefined };
  if (knowledge.kind === "exact") {
    return { ...silent, connect: (caches) => new ExactView(caches, fleet, blockTokens) };
  }
  if (knowledge.kind === "events") {
    const view = new EventView(fleet, blockCount, blockTokens, knowledge);
    const told =
      (heard: HeardBlocks): KvListener =>
      (block, present) =>
        heard.hear(block, present, now());
    return {
      listener: (endpoint) => told(view.endpoints[endpoint]!),
      storeListener: (store) => told(view.stores[store]!),
      connect: () => view,
    };
  }
  if (knowledge.kind === "estimated") {
    const capacity = Math.floor(knowledge.capacityTokens / blockTokens);
    const depth = Math.floor(knowledge.maxMatchTokens / blockTokens);
    return {
      ...silent,
      connect: () => new EstimatedView(replicas.length, blockCount, blockTokens, capacity, depth),
    };
  }
  return { ...silent, connect: () => new BlindView() };
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
  /** By endpoint and tier of its cache, the scheduler's number of that tier. */
  readonly #tierNumbers: number[][];
  readonly #sharers: number[];

  constructor(caches: readonly KvCache[], fleet: Fleet, blockTokens: number) {
    this.#caches = caches;
    this.#blockTokens = blockTokens;
    this.#tierNumbers = fleet.replicas.map(tierNumbers);
    this.#sharers = fleet.replicas.map(({ store }) => (store === undefined ? 1 : fleet.stores[store.index]!.replicas));
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
    const numbers = this.#tierNumbers[endpoint]!;
    for (let i = onDevice; i < all; i++) matched[offset + numbers[cache.tierOf(blocks[i]!)]!]! += this.#blockTokens;
    return total;
  }

  residentTokens(endpoint: number): number {
    const { residentTokens, store } = this.#caches[endpoint]!;
    return store === undefined ? residentTokens : residentTokens + store.tokens / this.#sharers[endpoint]!;
  }

  placed(): void {}
  cleared(): void {}
}

/** The scheduler's numbers of a replica's tiers, by their numbers in its cache: nothing, the device, its own, a shared store. */
function tierNumbers({ profile, store }: Replica): number[] {
  const below = store === undefined ? profile.tiers : [...profile.tiers, store.tier];
  return [0, 0, ...below.map(({ tier }) => tiers.indexOf(tier))];
}

class EventView implements CacheView {
  readonly endpoints: readonly HeardBlocks[];
  readonly stores: readonly HeardBlocks[];
  readonly #fleet: Fleet;
  readonly #believedUntil: Float64Array[];
  readonly #blockTokens: number;
  readonly #believeMs: number;

  constructor(
    fleet: Fleet,
    blockCount: number,
    blockTokens: number,
    { lagMs, believeMs }: Extract<Knowledge, { kind: "events" }>,
  ) {
    this.#fleet = fleet;
    this.endpoints = fleet.replicas.map(() => new HeardBlocks(blockCount, lagMs));
    this.stores = fleet.stores.map(() => new HeardBlocks(blockCount, lagMs));
    this.#believedUntil = fleet.replicas.map(() => new Float64Array(blockCount));
    this.#blockTokens = blockTokens;
    this.#believeMs = believeMs;
  }

  match(endpoint: number, call: SimCall, matched: Float64Array, offset: number, nowMs: number): number {
    const heard = this.endpoints[endpoint]!;
    heard.settle(nowMs);
    const { visible } = heard;
    const believed = this.#believedUntil[endpoint]!;
    const blocks = call.blocks;
    let hit = 0;
    while (hit < blocks.length && (visible[blocks[hit]!] === 1 || believed[blocks[hit]!]! > nowMs)) hit++;
    const { store } = this.#fleet.replicas[endpoint]!;
    if (store === undefined) return setDevice(matched, offset, hit === 0 ? 0 : tokensOf(hit, this.#blockTokens, call));
    const shared = this.stores[store.index]!;
    shared.settle(nowMs);
    let elsewhere = 0;
    for (; hit < blocks.length; hit++) {
      const block = blocks[hit]!;
      if (visible[block] === 1 || believed[block]! > nowMs) continue;
      if (shared.visible[block] === 0) break;
      elsewhere++;
    }
    const total = hit === 0 ? 0 : tokensOf(hit, this.#blockTokens, call);
    const stored = Math.min(total, elsewhere * this.#blockTokens);
    setDevice(matched, offset, total - stored);
    matched[offset + tiers.indexOf(store.tier.tier)]! += stored;
    return total;
  }

  placed(endpoint: number, call: SimCall, nowMs: number): void {
    const believed = this.#believedUntil[endpoint]!;
    for (let i = 0; i < call.blocks.length; i++) believed[call.blocks[i]!] = nowMs + this.#believeMs;
  }

  residentTokens(endpoint: number): number {
    const own = this.endpoints[endpoint]!.held;
    const { store } = this.#fleet.replicas[endpoint]!;
    const shared = store === undefined ? 0 : this.stores[store.index]!.held / this.#fleet.stores[store.index]!.replicas;
    return (own + shared) * this.#blockTokens;
  }

  cleared(endpoint: number): void {
    this.endpoints[endpoint]!.clear();
    this.#believedUntil[endpoint]!.fill(0);
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
