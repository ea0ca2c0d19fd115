// What a run begins with: an engine with its cache for every replica, the stores that they share, and for each gateway its view of the
// caches and its scheduler.
import { createScheduler, type Policy, type Rival, type Scheduler } from "../../scheduler/index.ts";
import { Engine } from "../engine/engine.ts";
import type { EngineHost } from "../engine/host.ts";
import { KvCache } from "../engine/kvCache.ts";
import { parentsOf, SharedStore } from "../engine/sharedStore.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import type { BlockListener, Workload } from "../types.ts";
import { createKnowledge } from "./knowledge.ts";

export interface World {
  readonly engines: Engine[];
  /** In the fleet's order. */
  readonly stores: SharedStore[];
  /** One for each gateway. */
  readonly schedulers: readonly Scheduler[];
}

/**
 * Makes the replicas, as yet unknown to the schedulers, and a scheduler for each gateway with the rules and the knowledge of the fleet's
 * router. `rngOf` answers a stream of random numbers for each gateway.
 */
export function createWorld(
  workload: Workload,
  fleet: Fleet,
  policyOf: (deployment: string) => Policy,
  rngOf: (gateway: number) => () => number,
  queue: EventQueue,
  host: EngineHost,
): World {
  const { blockCount, blockTokens, calls } = workload;
  const { replicas, gateways } = fleet;
  const feeds = Array.from({ length: gateways.count }, () =>
    createKnowledge(fleet, blockCount, blockTokens, () => queue.nowMs),
  );
  const parents = fleet.stores.length === 0 ? new Int32Array(0) : parentsOf(calls, blockCount);
  const stores = fleet.stores.map(
    ({ capacityTokens, writes }, i) =>
      new SharedStore({
        blockCount,
        blockTokens,
        parents,
        capacityTokens,
        writes,
        listener: toAll(feeds.map((feed) => feed.storeListener(i))),
      }),
  );
  const caches = replicas.map(({ profile, store }, i) => {
    const lowerTokens = profile.tiers.map((tier) => tier.capacityTokens);
    const sizes = { deviceTokens: profile.kvCapacityTokens, blockTokens, lowerTokens };
    return new KvCache(blockCount, sizes, toAll(feeds.map((feed) => feed.listener(i))), store && stores[store.index]);
  });
  const schedulers = feeds.map((feed, gateway) =>
    createScheduler({
      rng: rngOf(gateway),
      policy: policyOf,
      gateway: String(gateway),
      shareLoad: gateways.count > 1,
      caches: feed.connect(caches),
      kvBytesPerToken: replicas[0]!.profile.kvBytesPerToken,
      rival: rivalOf(fleet),
    }),
  );
  return {
    engines: replicas.map(({ profile, store }, i) => new Engine(i, profile, caches[i]!, queue, host, store?.tier)),
    stores,
    schedulers,
  };
}

/** One listener for all that listen; undefined when none does. */
function toAll(listeners: readonly (BlockListener | undefined)[]): BlockListener | undefined {
  const [first, ...others] = listeners.filter((listener) => listener !== undefined);
  if (first === undefined || others.length === 0) return first;
  return (block, present) => {
    first(block, present);
    for (const listener of others) listener(block, present);
  };
}

/** In what a fleet's description makes its router another one than the gateway; nothing by default. */
function rivalOf({ queue, pauses, splitFromUncachedTokens }: Fleet): Rival {
  const rival: Rival = {};
  if (queue === "fifo") rival.order = "arrival";
  if (!pauses) rival.pauses = false;
  if (splitFromUncachedTokens !== undefined) rival.splitFromUncachedTokens = splitFromUncachedTokens;
  return rival;
}
