// What a run begins with: an engine with its cache for every replica, and the scheduler's picture of them.
import { Endpoints, LoadView } from "../../scheduler/index.ts";
import { Engine, type EngineHost } from "../engine/engine.ts";
import { KvCache } from "../engine/kv-cache.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import type { Workload } from "../types.ts";
import { endpointSpec } from "./endpoint-spec.ts";
import { createKnowledge, type CacheView } from "./knowledge.ts";
import { neverScraped, type SimulatedEndpoint } from "./scraped.ts";

export interface World {
  readonly engines: Engine[];
  readonly endpoints: SimulatedEndpoint[];
  /** What the router believes of the engines' caches. */
  readonly cacheView: CacheView;
  readonly loads: LoadView;
  readonly registry: Endpoints;
}

export function createWorld(workload: Workload, fleet: Fleet, queue: EventQueue, host: EngineHost): World {
  const { blockCount, blockTokens } = workload;
  const { replicas } = fleet;
  const knowledge = createKnowledge(fleet.knowledge, replicas.length, blockCount, blockTokens, () => queue.nowMs);
  const caches = replicas.map(({ profile }, i) => {
    const lowerTokens = profile.tiers.map((tier) => tier.capacityTokens);
    const sizes = { deviceTokens: profile.kvCapacityTokens, blockTokens, lowerTokens };
    return new KvCache(blockCount, sizes, knowledge.listener(i));
  });
  const loads = new LoadView("simulator");
  const registry = new Endpoints(loads);
  return {
    engines: replicas.map(({ profile }, i) => new Engine(i, profile, caches[i]!, queue, host)),
    endpoints: replicas.map((replica) => {
      const spec = endpointSpec(replica, blockTokens, fleet.maxInFlightPerEndpoint);
      return Object.assign(registry.join(spec, "ready"), { scraped: neverScraped() });
    }),
    cacheView: knowledge.connect(caches),
    loads,
    registry,
  };
}
