// Whole runs: production policies over modelled engines, on small made-up load.
import { describe, expect, it } from "vitest";
import { makePolicy, policyNames } from "../../scheduler/index.ts";
import { prefillMs, profileSchema, type EngineProfile } from "../engine/profile.ts";
import { parseFleet, type FleetInput } from "../fleet.ts";
import { Random } from "../random.ts";
import { summarise } from "../report/summary.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import type { Workload } from "../types.ts";
import { outcome } from "./records.ts";
import { simulate } from "./simulation.ts";

const profile: EngineProfile = profileSchema.parse({
  name: "test",
  model: "toy",
  chip: "toy",
  chips: 2,
  step: { baseMs: 10, tokenMs: 0.1, sequenceMs: 0.5, kvReadMsPerToken: 0.001, attentionMsPerPair: 0.000_01 },
  maxBatchTokens: 512,
  maxSequences: 16,
  kvCapacityTokens: 20_000,
  kvBytesPerToken: 1000,
  network: { gigabytesPerSecond: 0.1, latencyMs: 2 },
  callOverheadMs: 5,
  startUpMs: 3000,
  pricePerChipHour: 3,
  source: "made up for tests",
});

const fleetOf = (overrides: Partial<FleetInput> = {}, replicas = 3) =>
  parseFleet({ pools: [{ name: "a", profile, replicas }], ...overrides });

/** Conversations that grow turn by turn, Poisson starts, one tenant each third. */
function conversations(count: number, turns: number, seed = 1, gapMs = 400): Workload {
  const builder = new WorkloadBuilder("conversations", 100);
  const random = new Random(seed);
  let atMs = 0;
  for (let c = 0; c < count; c++) {
    atMs += random.exponential(gapMs);
    let blocks: number[] = [];
    let previous: number | undefined;
    for (let turn = 0; turn < turns; turn++) {
      blocks = [...blocks, ...Array.from({ length: 4 }, () => builder.freshBlock())];
      previous = builder.add({
        tenant: `tenant ${c % 3}`,
        program: `p${c}`,
        promptTokens: blocks.length * 100 + 20,
        outputTokens: 20 + random.below(30),
        blocks: Int32Array.from(blocks),
        after: previous === undefined ? [] : [previous],
        delayMs: previous === undefined ? atMs : 500,
        then: turn === turns - 1 ? "end" : "turn",
      }).index;
    }
  }
  return builder.build();
}

