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
function burst() {
  const builder = new WorkloadBuilder("burst", 100);
  for (let atMs = 0; atMs < 900_000;) {
    const busy = atMs >= 300_000 && atMs < 600_000;
    atMs += busy ? 125 : 4000;
    const first = builder.freshRange(20);
    const blocks = Int32Array.from({ length: 20 }, (_, i) => first + i);
    builder.add({ program: `${atMs}`, thread: `${atMs}`, promptTokens: 2000, outputTokens: 50, blocks, delayMs: atMs });
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
