// What the router believes about the caches of the fleet: the simulator's views of caches, which plug into the scheduler in place of its
// prefix index. The engines' KvCaches hold the real state; a router sees it exactly, late (by events), by its own guess (an LRU
// over its placements), or not at all. Blocks in a shared store are reported like blocks of the replica itself, as embedded workers report
// the folder that they share; a router that guesses, or sees no caches, sees no stores either.
import {
  tiers,
  type CacheColumns,
  type CacheView,
  type Call,
  type EndpointSpec,
  type EndpointState,
} from "../../scheduler/index.ts";
import { LruBlocks } from "../cache/lru.ts";
import type { KvCache } from "../engine/kvCache.ts";
import type { Fleet, Knowledge, Replica } from "../fleet.ts";
import type { BlockListener, SimCall } from "../types.ts";
import type { Attempt } from "./attempt.ts";
import { HeardBlocks } from "./heard.ts";

/** Tiers that a row of a placement view distinguishes. */
const viewTiers = tiers.length;

/** The view's sources: caches and stores must be created with these listeners, where there are any. */
interface KnowledgeFeed {
  listener(replica: number): BlockListener | undefined;
  storeListener(store: number): BlockListener | undefined;
  connect(caches: readonly KvCache[]): CacheView;
}

/** Makes the view that the fleet's `knowledge` names. `now` answers the virtual time. */
export function createKnowledge(
  fleet: Fleet,
  blockCount: number,
  blockTokens: number,
  now: () => number,
): KnowledgeFeed {
  const { knowledge } = fleet;
  const silent = { listener: () => undefined, storeListener: () => undefined };
  if (knowledge.kind === "exact") {
    return { ...silent, connect: (caches) => new ExactView(caches, fleet, blockTokens) };
  }
  if (knowledge.kind === "events") {
    const view = new EventView(fleet, blockCount, blockTokens, knowledge);
    const told =
      (heard: HeardBlocks): BlockListener =>
      (block, present) =>
        heard.hear(block, present, now());
    return {
      listener: (replica) => told(view.heard[replica]!),
      storeListener: (store) => told(view.stores[store]!),
      connect: () => view,
    };
  }
  if (knowledge.kind === "estimated") {
    const capacity = Math.floor(knowledge.capacityTokens / blockTokens);
    const depth = Math.floor(knowledge.maxMatchTokens / blockTokens);
    return { ...silent, connect: () => new EstimatedView(fleet, blockCount, blockTokens, capacity, depth) };
  }
  return { ...silent, connect: () => new BlindView(fleet) };
}

/** A view of caches by replica: it keeps which replica stands in which of the scheduler's slots. */
abstract class ReplicaView implements CacheView {
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #replicaAt: number[] = [];

  constructor(fleet: Fleet) {
    this.#numbers = new Map(fleet.replicas.map(({ id }, number) => [id, number]));
  }

