// The production scheduler decides in simulations what it decides in the gateway: how many calls an endpoint holds, which calls wait or are
// refused and why, what a newer state supersedes, and what happens to calls in two legs when a replica dies.
import { describe, expect, it } from "vitest";
import { makePolicy } from "../../scheduler/index.ts";
import { prefillMs, profileSchema } from "../engine/profile.ts";
import { parseFleet, type FleetInput } from "../fleet.ts";
import { Random } from "../random.ts";
import { summarise } from "../report/summary.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import type { Workload } from "../types.ts";
import { outcome } from "./records.ts";
import { simulate } from "./simulation.ts";

const profile = profileSchema.parse({
  name: "test",
  model: "toy",
  chip: "toy",
  step: { baseMs: 10, tokenMs: 0.1 },
  maxBatchTokens: 512,
  maxSequences: 4,
  kvCapacityTokens: 50_000,
  kvBytesPerToken: 1000,
  network: { gigabytesPerSecond: 0.1, latencyMs: 2 },
  startUpMs: 3000,
  source: "made up for tests",
});

const fleetOf = (more: Partial<FleetInput> = {}, replicas = 1) =>
  parseFleet({ pools: [{ name: "a", profile, replicas }], ...more });

/** Calls of 400 tokens with nothing in common, all at once; by default of one tenant, each a conversation of its own. */
function crowd(count: number, tenantOf: (i: number) => string = () => "t"): Workload {
  const builder = new WorkloadBuilder("crowd", 100);
  for (let i = 0; i < count; i++) {
    const blocks = Int32Array.from({ length: 4 }, () => builder.freshBlock());
    const tenant = tenantOf(i);
    builder.add({ tenant, program: `p${i}`, promptTokens: 400, outputTokens: 20, blocks, delayMs: 0 });
  }
  return builder.build();
}

/** One conversation of `turns` turns, each prompt 400 tokens longer, 2 s apart. */
function conversation(turns: number, then: "turn" | "tool" = "turn"): Workload {
  const builder = new WorkloadBuilder("conversation", 100);
  const blocks: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    for (let i = 0; i < 4; i++) blocks.push(builder.freshBlock());
    builder.add({
      program: "p",
      promptTokens: blocks.length * 100,
      outputTokens: 3,
      blocks: Int32Array.from(blocks),
      after: turn === 0 ? [] : [turn - 1],
      delayMs: turn === 0 ? 0 : 2000,
      then: turn === turns - 1 ? "end" : then,
    });
  }
  return builder.build();
}

const run = (workload: Workload, fleet: ReturnType<typeof fleetOf>, policy = "round-robin") =>
  simulate(workload, fleet, makePolicy(policy));
const placedAtOnce = ({ records }: ReturnType<typeof run>) =>
  [...records.placedMs].filter((atMs, i) => atMs === records.sentMs[i]).length;

describe("room at endpoints", () => {
  it("is twice the sequences that run at once, as in the gateway, or as many calls as the fleet says, or no bound", () => {
    const workload = crowd(30);
    expect(placedAtOnce(run(workload, fleetOf()))).toBe(8);
    expect(placedAtOnce(run(workload, fleetOf({ maxInFlightPerEndpoint: 3 })))).toBe(3);
    expect(placedAtOnce(run(workload, fleetOf({ maxInFlightPerEndpoint: "unbounded" })))).toBe(30);
  });

  it("is shared out fairly between tenants, unless the router's queue is first come, first served", () => {
    const workload = crowd(40, (i) => (i < 36 ? "flood" : "quiet"));
    const last = (queue: "fair" | "fifo") => {
      const { records } = run(workload, fleetOf({ queue, maxInFlightPerEndpoint: 4 }));
      return Math.max(...[...records.placedMs].slice(36));
    };
    expect(last("fair")).toBeLessThan(last("fifo") / 2);
  });

  it("a tenant's calls beyond the queue's bound are refused, as in the gateway", () => {
    const workload = crowd(4100);
    const summary = summarise(run(workload, fleetOf()));
    expect(summary.refused).toBe(4100 - 4000 - 8);
    expect(summary.served).toBe(4008);
  });
});

