// Compares placement rules on a grid of fleets, loads, traces and seeds, and judges the default at each point.
//
//   node bench/simulator.ts policies                        the whole grid, ten seeds; more than an hour of one core
//   ... --least-seeds 3                                     further seeds only for rules that three have not judged at a point: the same
//                                                           verdicts for a third of the time
//   ... --quick                                             short workloads, two fleets and loads, three seeds
//   ... --fleet 4,32 --trace conversation --load 1,1.25     parts of it; also --policies least-delay,llm-d --seeds 3
//   ... --gateways 1,2:50,4:500                             numbers of gateways, each with the age of their messages of load in ms
//   ... --speeds told,learned                               whether the scheduler is told how fast endpoints are, or learns it
//   ... --deadline 5000                                     refuses calls whose first token would come later than that, ms
//   ... --out FILE                                          each run is a line of FILE; runs that it has already are not run again
//   ... --jobs N                                            worker processes
//   ... --report FILE                                       prints the tables from saved results, and runs nothing
import { appendFileSync } from "node:fs";
import { defaultPolicy } from "../../src/scheduler/index.ts";
import type { Job } from "./grid/job.ts";
import { report } from "./grid/report.ts";
import { keyOf, pointOf, readRows, type Row } from "./grid/row.ts";
import { traces, tracesAtHand } from "./grid/traces.ts";
import { pointsOf, undecided } from "./grid/verdict.ts";
import { runJobs } from "./grid/workers.ts";

/** Options of the command line that belong to this part. */
export const policyOptions = {
  quick: { type: "boolean" },
  fleet: { type: "string" },
  trace: { type: "string" },
  load: { type: "string" },
  policies: { type: "string" },
  seeds: { type: "string" },
  "least-seeds": { type: "string" },
  calls: { type: "string" },
  gateways: { type: "string" },
  speeds: { type: "string" },
  deadline: { type: "string" },
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
  /** Seeds that every rule gets. More are run only while an interval leaves the verdict open. */
  leastSeeds: number;
  gateways: Job["gateways"][];
  speeds: Job["speeds"][];
  /** Calls for an endpoint. */
  calls: number;
  deadlineMs?: number;
}

const alone = { count: 1, loadAgeMs: 0 };

const whole: Omit<Grid, "leastSeeds"> = {
  fleets: [4, 8, 32],
  loads: [0.5, 0.75, 1, 1.25, 1.5],
  policies: ["least-delay", "two-tier", "lmetric", "llm-d", "dynamo", "cache-aware", "consistent-hash", "least-load"],
  seeds: 10,
  gateways: [alone],
  speeds: ["told"],
  calls: 200,
};

const quick: Omit<Grid, "leastSeeds"> = {
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
  const saved = values.out === undefined ? new Map<string, Row>() : readRows(values.out);
  const wanted = new Map<string, Row>();
  for (let seed = 1; seed <= grid.seeds; seed++) {
    const jobs = jobsOf(grid, names, seed, saved, wanted);
    const total = jobs.reduce((sum, { runs }) => sum + runs.length, 0);
    let done = 0;
    await runJobs(jobs, Number(values.jobs ?? 1), (row) => {
      wanted.set(row.key, row);
      if (values.out !== undefined) appendFileSync(values.out, `${JSON.stringify(row)}\n`);
      if (++done % 200 === 0) console.error(`seed ${seed}: ${done} of ${total} runs`);
    });
  }
  return report(wanted.values());
}

/** What is to be run with a seed. Runs that are saved already are put to the wanted rows instead. */
function jobsOf(grid: Grid, names: readonly string[], seed: number, saved: Map<string, Row>, wanted: Map<string, Row>) {
  const known = Map.groupBy(wanted.values(), pointOf);
  const jobs: Job[] = [];
  for (const { gateways, speeds, fleet, trace } of places(grid, names)) {
    const job: Job = { trace, fleet, seed, gateways, speeds, calls: grid.calls, runs: [] };
    if (grid.deadlineMs !== undefined) job.deadlineMs = grid.deadlineMs;
    for (const load of grid.loads) {
      const place = { ...job, gateways: gateways.count, loadAgeMs: gateways.loadAgeMs, load };
      const rows = known.get(pointOf(place)) ?? [];
      for (const policy of seed <= grid.leastSeeds ? grid.policies : openAt(rows)) {
        const row = saved.get(keyOf({ ...place, policy }));
        if (row === undefined) job.runs.push({ load, policy });
        else wanted.set(row.key, row);
      }
    }
    if (job.runs.length > 0) jobs.push(job);
  }
  return jobs;
}

/** The rules that need another seed at the point of these rows, and the default beside them. */
function openAt(rows: readonly Row[]): string[] {
  const open = pointsOf(rows).flatMap(undecided);
  return open.length === 0 ? [] : [defaultPolicy, ...open];
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
  const seeds = Number(values.seeds ?? base.seeds);
  return {
    fleets: numbers(values.fleet) ?? base.fleets,
    loads: numbers(values.load) ?? base.loads,
    policies: values.policies?.split(",") ?? base.policies,
    seeds,
    leastSeeds: Number(values["least-seeds"] ?? seeds),
    speeds: values.speeds?.split(",").map(speedsOf) ?? base.speeds,
    gateways: values.gateways?.split(",").map(gatewaysOf) ?? base.gateways,
    calls: Number(values.calls ?? base.calls),
    ...(values.deadline !== undefined && { deadlineMs: Number(values.deadline) }),
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
