// A run in numbers: what a capacity planner compares. Every figure's definition stands in `definitions`, which the report
// prints, so that people who compare figures mean the same.
import { infiniteStudy, tokenHitRate } from "../cache/sequence.ts";
import { replicaPricePerHour } from "../engine/profile.ts";
import { outcome } from "../run/records.ts";
import type { SimulationResult } from "../run/simulation.ts";
import { distribution, jainIndex, type Distribution } from "./statistics.ts";
import { type Refusals, summariseTenants, sumRefusals, type TenantSummary } from "./tenants.ts";

export const definitions = {
  tokenHitRate: "prompt tokens that the serving engine did not compute / prompt tokens, over calls that were served",
  idealTokenHitRate:
    "the same with one cache without bound for all endpoints, calls in trace order; outputs count as cached where the trace tells which blocks they fill",
  idealTokenHitRateOfPrompts: "the same by prompts alone: no output counts as cached",
  ttftMs: "from the client's sending (queueing included) to the first token, served calls",
  timePerTokenMs: "(end - first token) / (output tokens - 1), served calls with at least 2 output tokens",
  endToEndMs: "from the client's sending to the last token, served calls",
  goodput: "share of all calls that were served within both SLO bounds",
  goodputPerSecond: "calls within both SLO bounds / span",
  refusals:
    "calls that the scheduler refused, by its reason: queue_full, deadline, no_endpoint (none may answer it), too_long (it fits nowhere), program_limit",
  serviceTokens: "uncached prompt + output tokens of a tenant's served calls: what the fair queue charges it for",
  fairness: "Jain's index over tenants of mean normalised latency (end to end / output tokens); 1 is equal",
  chipHours:
    "chips x span, whether busy or not; in pools that scale, from the order to start a replica until it had drained",
  replicas: "where pools scale: mean over the span of replicas paid for, and the most that served at once",
  stores:
    "where replicas share stores: tokens that lie there at the end, and over the run those fetched from there and those evicted for want of room",
  costPerMillionTokens: "price of chip-hours and shared stores / (prompt + output tokens of served calls) x 1,000,000",
  costPerMillionOutputTokens: "price of chip-hours and shared stores / output tokens of served calls x 1,000,000",
  utilisation: "busy time of replicas / (replicas x span)",
} as const;

interface EndpointSummary {
  id: string;
  role: string;
  calls: number;
  utilisation: number;
  meanBatch: number;
  computedPromptTokens: number;
  outputTokens: number;
  preemptions: number;
  prefillMs: number;
}

interface StoreSummary {
  name: string;
  capacityTokens: number;
  heldTokens: number;
  fetchedTokens: number;
  evictedTokens: number;
}

export interface RunSummary {
  policy: string;
  seed: number;
  calls: number;
  served: number;
  refused: number;
  /** The refused calls by the scheduler's reason. */
  refusals: Refusals;
  failed: number;
  spanS: number;
  tokenHitRate: number;
  idealTokenHitRate: number;
  /** Of the prompt tokens, the share that came back from lower tiers. */
  reloadedShare: number;
  ttftMs: Distribution;
  timePerTokenMs: Distribution;
  endToEndMs: Distribution;
  goodput: number;
  goodputPerSecond: number;
  fairness: number;
  promptTokens: number;
  outputTokens: number;
  outputTokensPerSecond: number;
  utilisation: number;
  /** Largest share of computed prompt and output tokens on one endpoint, over the mean: 1 is even. */
  imbalance: number;
  /** Replica time spent on prefill per served call, ms. */
  prefillMsPerCall: number;
  chipHours: number;
  /** Only where pools scale. */
  replicas?: { mean: number; peakReady: number };
  cost: number;
  costPerMillionTokens: number;
  costPerMillionOutputTokens: number;
  endpoints: EndpointSummary[];
  tenants: TenantSummary[];
  /** Only where replicas share stores. */
  stores?: StoreSummary[];
}

