// Replicas that share a store of KV, in whole runs: which calls read from it, what that costs, what the scheduler knows of it, and
// what is left when a replica dies.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { makePolicy, type Policy } from "../../scheduler/index.ts";
import { runSimulateCommand } from "../commands.ts";
import { prefillMs, profileSchema, stepMs } from "../engine/profile.ts";
import { parseFleet, type FleetInput } from "../fleet.ts";
import { parsePlan, planFleet } from "../plan.ts";
import { summarise } from "../report/summary.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import type { Workload } from "../types.ts";
import { counterfactuals } from "./counterfactual.ts";
import { outcome } from "./records.ts";
import { simulate } from "./simulation.ts";
import "../../../test/setup/costly.ts";

const profile = profileSchema.parse({
  name: "test",
  model: "toy",
  chip: "toy",
  step: { baseMs: 10, tokenMs: 0.1, sequenceMs: 0.5, kvReadMsPerToken: 0.001, attentionMsPerPair: 0.000_01 },
  maxBatchTokens: 512,
  maxSequences: 16,
  kvCapacityTokens: 20_000,
  kvBytesPerToken: 1000,
  network: { gigabytesPerSecond: 0.1, latencyMs: 2 },
  startUpMs: 3000,
  source: "made up for tests",
});
type StoreInput = NonNullable<FleetInput["stores"]>[number];
const store = { name: "kv", capacityTokens: 100_000, latencyMs: 3, msPerToken: 0.01 } satisfies StoreInput;

const fleetOf = (over: Partial<StoreInput> = {}, rest: Partial<FleetInput> = {}, replicas = 2) =>
  parseFleet({ stores: [{ ...store, ...over }], pools: [{ name: "a", profile, replicas, store: "kv" }], ...rest });
const alone = (replicas = 2) => parseFleet({ pools: [{ name: "a", profile, replicas }] });

/** Conversations of `turns` turns: each prompt is the one before and 400 tokens more; 2 s between turns. */
function conversations(count: number, turns: number, gapMs = 3000): Workload {
  const builder = new WorkloadBuilder("conversations", 100);
  for (let c = 0; c < count; c++) {
    const blocks: number[] = [];
    let previous: number | undefined;
    for (let turn = 0; turn < turns; turn++) {
      for (let i = 0; i < 4; i++) blocks.push(builder.freshBlock());
      previous = builder.add({
        program: `p${c}`,
        promptTokens: blocks.length * 100,
        outputTokens: 3,
        blocks: Int32Array.from(blocks),
        after: previous === undefined ? [] : [previous],
        delayMs: previous === undefined ? c * gapMs : 2000,
        then: turn === turns - 1 ? "end" : "turn",
      }).index;
    }
  }
  return builder.build();
}

/** Calls go to replicas 0, 1, 2, ... in turn, whatever anything costs. */
const inTurn = () => makePolicy("round-robin");
const ttft = ({ records }: ReturnType<typeof simulate>, call: number) => records.firstMs[call]! - records.sentMs[call]!;

