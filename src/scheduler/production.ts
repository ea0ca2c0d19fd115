// The scheduler as it runs: the one place where it is made for the gateway and for simulations, so that a simulated scheduler has the bounds,
// the queue and the plans of the live one. A caller gives its identity and what it knows. It cannot set anything, except that a study names
// the rival that it compares with.
import type { CacheView } from "./placement/caches.ts";
import { Scheduler } from "./scheduler.ts";
import type { Policy, Rng } from "./types.ts";

/** What a caller knows, and its name among the gateways. */
interface SchedulerCaller {
  rng: Rng;
  /** The placement rule of each deployment. */
  policy: (deployment: string) => Policy;
  /** Name among the gateways that share load. */
  gateway?: string;
  /** Whether there are other gateways, which are sent load. */
  shareLoad?: boolean;
  /** What is known of caches, where it is not the prefix index. */
  caches?: CacheView;
  /** Bytes of KV of one token, where they are known. */
  kvBytesPerToken?: number;
  /** Other settings than those of the gateway, for comparison with other routers. A gateway gives none. */
  rival?: Rival;
}

/** Settings of another router than Lineshaft's gateway. */
export interface Rival {
  /** First come, first served, instead of the fair queue. */
  order?: "arrival";
  /** No program waits as a whole. */
  pauses?: false;
  /** Uncached tokens from which a prompt is prefilled elsewhere. */
  splitFromUncachedTokens?: number;
}

/** Makes the scheduler for a gateway or a simulation: with the same settings, unless a study names a rival. */
export function createScheduler({ kvBytesPerToken, rival = {}, ...caller }: SchedulerCaller): Scheduler {
  const { order, pauses, splitFromUncachedTokens } = rival;
  return new Scheduler({
    ...caller,
    queue: order === undefined ? {} : { order },
    pd: {
      ...(kvBytesPerToken !== undefined && { kvBytesPerToken }),
      ...(splitFromUncachedTokens !== undefined && { minUncachedTokens: splitFromUncachedTokens }),
    },
    programs: pauses === undefined ? {} : { pauses },
  });
}
