// Compares placement policies as load curves: every cache-aware policy, on every available workload, at half to one and a half times the
// load. One fleet per workload, chosen so that load 1 keeps it busy; the same arrivals and seed for all.
import { makePolicy, type Policy } from "../../src/scheduler/index.ts";
import { parseFleet, type Fleet, type FleetInput } from "../../src/simulator/fleet.ts";
import { summarise } from "../../src/simulator/report/summary.ts";
import { simulate } from "../../src/simulator/run/simulation.ts";
import { openWorkload, type OpenOptions } from "../../src/simulator/traces/open.ts";
import { scaleWorkload } from "../../src/simulator/traces/scale.ts";
import type { Workload } from "../../src/simulator/types.ts";
import { heading, percent, printTable } from "./print.ts";

const seeds = [1, 2, 3];

export interface Scenario {
  name: string;
  trace: OpenOptions;
  fleet: FleetInput;
}

export const scenarios: Record<string, Scenario> = {
  conversation: {
    name: "Mooncake conversation, 8 x (8 A100), Llama 3.1 70B",
    trace: { trace: "mooncake/conversation_trace.jsonl" },
    fleet: { pools: [{ name: "a100", profile: "a100-llama-3.1-70b-tp8", replicas: 8 }] },
  },
  "conversation-h100": {
    name: "Mooncake conversation, 4 x (8 H100) with host memory",
    trace: { trace: "mooncake/conversation_trace.jsonl", limit: 3000 },
    fleet: {
      pools: [
        {
          name: "h100",
          profile: "h100-llama-3.1-70b-tp8",
          replicas: 4,
          tiers: [{ tier: "host", capacityTokens: 6_000_000, latencyMs: 1, msPerToken: 0.0066 }],
        },
      ],
    },
  },
  toolagent: {
    name: "Mooncake tool and agent (first 1,000), 8 x (8 A100)",
    trace: { trace: "mooncake/arxiv_trace_head1000.jsonl" },
    fleet: { pools: [{ name: "a100", profile: "a100-llama-3.1-70b-tp8", replicas: 8 }] },
  },
  agents: {
    name: "agent sessions (Claude Code), 8 x (8 H100), closed loop",
    trace: { trace: "claude-code-kvct/traces.compact.jsonl", limit: 60, startGapS: 10, maxGapS: 300 },
    fleet: { pools: [{ name: "h100", profile: "h100-llama-3.1-70b-tp8", replicas: 8 }] },
  },
  "llm-d-37pct": {
    name: "llm-d 37 %, 4 x (4 H100)",
    trace: { trace: "llm-d-37pct" },
    fleet: { pools: [{ name: "pod", profile: "h100-llama-3.1-70b-tp4", replicas: 4, kvCapacityTokens: 461_376 }] },
  },
  "llm-d-73pct": {
    name: "llm-d 73 %, 8 pods",
    trace: { trace: "llm-d-73pct" },
    fleet: { pools: [{ name: "pod", profile: "h100-llama-3.1-70b-tp4", replicas: 8, kvCapacityTokens: 307_328 }] },
  },
};
export const rivals = [
  "least-delay",
  "two-tier",
  "lmetric",
  "llm-d",
  "dynamo",
  "cache-aware",
  "consistent-hash",
  "least-load",
];
export const loads = [0.5, 0.75, 1, 1.25, 1.5];

export interface Point {
  policy: string;
  load: number;
  hits: number;
  p50: number;
  p90: number;
  p99: number;
  mean: number;
  perToken: number;
  goodput: number;
}

export function point(workload: Workload, fleet: Fleet, policy: Policy, load: number, seed = 1): Point {
  const summary = summarise(simulate(scaleWorkload(workload, { speed: load }), fleet, policy, { seed }));
  return {
    policy: policy.name,
    load,
    hits: summary.tokenHitRate,
    p50: summary.ttftMs.p50,
    p90: summary.ttftMs.p90,
    p99: summary.ttftMs.p99,
    mean: summary.ttftMs.mean,
    perToken: summary.timePerTokenMs.mean,
    goodput: summary.goodput,
  };
}

const figures = ["p50", "p90", "p99"] as const;

/**
 * All policies on all workloads; prints, for each workload, our policy, the one it replaced, and the best of all others for each figure.
 */
export async function policies() {
  const results: Record<string, Point[]> = {};
  for (const [key, scenario] of Object.entries(scenarios)) {
    heading(scenario.name);
    const points = await curve(scenario);
    results[key] = points;
    printTable(
      ["load", "rule", "hits", "TTFT p50 ms", "p90 ms", "p99 ms", "ms/token", "goodput"],
      loads.flatMap((load) => {
        const at = points.filter((one) => one.load === load);
        const others = at.filter((one) => one.policy !== "least-delay" && one.policy !== "two-tier");
        return [
          ...at.filter((one) => !others.includes(one)).map((one) => [load, one.policy, ...cells(one)]),
          [load, "best of others", ...cells(bestOf(others))],
        ];
      }),
    );
  }
  return results;
}

/** Medians over seeds: of the placement's draws and, where starts are drawn, of the workload. */
async function curve(scenario: Scenario): Promise<Point[]> {
  const runs: Point[][] = [];
  for (const seed of seeds) {
    const workload = await openWorkload({ ...scenario.trace, seed });
    const fleet = parseFleet(scenario.fleet);
    runs.push(loads.flatMap((load) => rivals.map((name) => point(workload, fleet, makePolicy(name), load, seed))));
  }
  return runs[0]!.map((first, i) => {
    const same = runs.map((run) => run[i]!);
    const merged = { ...first };
    for (const key of ["hits", "p50", "p90", "p99", "mean", "perToken", "goodput"] as const)
      merged[key] = same.map((one) => one[key]).toSorted((a, b) => a - b)[same.length >> 1]!;
    return merged;
  });
}

/** The best value of each figure over all policies; no single policy has all of them. */
function bestOf(points: readonly Point[]): Point {
  const best = { ...points[0]! };
  for (const key of [...figures, "mean", "perToken"] as const) best[key] = Math.min(...points.map((one) => one[key]));
  for (const key of ["hits", "goodput"] as const) best[key] = Math.max(...points.map((one) => one[key]));
  return best;
}

function cells(one: Point): string[] {
  return [
    percent(one.hits),
    ...figures.map((key) => Math.round(one[key]).toString()),
    one.perToken.toFixed(1),
    percent(one.goodput),
  ];
}
