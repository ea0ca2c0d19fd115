// Several gateways before one fleet. They place by the load that they count themselves and by what they have heard of the others, which is
// late by as much as the fleet says.
import { expect, test } from "vitest";
import { makePolicy } from "../../scheduler/index.ts";
import { type FleetInput, parseFleet } from "../fleet.ts";
import { Random } from "../random.ts";
import { summarise } from "../report/summary.ts";
import { agentTrees } from "../traces/generated/agentTrees.ts";
import { longPrompts } from "../traces/generated/longPrompts.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import type { Workload } from "../types.ts";
import { Balancer } from "./gateways.ts";
import { outcome } from "./records.ts";
import { simulate } from "./simulation.ts";
import "../../../test/setup/costly.ts";

const pool = { name: "h100", profile: "h100-llama-3.1-70b-tp8", replicas: 8 };
const busy = longPrompts({ seed: 1, prompts: 600, ratePerS: 8 });

const fleetOf = (more: Partial<FleetInput>) => parseFleet({ pools: [pool], ...more });
const run = (workload: Workload, more: Partial<FleetInput>, policy = "least-delay") =>
  simulate(workload, fleetOf(more), () => makePolicy(policy), { seed: 1 });
/** The same calls before one gateway. */
const alone = run(busy, {});

test("one gateway decides as if there were no word of others, whatever their age and whatever is spread", () => {
  for (const spread of ["calls", "programs", "tenants"] as const) {
    const one = run(busy, { gateways: { count: 1, loadAgeMs: 500, spread } }).records;
    expect(one.endpoint).toEqual(alone.records.endpoint);
    expect(one.firstMs).toEqual(alone.records.firstMs);
    expect(one.endMs).toEqual(alone.records.endMs);
  }
});

test("four gateways that hear of each other at once come close to one", () => {
  const one = summarise(alone);
  const four = summarise(run(busy, { gateways: { count: 4, loadAgeMs: 0 } }));
  expect(four.served).toBe(one.served);
  expect(four.ttftMs.mean / one.ttftMs.mean).toBeLessThan(1.15);
  expect(one.tokenHitRate - four.tokenHitRate).toBeLessThan(0.03);
});

test("four gateways whose word is half a second old do not herd: better than a rule that sees no load but its own", () => {
  const four = (policy: string, loadAgeMs: number) =>
    summarise(run(busy, { gateways: { count: 4, loadAgeMs } }, policy));
  const old = four("least-delay", 500);
  const one = summarise(alone);
  expect(old.ttftMs.mean / one.ttftMs.mean).toBeLessThan(1.5);
  expect(old.ttftMs.p99 / one.ttftMs.p99).toBeLessThan(1.75);
  expect(old.imbalance).toBeLessThan(one.imbalance * 1.25);
  // A message that does not come in time is no message.
  const deaf = four("least-delay", 1e9);
  expect(deaf.ttftMs.mean).toBeGreaterThan(old.ttftMs.mean);
});

test("word that is older than a prompt takes does not draw all gateways to the same few of 32 endpoints", () => {
  const builder = new WorkloadBuilder("short prompts", 100);
  const random = new Random(1);
  for (let i = 0, delayMs = 0; i < 1500; i++, delayMs += random.exponential(10)) {
    const blocks = Int32Array.from({ length: 25 }, () => builder.freshBlock());
    builder.add({ program: String(i), promptTokens: 2500, outputTokens: 100 + random.below(200), blocks, delayMs });
  }
  const workload = builder.build();
  const pools = [{ ...pool, replicas: 32, maxSequences: 32 }];
  const gateways = { count: 4, loadAgeMs: 150 };
  const meanMs = (policy: string): number => summarise(run(workload, { pools, gateways }, policy)).ttftMs.mean;
  // Two-tier draws among all endpoints without prefill. Without the unseen calls least delay is 24 % above it.
  expect(meanMs("least-delay") / meanMs("two-tier")).toBeLessThan(1.12);
});

