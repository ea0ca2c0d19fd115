// What a run begins with: an engine with its cache for every replica, the stores that they share, the router's view of the caches, and
// the scheduler itself.
import { createScheduler, type Policy, type Rival, type Scheduler } from "../../scheduler/index.ts";
import { Engine } from "../engine/engine.ts";
import type { EngineHost } from "../engine/host.ts";
import { KvCache } from "../engine/kvCache.ts";
import { parentsOf, SharedStore } from "../engine/sharedStore.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import type { Workload } from "../types.ts";
import { createKnowledge } from "./knowledge.ts";

export interface World {
  readonly engines: Engine[];
  /** In the fleet's order. */
  readonly stores: SharedStore[];
  readonly scheduler: Scheduler;
}

/** Makes the replicas, as yet unknown to the scheduler, and the scheduler with the rules and the knowledge of the fleet's router. */
export function createWorld(
  workload: Workload,
  fleet: Fleet,
  policyOf: (deployment: string) => Policy,
  rng: () => number,
  queue: EventQueue,
  host: EngineHost,
): World {
  const { blockCount, blockTokens, calls } = workload;
  const { replicas } = fleet;
  const knowledge = createKnowledge(fleet, blockCount, blockTokens, () => queue.nowMs);
  const parents = fleet.stores.length === 0 ? new Int32Array(0) : parentsOf(calls, blockCount);
  const stores = fleet.stores.map(
    ({ capacityTokens, writes }, i) =>
      new SharedStore({
        blockCount,
        blockTokens,
        parents,
        capacityTokens,
        writes,
        listener: knowledge.storeListener(i),
      }),
  );
  const caches = replicas.map(({ profile, store }, i) => {
    const lowerTokens = profile.tiers.map((tier) => tier.capacityTokens);
    const sizes = { deviceTokens: profile.kvCapacityTokens, blockTokens, lowerTokens };
    return new KvCache(blockCount, sizes, knowledge.listener(i), store && stores[store.index]);
  });
  const scheduler = createScheduler({
    rng,
    policy: policyOf,
    caches: knowledge.connect(caches),
    kvBytesPerToken: replicas[0]!.profile.kvBytesPerToken,
    rival: rivalOf(fleet),
  });
  return {
    engines: replicas.map(({ profile, store }, i) => new Engine(i, profile, caches[i]!, queue, host, store?.tier)),
    stores,
    scheduler,
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
