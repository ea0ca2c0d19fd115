// Programs that do not fit together, on modelled engines: what waiting as whole programs gains, with one gateway and with several, whose word
// of their programs is late.
import { expect, test } from "vitest";
import { makePolicy } from "../../scheduler/index.ts";
import { type FleetInput, parseFleet } from "../fleet.ts";
import { Random } from "../random.ts";
import { summarise } from "../report/summary.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import type { Workload } from "../types.ts";
import { outcome } from "./records.ts";
import { simulate } from "./simulation.ts";
import "../../../test/setup/costly.ts";

/** Agents whose contexts grow by `stepTokens` with each of their calls, some seconds apart. */
function agents(count: number, steps: number, stepTokens: number, startTokens: number): Workload {
  const builder = new WorkloadBuilder("agents", 100);
  const random = new Random(4);
  for (let agent = 0; agent < count; agent++) {
    const blocks: number[] = Array.from({ length: startTokens / 100 }, () => builder.freshBlock());
    let previous: number | undefined;
    for (let step = 0; step < steps; step++) {
      for (let i = 0; i < stepTokens / 100; i++) blocks.push(builder.freshBlock());
      previous = builder.add({
        tenant: `t${agent % 4}`,
        program: `a${agent}`,
        promptTokens: blocks.length * 100,
        outputTokens: 40,
        blocks: Int32Array.from(blocks),
        after: previous === undefined ? [] : [previous],
        delayMs: previous === undefined ? agent * 1500 : 1000 + random.below(6000),
        then: step === steps - 1 ? "end" : "tool",
      }).index;
    }
  }
  return builder.build();
}

type Summary = ReturnType<typeof summarise>;

const pool = { name: "h100", profile: "h100-llama-3.1-70b-tp8", replicas: 2 };
const tight = 300_000;
/** 24 agents of 10,000 to 70,000 tokens. */
const workload = agents(24, 20, 3000, 10_000);

function run(more: Partial<FleetInput>, kvCapacityTokens = tight): Summary & { pauses: number } {
  const fleet = parseFleet({
    pools: [{ ...pool, kvCapacityTokens }],
    slo: { ttftMs: 2000, timePerTokenMs: 50 },
    ...more,
  });
  const result = simulate(workload, fleet, () => makePolicy("least-delay"), { seed: 1 });
  expect(result.records.outcome.every((how) => how === outcome.done)).toBe(true);
  return { ...summarise(result), pauses: result.programs.pauses };
}

const one = run({});
const thrash = run({ pauses: false });

test("programs that wait as a whole find their prompts cached", () => {
  expect(one.pauses).toBeGreaterThan(0);
  expect(one.tokenHitRate).toBeGreaterThan(thrash.tokenHitRate + 0.1);
});

test.each([
  [2, 50, "programs"],
  [2, 500, "calls"],
  [4, 500, "programs"],
  [4, 500, "calls"],
] as const)(
  "%i gateways whose word is %i ms old count the programs of all, which come by %s",
  (count, loadAgeMs, spread) => {
    const several = run({ gateways: { count, loadAgeMs, spread } });
    const gain = (some: Summary): number =>
      (some.tokenHitRate - thrash.tokenHitRate) / (one.tokenHitRate - thrash.tokenHitRate);
    // A gateway that has heard late of a program's last call pauses another one: 0.77 to 0.90 by seed, where calls are spread.
    expect(gain(several)).toBeGreaterThan(spread === "programs" ? 0.9 : 0.75);
    // Gateways without word of each other admit as many programs each as fit.
    if (spread === "programs") expect(gain(run({ gateways: { count, loadAgeMs: 1e9, spread } }))).toBeLessThan(0.4);
  },
);

test("where all programs fit, gateways pause none, wherever the calls of a program come to", () => {
  const gateways = { count: 4, loadAgeMs: 500, spread: "calls" } as const;
  expect(run({ gateways }, 1_000_000)).toMatchObject({ pauses: 0 });
});

test("a runtime that tells of tools loses nothing by it where KV is short: an engine gives up what it must by itself", () => {
  for (const kvCapacityTokens of [tight, (2 * tight) / 3]) {
    const untold = kvCapacityTokens === tight ? one : run({}, kvCapacityTokens);
    const told = run({ programs: true }, kvCapacityTokens);
    expect(told.tokenHitRate).toBeGreaterThan(untold.tokenHitRate - 0.02);
  }
});