describe("a store that is written at once", () => {
  it("serves what one replica computed to the other, at the price of fetching it", () => {
    const workload = conversations(1, 2);
    const result = simulate(workload, fleetOf(), inTurn());
    expect([...result.records.endpoint]).not.toEqual([0, 0]);
    expect(result.records.cachedTokens[1]).toBe(400);
    expect(result.records.loadedTokens[1]).toBe(400);
    // 3 ms and 400 x 0.01 ms to fetch, then 400 tokens behind 400.
    expect(ttft(result, 1)).toBeCloseTo(3 + 4 + prefillMs(profile, 400, 400), 6);
    const without = simulate(workload, alone(), inTurn());
    expect(ttft(without, 1)).toBeCloseTo(prefillMs(profile, 800, 0), 6);
    expect(result.stores[0]!.totals.fetched).toBe(400);
  });

  it("is not read where computing is sooner", () => {
    const result = simulate(conversations(1, 2), fleetOf({ msPerToken: 0.5 }), inTurn());
    expect(result.records.cachedTokens[1]).toBe(0);
    expect(ttft(result, 1)).toBeCloseTo(prefillMs(profile, 800, 0), 6);
    expect(result.stores[0]!.totals.fetched).toBe(0);
  });

  it("holds no more than its capacity; one as large as everything finds all that could be found", () => {
    const workload = conversations(12, 4, 500);
    const run = (capacityTokens: number) => simulate(workload, fleetOf({ capacityTokens }, {}, 3), inTurn());
    const sizes = [1000, 8000, 100_000].map(run);
    const hits = sizes.map((result) => summarise(result).tokenHitRate);
    expect(hits[0]).toBeLessThan(hits[1]!);
    expect(hits[1]).toBeLessThan(hits[2]!);
    // The last token of a prompt is always computed, which the ideal does not count.
    expect(hits[2]).toBeCloseTo(summarise(sizes[2]!).idealTokenHitRate, 2);
    for (const [i, capacity] of [1000, 8000, 100_000].entries())
      expect(sizes[i]!.stores[0]!.tokens).toBeLessThanOrEqual(capacity);
    expect(summarise(simulate(workload, alone(3), inTurn())).tokenHitRate).toBeLessThan(hits[2]! - 0.1);
  });

  it("serves every prefill replica, and its decoder", () => {
    const pools = [
      { name: "p", profile, replicas: 2, role: "prefill" as const, store: "kv" },
      { name: "d", profile, replicas: 1, role: "decode" as const, store: "kv" },
    ];
    const workload = conversations(6, 3, 300);
    const run = (fleet: FleetInput) => simulate(workload, parseFleet(fleet), inTurn());
    const shared = run({ stores: [store], pools });
    const apart = run({ pools: pools.map(({ store: _, ...pool }) => pool) });
    expect([...shared.records.outcome].every((o) => o === outcome.done)).toBe(true);
    expect(summarise(shared).tokenHitRate).toBeGreaterThanOrEqual(summarise(apart).tokenHitRate);
    expect(new Set(shared.records.endpoint)).toEqual(new Set([0, 1]));
    expect(shared.engines.every(({ cache }) => cache.pinnedBlocks === 0)).toBe(true);
    const evicted = run({ stores: [{ ...store, writes: "evicted" }], pools });
    expect(summarise(evicted).tokenHitRate).toBeCloseTo(summarise(shared).tokenHitRate, 2);
  });
});

