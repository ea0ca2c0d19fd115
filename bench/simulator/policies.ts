// Compares placement rules on a grid of fleets, loads, traces and seeds, and judges the default at each point.
//
//   node bench/simulator.ts policies                        the whole grid, ten seeds; more than an hour of one core
//   ... --quick                                             short workloads, two fleets and loads, three seeds
//   ... --fleet 4,32 --trace conversation --load 1,1.25     parts of it; also --policies least-delay,llm-d --seeds 3
//   ... --gateways 1,2:50,4:500                             numbers of gateways, each with the age of their messages of load in ms
//   ... --speeds told,learned                               whether the scheduler is told how fast endpoints are, or learns it
//   ... --out FILE                                          each run is a line of FILE; runs that it has already are not run again
//   ... --jobs N                                            worker processes
//   ... --report FILE                                       prints the tables from saved results, and runs nothing
import { appendFileSync } from "node:fs";
import type { Job } from "./grid/job.ts";
import { report } from "./grid/report.ts";
import { keyOf, readRows, type Row } from "./grid/row.ts";
import { traces, tracesAtHand } from "./grid/traces.ts";
import { runJobs } from "./grid/workers.ts";

/** Options of the command line that belong to this part. */
export const policyOptions = {
  quick: { type: "boolean" },
  fleet: { type: "string" },
  trace: { type: "string" },
  load: { type: "string" },
  policies: { type: "string" },
  seeds: { type: "string" },
  calls: { type: "string" },
  gateways: { type: "string" },
  speeds: { type: "string" },
  out: { type: "string" },
  jobs: { type: "string" },
  report: { type: "string" },
} as const;

export type PolicyValues = { [key in Exclude<keyof typeof policyOptions, "quick">]?: string } & { quick?: boolean };

interface Grid {
  fleets: number[];
  loads: number[];
  policies: string[];
  seeds: number;
  gateways: Job["gateways"][];
  speeds: Job["speeds"][];
  /** Calls for an endpoint. */
  calls: number;
}

const alone = { count: 1, loadAgeMs: 0 };

const whole: Grid = {
  fleets: [4, 8, 32],
  loads: [0.5, 0.75, 1, 1.25, 1.5],
  policies: ["least-delay", "two-tier", "lmetric", "llm-d", "dynamo", "cache-aware", "consistent-hash", "least-load"],
  seeds: 10,
  gateways: [alone],
  speeds: ["told"],
  calls: 200,
};

const quick: Grid = {
  fleets: [4, 16],
  loads: [0.75, 1.25],
  policies: ["least-delay", "lmetric", "llm-d", "cache-aware"],
  seeds: 3,
  gateways: [alone],
  speeds: ["told"],
  calls: 100,
};

/** Runs what is missing of the grid and prints the tables. */
export async function policies(values: PolicyValues) {
  if (values.report !== undefined) return report(readRows(values.report).values());
  const grid = chosen(values);
  const names = values.trace?.split(",") ?? tracesAtHand();
  for (const name of names) if (!Object.hasOwn(traces, name)) throw new Error(`No trace "${name}": ${known()}.`);
  const rows = values.out === undefined ? new Map<string, Row>() : readRows(values.out);
  const wanted: Row[] = [];
  const jobs: Job[] = [];
  const seek = (job: Job, load: number, policy: string): void => {
    const { gateways, runs } = job;
    const row = rows.get(keyOf({ ...job, gateways: gateways.count, loadAgeMs: gateways.loadAgeMs, load, policy }));
    if (row === undefined) runs.push({ load, policy });
    else wanted.push(row);
  };
  for (let seed = 1; seed <= grid.seeds; seed++) {
    for (const { gateways, speeds, fleet, trace } of places(grid, names)) {
      const job: Job = { trace, fleet, seed, gateways, speeds, calls: grid.calls, runs: [] };
      for (const load of grid.loads) for (const policy of grid.policies) seek(job, load, policy);
      if (job.runs.length > 0) jobs.push(job);
    }
  }
  const total = jobs.reduce((sum, { runs }) => sum + runs.length, 0);
  let done = 0;
  await runJobs(jobs, Number(values.jobs ?? 1), (row) => {
    wanted.push(row);
    if (values.out !== undefined) appendFileSync(values.out, `${JSON.stringify(row)}\n`);
    if (++done % 200 === 0) console.error(`${done} of ${total} runs`);
  });
  return report(wanted);
}

/** Where each rule runs with a seed: every fleet, trace, number of gateways and knowledge of speeds. */
function* places({ gateways: all, speeds: known, fleets }: Grid, traces: readonly string[]) {
  for (const gateways of all)
    for (const speeds of known)
      for (const fleet of fleets) for (const trace of traces) yield { gateways, speeds, fleet, trace };
}

const known = (): string => `there are ${Object.keys(traces).join(", ")}`;

function chosen(values: PolicyValues): Grid {
  const base = values.quick === true ? quick : whole;
  const numbers = (text: string | undefined): number[] | undefined => text?.split(",").map(Number);
  return {
    fleets: numbers(values.fleet) ?? base.fleets,
    loads: numbers(values.load) ?? base.loads,
    policies: values.policies?.split(",") ?? base.policies,
    seeds: Number(values.seeds ?? base.seeds),
    speeds: values.speeds?.split(",").map(speedsOf) ?? base.speeds,
    gateways: values.gateways?.split(",").map(gatewaysOf) ?? base.gateways,
    calls: Number(values.calls ?? base.calls),
  };
}

function speedsOf(text: string): Job["speeds"] {
  if (text !== "told" && text !== "learned") throw new Error(`Speeds are "told" or "learned", not "${text}".`);
  return text;
}

/** `COUNT` or `COUNT:AGE`. */
function gatewaysOf(text: string): Job["gateways"] {
  const [count, loadAgeMs] = text.split(":").map(Number);
  return { count: count!, loadAgeMs: loadAgeMs ?? 0 };
}
