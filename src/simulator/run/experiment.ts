// An experiment: one workload, one fleet, several policies, each at several loads. Load is changed by running arrivals faster or
// slower; policies see the same arrivals at each load. The result is what reports are made of.
import { makePolicy, policyNames } from "../../scheduler/index.ts";
import { infiniteStudy, tokenHitRate } from "../cache/sequence.ts";
import type { Fleet } from "../fleet.ts";
import { definitions, summarise, type RunSummary } from "../report/summary.ts";
import { scaleWorkload } from "../traces/scale.ts";
import { SimulatorError, type Workload } from "../types.ts";
import { counterfactuals, type Counterfactual } from "./counterfactual.ts";
import { simulate } from "./simulation.ts";

interface ExperimentOptions {
  policies: readonly string[];
  /** Speeds of arrival relative to the workload's own; gaps inside sessions are scaled too, unless `keepGaps`. */
  loads?: readonly number[];
  keepGaps?: boolean | undefined;
  seed?: number;
  /** Decisions to ask about per policy, at the load nearest to 1. */
  counterfactuals?: number;
  /** Called with what is running and the share of the whole that is done, 0 to 1. */
  onProgress?: (what: string, share: number) => void;
}

interface ExperimentPoint {
  policy: string;
  load: number;
  summary: RunSummary;
}

export interface Experiment {
  workload: {
    name: string;
    calls: number;
    programs: number;
    tenants: number;
    meanPromptTokens: number;
    meanOutputTokens: number;
    /** First to last arrival by the clock, seconds; closed-loop calls are not counted. */
    arrivalSpanS: number;
    /** Ideal hit rates with the outputs that the trace tells the blocks of, and by prompts alone; equal where it tells none. */
    idealTokenHitRate: number;
    idealTokenHitRateOfPrompts: number;
    /** Whether the trace tells of any output which blocks it fills, so that outputs are reused as prompts. */
    tellsOutputs: boolean;
    notes: readonly string[];
  };
  fleet: {
    name: string;
    currency: string;
    replicas: { id: string; role: string; profile: string; chip: string; chips: number; source: string }[];
    stores: Fleet["stores"];
    knowledge: Fleet["knowledge"];
    slo: Fleet["slo"];
  };
  seed: number;
  loads: number[];
  policies: string[];
  points: ExperimentPoint[];
  counterfactuals: Record<string, Counterfactual[]>;
  definitions: typeof definitions;
}

/**
 * Runs all points. Between points the event loop gets a turn, so that progress can be shown and Ctrl-C works.
 * @throws SimulatorError `policy_unknown`, `workload_empty`
 */
export async function runExperiment(workload: Workload, fleet: Fleet, options: ExperimentOptions): Promise<Experiment> {
  for (const policy of options.policies) {
    if (policyNames.includes(policy)) continue;
    throw new SimulatorError(
      "policy_unknown",
      `There is no placement policy "${policy}".`,
      `Known: ${policyNames.join(", ")}.`,
    );
  }
  if (workload.calls.length === 0) {
    throw new SimulatorError(
      "workload_empty",
      "The workload has no calls.",
      "Give another trace, or raise its limits.",
    );
  }
  const seed = options.seed ?? 1;
  const loads = [...new Set(options.loads ?? [0.5, 1, 1.5, 2])].toSorted((a, b) => a - b);
  const samples = options.counterfactuals ?? 8;
  const nearest = loads.reduce((best, load) => (Math.abs(Math.log(load)) < Math.abs(Math.log(best)) ? load : best));
  const total = options.policies.length * (loads.length + samples);
  let done = 0;
  const points: ExperimentPoint[] = [];
  const asked: Record<string, Counterfactual[]> = {};
  for (const load of loads) {
    const scaled = scaleWorkload(workload, { speed: load, keepGaps: options.keepGaps });
    for (const policy of options.policies) {
      options.onProgress?.(`${policy} at ${load} x load`, done / total);
      await turn();
      const result = simulate(scaled, fleet, () => makePolicy(policy), {
        seed,
        onProgress: (ended, calls) =>
          options.onProgress?.(`${policy} at ${load} x load`, (done + ended / calls) / total),
      });
      points.push({ policy, load, summary: summarise(result) });
      done++;
      if (load !== nearest || samples === 0) continue;
      asked[policy] = counterfactuals(result, () => makePolicy(policy), {
        samples,
        onProgress: (n) => options.onProgress?.(`runner-ups of ${policy}`, (done + n) / total),
      });
      done += samples;
    }
  }
  options.onProgress?.("done", 1);
  return {
    workload: describe(workload),
    fleet: {
      name: fleet.name,
      currency: fleet.currency,
      replicas: fleet.replicas.map(({ id, role, profile }) => ({
        id,
        role,
        profile: profile.name,
        chip: profile.chip,
        chips: profile.chips,
        source: profile.source,
      })),
      stores: fleet.stores,
      knowledge: fleet.knowledge,
      slo: fleet.slo,
    },
    seed,
    loads,
    policies: [...options.policies],
    points,
    counterfactuals: asked,
    definitions,
  };
}

function describe(workload: Workload): Experiment["workload"] {
  const { calls } = workload;
  const arrivals = calls.filter((call) => call.after.length === 0).map((call) => call.delayMs);
  const sum = (of: (call: Workload["calls"][number]) => number) => calls.reduce((total, call) => total + of(call), 0);
  return {
    name: workload.name,
    calls: calls.length,
    programs: workload.programs,
    tenants: workload.tenants,
    meanPromptTokens: sum((call) => call.promptTokens) / calls.length,
    meanOutputTokens: sum((call) => call.outputTokens) / calls.length,
    arrivalSpanS:
      (arrivals.reduce((a, b) => Math.max(a, b), 0) - arrivals.reduce((a, b) => Math.min(a, b), Infinity)) / 1000,
    idealTokenHitRate: tokenHitRate(infiniteStudy(workload)),
    idealTokenHitRateOfPrompts: tokenHitRate(infiniteStudy(workload, false)),
    tellsOutputs: calls.some(({ outputBlocks }) => outputBlocks !== undefined),
    notes: workload.notes,
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
