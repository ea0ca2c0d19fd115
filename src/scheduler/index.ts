// What other rooms use of the scheduler. It only exports.
export * from "./types.ts";
export { seededRng } from "./rng.ts";
export { Scheduler, type SchedulerSnapshot } from "./scheduler.ts";
export { createScheduler, type Rival } from "./production.ts";
export { ExpectedOutputs } from "./expectedOutputs.ts";
export { attemptsMost, firstSpeed, maxInFlightOf, tickMs } from "./limits.ts";
export { ChainCache, HashChain } from "./prefix/chain.ts";
export { type Space, textSpace, textWords, tokenSpace } from "./prefix/hash.ts";
export { PrefixIndex } from "./prefix/prefixIndex.ts";
export type { Carrier } from "./load/carrier.ts";
export { LoadView } from "./load/loadView.ts";
export type { CacheColumns, CacheView } from "./placement/caches.ts";
export { lowest } from "./placement/choose.ts";
export { ratePromptTokens } from "./placement/estimate.ts";
export { defaultPolicy, makePolicy, policyNames } from "./placement/registry.ts";
export { OwnWaits, type OpenWait, Waits } from "./programs/waits.ts";
export { Autoscaler, type ScalePlan } from "./capacity/autoscaler.ts";
export { planQuota } from "./capacity/quota.ts";
