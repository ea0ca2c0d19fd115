// Judges the default rule at each point of the grid against the best of the others, by paired differences over seeds.
import { defaultPolicy } from "../../../src/scheduler/index.ts";
import { pointOf, type Row } from "./row.ts";

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
  deadlineMs?: number;
  /** Rows by rule, in the order of seeds. Rules may have different numbers of seeds. */
  rows: ReadonlyMap<string, readonly Row[]>;
}

/** Groups rows by point. */
export function pointsOf(rows: Iterable<Row>): Point[] {
  return [...Map.groupBy(rows, pointOf).values()].map((all) => {
    const { trace, fleet, gateways, loadAgeMs, speeds, load, deadlineMs } = all[0]!;
    const byPolicy = Map.groupBy(
      all.toSorted((a, b) => a.seed - b.seed),
      (row) => row.policy,
    );
    return {
      trace,
      fleet,
      gateways,
      loadAgeMs,
      speeds,
      load,
      ...(deadlineMs !== undefined && { deadlineMs }),
      rows: byPolicy,
    };
  });
}

/** The judged rule beside one other, over the seeds that both have. */
interface Pair {
  policy: string;
  /** Goodput that the other has more. */
  goodputLost: Estimate;
  /** The judged rule's mean time to first token over the other's, less 1. */
  ttftOver: Estimate;
}

function pairOf(policy: string, own: readonly Row[], other: readonly Row[]): Pair | undefined {
  const bySeed = new Map(other.map((row) => [row.seed, row]));
  const pairs = own.flatMap((row): [Row, Row][] => {
    const beside = bySeed.get(row.seed);
    return beside === undefined ? [] : [[row, beside]];
  });
  if (pairs.length === 0) return undefined;
  const meanTtft = estimate(pairs.map(([, beside]) => beside.meanMs)).mean;
  const slower = estimate(pairs.map(([row, beside]) => row.meanMs - beside.meanMs));
  return {
    policy,
    goodputLost: estimate(pairs.map(([row, beside]) => beside.goodput - row.goodput)),
    ttftOver: { mean: slower.mean / meanTtft, half: slower.half / meanTtft },
  };
}

function pairsOf({ rows }: Point, judged: string): Pair[] {
  const own = rows.get(judged) ?? [];
  return [...rows].flatMap(([policy, other]) => (policy === judged ? [] : (pairOf(policy, own, other) ?? [])));
}

/** Whether a figure is on one side of its bound with all of its interval: 1 beyond it, -1 within it, 0 not known yet. */
function side({ mean, half }: Estimate, bound: number): -1 | 0 | 1 {
  if (mean - half > bound) return 1;
  return mean + half <= bound ? -1 : 0;
}

/**
 * The rules whose comparison with the default needs another seed at this point. None when each of them is within the bounds with its whole
 * 95 % interval, or one is beyond them with its whole interval: then more seeds would not change the verdict.
 */
export function undecided(point: Point): string[] {
  const sides = pairsOf(point, defaultPolicy).map(({ policy, goodputLost, ttftOver }) => ({
    policy,
    goodput: side(goodputLost, bounds.goodput),
    ttft: side(ttftOver, bounds.meanTtft),
  }));
  if (sides.some(({ goodput, ttft }) => goodput === 1 || ttft === 1)) return [];
  return sides.flatMap(({ policy, goodput, ttft }) => (goodput === -1 && ttft === -1 ? [] : [policy]));
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

/** Judges one rule against all others, each over the seeds that both have. Undefined when no other rule has run with a seed of its own. */
export function judge(point: Point, judged = defaultPolicy): Verdict | undefined {
  const pairs = pairsOf(point, judged);
  if (pairs.length === 0) return undefined;
  const best = (lost: (pair: Pair) => number): Pair => pairs.reduce((a, b) => (lost(b) > lost(a) ? b : a));
  const good = best(({ goodputLost }) => goodputLost.mean);
  const fast = best(({ ttftOver }) => ttftOver.mean);
  return {
    bestGoodput: good.policy,
    goodputLost: good.goodputLost,
    bestTtft: fast.policy,
    ttftOver: fast.ttftOver,
    missesGoodput: good.goodputLost.mean > bounds.goodput,
    missesTtft: fast.ttftOver.mean > bounds.meanTtft,
  };
}
