// What would the runner-up have cost? A decision's alternative is simulated, not estimated: the run is repeated with the same
// seed, the same arrivals and the same decisions up to the chosen call, which then goes to the second choice; everything
// after it unfolds anew. The difference is what the decision was worth, to the call itself and to all the others.
import type { Policy } from "../../scheduler/index.ts";
import type { Fleet } from "../fleet.ts";
import { Random } from "../random.ts";
import type { Workload } from "../types.ts";
import { outcome, type CallRecords } from "./records.ts";
import { simulate, type SimulationResult } from "./simulation.ts";

export interface Counterfactual {
  call: number;
  atMs: number;
  chosen: string;
  runnerUp: string;
  /** The call's own time to first token, as it was and as it would have been. */
  ttftMs: number;
  runnerUpTtftMs: number;
  cachedTokens: number;
  runnerUpCachedTokens: number;
  /** Sum over all other served calls of the change in time to first token, ms; positive: the decision was right for them. */
  othersTtftMs: number;
  /** Change of all prompt tokens computed; positive: the decision saved prefill. */
  computedTokens: number;
}

interface CounterfactualOptions {
  /** Calls to ask about; when absent, sampled by the seed among calls that had a runner-up. */
  calls?: readonly number[];
  samples?: number;
  seed?: number;
  onProgress?: (done: number, total: number) => void;
}

/**
 * Asks about decisions of a finished run. `makePolicy` gives a fresh instance: policies keep state.
 * Costs one simulation a decision.
 */
export function counterfactuals(
  baseline: SimulationResult,
  makePolicy: () => Policy,
  options: CounterfactualOptions = {},
): Counterfactual[] {
  const { workload, fleet, records } = baseline;
  const calls = options.calls ?? sample(records, options.samples ?? 10, options.seed ?? baseline.seed);
  return calls
    .filter((call) => records.runnerUp[call]! >= 0)
    .map((call, i, all) => {
      const answer = ask(baseline, workload, fleet, makePolicy, call);
      options.onProgress?.(i + 1, all.length);
      return answer;
    });
}

function ask(
  baseline: SimulationResult,
  workload: Workload,
  fleet: Fleet,
  makePolicy: () => Policy,
  call: number,
): Counterfactual {
  const { records } = baseline;
  const other = simulate(workload, fleet, makePolicy, {
    seed: baseline.seed,
    forced: new Map([[call, records.runnerUp[call]!]]),
  }).records;
  let othersTtftMs = 0;
  let computedTokens = 0;
  for (let i = 0; i < records.count; i++) {
    computedTokens += records.cachedTokens[i]! - other.cachedTokens[i]!;
    if (i === call || records.outcome[i] !== outcome.done || other.outcome[i] !== outcome.done) continue;
    othersTtftMs += ttft(other, i) - ttft(records, i);
  }
  return {
    call,
    atMs: records.placedMs[call]!,
    chosen: fleet.replicas[records.decodeEndpoint[call]!]!.id,
    runnerUp: fleet.replicas[records.runnerUp[call]!]!.id,
    ttftMs: ttft(records, call),
    runnerUpTtftMs: ttft(other, call),
    cachedTokens: records.cachedTokens[call]!,
    runnerUpCachedTokens: other.cachedTokens[call]!,
    othersTtftMs,
    computedTokens,
  };
}

function ttft(records: CallRecords, call: number): number {
  return records.firstMs[call]! - records.sentMs[call]!;
}

function sample(records: CallRecords, count: number, seed: number): number[] {
  const candidates: number[] = [];
  for (let i = 0; i < records.count; i++) {
    if (records.runnerUp[i]! >= 0 && records.outcome[i] === outcome.done) candidates.push(i);
  }
  return Random.stream(seed, "counterfactuals")
    .shuffle(candidates)
    .slice(0, count)
    .toSorted((a, b) => a - b);
}