describe("prompts and the endpoints that can hold them", () => {
  const pools = [
    { name: "small", profile, replicas: 2, kvCapacityTokens: 2_050 },
    { name: "large", profile, replicas: 1 },
  ];
  /** Calls of these lengths, 1 s apart, with nothing in common; the rest of a block is a block. */
  const prompts = (lengths: readonly number[]): Workload => {
    const builder = new WorkloadBuilder("prompts", 100);
    for (const [i, promptTokens] of lengths.entries()) {
      const blocks = Int32Array.from({ length: Math.ceil(promptTokens / 100) }, () => builder.freshBlock());
      builder.add({ program: `p${i}`, promptTokens, outputTokens: 100, blocks, delayMs: i * 1000 });
    }
    return builder.build();
  };

  it("every call that the scheduler places is served, also one that fills its endpoint to the last token", () => {
    const { records, engines } = run(prompts([2_049, 2_049, 2_049, 9_000, 9_000, 49_999]), parseFleet({ pools }));
    expect([...records.outcome]).toEqual(Array.from({ length: 6 }, () => outcome.done));
    expect([...records.endpoint].slice(3)).toEqual([2, 2, 2]);
    expect(engines.every(({ inside, cache }) => inside === 0 && cache.pinnedBlocks === 0)).toBe(true);
  });

  it("a call that fits nowhere is refused by name, at once", () => {
    const { records } = run(prompts([400, 50_000]), parseFleet({ pools }));
    expect([records.outcome[1], records.refusalOf(1), records.endMs[1]]).toEqual([outcome.refused, "too_long", 1000]);
    expect(records.refusalOf(0)).toBeUndefined();
  });

  it("a prompt is prefilled only where it fits, and otherwise where it decodes", () => {
    const legs = (prefillers: readonly number[]) => {
      const fleet = parseFleet({
        pools: [
          ...prefillers.map((kvCapacityTokens, i) => {
            return { name: `p${i}`, profile, replicas: 1, role: "prefill" as const, kvCapacityTokens };
          }),
          { name: "d", profile, replicas: 1, role: "decode" },
        ],
      });
      const { records } = run(prompts([4_000, 4_000, 4_000]), fleet);
      expect([...records.outcome]).toEqual([outcome.done, outcome.done, outcome.done]);
      return [...records.endpoint];
    };
    expect(legs([2_000, 50_000])).toEqual([1, 1, 1]);
    expect(legs([2_000])).toEqual([1, 1, 1]);
  });
});

describe("deadlines", () => {
  /** More than the fleet can do, one call after the other, with outputs of any length. */
  function overload(seed: number, gapMs: number): Workload {
    const random = new Random(seed);
    const builder = new WorkloadBuilder("overload", 100);
    for (let i = 0; i < 300; i++) {
      const outputTokens = 1 + Math.floor(-100 * Math.log(1 - random.next()));
      const blocks = Int32Array.from({ length: 4 }, () => builder.freshBlock());
      builder.add({ tenant: "t", program: `p${i}`, promptTokens: 400, outputTokens, blocks, delayMs: i * gapMs });
    }
    return builder.build();
  }

  it.each([
    [400, 100, 1],
    [400, 50, 2],
    [1500, 100, 3],
    [1500, 20, 4],
    [5000, 50, 5],
  ])(
    "of %i ms, a call each %i ms: a first token comes in time, or the call is refused in time",
    (deadlineMs, gapMs, seed) => {
      const workload = overload(seed, gapMs);
      const { records } = run(workload, fleetOf({ deadlineMs }));
      const how = [...records.outcome];
      expect(new Set(how)).toEqual(new Set([outcome.done, outcome.refused]));
      for (const [i, each] of how.entries()) {
        const answeredMs = each === outcome.done ? records.firstMs[i]! : records.endMs[i]!;
        // Queues are looked at each 100 ms.
        expect(answeredMs - records.sentMs[i]!).toBeLessThanOrEqual(deadlineMs + (each === outcome.done ? 0 : 100));
      }
      // Without deadlines all are served, and most are late.
      const all = run(workload, fleetOf());
      expect(summarise(all).refused).toBe(0);
      const late = [...all.records.firstMs].filter((firstMs, i) => firstMs - all.records.sentMs[i]! > deadlineMs + 100);
      expect(late.length).toBeGreaterThan(150);
    },
  );

  const host = { tier: "host", capacityTokens: 20_000, latencyMs: 1, msPerToken: 0.5 } as const;
  const kinds: [string, FleetInput["pools"], Partial<FleetInput>][] = [
    ["of one pool", [{ name: "a", profile, replicas: 2 }], {}],
    [
      "with little memory and a slow tier",
      [{ name: "a", profile, replicas: 2, kvCapacityTokens: 5_000, tiers: [host] }],
      {},
    ],
    [
      "of engines that keep conversations",
      [{ name: "a", profile: { ...profile, keeps: "conversations" }, replicas: 2 }],
      {},
    ],
    [
      "in two legs",
      [
        { name: "p", profile, replicas: 1, role: "prefill" },
        { name: "d", profile, replicas: 1, role: "decode" },
      ],
      {},
    ],
    ["with a replica that dies", [{ name: "a", profile, replicas: 2 }], { failures: [{ atMs: 4_000, endpoint: 0 }] }],
  ];
  it.each(kinds)("that engines meet later than expected stop the call there, in fleets %s", (_name, pools, more) => {
    const random = new Random(6);
    const builder = new WorkloadBuilder("long", 100);
    const shared = Array.from({ length: 20 }, () => builder.freshBlock());
    for (let i = 0; i < 200; i++) {
      // Most prompts take several steps, beside others that the expectation did not know of.
      const count = 1 + random.below(40);
      const blocks = Int32Array.from(
        { length: count },
        (_, k) => (i % 2 === 0 ? shared[k] : undefined) ?? builder.freshBlock(),
      );
      const promptTokens = 100 * count;
      builder.add({
        program: `p${i}`,
        promptTokens,
        outputTokens: 1 + random.below(60),
        blocks,
        delayMs: 60 * i,
        deadlineMs: 100 + random.below(900),
      });
    }
    // By the time of the last call everything that was given up has left its engine.
    builder.add({
      program: "last",
      promptTokens: 100,
      outputTokens: 1,
      blocks: Int32Array.of(builder.freshBlock()),
      delayMs: 100_000,
    });
    const { workload, records, engines } = run(builder.build(), parseFleet({ pools, ...more }));
    let stopped = 0;
    for (const [i, how] of records.outcome.entries()) {
      const { deadlineMs } = workload.calls[i]!;
      if (how === outcome.done) expect(records.firstMs[i]! - records.sentMs[i]!).toBeLessThanOrEqual(deadlineMs ?? 1e9);
      else if (how !== outcome.failed) expect([how, records.refusalOf(i)]).toEqual([outcome.refused, "deadline"]);
      if (how === outcome.refused && records.placedMs[i]! >= 0) stopped++;
    }
    expect(stopped).toBeGreaterThan(5);
    for (const { inside, cache } of engines)
      expect([inside, cache.pinnedBlocks, cache.privateTokens]).toEqual([0, 0, 0]);
  });
});

