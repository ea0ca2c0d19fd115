// The grid's own arithmetic: how loads are laid out, what is judged a miss, and that saved runs are not run again.
import { appendFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makePolicy } from "../../../src/scheduler/index.ts";
import { EventQueue } from "../../../src/simulator/events.ts";
import { KvCache } from "../../../src/simulator/engine/kvCache.ts";
import { type Fleet, parseFleet } from "../../../src/simulator/fleet.ts";
import { createWorld } from "../../../src/simulator/run/world.ts";
import { loadProfile } from "../../../src/simulator/profiles/index.ts";
import { agentTrees } from "../../../src/simulator/traces/generated/agentTrees.ts";
import { longPrompts } from "../../../src/simulator/traces/generated/longPrompts.ts";
import { runJob } from "./job.ts";
import { sessionsUnderWay, stretched, windowOf } from "./layOut.ts";
import { idealWork } from "./levels.ts";
import { keyOf, readRows, type Row } from "./row.ts";
import { estimate, judge, pointsOf, undecided } from "./verdict.ts";

const profile = loadProfile("h100-llama-3.1-70b-tp8");

test("a window goes round the end of its trace, and copies share nothing with the first", () => {
  const pool = longPrompts({ seed: 1, prompts: 100 });
  const window = windowOf(pool, 150, 7);
  expect(window.calls.length).toBe(150);
  expect(window.calls.map(({ index }) => index)).toEqual(window.calls.map((_, i) => i));
  expect(window.calls.every((call, i) => i === 0 || call.delayMs >= window.calls[i - 1]!.delayMs)).toBe(true);
  const copies = window.calls.filter(({ program }) => program >= pool.programs);
  expect(copies.length).toBe(50);
  const first = new Set(
    window.calls.filter(({ program }) => program < pool.programs).flatMap(({ blocks }) => [...blocks]),
  );
  expect(copies.every(({ blocks }) => blocks.every((block) => !first.has(block)))).toBe(true);
});

test("a stretched load comes within the time that was asked for", () => {
  const { workload, measuredFrom } = stretched(longPrompts({ seed: 1, prompts: 50 }), 10_000);
  expect(workload.calls.at(-1)!.delayMs).toBeCloseTo(10_000);
  expect(workload.calls[measuredFrom]!.delayMs).toBeGreaterThanOrEqual(2000);
  expect(workload.calls[measuredFrom - 1]!.delayMs).toBeLessThan(2000);
});

test("sessions under way bring as many calls as their rate says, and compute what was said before in the warm-up", () => {
  const pool = agentTrees({ seed: 2, runs: 200 });
  const { serviceMs } = idealWork(pool, profile);
  const spanMs = 300_000;
  const startGapMs = 1000;
  const prefillMs = (tokens: number): number => tokens * 0.01;
  const { workload, measuredFrom } = sessionsUnderWay(pool, {
    seed: 1,
    startGapMs,
    startCv: 1,
    spanMs,
    shuffled: false,
    serviceMs,
    prefillMs,
  });
  const contexts = workload.calls.filter(({ outputTokens }) => outputTokens === 1).length;
  expect(contexts).toBeGreaterThan(20);
  expect(measuredFrom).toBeGreaterThan(contexts);
  const expected = (pool.calls.length / pool.programs) * (spanMs / startGapMs);
  expect(Math.abs((workload.calls.length - contexts) / expected - 1)).toBeLessThan(0.15);
  for (const { index, after } of workload.calls) for (const before of after) expect(before).toBeLessThan(index);
});

test("a load takes memory for the blocks that its calls have, however many copies of the trace it begins with", () => {
  const pool = agentTrees({ seed: 2, runs: 200 });
  const { serviceMs } = idealWork(pool, profile);
  // Sessions that start so often that those of one time are many copies of the trace.
  const options = {
    seed: 1,
    startGapMs: 250,
    startCv: 1,
    spanMs: 10_000,
    shuffled: false,
    serviceMs,
    prefillMs: () => 1,
  };
  const { workload } = sessionsUnderWay(pool, options);
  expect(workload.programs).toBeGreaterThan(3 * pool.programs);
  const used = new Set(workload.calls.flatMap(({ blocks, outputBlocks }) => [...blocks, ...(outputBlocks ?? [])]));
  expect(workload.blockCount).toBe(used.size);
  const replicas = 32;
  const fleet = parseFleet({ pools: [{ name: "pool", profile: "h100-llama-3.1-70b-tp8", replicas }] });
  const bytesMost = replicas * KvCache.bytesFor(used.size, cacheSizes(fleet, workload.blockTokens));
  const before = process.memoryUsage().arrayBuffers;
  const world = createWorld(
    workload,
    fleet,
    () => makePolicy("least-delay"),
    () => () => 0,
    new EventQueue(),
    host,
  );
  const bytes = process.memoryUsage().arrayBuffers - before;
  expect(world.engines.length).toBe(replicas);
  expect(bytes).toBeLessThan(bytesMost + 4 * 2 ** 20);
});

test("a fleet whose caches would not fit in memory is an error that says so, before any is made", () => {
  const workload = { ...longPrompts({ seed: 1, prompts: 5 }), blockCount: 2 ** 28 };
  const fleet = parseFleet({ pools: [{ name: "pool", profile: "h100-llama-3.1-70b-tp8", replicas: 32 }] });
  const make = () =>
    createWorld(
      workload,
      fleet,
      () => makePolicy("least-delay"),
      () => () => 0,
      new EventQueue(),
      host,
    );
  expect(make).toThrow(/32 replicas and 268435456 different blocks of prompts take 88 GiB of memory; 8 are allowed/);
});