describe("a store that takes what is evicted", () => {
  const evicted = { writes: "evicted", tier: "disk" } as const;

  it("is given the conversation's newest state when the next turn goes elsewhere, and the turn waits for that", () => {
    const result = simulate(conversations(1, 2), fleetOf(evicted), inTurn());
    expect(result.records.cachedTokens[1]).toBe(400);
    // Saved in three times the time of a reading (3 + 400 x 0.03), then fetched.
    expect(ttft(result, 1)).toBeCloseTo(3 + 12 + (3 + 4) + prefillMs(profile, 400, 400), 6);
  });

  it("waits for the step under way at the replica that has the state", () => {
    const builder = new WorkloadBuilder("busy", 100);
    const blocks = (count: number) => Int32Array.from({ length: count }, () => builder.freshBlock());
    const first = blocks(4);
    const add = (program: string, promptBlocks: Int32Array, after: number[], delayMs: number) =>
      builder.add({
        program,
        promptTokens: promptBlocks.length * 100,
        outputTokens: 1,
        blocks: promptBlocks,
        after,
        delayMs,
      });
    add("p", first, [], 0);
    add("idle", blocks(1), [], 500);
    // Begins at the first replica, in steps of 512 tokens, just before the conversation's next turn goes to the second.
    add("busy", blocks(15), [], 1000);
    add("p", Int32Array.from([...first, ...blocks(1)]), [0], 1001 - prefillMs(profile, 400, 0));
    const result = simulate(builder.build(), fleetOf(evicted), inTurn());
    expect([...result.records.endpoint]).toEqual([0, 1, 0, 1].map((i) => i ^ result.records.endpoint[0]!));
    const stepEndMs = stepMs(profile, 512, 512 * 256, 0, 0);
    expect(ttft(result, 3)).toBeCloseTo(stepEndMs - 1 + (3 + 12) + (3 + 4) + prefillMs(profile, 100, 400), 6);
  });

  it("is told to the scheduler as parked states are: in the store's tier, and what another has itself as remote", () => {
    const seen: { at: number; matched: number[]; pool: string | undefined; reload: object }[] = [];
    const policy = inTurn();
    const watching: Policy = {
      ...policy,
      choose(view, rng) {
        const choice = policy.choose(view, rng);
        if (view.call.promptTokens === 800)
          for (let i = 0; i < view.count; i++)
            seen.push({
              at: view.endpoints[i]!.slot,
              matched: [...view.matched.subarray(i * 4, i * 4 + 4)],
              pool: view.endpoints[i]!.spec.pool,
              reload: view.endpoints[i]!.spec.speed.reloadMsPerToken,
            });
        return choice;
      },
    };
    const told = (writes: "computed" | "evicted", knowledge: FleetInput["knowledge"]) => {
      seen.length = 0;
      const result = simulate(conversations(1, 2), fleetOf({ ...evicted, writes }, { knowledge }), watching);
      const home = result.records.endpoint[0]!;
      const other = seen.find(({ at }) => at !== home)!;
      const own = seen.find(({ at }) => at === home)!;
      return { own: own.matched, other: other.matched, pool: other.pool, reload: other.reload };
    };
    for (const knowledge of [{ kind: "exact" }, { kind: "events", lagMs: 10 }] as const) {
      expect(told("evicted", knowledge)).toEqual({
        own: [400, 0, 0, 0],
        other: [0, 0, 0, 400],
        pool: "kv",
        reload: { disk: 0.01, remote: 0.04 },
      });
      expect(told("computed", knowledge)).toEqual({
        own: [400, 0, 0, 0],
        other: [0, 0, 400, 0],
        pool: undefined,
        reload: { disk: 0.01 },
      });
    }
    expect(told("computed", { kind: "none" }).other).toEqual([0, 0, 0, 0]);
  });

  it("keeps what programs' next turns have superseded, and forgets what has ended", () => {
    const workload = conversations(3, 4);
    const result = simulate(workload, fleetOf(evicted, { programs: true }), inTurn());
    expect(result.programs!.demotedBlocks).toBeGreaterThan(0);
    expect(summarise(result).tokenHitRate).toBeCloseTo(summarise(result).idealTokenHitRate, 2);
    const dropping = simulate(
      workload,
      parseFleet({ pools: [{ name: "a", profile, replicas: 2 }], programs: true }),
      inTurn(),
    );
    expect(summarise(dropping).tokenHitRate).toBeLessThan(summarise(result).tokenHitRate - 0.2);
    expect(result.stores[0]!.tokens).toBe(0);
  });

  it("keeps what a replica had parked when it dies, not what lay in its memory; calls on their way to it are placed again", () => {
    const builder = new WorkloadBuilder("failing", 100);
    const prompt = Int32Array.from({ length: 20 }, () => builder.freshBlock());
    const add = (program: string, blocks: Int32Array, after: number[], delayMs: number) =>
      builder.add({ program, promptTokens: blocks.length * 100, outputTokens: 2, blocks, after, delayMs }).index;
    const first = add("p", prompt, [], 0);
    add("p", Int32Array.from([...prompt, builder.freshBlock()]), [first], 500);
    const workload = builder.build();
    const at = simulate(workload, fleetOf(evicted), inTurn());
    const home = at.records.endpoint[0]!;
    const sentMs = at.records.sentMs[1]!;
    const fails = (endpoint: number, atMs: number) =>
      simulate(workload, fleetOf(evicted, { failures: [{ endpoint, atMs, downMs: 60_000 }] }), inTurn());
    // While it is written: nothing of it arrives, and the other replica computes it.
    const homeDies = fails(home, sentMs + 1);
    expect([...homeDies.records.outcome]).toEqual([outcome.done, outcome.done]);
    expect(homeDies.records.cachedTokens[1]).toBe(0);
    // The one that waits for it: the call goes where the state is.
    const otherDies = fails(1 - home, sentMs + 1);
    expect(otherDies.records.endpoint[1]).toBe(home);
    expect(otherDies.records.cachedTokens[1]).toBe(2000);
    expect(otherDies.records.attempts[1]).toBe(2);
    // Afterwards: it lies in the store.
    const later = fails(home, at.records.firstMs[1]! - 1);
    expect(later.records.cachedTokens[1]).toBe(2000);
  });

  it("serves a load with failures, never losing a call, and nothing stays counted", () => {
    const fleet = fleetOf(
      { ...evicted, capacityTokens: 6000 },
      {
        failures: [
          { endpoint: 0, atMs: 2100 },
          { endpoint: 1, atMs: 4500, downMs: 500 },
          { endpoint: 2, atMs: 7003, downMs: 500 },
        ],
      },
      3,
    );
    for (const policy of ["round-robin", "least-delay", "random"]) {
      const result = simulate(conversations(40, 4, 150), fleet, makePolicy(policy));
      const { served, failed } = summarise(result);
      expect(served + failed).toBe(160);
      expect(served).toBeGreaterThan(140);
      expect(result.engines.every(({ inside, cache }) => inside === 0 && cache.pinnedBlocks === 0)).toBe(true);
      expect(result.stores[0]!.tokens).toBeLessThanOrEqual(6000);
      const again = simulate(conversations(40, 4, 150), fleet, makePolicy(policy));
      expect(again.records).toEqual(result.records);
    }
  });
});

