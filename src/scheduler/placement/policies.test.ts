import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import { exampleCall, exampleView, requirements } from "./conformance.ts";
import { decisionOf } from "./explain.ts";
import { makePolicy, policyNames } from "./registry.ts";

const rng = seededRng(1);
const choose = (name: string, ...args: Parameters<typeof exampleView>) =>
  makePolicy(name).choose(exampleView(...args), rng);

describe.each(policyNames)("%s", (name) => {
  it.each(requirements)("$name", ({ check }) => {
    expect(check(() => makePolicy(name))).toBeUndefined();
  });
});

it("the shared suite knows no rule by name", () => {
  const suite = readFileSync(new URL("conformance.ts", import.meta.url), "utf8");
  expect(policyNames.filter((name) => new RegExp(`["'\`]${name}["'\`]`).test(suite))).toEqual([]);
});

describe.each(["least-delay", "two-tier", "dynamo", "llm-d", "lmetric", "cache-aware"])("%s", (name) => {
  it("goes to the longest cached prefix when load is even", () => {
    expect(choose(name, [{}, { matched: [900, 0, 0, 0] }, { matched: [100, 0, 0, 0] }]).index).toBe(1);
  });
});

describe("two-tier", () => {
  it("leaves a cached prefix when its endpoint bears far more KV than the others", () => {
    const loaded = { matched: [900, 0, 0, 0] as const, kvTokens: 90_000, inFlight: 20 };
    expect(choose("two-tier", [{ kvTokens: 20_000 }, loaded, { kvTokens: 20_000 }])).toMatchObject({
      reason: "spilled",
    });
    expect(choose("two-tier", [{ kvTokens: 80_000 }, loaded, { kvTokens: 80_000 }]).index).toBe(1);
  });

  it("leaves it too when more prefill waits there than it saves", () => {
    expect(choose("two-tier", [{}, { matched: [900, 0, 0, 0], prefillTokens: 5000 }]).index).toBe(0);
    expect(choose("two-tier", [{}, { matched: [900, 0, 0, 0], prefillTokens: 500 }]).index).toBe(1);
  });

  it("counts a lower tier by its reload time", () => {
    const host = { matched: [0, 900, 0, 0] as const };
    expect(choose("two-tier", [{ matched: [700, 0, 0, 0] }, host]).index).toBe(1);
    const slow = {
      ...host,
      spec: {
        speed: {
          prefillTokensPerSecond: 10_000,
          decodeTokensPerSecond: 50,
          reloadMsPerToken: { host: 0.09 },
          overheadMs: 1,
        },
      },
    };
    expect(choose("two-tier", [{ matched: [700, 0, 0, 0] }, slow]).index).toBe(0);
  });

  it("knows that chips are unlike", () => {
    const fast = {
      speed: { prefillTokensPerSecond: 50_000, decodeTokensPerSecond: 50, reloadMsPerToken: {}, overheadMs: 1 },
    };
    expect(choose("two-tier", [{ matched: [500, 0, 0, 0] }, { spec: fast }]).index).toBe(1);
  });
});