function cacheSizes({ replicas }: Fleet, blockTokens: number) {
  const { kvCapacityTokens, tiers } = replicas[0]!.profile;
  return { deviceTokens: kvCapacityTokens, blockTokens, lowerTokens: tiers.map((tier) => tier.capacityTokens) };
}

/** Engines that are never started tell nothing. */
const host = { admitted: () => {}, prefilled: () => {}, finished: () => {} };

const row = (policy: string, seed: number, goodput: number, meanMs: number): Row => {
  const alone = { gateways: 1, loadAgeMs: 0, speeds: "told" } as const;
  const place = { trace: "long-prompts", fleet: 4, ...alone, load: 1, calls: 10, policy, seed };
  const figures = {
    measured: 1,
    refused: 0,
    hits: 0,
    idealHits: 0,
    p90Ms: 0,
    p99Ms: 0,
    perTokenMs: 0,
    utilisation: 0,
    fairness: 1,
  };
  return { key: keyOf(place), ...place, ...figures, goodput, meanMs, cpuMs: 0 };
};

test("the default misses a point by over three points of goodput or over a tenth of mean time to first token", () => {
  const judged = (goodput: number, meanMs: number) => {
    const rows = [1, 2, 3].flatMap((seed) => [
      row("least-delay", seed, goodput, meanMs),
      row("llm-d", seed, 0.8, 150),
      row("lmetric", seed, 0.7, 100),
    ]);
    const { missesGoodput, missesTtft, bestGoodput, bestTtft } = judge(pointsOf(rows)[0]!)!;
    return [missesGoodput, missesTtft, bestGoodput, bestTtft];
  };
  expect(judged(0.78, 109)).toEqual([false, false, "llm-d", "lmetric"]);
  expect(judged(0.76, 100)).toEqual([true, false, "llm-d", "lmetric"]);
  expect(judged(0.9, 111)).toEqual([false, true, "llm-d", "lmetric"]);
});

test("rules are compared over the seeds that both have", () => {
  const rows = [
    row("least-delay", 1, 0.5, 1),
    row("llm-d", 1, 0.5, 1),
    row("least-delay", 2, 0, 1),
    row("lmetric", 2, 0.1, 1),
  ];
  const { goodputLost, bestGoodput } = judge(pointsOf(rows)[0]!)!;
  expect([bestGoodput, goodputLost.mean]).toEqual(["lmetric", 0.1]);
  expect(judge(pointsOf([row("least-delay", 1, 0.5, 1), row("llm-d", 2, 0.5, 1)])[0]!)).toBeUndefined();
});

test("a rule needs no further seed once its interval is within the bounds, and none does once one is beyond them", () => {
  const open = (goodputs: readonly number[], meanMs = 100): string[] => {
    const rows = goodputs.flatMap((goodput, i) => [
      row("least-delay", i + 1, 0.8, 100),
      row("llm-d", i + 1, goodput, meanMs),
      row("lmetric", i + 1, 0.5, 200),
    ]);
    return pointsOf(rows).flatMap(undecided);
  };
  expect(open([0.8, 0.81, 0.8])).toEqual([]);
  expect(open([0.8, 0.86, 0.82])).toEqual(["llm-d"]);
  expect(open([0.9, 0.91, 0.9])).toEqual([]);
  // A mean time to first token beyond its bound decides too, and one seed has no interval.
  expect(open([0.8, 0.81, 0.8], 85)).toEqual([]);
  expect(open([0.8])).toEqual(["llm-d", "lmetric"]);
});

test("an interval is Student's over the seeds", () => {
  // Ten values of mean 5.5 and standard deviation 3.0277: 2.262 x 3.0277 / sqrt(10).
  const { mean, half } = estimate([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(mean).toBe(5.5);
  expect(half).toBeCloseTo(2.1657, 3);
});

test("saved rows are found again by their place, and a line cut short is not a row", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "grid-")), "rows.jsonl");
  const rows: Row[] = [];
  const runs = [{ load: 1, policy: "least-delay" }];
  const gateways = { count: 2, loadAgeMs: 50 };
  const job = { trace: "long-prompts", fleet: 2, seed: 1, calls: 20, gateways, runs };
  for (const speeds of ["told", "learned"] as const) await runJob({ ...job, speeds }, (one) => rows.push(one));
  appendFileSync(file, `${rows.map((one) => JSON.stringify(one)).join("\n")}\n{"key":"long-`);
  const place = {
    trace: "long-prompts",
    fleet: 2,
    gateways: 2,
    loadAgeMs: 50,
    load: 1,
    calls: 20,
    policy: "least-delay",
    seed: 1,
  };
  const [told, learned] = (["told", "learned"] as const).map((speeds) => keyOf({ ...place, speeds }));
  expect([...readRows(file).keys()]).toEqual([told, learned]);
  expect(readRows(file).get(told!)).toEqual(rows[0]);
  // Calls are the same, and placed by what the scheduler has learned meanwhile.
  expect(rows[1]).toMatchObject({ measured: rows[0]!.measured, speeds: "learned" });
  expect(rows[1]!.meanMs).not.toBe(rows[0]!.meanMs);
});
