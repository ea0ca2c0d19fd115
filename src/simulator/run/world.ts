// What a run begins with: an engine with its cache for every replica, and the scheduler's picture of them.
import { Endpoints, LoadView } from "../../scheduler/index.ts";
import { Engine, type EngineHost } from "../engine/engine.ts";
import { KvCache } from "../engine/kvCache.ts";
import { parentsOf, SharedStore } from "../engine/sharedStore.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import type { Workload } from "../types.ts";
import { endpointSpec } from "./endpointSpec.ts";
import { createKnowledge, type CacheView } from "./knowledge.ts";
import { neverScraped, type SimulatedEndpoint } from "./scraped.ts";

export interface World {
  readonly engines: Engine[];
  /** In the fleet's order. */
  readonly stores: SharedStore[];
  readonly endpoints: SimulatedEndpoint[];
  /** What the router believes of the engines' caches. */
  readonly cacheView: CacheView;
  readonly loads: LoadView;
  readonly registry: Endpoints;
}

export function createWorld(workload: Workload, fleet: Fleet, queue: EventQueue, host: EngineHost): World {
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
  const loads = new LoadView("simulator");
  const registry = new Endpoints(loads);
  return {
    engines: replicas.map(({ profile, store }, i) => new Engine(i, profile, caches[i]!, queue, host, store?.tier)),
    stores,
    endpoints: replicas.map((replica) => {
      const spec = endpointSpec(replica, fleet, blockTokens);
      return Object.assign(registry.join(spec, "ready"), { scraped: neverScraped() });
    }),
    cacheView: knowledge.connect(caches),
    loads,
    registry,
  };
}