describe("least-delay", () => {
  const rule = "least-delay";

  it("leaves a cached prefix when waiting for it costs more than it saves, and not for load that costs nothing", () => {
    const roomy = (prefillTokens: number) => {
      const view = exampleView([{}, { matched: [900, 0, 0, 0], prefillTokens }]);
      return makePolicy(rule).choose({ ...view, residentTokens: new Float64Array(2) }, rng).index;
    };
    expect([roomy(5000), roomy(500)]).toEqual([0, 1]);
    // Three times the KV of the others, in room to spare: no call waits for that.
    const loaded = { matched: [900, 0, 0, 0] as const, kvTokens: 30_000, inFlight: 2 };
    expect(choose(rule, [{ kvTokens: 10_000 }, loaded, { kvTokens: 10_000 }]).index).toBe(1);
  });

  it("spares those who decode: of equal caches and lines the smaller batch", () => {
    expect(
      choose(rule, [
        { inFlight: 9, kvTokens: 9000 },
        { inFlight: 3, kvTokens: 3000 },
      ]).index,
    ).toBe(1);
  });

  it("counts a lower tier by its reload time, and knows that chips are unlike", () => {
    expect(choose(rule, [{ matched: [700, 0, 0, 0] }, { matched: [0, 900, 0, 0] }]).index).toBe(1);
    const speed = { prefillTokensPerSecond: 50_000, decodeTokensPerSecond: 50, reloadMsPerToken: {}, overheadMs: 1 };
    expect(choose(rule, [{ matched: [500, 0, 0, 0] }, { spec: { speed } }]).index).toBe(1);
  });

  it("stays with a cache for longer where what it writes elsewhere pushes others out", () => {
    const near = { matched: [900, 0, 0, 0] as const, prefillTokens: 1200 };
    const chosen = (residentTokens: number) => {
      const policy = makePolicy(rule);
      const view = { ...exampleView([{}, near]), residentTokens: Float64Array.of(residentTokens, residentTokens) };
      return policy.choose(view, rng).index;
    };
    expect([chosen(0), chosen(100_000)]).toEqual([0, 1]);
  });

  it("takes off what the head of the line has been given already", () => {
    const view = exampleView([{ prefillTokens: 1000 }, { prefillTokens: 1500 }]);
    Object.assign(view.endpoints[1]!.load, { headTokens: 1500, headSinceMs: -100 });
    expect(makePolicy(rule).choose(view, rng).index).toBe(1);
  });

  it("says what its cost is made of", () => {
    const { cost, terms } = choose(rule, [{ inFlight: 2, kvTokens: 2000 }, { prefillTokens: 300 }]);
    expect(Object.keys(terms!)).toEqual(["ownMs", "laterMs", "streamsMs", "evictedMs"]);
    expect(Object.values(terms!).reduce((a, b) => a + b)).toBeCloseTo(cost, 6);
  });
});

describe("rivals", () => {
  it("cache-aware: falls back to least load out of balance, and without enough overlap", () => {
    expect(choose("cache-aware", [{ matched: [900, 0, 0, 0], inFlight: 40 }, {}])).toMatchObject({
      index: 1,
      reason: "imbalance",
    });
    expect(choose("cache-aware", [{ matched: [400, 0, 0, 0], inFlight: 4 }, {}])).toMatchObject({
      index: 1,
      reason: "no_overlap",
    });
  });

  it("consistent-hash: keeps a session where it is, moves few when an endpoint leaves, and bounds load", () => {
    const policy = makePolicy("consistent-hash");
    const names = ["a", "b", "c", "d", "e"];
    const placeAll = (ids: string[]) =>
      Array.from({ length: 500 }, (_, at) => {
        const view = exampleView(
          ids.map((id) => ({ id })),
          exampleCall({ affinity: `s${at}` }),
        );
        return ids[policy.choose(view, rng).index]!;
      });
    const before = placeAll(names);
    expect(placeAll(names)).toEqual(before);
    const after = placeAll(names.filter((name) => name !== "c"));
    before.forEach((name, at) => {
      if (name !== "c") expect(after[at]).toBe(name);
    });
    const call = exampleCall({ affinity: "s0" });
    const home = policy.choose(
      exampleView(
        names.map((id) => ({ id })),
        call,
      ),
      rng,
    ).index;
    const full = names.map((id, at) => ({ id, inFlight: at === home ? 10 : 1 }));
    expect(policy.choose(exampleView(full, call), rng)).toMatchObject({ reason: "bounded" });
  });

  it("round-robin takes turns", () => {
    const policy = makePolicy("round-robin");
    expect([0, 1, 2, 3].map(() => policy.choose(exampleView([{}, {}, {}]), rng).index)).toEqual([0, 1, 2, 0]);
  });

  it("names what it knows when asked for what it does not", () => {
    expect(() => makePolicy("toString")).toThrow(/two-tier/);
  });
});

describe("the record of a decision", () => {
  it("holds the numbers of the chosen one and of the runner-up", () => {
    const view = exampleView([{ matched: [800, 0, 0, 0], inFlight: 2 }, { prefillTokens: 300 }]);
    const decision = decisionOf(view, makePolicy("two-tier").choose(view, rng), "two-tier", 12);
    expect(decision).toMatchObject({
      chosen: { endpoint: "e0", matchedTokens: 800, uncachedTokens: 200 },
      runnerUp: { endpoint: "e1", expectedTtftMs: 131 },
    });
  });
});