describe("simulation", () => {
  it.each([...policyNames])("%s serves every call and is a pure function of its seed", (name) => {
    const workload = conversations(30, 4);
    const run = (seed: number) => simulate(workload, fleetOf(), makePolicy(name), { seed });
    const first = run(1);
    expect([...first.records.outcome].every((o) => o === outcome.done)).toBe(true);
    const again = run(1);
    expect(again.records).toEqual(first.records);
    for (const call of workload.calls) {
      const { records } = first;
      expect(records.firstMs[call.index]).toBeGreaterThanOrEqual(records.sentMs[call.index]!);
      for (const before of call.after) {
        expect(records.sentMs[call.index]).toBeCloseTo(records.endMs[before]! + call.delayMs, 6);
      }
    }
    expect(first.engines.every((engine) => engine.inside === 0 && engine.cache.pinnedBlocks === 0)).toBe(true);
  });

  it("keeps conversations where their prefix is, with knowledge of caches, and hits what could be hit", () => {
    const workload = conversations(40, 5);
    const fleet = fleetOf({ pauses: false });
    const aware = summarise(simulate(workload, fleet, makePolicy("two-tier")));
    const blind = summarise(simulate(workload, fleet, makePolicy("random")));
    expect(aware.tokenHitRate).toBeGreaterThan(blind.tokenHitRate + 0.2);
    expect(aware.tokenHitRate).toBeLessThanOrEqual(aware.idealTokenHitRate + 1e-9);
    expect(aware.ttftMs.mean).toBeLessThan(blind.ttftMs.mean);
  });

  it.each([
    { kind: "exact" },
    { kind: "events", lagMs: 50, believeMs: 5000 },
    { kind: "estimated", capacityTokens: 50_000 },
    { kind: "none" },
  ] as const)("works with knowledge $kind", (knowledge) => {
    const workload = conversations(25, 4);
    const summary = summarise(simulate(workload, fleetOf({ knowledge }), makePolicy("two-tier")));
    expect(summary.served).toBe(100);
    if (knowledge.kind === "none") expect(summary.tokenHitRate).toBeLessThan(0.4);
    else expect(summary.tokenHitRate).toBeGreaterThan(0.4);
  });

  it("late events are as good as exact ones once they have arrived and the router believes its own placements", () => {
    const workload = conversations(25, 4);
    const hit = (knowledge: FleetInput["knowledge"]) =>
      summarise(simulate(workload, fleetOf({ knowledge }), makePolicy("two-tier"))).tokenHitRate;
    expect(hit({ kind: "events", lagMs: 300, believeMs: 5000 })).toBeCloseTo(hit({ kind: "exact" }), 1);
  });

  it("decoded blocks that the next prompt begins with are hits, where the trace tells them", () => {
    const builder = new WorkloadBuilder("turns", 100);
    const prompt = Int32Array.from({ length: 5 }, () => builder.freshBlock());
    const output = Int32Array.from({ length: 2 }, () => builder.freshBlock());
    const next = Int32Array.from([...prompt, ...output, builder.freshBlock()]);
    const first = {
      program: "p",
      promptTokens: 520,
      outputTokens: 190,
      blocks: prompt,
      outputBlocks: output,
      delayMs: 0,
    };
    builder.add(first);
    builder.add({ program: "p", promptTokens: 800, outputTokens: 5, blocks: next, after: [0], delayMs: 10 });
    const result = simulate(builder.build(), fleetOf({}, 1), makePolicy("two-tier"));
    expect(result.records.cachedTokens[1]).toBe(700);
    expect(summarise(result).tokenHitRate).toBeCloseTo(summarise(result).idealTokenHitRate, 9);
  });

  it("separates prefill and decode: prompt time in one place, transfer, output in another", () => {
    const builder = new WorkloadBuilder("one", 100);
    const blocks = Int32Array.from({ length: 30 }, () => builder.freshBlock());
    builder.add({ program: "p", promptTokens: 3000, outputTokens: 3, blocks, delayMs: 0 });
    const workload = builder.build();
    const fleet = parseFleet({
      pools: [
        { name: "prefill", profile, replicas: 1, role: "prefill" },
        { name: "decode", profile, replicas: 2, role: "decode" },
      ],
    });
    const result = simulate(workload, fleet, makePolicy("two-tier"));
    const { records } = result;
    expect(fleet.replicas[records.endpoint[0]!]!.role).toBe("prefill");
    expect(fleet.replicas[records.decodeEndpoint[0]!]!.role).toBe("decode");
    const firstMs = prefillMs(profile, 3000, 0);
    expect(records.firstMs[0]).toBeCloseTo(firstMs + 5, 6);
    // 3,000 tokens x 1,000 bytes at 0.1 GB/s are 30 ms, and 2 ms latency.
    const decodeMs = records.endMs[0]! - 5 - (firstMs + 32);
    expect(decodeMs).toBeGreaterThan(2 * 10.5);
    expect(decodeMs).toBeLessThan(2 * 10.5 + 10);
    expect(result.engines.every((engine) => engine.cache.pinnedBlocks === 0)).toBe(true);
  });

  it("PD serves a load, never losing a lease", () => {
    const fleet = parseFleet({
      splitFromUncachedTokens: 500,
      pools: [
        { name: "prefill", profile, replicas: 2, role: "prefill" },
        { name: "decode", profile, replicas: 2, role: "both" },
      ],
      failures: [
        { endpoint: 0, atMs: 4000 },
        { endpoint: 2, atMs: 6000, downMs: 1000 },
      ],
    });
    const result = simulate(conversations(40, 4), fleet, makePolicy("two-tier"));
    const summary = summarise(result);
    expect(summary.served + summary.failed).toBe(160);
    expect(summary.served).toBeGreaterThan(120);
    expect(result.engines.every((engine) => engine.inside === 0 && engine.cache.pinnedBlocks === 0)).toBe(true);
  });

  it("a profile without a network cannot transfer, and says so", () => {
    const { network: _network, ...lonely } = profile;
    const fleet = parseFleet({
      pools: [
        { name: "p", profile: lonely, replicas: 1, role: "prefill" },
        { name: "d", profile: lonely, replicas: 1, role: "decode" },
      ],
    });
    expect(() => simulate(conversations(1, 1), fleet, makePolicy("random"))).toThrow(/says nothing about its network/);
  });

  it("a failed replica's calls are placed again if they had no token, its cache is gone, and it comes back", () => {
    const fleet = fleetOf({ failures: [{ endpoint: 0, atMs: 3000 }] }, 2);
    const result = simulate(conversations(30, 4), fleet, makePolicy("round-robin"));
    const { records } = result;
    const failed = [...records.outcome].filter((o) => o === outcome.failed).length;
    expect(Math.max(...records.attempts)).toBe(2);
    const whileDown = [...records.placedMs].filter((at, i) => at > 3000 && at < 6000 && records.endpoint[i] === 0);
    expect(whileDown).toEqual([]);
    const after = [...records.placedMs].filter((at, i) => at > 6000 && records.endpoint[i] === 0);
    expect(after.length).toBeGreaterThan(0);
    expect(summarise(result).failed).toBe(failed);
  });

  it("with every replica down calls wait, and are served when one returns", () => {
    const fleet = fleetOf({ failures: [{ endpoint: 0, atMs: 0, downMs: 8000 }] }, 1);
    const result = simulate(conversations(3, 1), fleet, makePolicy("two-tier"));
    expect(Math.min(...result.records.placedMs)).toBeGreaterThanOrEqual(8000);
    expect(summarise(result).served).toBe(3);
  });

  it("bounds calls in flight; the fair queue protects a tenant from another's flood, first come does not", () => {
    const builder = new WorkloadBuilder("flood", 100);
    const add = (tenant: string, delayMs: number) =>
      builder.add({
        tenant,
        program: `${builder.calls.length}`,
        promptTokens: 400,
        outputTokens: 20,
        blocks: Int32Array.from({ length: 4 }, () => builder.freshBlock()),
        delayMs,
      });
    for (let i = 0; i < 200; i++) add("flood", 0);
    for (let i = 0; i < 10; i++) add("quiet", 100 + i * 1000);
    const workload = builder.build();
    const quietTtft = (queue: "fifo" | "fair") => {
      const fleet = fleetOf({ maxInFlightPerEndpoint: 4, queue }, 1);
      const result = simulate(workload, fleet, makePolicy("two-tier"));
      expect(summarise(result).served).toBe(210);
      const times = workload.calls.filter((call) => call.tenant === 1).map((call) => call.index);
      return times.reduce((sum, i) => sum + result.records.firstMs[i]! - result.records.sentMs[i]!, 0) / times.length;
    };
    expect(quietTtft("fair")).toBeLessThan(quietTtft("fifo") / 5);
  });

  it("the scheduler's program plans act on the modelled caches, and every paused program is let go on", () => {
    const builder = new WorkloadBuilder("agents", 100);
    const random = new Random(4);
    for (let agent = 0; agent < 12; agent++) {
      const blocks: number[] = [];
      let previous: number | undefined;
      for (let step = 0; step < 8; step++) {
        for (let i = 0; i < 6; i++) blocks.push(builder.freshBlock());
        previous = builder.add({
          tenant: `t${agent % 2}`,
          program: `a${agent}`,
          promptTokens: blocks.length * 100 + 10,
          outputTokens: 30,
          blocks: Int32Array.from(blocks),
          after: previous === undefined ? [] : [previous],
          delayMs: previous === undefined ? agent * 200 : 1000 + random.below(8000),
          then: step === 7 ? "end" : "tool",
        }).index;
      }
    }
    const workload = builder.build();
    const run = (told: { programs: boolean; pauses: boolean }, tiers: EngineProfile["tiers"] = []) => {
      const pools = [{ name: "a", profile, replicas: 1, kvCapacityTokens: 15_000, tiers }];
      return simulate(workload, parseFleet({ ...told, pools }), makePolicy("two-tier"));
    };
    const short = run({ programs: true, pauses: true });
    expect([...short.records.outcome].every((o) => o === outcome.done)).toBe(true);
    expect(short.programs.pauses).toBeGreaterThan(0);
    const crowded = run({ programs: true, pauses: false });
    expect(crowded.programs.pauses).toBe(0);
    expect(summarise(short).tokenHitRate).toBeGreaterThan(summarise(crowded).tokenHitRate + 0.3);
    // Without a runtime the scheduler learns late that a program is over, so that others wait longer.
    const untold = run({ programs: false, pauses: true });
    expect(untold.spanMs).toBeGreaterThan(short.spanMs * 1.5);
    const host = { tier: "host", capacityTokens: 100_000, latencyMs: 1, msPerToken: 0.005 } as const;
    const tiered = run({ programs: true, pauses: true }, [host]);
    expect(tiered.programs.demotedBlocks).toBeGreaterThan(0);
    expect(tiered.engines[0]!.cache.pinnedBlocks).toBe(0);
  });

  it("a router that is short of time delays each call by up to twice its mean, before it chooses", () => {
    const workload = conversations(30, 4);
    const { records } = simulate(workload, fleetOf({ routerMsPerEndpoint: 50 }), makePolicy("least-delay"));
    const routing = workload.calls.map(({ index }) => records.placedMs[index]! - records.sentMs[index]!);
    expect(Math.min(...routing)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...routing)).toBeLessThanOrEqual(300);
    expect(routing.reduce((a, b) => a + b) / routing.length).toBeCloseTo(150, -2);
    expect(new Set(routing).size).toBeGreaterThan(100);
  });
});

describe("fleet descriptions", () => {
  it("say what is wrong and where", () => {
    expect(() => parseFleet({ pools: [] })).toThrow(/pools/);
    expect(() => parseFleet({ pools: [{ name: "a", profile, replicas: 0 }] })).toThrow(/replicas/);
    expect(() => parseFleet({ pools: [{ name: "a", profile, replicas: 1, gpus: 4 }] })).toThrow(/gpus/);
    expect(() => parseFleet({ pools: [{ name: "a", profile: "nonesuch", replicas: 1 }] })).toThrow(
      /no profile "nonesuch"/,
    );
    expect(() => fleetOf({ failures: [{ endpoint: 7, atMs: 0 }] })).toThrow(/endpoint 7 does not exist/);
    expect(() => parseFleet({ pools: [{ name: "a", profile, replicas: 1, role: "prefill" }] })).toThrow(/need decode/);
    expect(() => parseFleet({ pools: [{ name: "a", profile, replicas: 1, role: "decode" }] })).toThrow(/need prefill/);
  });
});
