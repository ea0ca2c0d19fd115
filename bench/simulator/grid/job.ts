// One job of the grid: a trace on a fleet with one seed, at several loads under several rules. All of a job's runs see the same calls, so
// that differences between rules are paired.
import { makePolicy } from "../../../src/scheduler/index.ts";
import { parseFleet } from "../../../src/simulator/fleet.ts";
import { summarise } from "../../../src/simulator/report/summary.ts";
import { simulate } from "../../../src/simulator/run/simulation.ts";
import { idealWork, slo } from "./levels.ts";
import { sessionsUnderWay, stretched, windowOf, type LaidOut } from "./layOut.ts";
import { keyOf, type Place, type Row } from "./row.ts";
import { traces } from "./traces.ts";

export interface Job {
  trace: string;
  fleet: number;
  seed: number;
  /** Calls for an endpoint. */
  calls: number;
  gateways: { count: number; loadAgeMs: number };
  speeds: Place["speeds"];
  deadlineMs?: number;
  runs: { load: number; policy: string }[];
}

/** Runs a job and hands over each row when it is known. */
export async function runJob(
  { trace: name, fleet: endpoints, seed, calls, gateways, speeds, deadlineMs, runs }: Job,
  done: (row: Row) => void,
) {
  const trace = traces[name]!;
  const fleet = parseFleet({
    pools: [{ ...trace.pool, name: "pool", replicas: endpoints }],
    gateways,
    speeds,
    slo,
    deadlineMs,
  });
  const { profile } = fleet.replicas[0]!;
  const count = calls * endpoints;
  const pool = await trace.read(count, endpoints, seed);
  const open = trace.sessions === undefined ? windowOf(pool, count, seed) : pool;
  const work = idealWork(open, profile);
  // Only the load at hand is kept: the runs of one load follow each other.
  let loaded: (LaidOut & { load: number }) | undefined;
  for (const { load, policy } of runs) {
    if (loaded?.load !== load) {
      const spanMs = (count * work.msPerCall) / (endpoints * load);
      const startGapMs = (spanMs * pool.calls.length) / pool.programs / count;
      const prefillMs = (promptTokens: number): number => (promptTokens * profile.step.tokenMs) / endpoints;
      const laidOut =
        trace.sessions === undefined
          ? stretched(open, spanMs)
          : sessionsUnderWay(open, { ...trace.sessions, ...work, seed, spanMs, startGapMs, prefillMs });
      loaded = { ...laidOut, load };
    }
    const { workload, measuredFrom } = loaded;
    const started = process.cpuUsage();
    const result = simulate(workload, fleet, () => makePolicy(policy), { seed });
    const summary = summarise(result, (index) => index >= measuredFrom);
    const used = process.cpuUsage(started);
    const place: Place = {
      trace: name,
      fleet: endpoints,
      gateways: gateways.count,
      loadAgeMs: gateways.loadAgeMs,
      speeds,
      load,
      calls,
      ...(deadlineMs !== undefined && { deadlineMs }),
      policy,
      seed,
    };
    done({
      key: keyOf(place),
      ...place,
      measured: summary.calls,
      refused: summary.refused + summary.failed,
      hits: summary.tokenHitRate,
      idealHits: summary.idealTokenHitRate,
      meanMs: summary.ttftMs.mean,
      p90Ms: summary.ttftMs.p90,
      p99Ms: summary.ttftMs.p99,
      perTokenMs: summary.timePerTokenMs.mean,
      goodput: summary.goodput,
      fairness: summary.fairness,
      utilisation: summary.utilisation,
      cpuMs: Math.round((used.user + used.system) / 1000),
    });
  }
}
