import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import { exampleCall, exampleView, requirements } from "./conformance.ts";
import { expectedTtftMs } from "./estimate.ts";
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

  it("spares calls that decode where their places are waited for, and not where places are free", () => {
    // Nothing is cached and no prefill waits: only the streams differ.
    const streamsMs = (inFlight: number, kvTokens: number) =>
      choose(rule, [{ inFlight, kvTokens }]).terms!["streamsMs"]!;
    expect(streamsMs(20, 20_000)).toBeLessThan(1);
    expect(streamsMs(20, 99_000)).toBeCloseTo(20 * 100, 6);
    expect(streamsMs(63, 20_000)).toBeCloseTo(63 * 100, 6);
    const crowded = { inFlight: 60, kvTokens: 95_000 };
    expect(choose(rule, [crowded, { ...crowded, inFlight: 50 }]).index).toBe(1);
  });

  it("counts calls that peers are probably placing where places are waited for", () => {
    const alike = { inFlight: 50, kvTokens: 50_000 };
    const chosen = Array.from({ length: 20 }, () => choose(rule, [{ ...alike, guessedCalls: 20 }, alike]).index);
    expect(new Set(chosen)).toEqual(new Set([1]));
    const free = { inFlight: 1, kvTokens: 1_000 };
    const cached = { ...free, matched: [100, 0, 0, 0] as const, guessedCalls: 20 };
    expect(choose(rule, [cached, free]).index).toBe(0);
  });

  it("computes a prefix that many calls share a second time while other endpoints stand idle", () => {
    const policy = makePolicy(rule);
    // Every 110 ms a call of which the first endpoint alone has a prefix, so that it has 100 ms of work there, and 400 ms elsewhere.
    const call = exampleCall({ promptTokens: 4000 });
    const taken = new Set<number>();
    for (let n = 0; n < 200; n++) {
      const waiting = { matched: [3000, 0, 0, 0] as const, prefillTokens: 2500 };
      const view = { ...exampleView([waiting, {}, {}, {}], call), now: n * 110, residentTokens: new Float64Array(4) };
      taken.add(policy.choose(view, rng).index);
    }
    expect(taken.size).toBeGreaterThan(1);
    // The same at once, without the calls before it: the wait is shorter than the computation.
    const first = exampleView([{ matched: [3000, 0, 0, 0], prefillTokens: 2500 }, {}, {}, {}], call);
    expect(makePolicy(rule).choose({ ...first, residentTokens: new Float64Array(4) }, rng).index).toBe(0);
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

describe("the expected time to first token", () => {
  const ttftMs = (inFlight: number, kvTokens: number, promptTokens = 1000): number => {
    const view = exampleView([{ inFlight, kvTokens }], exampleCall({ promptTokens }));
    return expectedTtftMs(view.call, view.endpoints[0]!, view.matched, 0) - 1 - promptTokens / 10;
  };

  it("counts no wait for a place while there are slots and KV", () => {
    expect(ttftMs(63, 90_000)).toBe(0);
  });

  it("takes the calls that run to end one after the other within the time of an output, each giving back its slot and KV", () => {
    // An output of 100 tokens takes 2,000 ms at 50 tokens a second.
    expect(ttftMs(64, 10_000)).toBeCloseTo(2000 / 64, 6);
    expect(ttftMs(72, 10_000)).toBeCloseTo((9 * 2000) / 64, 6);
    // Of 100,000 tokens 95,000 are in use by five calls: 15,100 must come free, which 19,000 do every 400 ms.
    expect(ttftMs(5, 95_000, 20_000)).toBeCloseTo((15_100 / 95_000) * 2000, 6);
    // More is wanted than there is: only what runs gives KV back.
    expect(ttftMs(10, 150_000)).toBeCloseTo((51_100 / 100_000) * 2000, 6);
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
      Array.from({ length: 150 }, (_, at) => {
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
