// What other rooms use of the scheduler. It only exports.
export * from "./types.ts";
export { below, seededRng } from "./rng.ts";
export { Endpoints } from "./endpoints.ts";
export { Scheduler, type SchedulerOptions, type SchedulerSnapshot } from "./scheduler.ts";
export { ChainCache, HashChain } from "./prefix/chain.ts";
export { type Space, textSpace, textWords, tokenSpace } from "./prefix/hash.ts";
export { PrefixIndex, type PrefixIndexOptions } from "./prefix/prefixIndex.ts";
export { type Carrier, MemoryCarrier } from "./load/carrier.ts";
export { SpeedMeter } from "./load/speed.ts";
export { LoadHandle, LoadView } from "./load/loadView.ts";
export { expectedTtftMs, kvLoad, prefillAhead, ratePromptTokens, workTokens } from "./placement/estimate.ts";
export { lowest } from "./placement/choose.ts";
export type { CacheColumns, CacheView } from "./placement/caches.ts";
export { decisionOf, explain, numbersOf } from "./placement/explain.ts";
export { defaultPolicy, makePolicy, policies, policyNames } from "./placement/registry.ts";
export { FairQueue, type FairQueueOptions } from "./queue/fairQueue.ts";
export { PdPlanner, type PdOptions } from "./pd/plan.ts";
export { billed, type PdCall, reserve, step } from "./pd/states.ts";
export { type ProgramGate, Programs, type ProgramsOptions } from "./programs/programs.ts";
export { planTool, type ToolKind, type ToolPlan, type ToolWindow } from "./programs/toolWindow.ts";
export { Waits } from "./programs/waits.ts";
export { planWorkingSet, type WorkingSetOptions, type WorkingSetPlan } from "./programs/workingSet.ts";
export {
  Autoscaler,
  type LoadSample,
  type ReplicaCapacity,
  type ScaleOptions,
  type ScalePlan,
} from "./capacity/autoscaler.ts";
export { type Demand, type Department, planQuota, type Pool, type QuotaPlan } from "./capacity/quota.ts";
