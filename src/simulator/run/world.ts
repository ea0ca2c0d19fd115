// What a run begins with: an engine with its cache for every replica, the stores that they share, and for each gateway its view of the
// caches and its scheduler.
import { createScheduler, type Policy, type Rival, type Scheduler } from "../../scheduler/index.ts";
import { Engine } from "../engine/engine.ts";
import type { EngineHost } from "../engine/host.ts";
import { KvCache } from "../engine/kvCache.ts";
import { parentsOf, SharedStore } from "../engine/sharedStore.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet, Replica } from "../fleet.ts";
import { cacheBytesMost } from "../limits.ts";
import { type BlockListener, SimulatorError, type Workload } from "../types.ts";
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
 *
 * @throws SimulatorError `caches_too_large`
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
  const sizesOf = ({ profile }: Replica) => ({
    deviceTokens: profile.kvCapacityTokens,
    blockTokens,
    lowerTokens: profile.tiers.map((tier) => tier.capacityTokens),
  });
  const bytes = replicas.reduce((sum, replica) => sum + KvCache.bytesFor(blockCount, sizesOf(replica)), 0);
  if (bytes > cacheBytesMost) throw tooManyBlocks(replicas.length, blockCount, bytes);
  const caches = replicas.map((replica, i) => {
    const { store } = replica;
    const sizes = sizesOf(replica);
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

function tooManyBlocks(replicas: number, blockCount: number, bytes: number): SimulatorError {
  return new SimulatorError(
    "caches_too_large",
    `${replicas} replicas and ${blockCount} different blocks of prompts take ${gib(bytes)} GiB of memory; ${gib(cacheBytesMost)} are allowed.`,
    "Give fewer replicas, or less of the trace (--limit).",
  );
}

const gib = (bytes: number): number => Math.round(bytes / 2 ** 28) / 4;

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
