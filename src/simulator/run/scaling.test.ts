// Pools that scale inside a run: they follow a burst up and down, pay for what they hold, and lose no call.
import { describe, expect, it } from "vitest";
import { makePolicy } from "../../scheduler/index.ts";
import { parseFleet, type FleetInput } from "../fleet.ts";
import { summarise } from "../report/summary.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import { outcome } from "./records.ts";
import { simulate } from "./simulation.ts";

const profile = {
  name: "test",
  model: "m",
  chip: "c",
  step: { baseMs: 10, tokenMs: 0.1 },
  maxBatchTokens: 4096,
  maxSequences: 64,
  kvCapacityTokens: 200_000,
  kvBytesPerToken: 1000,
  startUpMs: 20_000,
  pricePerChipHour: 3.6,
  source: "test",
};

/** Ten quiet minutes with five busy ones in their midst: 8 calls a second of 2,000 tokens, where a replica prefills 5. */
function burst(builder = new WorkloadBuilder("burst", 100), tenant = "one", lateMs = 0) {
  for (let atMs = 0; atMs < 900_000;) {
    const busy = atMs >= 300_000 && atMs < 600_000;
    atMs += busy ? 125 : 4000;
    const first = builder.freshRange(20);
    const blocks = Int32Array.from({ length: 20 }, (_, i) => first + i);
    const program = `${tenant} ${atMs}`;
    builder.add({ tenant, program, promptTokens: 2000, outputTokens: 50, blocks, delayMs: atMs + lateMs });
  }
  return builder.build();
}

const fleetOf = (pool: Partial<FleetInput["pools"][number]>) =>
  parseFleet({ pools: [{ name: "p", profile, replicas: 6, ...pool }], slo: { ttftMs: 4000, timePerTokenMs: 100 } });

describe("a pool that scales", () => {
  const workload = burst();
  const run = () =>
    simulate(
      workload,
      fleetOf({ autoscale: { min: 1, everyMs: 5000, shrinkAfterMs: 60_000 } }),
      makePolicy("least-delay"),
    );
  const result = run();
  const { scaling } = result;

  it("grows with the load and shrinks after it", () => {
    const during = scaling!.changes.filter(({ atMs }) => atMs >= 300_000 && atMs < 400_000);
    expect(during[0]!.replicas).toBeGreaterThan(1);
    expect(scaling!.peakReady).toBeGreaterThanOrEqual(2);
    expect(scaling!.changes.at(-1)).toMatchObject({ replicas: 1, reason: "shrink" });
  });

  it("no call is lost, and none is placed where nothing serves yet", () => {
    expect([...result.records.outcome].every((how) => how === outcome.done)).toBe(true);
    const grownMs = scaling!.changes[0]!.atMs;
    const elsewhere = workload.calls.filter(({ index }) => result.records.endpoint[index]! > 0);
    expect(Math.min(...elsewhere.map(({ index }) => result.records.placedMs[index]!))).toBeGreaterThanOrEqual(
      grownMs + profile.startUpMs,
    );
    for (const engine of result.engines) expect(engine.cache.pinnedBlocks).toBe(0);
  });

  it("is paid for while it is held: between the least and the most that there could be", () => {
    const hours = result.spanMs / 3_600_000;
    const summary = summarise(result);
    expect(summary.chipHours).toBeGreaterThan(hours);
    expect(summary.chipHours).toBeLessThan(hours * 4);
    expect(summary.cost).toBeCloseTo(summary.chipHours * 3.6, 6);
    const fixed = summarise(simulate(workload, fleetOf({}), makePolicy("least-delay")));
    expect(fixed.chipHours).toBeCloseTo((fixed.spanS / 3600) * 6, 6);
  });

  it("is the same every time", () => {
    expect(run().scaling!.changes).toEqual(scaling!.changes);
  });

  it("says when it is asked to hold more than it has", () => {
    expect(() => fleetOf({ autoscale: { min: 7 } })).toThrow(/at most the pool's 6 replicas/);
  });
});

describe("departments that share chips", () => {
  const builder = new WorkloadBuilder("two bursts", 100);
  burst(builder, "one", 0);
  // The second's busy minutes begin while the first's are not over.
  const workload = burst(builder, "two", 200_000);
  const pool = (name: string) => ({
    name,
    profile,
    replicas: 6,
    department: name,
    autoscale: { min: 1, everyMs: 5000, shrinkAfterMs: 60_000 },
  });
  const described = (guaranteed: number) => ({
    pools: [pool("one"), pool("two")],
    departments: ["one", "two"].map((name, tenant) => ({ name, tenants: [tenant], guaranteed: { c: guaranteed } })),
    chips: { c: 4 },
    slo: { ttftMs: 4000, timePerTokenMs: 100 },
  });
  const result = simulate(workload, parseFleet(described(2)), makePolicy("least-delay"));

  it("the first borrows what the second does not need, and gives it back when it does", () => {
    const of = (name: string) => result.scaling!.changes.filter((change) => change.pool === name);
    const most = Math.max(...of("one").map(({ replicas }) => replicas));
    expect(most).toBe(3);
    expect(of("one").some(({ atMs, replicas, reason }) => atMs > 500_000 && replicas === 2 && reason === "quota")).toBe(
      true,
    );
    expect(Math.max(...of("two").map(({ replicas }) => replicas))).toBeGreaterThanOrEqual(2);
  });

  it("each department's calls stay in its pool, and none is lost", () => {
    for (const call of workload.calls) {
      const replica = result.fleet.replicas[result.records.endpoint[call.index]!]!;
      if (call.index % 97 === 0) expect(replica.department).toBe(call.tenant === 0 ? "one" : "two");
      expect(result.records.outcome[call.index]).toBe(outcome.done);
    }
  });

  it("says when guarantees cannot be kept", () => {
    expect(() => parseFleet(described(3))).toThrow(/6 chips of c are guaranteed, 4 exist/);
    expect(() => parseFleet(described(0))).toThrow(/hold at least 1 chips of c, 0 are guaranteed/);
  });
});