describe("conversations", () => {
  it("an older state elsewhere is given up when the new one has a first token, by engines that take such wishes", () => {
    const host = { tier: "host", capacityTokens: 100_000, latencyMs: 1, msPerToken: 0.005 } as const;
    const demoted = (keeps: "conversations" | undefined, programs: boolean) => {
      const pools = [{ name: "a", profile: { ...profile, keeps }, replicas: 2, tiers: [host] }];
      const result = run(conversation(2), parseFleet({ programs, pools }));
      expect(result.records.endpoint[0]).not.toBe(result.records.endpoint[1]);
      return result.programs.demotedBlocks;
    };
    expect(demoted(undefined, false)).toBe(0);
    expect(demoted(undefined, true)).toBe(4);
    expect(demoted("conversations", false)).toBeGreaterThan(0);
  });

  it("that clients do not name are unknown to the scheduler: where each call stands alone nothing is superseded or paused", () => {
    const result = run(crowd(30), fleetOf({ pools: [{ name: "a", profile, replicas: 1, kvCapacityTokens: 2000 }] }));
    expect(result.programs).toEqual({ demotedBlocks: 0, droppedBlocks: 0, pauses: 0 });
    expect(summarise(result).served).toBe(30);
  });

  it("a run that is over gives its KV back, when a runtime says so", () => {
    const idle = (programs: boolean) => {
      const { engines } = run(conversation(2, "tool"), fleetOf({ programs }));
      return engines[0]!.cache.idleBlocks(1);
    };
    expect([idle(false), idle(true)]).toEqual([8, 0]);
  });
});

describe("calls in two legs", () => {
  const pools = [
    { name: "p", profile, replicas: 1, role: "prefill" as const },
    { name: "d", profile, replicas: 1, role: "decode" as const },
  ];
  const promptTokens = 4000;
  const one = () => {
    const builder = new WorkloadBuilder("one", 100);
    const blocks = Int32Array.from({ length: 40 }, () => builder.freshBlock());
    builder.add({ program: "p", promptTokens, outputTokens: 5, blocks, delayMs: 0 });
    return builder.build();
  };
  const failing = (endpoint: number, atMs: number) =>
    run(one(), parseFleet({ pools, failures: [{ endpoint, atMs, downMs: 50_000 }] }));
  const whole = prefillMs(profile, promptTokens, 0);

  it("are computed at the decoder when the prefiller dies, computing or while its KV is pulled", () => {
    for (const atMs of [whole / 2, whole + 10]) {
      const { records, engines } = failing(0, atMs);
      expect(records.outcome[0]).toBe(outcome.done);
      expect([records.endpoint[0], records.attempts[0]]).toEqual([0, 1]);
      // The client has its first token from the decoder.
      expect(records.firstMs[0]).toBeCloseTo(atMs + whole, 6);
      expect(engines.every(({ inside, cache }) => inside === 0 && cache.pinnedBlocks === 0)).toBe(true);
    }
  });

  it("are tried again when the decoder dies before the first token, and wait for its restart where it is the only one", () => {
    for (const atMs of [whole / 2, whole + 10]) {
      const { records, engines } = failing(1, atMs);
      expect(records.outcome[0]).toBe(outcome.done);
      expect(records.attempts[0]).toBe(2);
      expect(records.placedMs[0]).toBeGreaterThanOrEqual(atMs + 50_000);
      expect(engines.every(({ inside, cache }) => inside === 0 && cache.pinnedBlocks === 0)).toBe(true);
    }
  });
});

describe("departments", () => {
  it("a tenant that belongs to none is an error, since no pool serves its calls", () => {
    const autoscale = { min: 1 };
    const fleet = parseFleet({
      departments: [{ name: "x", tenants: [0], guaranteed: { toy: 1 } }],
      chips: { toy: 2 },
      pools: [{ name: "a", profile, replicas: 2, department: "x", autoscale }],
    });
    const workload = crowd(4, (i) => `t${i % 2}`);
    expect(() => run(workload, fleet)).toThrow(/Tenant 1 of the workload belongs to no department/);
  });
});
