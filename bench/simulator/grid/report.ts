// Prints the grid: the default's figures at every point with what the best other rule has more, every miss with the figures of all rules,
// and how each rule would be judged in the default's place.
import { defaultPolicy } from "../../../src/scheduler/index.ts";
import { heading, percent, printTable } from "../print.ts";
import { slo } from "./levels.ts";
import type { Row } from "./row.ts";
import { traces } from "./traces.ts";
import { bounds, estimate, judge, mayMiss, pointsOf, type Estimate, type Point, type Verdict } from "./verdict.ts";

const points = ({ mean, half }: Estimate): string => `${(mean * 100).toFixed(1)} +- ${(half * 100).toFixed(1)}`;
const meanOf = (
  rows: readonly Row[],
  key: "hits" | "goodput" | "fairness" | "meanMs" | "p90Ms" | "p99Ms" | "perTokenMs",
): number => estimate(rows.map((row) => row[key])).mean;

export function report(rows: Iterable<Row>) {
  const all = pointsOf(rows).toSorted(inOrder);
  const judged = all.flatMap((point) => {
    const verdict = judge(point);
    return verdict === undefined ? [] : [{ point, verdict }];
  });
  console.log(
    `Goodput: share of calls with a first token within ${slo.ttftMs / 1000} s and at most ${slo.timePerTokenMs} ms for each further token. ` +
      "Load 1: endpoints are busy all of the time under ideal caching. Fairness: Jain's index over tenants of latency for each output token. Intervals: 95 % over paired seeds. " +
      `A point misses where ${defaultPolicy} has over ${bounds.goodput * 100} points less goodput, or over ${bounds.meanTtft * 100} % more mean TTFT, than the best other rule.`,
  );
  for (const [trace, own] of Map.groupBy(judged, ({ point }) => point.trace)) {
    heading(traces[trace]?.name ?? trace);
    printTable(
      [
        "fleet",
        "gateways",
        "speeds",
        "load",
        "seeds",
        "hits",
        "TTFT mean",
        "p90",
        "p99",
        "goodput",
        "fairness",
        "lost points",
        "to",
        "TTFT over %",
        "of",
        "",
      ],
      own.map(({ point, verdict }) => pointRow(point, verdict)),
    );
  }
  const misses = judged.filter(({ verdict }) => missed(verdict));
  heading(`Misses: ${misses.length} of ${judged.length} points (${mayMiss * 100} % may miss)`);
  for (const { point, verdict } of misses) printMiss(point, verdict);
  heading("Every rule in the default's place: points within the bounds");
  printTable(["rule", "within", "of", "share", "misses goodput", "misses TTFT"], standing(all));
  return judged.map(({ point: { rows: _, ...place }, verdict }) => ({ ...place, ...verdict }));
}

/** Their number, and where there are several the age of their messages. */
const gatewaysOf = ({ gateways, loadAgeMs }: Point): string => (gateways === 1 ? "1" : `${gateways}, ${loadAgeMs} ms`);

const missed = (verdict: Verdict): boolean => verdict.missesGoodput || verdict.missesTtft;

function inOrder(a: Point, b: Point): number {
  const order = Object.keys(traces);
  return (
    order.indexOf(a.trace) - order.indexOf(b.trace) ||
    a.fleet - b.fleet ||
    a.gateways - b.gateways ||
    a.loadAgeMs - b.loadAgeMs ||
    b.speeds.localeCompare(a.speeds) ||
    a.load - b.load
  );
}

function pointRow(point: Point, verdict: Verdict): (string | number)[] {
  const own = point.rows.get(defaultPolicy)!;
  return [
    point.fleet,
    gatewaysOf(point),
    point.speeds,
    point.load,
    own.length,
    percent(meanOf(own, "hits")),
    Math.round(meanOf(own, "meanMs")),
    Math.round(meanOf(own, "p90Ms")),
    Math.round(meanOf(own, "p99Ms")),
    percent(meanOf(own, "goodput")),
    meanOf(own, "fairness").toFixed(3),
    points(verdict.goodputLost),
    verdict.bestGoodput,
    points(verdict.ttftOver),
    verdict.bestTtft,
    `${verdict.missesGoodput ? "MISS goodput" : ""}${verdict.missesTtft ? " MISS TTFT" : ""}`.trim(),
  ];
}

function printMiss(point: Point, { missesGoodput, missesTtft }: Verdict): void {
  const { trace, fleet, speeds, load, rows } = point;
  const what = [missesGoodput ? "goodput" : "", missesTtft ? "mean TTFT" : ""].filter((word) => word !== "");
  console.log(
    `\n${trace}, ${fleet} endpoints, ${gatewaysOf(point)} gateways, speeds ${speeds}, load ${load}: ${what.join(" and ")}`,
  );
  printTable(
    ["rule", "hits", "TTFT mean", "p90", "p99", "ms/token", "goodput", "refused"],
    [...rows].map(([policy, own]) => [
      policy,
      percent(meanOf(own, "hits")),
      ...(["meanMs", "p90Ms", "p99Ms"] as const).map((key) => Math.round(meanOf(own, key))),
      meanOf(own, "perTokenMs").toFixed(1),
      percent(meanOf(own, "goodput")),
      own.reduce((sum, { refused }) => sum + refused, 0),
    ]),
  );
}

function standing(all: readonly Point[]): (string | number)[][] {
  const policies = [...new Set(all.flatMap(({ rows }) => [...rows.keys()]))];
  return policies.map((policy) => {
    const verdicts = all.flatMap((point) => judge(point, policy) ?? []);
    const within = verdicts.filter((verdict) => !missed(verdict)).length;
    return [
      policy,
      within,
      verdicts.length,
      percent(within / verdicts.length),
      verdicts.filter(({ missesGoodput }) => missesGoodput).length,
      verdicts.filter(({ missesTtft }) => missesTtft).length,
    ];
  });
}
