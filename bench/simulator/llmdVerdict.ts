// The simulated rows beside the published ones: how far off they are, and whether the policies stand in the same order.
import type { Class, PublishedRow } from "./llmdTables.ts";
import { percent, printTable } from "./print.ts";

export interface Row extends PublishedRow {
  sim: {
    outputPerS: number;
    ttftP90S: number;
    ttftMeanS: number;
    timePerTokenS: number;
    hit: number;
    requests: number;
    spanS: number;
    lastSentS: number;
  };
}

/** Time per token over the ITL column. */
export const itlIsHalf = 2;

export function printRows(rows: readonly Row[]): void {
  printTable(
    [
      "policy",
      "rate",
      "p90 TTFT s",
      "published",
      "error",
      "mean TTFT s",
      "published",
      "out tok/s",
      "published",
      "ms/token",
      "2 x ITL",
      "hits",
    ],
    rows.map((row) => [
      row.policy,
      row.rate,
      row.sim.ttftP90S.toFixed(3),
      row.ttftP90S.toFixed(3),
      percent(row.sim.ttftP90S / row.ttftP90S - 1, 0),
      row.sim.ttftMeanS.toFixed(3),
      row.ttftMeanS.toFixed(3),
      Math.round(row.sim.outputPerS),
      Math.round(row.outputPerS),
      (row.sim.timePerTokenS * 1000).toFixed(1),
      (itlIsHalf * row.itlMeanS * 1000).toFixed(0),
      percent(row.sim.hit),
    ]),
  );
  const v = verdict(rows);
  console.log(
    `Order of classes where published p90 differs 1.5 times or more: ${v.orderRight} of ${v.orderPairs} right. ` +
      `p90 TTFT under 2 s within 25 %: ${v.within} of ${v.under} rows (median error ${percent(v.medianError, 0)}; precise ${v.withinPrecise} of ${v.underPrecise}). ` +
      `Output throughput: median error ${percent(v.medianThroughputError, 0)}.`,
  );
  console.log(
    `With one constant of ${Math.round(v.constantS * 1000)} ms added, what the precise rows of this table are off by: ${v.withinByConstant} of ${v.under} rows. That is a fit, no prediction.`,
  );
  for (const wrong of v.wrong) console.log(`  wrong order: ${wrong}`);
}

/** The prediction's errors by the criteria that were set for it. */
export function verdict(rows: readonly Row[]) {
  const rates = [...new Set(rows.map((row) => row.rate))];
  let orderPairs = 0;
  let orderRight = 0;
  const wrong: string[] = [];
  for (const rate of rates) {
    const at = rows.filter((row) => row.rate === rate);
    for (const a of at) {
      for (const b of at) {
        if (classOf(a.policy) === classOf(b.policy) || b.ttftP90S / a.ttftP90S < 1.5) continue;
        orderPairs++;
        if (b.sim.ttftP90S > a.sim.ttftP90S) orderRight++;
        else
          wrong.push(
            `${rate} req/s: ${a.policy} ${a.sim.ttftP90S.toFixed(3)} s, ${b.policy} ${b.sim.ttftP90S.toFixed(3)} s; published ${a.ttftP90S} and ${b.ttftP90S}`,
          );
      }
    }
  }
  const errorOf = (row: Row): number => Math.abs(row.sim.ttftP90S / row.ttftP90S - 1);
  const low = rows.filter((row) => row.ttftP90S < 2);
  const precise = low.filter((row) => row.policy === "precise");
  const middle = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
  const constantS = middle(precise.map((row) => row.ttftP90S - row.sim.ttftP90S));
  return {
    orderPairs,
    orderRight,
    wrong,
    under: low.length,
    within: low.filter((row) => errorOf(row) <= 0.25).length,
    underPrecise: precise.length,
    withinPrecise: precise.filter((row) => errorOf(row) <= 0.25).length,
    constantS,
    withinByConstant: low.filter((row) => Math.abs((row.sim.ttftP90S + constantS) / row.ttftP90S - 1) <= 0.25).length,
    medianError: middle(low.map(errorOf)),
    medianThroughputError: middle(rows.map((row) => Math.abs(row.sim.outputPerS / row.outputPerS - 1))),
  };
}

const classOf = (policy: Class): string => (policy === "random" || policy === "load" ? "blind" : policy);
