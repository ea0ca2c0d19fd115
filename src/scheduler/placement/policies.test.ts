import { describe, expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import { exampleCall, exampleView, requirements } from "./conformance.ts";
import { decisionOf, explain } from "./explain.ts";
import { makePolicy, policyNames } from "./registry.ts";

const rng = seededRng(1);
const choose = (name: string, ...args: Parameters<typeof exampleView>) =>
  makePolicy(name).choose(exampleView(...args), rng);

describe.each(policyNames)("%s", (name) => {
  it.each(requirements)("$name", ({ check }) => {
    expect(check(() => makePolicy(name))).toBeUndefined();
  });
});

describe.each(["two-tier", "dynamo", "llm-d", "lmetric", "cache-aware"])("%s", (name) => {
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

describe("explanation", () => {
  it("holds the numbers of the chosen one and of the runner-up", () => {
    const view = exampleView([{ matched: [800, 0, 0, 0], inFlight: 2 }, { prefillTokens: 300 }]);
    const decision = decisionOf(view, makePolicy("two-tier").choose(view, rng), "two-tier", 12);
    expect(decision).toMatchObject({
      chosen: { endpoint: "e0", matchedTokens: 800, uncachedTokens: 200 },
      runnerUp: { endpoint: "e1", expectedTtftMs: 131 },
    });
    expect(explain(decision)).toBe(
      "two-tier least_ttft: e0 (cost 21; 800 cached, 200 to compute, 0 ahead, 2 in flight, 21 ms); next e1 (cost 131; 0 cached, 1000 to compute, 300 ahead, 0 in flight, 131 ms), of 2 candidates",
    );
  });
});
