// What each tenant got: its calls and how they ended, and the service that the fair queue charges for.
import type { RefusalCode } from "../../scheduler/index.ts";
import { outcome } from "../run/records.ts";
import type { SimulationResult } from "../run/simulation.ts";
import { distribution, type Distribution } from "./statistics.ts";

/** Refused calls by the scheduler's reason; reasons that did not occur are absent. */
export type Refusals = Partial<Record<RefusalCode, number>>;

export interface TenantSummary {
  name: string;
  calls: number;
  served: number;
  failed: number;
  refusals: Refusals;
  /** Uncached prompt and output tokens of served calls. */
  serviceTokens: number;
  ttftMs: Distribution;
  /** Share of its calls that were served within both service levels. */
  goodput: number;
}

interface Counted {
  calls: number;
  served: number;
  failed: number;
  good: number;
  refusals: Refusals;
  serviceTokens: number;
  ttft: number[];
}

/** Tenants with calls, in the workload's order. `isGood`: whether a served call kept the service levels. */
export function summariseTenants(
  { workload, records }: SimulationResult,
  includes: (index: number) => boolean,
  isGood: (index: number) => boolean,
): TenantSummary[] {
  const counted = new Map<number, Counted>();
  for (const { index, tenant, promptTokens, outputTokens } of workload.calls) {
    if (!includes(index)) continue;
    let of = counted.get(tenant);
    if (of === undefined) {
      of = { calls: 0, served: 0, failed: 0, good: 0, refusals: {}, serviceTokens: 0, ttft: [] };
      counted.set(tenant, of);
    }
    of.calls++;
    if (records.outcome[index] === outcome.failed) of.failed++;
    countRefusal(of.refusals, records.refusalOf(index));
    if (records.outcome[index] !== outcome.done) continue;
    of.served++;
    if (isGood(index)) of.good++;
    of.serviceTokens += promptTokens - records.cachedTokens[index]! + outputTokens;
    of.ttft.push(records.firstMs[index]! - records.sentMs[index]!);
  }
  return [...counted]
    .toSorted(([a], [b]) => a - b)
    .map(([tenant, { ttft, good, ...rest }]) => {
      const name = workload.tenantNames[tenant]!;
      return { name, ...rest, ttftMs: distribution(ttft), goodput: good / rest.calls };
    });
}

/** All tenants' refusals by reason. */
export function sumRefusals(tenants: readonly TenantSummary[]): Refusals {
  const sum: Refusals = {};
  for (const { refusals } of tenants)
    for (const [code, count] of Object.entries(refusals))
      sum[code as RefusalCode] = (sum[code as RefusalCode] ?? 0) + count;
  return sum;
}

function countRefusal(refusals: Refusals, code: RefusalCode | undefined): void {
  if (code !== undefined) refusals[code] = (refusals[code] ?? 0) + 1;
}
