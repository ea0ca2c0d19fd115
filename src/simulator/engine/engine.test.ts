// The engine model against arithmetic done by hand, and against a naive model that takes one step at a time.
import { describe, expect, it } from "vitest";
import { EventQueue } from "../events.ts";
import { Random } from "../random.ts";
import type { SimCall } from "../types.ts";
import { runMs, stepsBy } from "./decodeRun.ts";
import { Engine, segmentEnded, wake } from "./engine.ts";
import type { EngineHost } from "./host.ts";
import { KvCache } from "./kvCache.ts";
import { prefillMs, profileSchema, stepMs, type EngineProfile } from "./profile.ts";
import { newTask, type Task } from "./task.ts";

function testProfile(overrides: Partial<EngineProfile> = {}): EngineProfile {
  return profileSchema.parse({
    name: "test",
    model: "toy",
    chip: "toy",
    step: { baseMs: 10, tokenMs: 0.1, sequenceMs: 0.5, kvReadMsPerToken: 0.001, attentionMsPerPair: 0.000_01 },
    maxBatchTokens: 100,
    maxSequences: 8,
    kvCapacityTokens: 10_000,
    kvBytesPerToken: 1000,
    source: "made up for tests",
    ...overrides,
  });
}

function call(index: number, promptTokens: number, outputTokens: number, blocks: number[]): SimCall {
  return {
    index,
    tenant: 0,
    program: index,
    thread: index,
    promptTokens,
    outputTokens,
    blocks: Int32Array.from(blocks),
    after: [],
    delayMs: 0,
    then: "end",
  };
}

interface Seen {
  firstMs: number;
  endMs: number;
  cached: number;
}

/** Runs tasks that arrive at given times through one engine. */
function replay(
  profile: EngineProfile,
  arrivals: { atMs: number; call: SimCall }[],
  blockTokens = 10,
  blockCount = 1000,
) {
  const queue = new EventQueue();
  const cache = new KvCache(blockCount, {
    deviceTokens: profile.kvCapacityTokens,
    blockTokens,
    lowerTokens: profile.tiers.map((t) => t.capacityTokens),
  });
  const seen = new Map<number, Seen>();
  const host: EngineHost = {
    admitted: (_engine, task) =>
      void seen.set(task.call.index, { firstMs: NaN, endMs: NaN, cached: task.cachedTokens }),
    prefilled: (_engine, task: Task, now) => {
      seen.get(task.call.index)!.firstMs = now;
    },
    finished: (_engine, task, now) => {
      seen.get(task.call.index)!.endMs = now;
    },
  };
  const engine = new Engine(0, profile, cache, queue, host);
  const arrivalKind = 9;
  for (const [i, arrival] of arrivals.entries()) queue.schedule(arrival.atMs, arrivalKind, i);
  while (queue.pop()) {
    if (queue.kind === arrivalKind) engine.enqueue(newTask(arrivals[queue.target]!.call, "both", queue.target));
    else if (queue.kind === segmentEnded) engine.onSegmentEnded(queue.payload);
    else if (queue.kind === wake) engine.onWake();
  }
  return { engine, cache, seen, queue };
}

describe("decode runs in closed form", () => {
  it("sums and inverts the series exactly", () => {
    const random = new Random(5);
    for (let n = 0; n < 2000; n++) {
      const first = 1 + random.next() * 20;
      const growth = random.next() < 0.2 ? 0 : random.next();
      const steps = 1 + random.below(500);
      let sum = 0;
      for (let j = 0; j < steps; j++) sum += first + growth * j;
      expect(runMs(steps, first, growth)).toBeCloseTo(sum, 6);
      const inside = runMs(steps - 1, first, growth) + (first + growth * (steps - 1)) * random.next() * 0.999;
      if (inside > runMs(steps - 1, first, growth)) expect(stepsBy(inside, first, growth)).toBe(steps);
    }
  });
});