it("a runner-up costs no more than the fetch where a store is shared, and the whole prompt where none is", () => {
  const workload = conversations(1, 2);
  const asked = (fleet: ReturnType<typeof alone>) => {
    const [answer] = counterfactuals(
      simulate(workload, fleet, makePolicy("least-delay")),
      () => makePolicy("least-delay"),
      { calls: [1] },
    );
    return answer!;
  };
  const shared = asked(fleetOf());
  expect([shared.cachedTokens, shared.runnerUpCachedTokens, shared.computedTokens]).toEqual([400, 400, 0]);
  expect(shared.runnerUpTtftMs - shared.ttftMs).toBeCloseTo(3 + 4, 6);
  const apart = asked(alone());
  expect([apart.cachedTokens, apart.runnerUpCachedTokens, apart.computedTokens]).toEqual([400, 0, 400]);
  expect(apart.runnerUpTtftMs - apart.ttftMs).toBeCloseTo(prefillMs(profile, 800, 0) - prefillMs(profile, 400, 400), 6);
});

describe("reports and plans", () => {
  it("say what stores held and gave, and count their price", async () => {
    const trace = resolve(import.meta.dirname, "../../../test/data/traces/sessions.jsonl");
    const priced = { ...profile, pricePerChipHour: 2 };
    const fleet = {
      stores: [{ ...store, pricePerHour: 7 }],
      pools: [{ name: "a", profile: priced, replicas: 2, store: "kv" }],
    };
    const folder = mkdtempSync(join(tmpdir(), "stores-"));
    const html = join(folder, "r.html");
    const options = { trace, policies: ["round-robin"], loads: [1], counterfactuals: 0, maxGapS: 10 };
    const { result, text } = await runSimulateCommand({ ...options, fleet, html });
    const [{ summary }] = result.points as [(typeof result.points)[number]];
    expect(summary.cost).toBeCloseTo(((2 * 2 + 7) * summary.spanS) / 3600, 9);
    expect(summary.stores![0]).toMatchObject({ name: "kv", capacityTokens: 100_000 });
    expect(summary.stores![0]!.fetchedTokens).toBeGreaterThan(0);
    expect(text).toMatch(/round-robin: \d+\.\d % of prompt tokens came from kv/);
    expect(readFileSync(html, "utf8")).toContain("Store kv");
    rmSync(folder, { recursive: true });
  });

  it("compare caches of their own with one store, at its price", async () => {
    const candidate = { profile: { ...profile, pricePerChipHour: 2, kvCapacityTokens: 6000 } };
    const request = parsePlan({
      slo: { ttftMs: 200, timePerTokenMs: 100 },
      goodput: 0.95,
      maxReplicas: 16,
      policy: "round-robin",
      candidates: [
        { ...candidate, name: "alone" },
        {
          ...candidate,
          name: "shared",
          store: { capacityTokensPerReplica: 50_000, msPerToken: 0.01, pricePerHour: 1 },
        },
      ],
    });
    const { answers } = await planFleet(conversations(40, 8, 100), request);
    const [shared, own] = ["shared", "alone"].map((name) => answers.find((answer) => answer.candidate === name)!);
    expect(shared!.failed).toBeUndefined();
    expect(shared!.pricePerHour).toBe(shared!.replicas * 2 + 1);
    expect(shared!.summary!.stores![0]!.capacityTokens).toBe(50_000 * shared!.replicas);
    expect(own!.failed !== undefined || own!.replicas > shared!.replicas).toBe(true);
    expect(() => parsePlan({ candidates: [{ ...candidate, name: "a", store: { msPerToken: 1 } }] })).toThrow(
      /does not say how much it holds/,
    );
  });
});

