// A device of whole conversations against one of blocks: what stays, what goes, and what is still found where.
import { expect, it } from "vitest";
import { EventQueue } from "../events.ts";
import type { SimCall } from "../types.ts";
import { Engine, segmentEnded, wake } from "./engine.ts";
import { KvCache } from "./kvCache.ts";
import { profileSchema } from "./profile.ts";
import { newTask } from "./task.ts";

const blockTokens = 10;
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

/** Serves prompts one after another in two sequences, with room on the device for all of them, and answers the cache. */
function serve(keeps: "conversations" | undefined, prompts: readonly number[][], outputs: readonly number[][] = []) {
  const profile = profileSchema.parse({
    name: "test",
    model: "toy",
    chip: "toy",
    step: { baseMs: 10, tokenMs: 1 },
    maxBatchTokens: 100,
    maxSequences: 2,
    kvCapacityTokens: 10_000,
    kvBytesPerToken: 1,
    source: "made up for tests",
    tiers: [{ tier: "disk", capacityTokens: 10_000, latencyMs: 0, msPerToken: 0.01 }],
    ...(keeps && { keeps }),
  });
  const queue = new EventQueue();
  const cache = new KvCache(200, { deviceTokens: 10_000, blockTokens, lowerTokens: [10_000] });
  const cached: number[] = [];
  const firstMs: number[] = [];
  let sentMs = 0;
  const engine = new Engine(0, profile, cache, queue, {
    admitted: (_engine, task) => void cached.push(task.cachedTokens),
    prefilled: (_engine, _task, nowMs) => void firstMs.push(nowMs - sentMs),
    finished() {},
  });
  const calls = prompts.map((blocks, index): SimCall => ({
    index,
    tenant: 0,
    program: index,
    thread: index,
    after: [],
    delayMs: 0,
    then: "turn",
    promptTokens: blocks.length * blockTokens,
    outputTokens: 25,
    blocks: Int32Array.from(blocks),
    ...(outputs[index] && { outputBlocks: Int32Array.from(outputs[index]) }),
  }));
  for (const call of calls) {
    sentMs = queue.nowMs;
    engine.enqueue(newTask(call, "both", call.index));
    while (queue.pop()) {
      if (queue.kind === segmentEnded) engine.onSegmentEnded(queue.payload);
      else if (queue.kind === wake) engine.onWake();
    }
  }
  const tiers = (from: number, count: number) => [...new Set(range(from, count).map((block) => cache.tierOf(block)))];
  return { cached, firstMs, engine, calls, tiers };
}

const three = [range(0, 10), range(50, 10), range(100, 10)];

it("keeps as many conversations as there are sequences; the least recently used goes down, all of it", () => {
  const blocks = serve(undefined, three);
  expect([blocks.tiers(0, 10), blocks.tiers(50, 10), blocks.tiers(100, 10)]).toEqual([[1], [1], [1]]);
  const whole = serve("conversations", three);
  expect([whole.tiers(0, 10), whole.tiers(50, 10), whole.tiers(100, 10)]).toEqual([[2], [1], [1]]);
  expect(whole.engine.kept!.idle).toBe(2);
});

it("a next turn takes its own sequence over, outputs included, and finds a parked one below", () => {
  const next = [...range(50, 12), ...range(70, 3)];
  const { cached, tiers } = serve("conversations", [...three, next, range(0, 10)], [[], range(60, 2)]);
  expect(cached).toEqual([0, 0, 0, 120, 99]);
  expect([tiers(0, 10), tiers(50, 12), tiers(70, 3), tiers(100, 10)]).toEqual([[1], [1], [1], [2]]);
});

it("what others begin with stays with them", () => {
  const shared = range(0, 5);
  const { tiers, cached, engine, firstMs } = serve("conversations", [
    [...shared, ...range(20, 9)],
    [...shared, ...range(40, 9)],
    [...shared, ...range(60, 9)],
  ]);
  expect([tiers(0, 5), tiers(20, 9), tiers(40, 9), tiers(60, 9)]).toEqual([[1], [2], [1], [1]]);
  // Each has a copy of its own, which takes the time of a file but came from the device.
  expect([cached, engine.totals.loadedTokens, firstMs[1]]).toEqual([[0, 50, 50], 0, 0.5 + 10 + 90]);
});

it("what is demoted makes room; a dead engine keeps nothing", () => {
  const { engine, calls, tiers } = serve("conversations", three.slice(0, 2));
  expect(engine.kept!.demote(calls[0]!)).toBe(10);
  expect(engine.kept!.demote(calls[0]!)).toBe(0);
  expect([engine.kept!.idle, tiers(0, 10), tiers(50, 10)]).toEqual([1, [2], [1]]);
  engine.fail();
  expect([engine.kept!.idle, tiers(50, 10)]).toEqual([0, [0]]);
});