describe("engine model", () => {
  it("prefills in chunks and decodes token by token: hand-computed", () => {
    const profile = testProfile();
    const { seen } = replay(profile, [{ atMs: 0, call: call(0, 150, 3, [...Array(15).keys()]) }]);
    const first = stepMs(profile, 100, 100 * 50, 0, 0) + stepMs(profile, 50, 50 * 125, 0, 0);
    expect(first).toBeCloseTo(prefillMs(profile, 150, 0), 9);
    expect(seen.get(0)!.firstMs).toBeCloseTo(first, 9);
    expect(seen.get(0)!.endMs).toBeCloseTo(first + stepMs(profile, 0, 0, 1, 151) + stepMs(profile, 0, 0, 1, 152), 9);
  });

  it("hits the prefix that an earlier call left, but always computes the last token", () => {
    const blocks = [...Array(10).keys()];
    const { seen } = replay(testProfile(), [
      { atMs: 0, call: call(0, 100, 2, blocks) },
      { atMs: 1000, call: call(1, 100, 2, blocks) },
      { atMs: 2000, call: call(2, 120, 2, [...blocks.slice(0, 5), 50, 51, 52, 53, 54, 55, 56]) },
    ]);
    expect([0, 1, 2].map((i) => seen.get(i)!.cached)).toEqual([0, 99, 50]);
  });

  it("lets a newcomer join at the next step boundary", () => {
    const profile = testProfile({ step: { ...testProfile().step, kvReadMsPerToken: 0, attentionMsPerPair: 0 } });
    const { seen } = replay(profile, [
      { atMs: 0, call: call(0, 10, 100, [0]) },
      { atMs: 20, call: call(1, 10, 2, [1]) },
    ]);
    // Prefill of 10 tokens: 11 ms. Decode steps of one sequence: 10.6 ms. At 20 ms the first is under way until 21.6.
    const step = 10 + 0.1 + 0.5;
    const boundary = 11 + step;
    expect(seen.get(1)!.firstMs).toBeCloseTo(boundary + 10 + 11 * 0.1 + 0.5, 9);
  });

  it("shares steps as the embedded engine does, where the profile says so: oldest and nearest, small chunks beside decodes", () => {
    const chunking = { busyTokens: 20, idleTokens: 40, callsPerStep: 2 };
    const blocks = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
    const { seen } = replay(testProfile({ chunking, maxBatchTokens: 1000 }), [
      { atMs: 0, call: call(0, 400, 1, blocks(0, 40)) },
      { atMs: 1, call: call(1, 200, 1, blocks(100, 20)) },
      { atMs: 1, call: call(2, 60, 1, blocks(200, 6)) },
    ]);
    // The short one overtakes the one before it; the oldest is served all the time.
    expect(seen.get(2)!.firstMs).toBeLessThan(seen.get(1)!.firstMs);
    const alone = replay(testProfile({ chunking, maxBatchTokens: 1000 }), [
      { atMs: 0, call: call(0, 160, 1, blocks(0, 16)) },
    ]);
    const p = testProfile();
    const expected = stepMs(p, 80, 80 * 40, 0, 0) + stepMs(p, 80, 80 * 120, 0, 0);
    expect(alone.seen.get(0)!.firstMs).toBeCloseTo(expected, 9);
  });

  it("left waiting are those that its last plan had no room for, not those that came since", () => {
    const queue = new EventQueue();
    const profile = testProfile({ maxSequences: 1 });
    const cache = new KvCache(100, { deviceTokens: profile.kvCapacityTokens, blockTokens: 10, lowerTokens: [] });
    const host: EngineHost = { admitted() {}, prefilled() {}, finished() {} };
    const engine = new Engine(0, profile, cache, queue, host);
    for (const index of [0, 1]) engine.enqueue(newTask(call(index, 150, 2, []), "both", index));
    expect([engine.waiting, engine.leftWaiting]).toEqual([1, 0]);
    queue.pop();
    engine.onSegmentEnded(queue.payload);
    expect([engine.waiting, engine.leftWaiting]).toEqual([1, 1]);
    engine.fail();
    expect(engine.leftWaiting).toBe(0);
  });

  it("runs a call alone that exceeds the device by the rest of a block or by its output, and then goes on", () => {
    // 95 tokens fit 100, but lie in blocks of 10; with its output the call needs 110.
    const { seen, cache, engine } = replay(testProfile({ kvCapacityTokens: 97 }), [
      { atMs: 0, call: call(0, 95, 15, [...Array(10).keys()]) },
      { atMs: 0, call: call(1, 50, 2, [60, 61, 62, 63, 64]) },
    ]);
    expect(seen.get(0)!.endMs).toBeGreaterThan(0);
    expect(seen.get(1)!.firstMs).toBeGreaterThan(seen.get(0)!.endMs);
    expect([engine.inside, cache.pinnedBlocks, cache.privateTokens]).toEqual([0, 0, 0]);
  });

  it("a call that is given up leaves the engine after the step that computes a part of it, and what was computed stays cached", () => {
    const queue = new EventQueue();
    const profile = testProfile({ maxSequences: 2 });
    const cache = new KvCache(100, { deviceTokens: profile.kvCapacityTokens, blockTokens: 10, lowerTokens: [] });
    const firsts: number[] = [];
    const host: EngineHost = {
      admitted() {},
      prefilled: (_engine, { handle }) => void firsts.push(handle),
      finished() {},
    };
    const engine = new Engine(0, profile, cache, queue, host);
    const step = () => {
      queue.pop();
      engine.onSegmentEnded(queue.payload);
    };
    const blocks = (from: number) => Array.from({ length: 25 }, (_, i) => from + i);
    // 100 tokens a step: the first has the step, the second only its place, the third waits.
    const tasks = [0, 25, 50].map((from, i) => newTask(call(i, 250, 3, blocks(from)), "both", i));
    for (const task of tasks) engine.enqueue(task);
    expect([engine.inside, engine.waiting]).toEqual([3, 2]);
    step();
    engine.giveUp(tasks[0]!);
    expect(engine.inside).toBe(3);
    step();
    expect(engine.inside).toBe(2);
    expect(cache.match(tasks[0]!.call.blocks)).toBe(20);
    engine.giveUp(tasks[2]!);
    // The engine may be told of a call that it does not know any more.
    engine.giveUp(tasks[2]!);
    for (let i = 0; engine.inside > 0; i++) {
      expect(i).toBeLessThan(100);
      step();
    }
    expect(firsts).toEqual([1]);
    expect([cache.pinnedBlocks, cache.privateTokens]).toEqual([0, 0]);
    expect(engine.totals.computedPromptTokens).toBe(200 + 250);
  });

  it("preempts the youngest when outputs outgrow the device, and everything still ends", () => {
    const { engine, cache, seen } = replay(testProfile({ kvCapacityTokens: 400 }), [
      { atMs: 0, call: call(0, 100, 150, [...Array(10).keys()]) },
      {
        atMs: 0,
        call: call(
          1,
          100,
          150,
          Array.from({ length: 10 }, (_, i) => 20 + i),
        ),
      },
    ]);
    expect(engine.totals.preemptions).toBeGreaterThan(0);
    expect(seen.get(0)!.endMs).toBeLessThan(seen.get(1)!.endMs);
    expect(cache.privateTokens).toBe(0);
    expect(cache.pinnedBlocks).toBe(0);
    expect(engine.inside).toBe(0);
  });

  it("brings blocks back from a lower tier when that is faster than computing", () => {
    const slow = testProfile({
      kvCapacityTokens: 150,
      tiers: [{ tier: "host", capacityTokens: 1000, latencyMs: 1, msPerToken: 0.01 }],
    });
    const blocks = (from: number) => Array.from({ length: 10 }, (_, i) => from + i);
    const { seen, engine } = replay(slow, [
      { atMs: 0, call: call(0, 100, 2, blocks(0)) },
      { atMs: 1000, call: call(1, 100, 2, blocks(100)) },
      { atMs: 2000, call: call(2, 100, 2, blocks(0)) },
    ]);
    expect(seen.get(2)!.cached).toBe(99);
    expect(engine.totals.loadedTokens).toBeGreaterThanOrEqual(50);
    // Loading takes latency + tokens x 0.01 ms, then one token is computed.
    const expected = 2000 + 1 + engine.totals.loadedTokens * 0.01 + stepMs(slow, 1, 99.5, 0, 0);
    expect(seen.get(2)!.firstMs).toBeCloseTo(expected, 6);
  });

  it("agrees with a model that takes every step alone, on random load", () => {
    const profile = testProfile({ maxSequences: 5 });
    const random = new Random(17);
    let at = 0;
    const arrivals = Array.from({ length: 60 }, (_, i) => {
      at += random.exponential(120);
      const blocks = 1 + random.below(12);
      return {
        atMs: at,
        call: call(
          i,
          blocks * 10,
          1 + random.below(40),
          Array.from({ length: blocks }, (_, b) => i * 12 + b),
        ),
      };
    });
    const { seen } = replay(profile, arrivals, 10, 1000);
    const naive = naiveReplay(profile, arrivals);
    for (const [index, times] of naive) {
      expect(seen.get(index)!.firstMs).toBeCloseTo(times.firstMs, 6);
      expect(seen.get(index)!.endMs).toBeCloseTo(times.endMs, 6);
    }
    expect(naive.size).toBe(60);
  });
});