/** Summarises a run, or only the calls that `includes` admits (a stage of a ladder); endpoints are always whole-run. */
export function summarise(result: SimulationResult, includes: (index: number) => boolean = () => true): RunSummary {
  const { workload, records, fleet } = result;
  const latencies = collect(result, includes);
  const tenants = summariseTenants(result, includes, (index) => isGood(result, index));
  const spanS = result.spanMs / 1000;
  const endpoints = result.engines.map((engine, i): EndpointSummary => ({
    id: fleet.replicas[i]!.id,
    role: fleet.replicas[i]!.role,
    calls: latencies.perEndpoint[i]!,
    utilisation: spanS === 0 ? 0 : engine.totals.busyMs / result.spanMs,
    meanBatch: engine.totals.busyMs === 0 ? 0 : engine.totals.sequenceMs / engine.totals.busyMs,
    computedPromptTokens: engine.totals.computedPromptTokens,
    outputTokens: engine.totals.outputTokens,
    preemptions: engine.totals.preemptions,
    prefillMs: engine.totals.prefillMs,
  }));
  const hours = spanS / 3600;
  const hoursOf = (slot: number): number => (result.scaling ? result.scaling.paidMs[slot]! / 3_600_000 : hours);
  const cost =
    fleet.replicas.reduce((sum, { profile }, slot) => sum + replicaPricePerHour(profile) * hoursOf(slot), 0) +
    fleet.stores.reduce((sum, { pricePerHour }) => sum + pricePerHour * hours, 0);
  const work = endpoints.map((endpoint) => endpoint.computedPromptTokens + endpoint.outputTokens);
  const meanWork = work.reduce((a, b) => a + b, 0) / work.length;
  const tokens = latencies.promptTokens + latencies.outputTokens;
  return {
    policy: result.policy,
    seed: result.seed,
    calls: latencies.calls,
    served: latencies.ttft.length,
    refused: latencies.refused,
    refusals: sumRefusals(tenants),
    failed: latencies.failed,
    spanS,
    tokenHitRate: latencies.promptTokens === 0 ? 0 : latencies.cachedTokens / latencies.promptTokens,
    idealTokenHitRate: tokenHitRate(infiniteStudy(workload)),
    reloadedShare: latencies.promptTokens === 0 ? 0 : latencies.loadedTokens / latencies.promptTokens,
    ttftMs: distribution(latencies.ttft),
    timePerTokenMs: distribution(latencies.timePerToken),
    endToEndMs: distribution(latencies.endToEnd),
    goodput: latencies.calls === 0 ? 0 : latencies.good / latencies.calls,
    goodputPerSecond: spanS === 0 ? 0 : latencies.good / spanS,
    fairness: jainIndex(latencies.perTenant),
    promptTokens: latencies.promptTokens,
    outputTokens: latencies.outputTokens,
    outputTokensPerSecond: spanS === 0 ? 0 : latencies.outputTokens / spanS,
    utilisation: endpoints.reduce((sum, endpoint) => sum + endpoint.utilisation, 0) / endpoints.length,
    imbalance: meanWork === 0 ? 1 : Math.max(...work) / meanWork,
    prefillMsPerCall:
      latencies.ttft.length === 0 ? 0 : endpoints.reduce((sum, e) => sum + e.prefillMs, 0) / records.count,
    chipHours: fleet.replicas.reduce((sum, { profile }, slot) => sum + profile.chips * hoursOf(slot), 0),
    ...(result.scaling === undefined || result.spanMs === 0
      ? {}
      : {
          replicas: {
            mean: result.scaling.paidMs.reduce((a, b) => a + b, 0) / result.spanMs,
            peakReady: result.scaling.peakReady,
          },
        }),
    cost,
    costPerMillionTokens: tokens === 0 ? NaN : (cost / tokens) * 1e6,
    costPerMillionOutputTokens: latencies.outputTokens === 0 ? NaN : (cost / latencies.outputTokens) * 1e6,
    endpoints,
    tenants,
    ...(fleet.stores.length > 0 && {
      stores: result.stores.map(({ capacityTokens, tokens, totals }, i) => ({
        name: fleet.stores[i]!.name,
        capacityTokens,
        heldTokens: tokens,
        fetchedTokens: totals.fetched,
        evictedTokens: totals.evicted,
      })),
    }),
  };
}

/** Time per output token of a served call, ms; 0 where it has one token. */
function perTokenMs({ workload, records }: SimulationResult, index: number): number {
  const { outputTokens } = workload.calls[index]!;
  return outputTokens > 1 ? (records.endMs[index]! - records.firstMs[index]!) / (outputTokens - 1) : 0;
}

/** Whether a served call kept both service levels. */
function isGood(result: SimulationResult, index: number): boolean {
  const { records, fleet } = result;
  const ttftMs = records.firstMs[index]! - records.sentMs[index]!;
  return ttftMs <= fleet.slo.ttftMs && perTokenMs(result, index) <= fleet.slo.timePerTokenMs;
}

function collect(result: SimulationResult, includes: (index: number) => boolean) {
  const { workload, records } = result;
  const tenantSum = new Float64Array(workload.tenants);
  const tenantCount = new Int32Array(workload.tenants);
  const found = {
    calls: 0,
    refused: 0,
    failed: 0,
    good: 0,
    ttft: [] as number[],
    timePerToken: [] as number[],
    endToEnd: [] as number[],
    promptTokens: 0,
    outputTokens: 0,
    cachedTokens: 0,
    loadedTokens: 0,
    perEndpoint: result.engines.map(() => 0),
    perTenant: [] as number[],
  };
  for (const call of workload.calls) {
    const i = call.index;
    if (!includes(i)) continue;
    found.calls++;
    if (records.outcome[i] === outcome.refused) found.refused++;
    if (records.outcome[i] === outcome.failed) found.failed++;
    if (records.outcome[i] !== outcome.done) continue;
    const ttft = records.firstMs[i]! - records.sentMs[i]!;
    const total = records.endMs[i]! - records.sentMs[i]!;
    found.ttft.push(ttft);
    found.endToEnd.push(total);
    if (call.outputTokens > 1) found.timePerToken.push(perTokenMs(result, i));
    if (isGood(result, i)) found.good++;
    found.promptTokens += call.promptTokens;
    found.outputTokens += call.outputTokens;
    found.cachedTokens += records.cachedTokens[i]!;
    found.loadedTokens += records.loadedTokens[i]!;
    found.perEndpoint[records.endpoint[i]!]!++;
    tenantSum[call.tenant]! += total / call.outputTokens;
    tenantCount[call.tenant]!++;
  }
  for (let tenant = 0; tenant < workload.tenants; tenant++) {
    if (tenantCount[tenant]! > 0) found.perTenant.push(tenantSum[tenant]! / tenantCount[tenant]!);
  }
  return found;
}