test("calls of sessions end, one after another, whichever gateways they come to, also when endpoints fail", () => {
  const sessions = agentTrees({ seed: 2, runs: 8 });
  const failures = [
    { endpoint: 1, atMs: 20_000, downMs: 5000 },
    { endpoint: 2, atMs: 30_000, downMs: 5000 },
  ];
  for (const spread of ["calls", "programs", "tenants"] as const) {
    for (const programs of [false, true]) {
      const gateways = { count: 3, loadAgeMs: 100, spread };
      const { records, engines } = run(sessions, { gateways, failures, programs });
      expect(records.outcome.every((how) => how === outcome.done || how === outcome.failed)).toBe(true);
      for (const { after, index } of sessions.calls)
        for (const before of after) expect(records.sentMs[index]).toBeGreaterThanOrEqual(records.endMs[before]!);
      expect(engines.map(({ inside }) => inside)).toEqual(engines.map(() => 0));
    }
  }
});

test("gateways that hear of caches late know the same events, and each expects its own placements alone", () => {
  const knowledge = { kind: "events", lagMs: 50 } as const;
  const one = summarise(run(busy, { knowledge }));
  const four = summarise(run(busy, { knowledge, gateways: { count: 4 } }));
  expect(Math.abs(four.tokenHitRate - one.tokenHitRate)).toBeLessThan(0.05);
});

test("a balancer keeps at one gateway what it was told to keep", () => {
  const sessions = agentTrees({ seed: 3, runs: 30, tenants: 5 });
  const gatewaysBy = (
    spread: "calls" | "programs" | "tenants",
    keyOf: (call: (typeof sessions.calls)[number]) => number,
  ) => {
    const balancer = new Balancer(sessions, fleetOf({ gateways: { count: 4, spread } }), 1);
    const seen = Map.groupBy(sessions.calls, keyOf);
    return [...seen.values()].map((calls) => new Set(calls.map((call) => balancer.gatewayOf(call))).size);
  };
  expect(Math.max(...gatewaysBy("programs", ({ program }) => program))).toBe(1);
  expect(Math.max(...gatewaysBy("tenants", ({ tenant }) => tenant))).toBe(1);
  expect(Math.max(...gatewaysBy("calls", ({ program }) => program))).toBe(4);
});

test("a rule's one instance cannot decide for several gateways", () => {
  const fleet = fleetOf({ gateways: { count: 2 } });
  expect(() => simulate(busy, fleet, makePolicy("least-delay"))).toThrow(
    expect.objectContaining({ code: "policy_shared" }),
  );
});

test.each([[{ count: 0 }], [{ count: 65 }], [{ loadAgeMs: -1 }], [{ spread: "keys" }]])(
  "%o is no description of gateways",
  (gateways) => {
    expect(() => parseFleet({ pools: [pool], gateways })).toThrow(expect.objectContaining({ code: "fleet_invalid" }));
  },
);

test("a tenant that comes later to another gateway gets its share, although the first tenant's calls hold every place", () => {
  const builder = new WorkloadBuilder("two tenants", 100);
  for (const [tenant, calls, delayMs] of [
    ["first", 600, 0],
    ["second", 100, 2000],
  ] as const) {
    for (let i = 0; i < calls; i++) {
      const blocks = Int32Array.from({ length: 40 }, () => builder.freshBlock());
      builder.add({ tenant, program: `${tenant} ${i}`, promptTokens: 4000, outputTokens: 50, blocks, delayMs });
    }
  }
  const workload = builder.build();
  const small = { ...pool, replicas: 2, maxSequences: 8 };
  const lastEndMs = (tenant: number, count: number): number => {
    const gateways = { count, loadAgeMs: 100, spread: "tenants" as const };
    const { records } = run(workload, { pools: [small], gateways });
    return Math.max(
      ...workload.calls.filter((call) => call.tenant === tenant).map(({ index }) => records.endMs[index]!),
    );
  };
  // Half of the fleet, which the second tenant has at one gateway, serves its calls in a third of the time that all take.
  expect(lastEndMs(1, 2)).toBeLessThan(lastEndMs(1, 1) * 1.25);
  expect(lastEndMs(0, 2)).toBeLessThan(lastEndMs(0, 1) * 1.02);
});
