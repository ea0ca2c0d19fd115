// A replay in numbers, from three sides that must agree: what the clients saw, what the workers counted, and what the scheduler
// had predicted.
import type { WorkerStatus } from "../../src/engines/embedded/protocol.ts";
import { distribution, type Distribution } from "../../src/simulator/report/statistics.ts";
import { type Live, model } from "./live.ts";
import type { Played } from "./replay.ts";

export interface Measured {
  calls: number;
  failed: number;
  errors: string[];
  spanMs: number;
  promptTokens: number;
  /** As clients' usage says. */
  cachedTokens: number;
  hitRate: number;
  ttftMs: Distribution;
  outputTokens: number;
  /** Sums over both workers: what they really computed, in how many calls, and what came from where. */
  workers: {
    computed: number;
    device: number;
    disk: number;
    parks: number;
    restores: number;
    lends: number;
    pulls: number;
  };
  /** Share of the computed prompt tokens on the busier worker; 0.5 is even. */
  busierShare: number;
  /** Calls that went to another worker than the call before them in their conversation. */
  moves: number;
  /** What the scheduler has learnt of each worker: prompt tokens a second. */
  learntRates: number[];
  /** Of the scheduler: sum of |predicted - reported| cached tokens over the prompt tokens of the calls it predicted. */
  scheduler: { predicted: number; reported: number; gap: number };
  /** Hints by verb: how many were honoured and how many were not. */
  hints: Record<string, [honoured: number, refused: number]>;
}

export async function measure(live: Live, played: readonly Played[]): Promise<Measured> {
  await live.at.gateway.flushed();
  const done = played.filter(({ error, ttftMs }) => error === undefined && ttftMs > 0);
  const sum = (of: (one: Played) => number) => done.reduce((total, one) => total + of(one), 0);
  const statuses = await live.status();
  const total = (of: (totals: WorkerStatus["totals"]) => number) =>
    statuses.reduce((all, { totals }) => all + of(totals), 0);
  const computed = total((totals) => totals.computedTokens);
  const promptTokens = sum((one) => one.promptTokens);
  const cachedTokens = sum((one) => one.cachedTokens);
  const { truth, endpoints } = live.at.gateway.scheduler();
  return {
    calls: played.length,
    failed: played.length - done.length,
    errors: [...new Set(played.flatMap(({ error }) => error ?? []))],
    spanMs: Math.max(...played.map(({ endMs }) => endMs)),
    promptTokens,
    cachedTokens,
    hitRate: cachedTokens / promptTokens,
    ttftMs: distribution(done.map(({ ttftMs }) => ttftMs)),
    outputTokens: sum((one) => one.outputTokens),
    workers: {
      computed,
      device: total((totals) => totals.cachedDeviceTokens),
      disk: total((totals) => totals.cachedDiskTokens),
      parks: total((totals) => totals.parks),
      restores: total((totals) => totals.restores),
      lends: total((totals) => totals.lends),
      pulls: total((totals) => totals.pulls),
    },
    busierShare: Math.max(...statuses.map(({ totals }) => totals.computedTokens)) / Math.max(1, computed),
    moves: movesOf(done),
    learntRates: endpoints
      .filter(({ spec }) => spec.deployment === model)
      .map(({ spec }) => spec.speed.prefillTokensPerSecond),
    scheduler: { predicted: truth.predictedTokens, reported: truth.reportedTokens, gap: truth.gapTokens },
    hints: await hintsOf(live),
  };
}

function movesOf(done: readonly Played[]): number {
  const last = new Map<number, string>();
  let moves = 0;
  for (const { call, endpoint } of done) {
    if ((last.get(call.thread) ?? endpoint) !== endpoint) moves++;
    last.set(call.thread, endpoint);
  }
  return moves;
}

async function hintsOf({ at }: Live): Promise<Measured["hints"]> {
  const { body } = await at.request("/metrics");
  const hints: Measured["hints"] = {};
  const line = /^lineshaft_kv_hints_total\{verb="(\w+)",honoured="(\w+)"\} (\d+)/gm;
  for (const [, verb, honoured, count] of String(body).matchAll(line))
    (hints[verb!] ??= [0, 0])[honoured === "true" ? 0 : 1] += Number(count);
  return hints;
}