/** One step at a time, no cache (all prompts differ), memory without end. */
function naiveReplay(profile: EngineProfile, arrivals: { atMs: number; call: SimCall }[]) {
  const times = new Map<number, { firstMs: number; endMs: number }>();
  const running: { call: SimCall; done: number; produced: number; chunk: number }[] = [];
  let next = 0;
  let now = 0;
  while (next < arrivals.length || running.length > 0) {
    if (running.length === 0 && arrivals[next]!.atMs > now) now = arrivals[next]!.atMs;
    const decoders = running.filter((r) => r.produced > 0);
    let budget = profile.maxBatchTokens - decoders.length;
    let tokens = 0;
    let pairs = 0;
    const give = (r: (typeof running)[number]) => {
      r.chunk = Math.min(budget, r.call.promptTokens - r.done);
      budget -= r.chunk;
      tokens += r.chunk;
      pairs += r.chunk * (r.done + r.chunk / 2);
    };
    for (const r of running) if (r.produced === 0 && budget > 0) give(r);
    const room = () => budget > 0 && running.length < profile.maxSequences;
    while (room() && next < arrivals.length && arrivals[next]!.atMs <= now) {
      const r = { call: arrivals[next++]!.call, done: 0, produced: 0, chunk: 0 };
      running.push(r);
      give(r);
    }
    const kv = decoders.reduce((sum, r) => sum + r.call.promptTokens + r.produced, 0);
    now += stepMs(profile, tokens, pairs, decoders.length, kv);
    for (const r of decoders) r.produced++;
    for (const r of running) {
      if (r.chunk === 0) continue;
      r.done += r.chunk;
      r.chunk = 0;
      if (r.done === r.call.promptTokens) {
        r.produced = 1;
        times.set(r.call.index, { firstMs: now, endMs: NaN });
      }
    }
    for (let i = running.length - 1; i >= 0; i--) {
      if (running[i]!.produced >= running[i]!.call.outputTokens) {
        times.get(running[i]!.call.index)!.endMs = now;
        running.splice(i, 1);
      }
    }
  }
  return times;
}