  reset(slot: number, spec: EndpointSpec | undefined): void {
    if (spec !== undefined) this.#replicaAt[slot] = this.#numbers.get(spec.id)!;
    this.cleared(this.#replicaAt[slot]!);
  }

  look(view: CacheColumns, home: EndpointState | undefined): number {
    const { sim } = view.call as Attempt;
    const { endpoints, count, now } = view;
    for (let i = 0; i < count; i++) {
      const replica = this.#replicaAt[endpoints[i]!.slot]!;
      view.matchedTokens[i] = this.match(replica, sim, view.matched, i * viewTiers, now);
      view.residentTokens[i] = this.residentTokens(replica);
    }
    return home === undefined ? 0 : this.held(this.#replicaAt[home.slot]!, sim, now);
  }

  placed(endpoint: EndpointState, call: Call, now: number): void {
    this.sent(this.#replicaAt[endpoint.slot]!, (call as Attempt).sim, now);
  }

  /** Writes leading matched tokens by tier into the four places from `matched[at]` on, which hold zeros, and returns their sum. */
  protected abstract match(replica: number, call: SimCall, matched: Float64Array, at: number, now: number): number;
  /** Tokens of KV in all tiers of the replica, and its part of a store's; NaN when the router cannot know. */
  protected abstract residentTokens(replica: number): number;
  /** Leading tokens of the prompt that the router knows to lie at the replica. */
  protected abstract held(replica: number, call: SimCall, now: number): number;
  /** The router has sent the call there. */
  protected abstract sent(replica: number, call: SimCall, now: number): void;
  /** The replica has started anew with an empty cache, or has left. */
  protected abstract cleared(replica: number): void;
}

/** Tokens of a leading run of `hit` blocks; an engine always computes the last token itself. */
function tokensOf(hit: number, blockTokens: number, call: SimCall): number {
  return Math.min(hit * blockTokens, call.promptTokens - 1);
}

class ExactView extends ReplicaView {
  readonly #caches: readonly KvCache[];
  readonly #blockTokens: number;
  /** By replica and tier of its cache, the scheduler's number of that tier. */
  readonly #tierNumbers: number[][];
  readonly #sharers: number[];

  constructor(caches: readonly KvCache[], fleet: Fleet, blockTokens: number) {
    super(fleet);
    this.#caches = caches;
    this.#blockTokens = blockTokens;
    this.#tierNumbers = fleet.replicas.map(tierNumbers);
    this.#sharers = fleet.replicas.map(({ store }) => (store === undefined ? 1 : fleet.stores[store.index]!.replicas));
  }

  protected match(replica: number, call: SimCall, matched: Float64Array, at: number): number {
    const cache = this.#caches[replica]!;
    const { blocks } = call;
    const all = cache.match(blocks);
    if (all === 0) return 0;
    const onDevice = cache.matchDevice(blocks);
    matched[at] = tokensOf(onDevice, this.#blockTokens, call);
    const numbers = this.#tierNumbers[replica]!;
    for (let i = onDevice; i < all; i++) matched[at + numbers[cache.tierOf(blocks[i]!)]!]! += this.#blockTokens;
    return tokensOf(all, this.#blockTokens, call);
  }

  protected residentTokens(replica: number): number {
    const { residentTokens, store } = this.#caches[replica]!;
    return store === undefined ? residentTokens : residentTokens + store.tokens / this.#sharers[replica]!;
  }

  protected held(replica: number, call: SimCall): number {
    return this.#caches[replica]!.match(call.blocks) * this.#blockTokens;
  }

  protected sent(): void {}
  protected cleared(): void {}
}

/** The scheduler's numbers of a replica's tiers, by their numbers in its cache: absent, device, lower tiers, shared store. */
function tierNumbers({ profile, store }: Replica): number[] {
  const below = store === undefined ? profile.tiers : [...profile.tiers, store.tier];
  return [0, 0, ...below.map(({ tier }) => tiers.indexOf(tier))];
}

class EventView extends ReplicaView {
  readonly heard: readonly HeardBlocks[];
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
    super(fleet);
    this.#fleet = fleet;
    this.heard = fleet.replicas.map(() => new HeardBlocks(blockCount, lagMs));
    this.stores = fleet.stores.map(() => new HeardBlocks(blockCount, lagMs));
    this.#believedUntil = fleet.replicas.map(() => new Float64Array(blockCount));
    this.#blockTokens = blockTokens;
    this.#believeMs = believeMs;
  }

  protected match(replica: number, call: SimCall, matched: Float64Array, at: number, now: number): number {
    const heard = this.heard[replica]!;
    heard.settle(now);
    const { visible } = heard;
    const believed = this.#believedUntil[replica]!;
    const { blocks } = call;
    let hit = 0;
    while (hit < blocks.length && (visible[blocks[hit]!] === 1 || believed[blocks[hit]!]! > now)) hit++;
    const { store } = this.#fleet.replicas[replica]!;
    if (store === undefined) return (matched[at] = hit === 0 ? 0 : tokensOf(hit, this.#blockTokens, call));
    const shared = this.stores[store.index]!;
    shared.settle(now);
    let elsewhere = 0;
    for (; hit < blocks.length; hit++) {
      const block = blocks[hit]!;
      if (visible[block] === 1 || believed[block]! > now) continue;
      if (shared.visible[block] === 0) break;
      elsewhere++;
    }
    const total = hit === 0 ? 0 : tokensOf(hit, this.#blockTokens, call);
    const stored = Math.min(total, elsewhere * this.#blockTokens);
    matched[at] = total - stored;
    matched[at + tiers.indexOf(store.tier.tier)]! += stored;
    return total;
  }

  protected residentTokens(replica: number): number {
    const own = this.heard[replica]!.held;
    const { store } = this.#fleet.replicas[replica]!;
    const shared = store === undefined ? 0 : this.stores[store.index]!.held / this.#fleet.stores[store.index]!.replicas;
    return (own + shared) * this.#blockTokens;
  }

  protected held(replica: number, { blocks }: SimCall, now: number): number {
    const heard = this.heard[replica]!;
    heard.settle(now);
    const { store } = this.#fleet.replicas[replica]!;
    const shared = store === undefined ? undefined : this.stores[store.index]!;
    shared?.settle(now);
    let hit = 0;
    while (hit < blocks.length && (heard.visible[blocks[hit]!] === 1 || shared?.visible[blocks[hit]!] === 1)) hit++;
    return hit * this.#blockTokens;
  }

  protected sent(replica: number, call: SimCall, now: number): void {
    const believed = this.#believedUntil[replica]!;
    for (let i = 0; i < call.blocks.length; i++) believed[call.blocks[i]!] = now + this.#believeMs;
  }

  protected cleared(replica: number): void {
    this.heard[replica]!.clear();
    this.#believedUntil[replica]!.fill(0);
  }
}

class EstimatedView extends ReplicaView {
  readonly #lru: LruBlocks[];
  readonly #blockTokens: number;
  readonly #renew: () => LruBlocks;
  /** Leading blocks that are remembered and matched. */
  readonly #depth: number;

  constructor(fleet: Fleet, blockCount: number, blockTokens: number, capacityBlocks: number, depth: number) {
    super(fleet);
    this.#depth = depth;
    this.#renew = () => new LruBlocks(blockCount, capacityBlocks);
    this.#lru = fleet.replicas.map(this.#renew);
    this.#blockTokens = blockTokens;
  }

  protected match(replica: number, call: SimCall, matched: Float64Array, at: number): number {
    return (matched[at] = Math.min(this.held(replica, call), call.promptTokens - 1));
  }

  protected residentTokens(): number {
    return Number.NaN;
  }

  protected held(replica: number, { blocks }: SimCall): number {
    const lru = this.#lru[replica]!;
    const depth = Math.min(this.#depth, blocks.length);
    let hit = 0;
    while (hit < depth && lru.has(blocks[hit]!)) hit++;
    return hit * this.#blockTokens;
  }

  protected sent(replica: number, call: SimCall): void {
    const lru = this.#lru[replica]!;
    for (let i = Math.min(this.#depth, call.blocks.length) - 1; i >= 0; i--) lru.touch(call.blocks[i]!);
    lru.trim();
  }

  protected cleared(replica: number): void {
    this.#lru[replica] = this.#renew();
  }
}

class BlindView extends ReplicaView {
  protected match(): number {
    return 0;
  }

  protected residentTokens(): number {
    return Number.NaN;
  }

  protected held(): number {
    return 0;
  }

  protected sent(): void {}
  protected cleared(): void {}
}
