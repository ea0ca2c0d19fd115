// Judges the default rule at each point of the grid against the best of the others, by paired differences over seeds.
import { defaultPolicy } from "../../../src/scheduler/index.ts";
import type { Row } from "./row.ts";

/** What the default may lose to the best rule: goodput as a share of calls, mean time to first token as a share of the best. */
export const bounds = { goodput: 0.03, meanTtft: 0.1 };

/** Share of points that may miss. */
export const mayMiss = 0.05;

/** A mean over seeds, and half of the width of its 95 % interval (Student's t; NaN with one seed). */
export interface Estimate {
  mean: number;
  half: number;
}

/** 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom. */
const t975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

export function estimate(values: readonly number[]): Estimate {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { mean, half: (t975[count - 2] ?? 1.96) * Math.sqrt(variance / count) };
}

export interface Point {
  trace: string;
  fleet: number;
  gateways: number;
  loadAgeMs: number;
  speeds: Row["speeds"];
  load: number;
  /** Rows by rule, in the order of seeds. Every rule has the same seeds. */
  rows: ReadonlyMap<string, readonly Row[]>;
}

/** Groups rows by point; seeds that not every rule of a point has are left out. */
export function pointsOf(rows: Iterable<Row>): Point[] {
  const points = new Map<string, Row[]>();
  for (const row of rows) {
    const name = [row.trace, row.fleet, row.gateways, row.loadAgeMs, row.speeds, row.load, row.calls].join(" ");
    const known = points.get(name);
    if (known === undefined) points.set(name, [row]);
    else known.push(row);
  }
  return [...points.values()].map((all) => {
    const byPolicy = Map.groupBy(all, (row) => row.policy);
    const complete = (seed: number): boolean =>
      [...byPolicy.values()].every((own) => own.some((row) => row.seed === seed));
    const { trace, fleet, gateways, loadAgeMs, speeds, load } = all[0]!;
    return {
      trace,
      fleet,
      gateways,
      loadAgeMs,
      speeds,
      load,
      rows: new Map(
        [...byPolicy].map(([policy, own]) => [
          policy,
          own.filter((row) => complete(row.seed)).toSorted((a, b) => a.seed - b.seed),
        ]),
      ),
    };
  });
}

export interface Verdict {
  /** The rule with the most goodput of all others, and what it has more than the judged one. */
  bestGoodput: string;
  goodputLost: Estimate;
  /** The rule with the least mean time to first token of all others, and the judged one's over it, less 1. */
  bestTtft: string;
  ttftOver: Estimate;
  missesGoodput: boolean;
  missesTtft: boolean;
}

/** Judges one rule against all others. Undefined when no other rule has run, or no seed is complete. */
export function judge({ rows }: Point, judged = defaultPolicy): Verdict | undefined {
  const own = rows.get(judged);
  const others = [...rows].filter(([policy]) => policy !== judged);
  if (own === undefined || own.length === 0 || others.length === 0) return undefined;
  const best = (valueOf: (row: Row) => number): [string, readonly Row[]] =>
    others.reduce((a, b) => (estimate(b[1].map(valueOf)).mean < estimate(a[1].map(valueOf)).mean ? b : a));
  const [bestGoodput, good] = best((row) => -row.goodput);
  const [bestTtft, fast] = best((row) => row.meanMs);
  const goodputLost = estimate(own.map((row, i) => good[i]!.goodput - row.goodput));
  const meanTtft = estimate(fast.map((row) => row.meanMs)).mean;
  const slower = estimate(own.map((row, i) => row.meanMs - fast[i]!.meanMs));
  const ttftOver = { mean: slower.mean / meanTtft, half: slower.half / meanTtft };
  return {
    bestGoodput,
    goodputLost,
    bestTtft,
    ttftOver,
    missesGoodput: goodputLost.mean > bounds.goodput,
    missesTtft: ttftOver.mean > bounds.meanTtft,
  };
}