describe("fleet descriptions with stores", () => {
  const pool = (over: object = {}) => ({ name: "a", profile, replicas: 2, store: "kv", ...over });
  const parse = (stores: object[], pools: object[] = [pool()]) => parseFleet({ stores, pools } as FleetInput);

  it("say what is wrong and where", () => {
    expect(() => parse([], [pool()])).toThrow(/there is no store "kv"/);
    expect(() => parse([store, store])).toThrow(/two stores "kv"/);
    expect(() => parse([store], [pool({ store: undefined })])).toThrow(/no pool uses the store "kv"/);
    expect(() => parse([{ name: "kv", msPerToken: 1 }])).toThrow(/does not say how much it holds/);
    expect(() => parse([{ ...store, capacityBytes: 5 }])).toThrow(/says twice how much it holds/);
    expect(() => parse([{ ...store, msPerToken: undefined }])).toThrow(/how fast it reads a remote tier/);
    expect(() => parse([{ ...store, size: 3 }])).toThrow(/size/);
    const other = pool({ name: "b", profile: { ...profile, model: "another" } });
    expect(() => parse([store], [pool(), other])).toThrow(/pools a and b cannot share the store "kv"/);
  });

  it("take capacities in tokens, in bytes, or by replica, and speeds from the tier whose place they take", () => {
    const capacity = (over: object) => parse([{ ...store, capacityTokens: undefined, ...over }]).stores[0]!;
    expect(capacity({ capacityBytes: 5_000_000 }).capacityTokens).toBe(5000);
    expect(capacity({ capacityTokensPerReplica: 700 })).toMatchObject({ capacityTokens: 1400, replicas: 2 });
    const tiers = [
      { tier: "host", capacityTokens: 10, msPerToken: 0.1 },
      { tier: "disk", capacityTokens: 20, latencyMs: 4, msPerToken: 0.2 },
    ];
    const [replica] = parse([{ name: "kv", tier: "disk", capacityTokens: 50 }], [pool({ tiers })]).replicas;
    expect(replica!.profile.tiers.map(({ tier }) => tier)).toEqual(["host"]);
    expect(replica!.store).toMatchObject({
      tier: { tier: "disk", capacityTokens: 50, latencyMs: 4, msPerToken: 0.2 },
      saveMsPerToken: expect.closeTo(0.6, 9),
    });
  });
});
