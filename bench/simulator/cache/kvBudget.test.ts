// The KV-budget study on sessions small enough to count by hand, and its rules against each other on random ones.
import { describe, expect, it } from "vitest";
import { Random } from "../../../src/simulator/random.ts";
import type { AgentSession } from "../../../src/simulator/traces/agentFiles.ts";
import { budgetWorkload } from "./budgetWorkload.ts";
import { budgetRules } from "./budgetRules.ts";
import { type GeneratedKind, generatedSessions } from "./generatedSessions.ts";
import { runBudget } from "./kvBudget.ts";
import "../../../test/setup/costly.ts";

const { untold, told, late, clairvoyant } = budgetRules;
const rules = [...untold, ...told, ...late, clairvoyant];
const rule = (name: string) => rules.find((one) => one.name === name)!;
const request = (startS: number, runs: number[], stop = "tool_use") => {
  const blocks = runs.filter((_, i) => i % 2 === 1).reduce((a, b) => a + b, 0);
  return { startS, apiS: 1, promptTokens: blocks * 10 + 5, outputTokens: 5, runs, blocks, stop };
};
const session = (id: string, requests: ReturnType<typeof request>[]): AgentSession => ({
  id,
  blockTokens: 10,
  sharedTokens: 0,
  main: { id: "main", offsetS: 0, requests },
  subagents: [],
});

/** By share of the working set, times clairvoyant: least recently used, the tool window without ends, and with ends told. */
const expected: [GeneratedKind, share: number, lru: number, window: number, toldWindow: number][] = [
  ["heavy tail", 0.25, 1.8527, 1.5625, 1.5588],
  ["heavy tail", 0.7, 1.193, 1.135, 1.0774],
  ["two paces", 0.25, 1.2712, 1.1465, 1.1221],
  ["two paces", 0.7, 1.5159, 1.2478, 1.0118],
  ["batch", 0.25, 1.6967, 1.3297, 1.3378],
  ["batch", 0.7, 1.9981, 1.0516, 1.0448],
  ["short chats", 0.25, 1.3462, 1.2309, 1.1836],
  ["short chats", 0.7, 1.4853, 1.4322, 1.0887],
];

describe("KV budget", () => {
  const two = [
    session("a", [request(0, [0, 4]), request(10, [0, 6]), request(1000, [0, 8], "end_turn")]),
    session("b", [request(0, [0, 4]), request(10, [0, 4, 20, 2]), request(20, [0, 2], "end_turn")]),
  ];
  const workload = budgetWorkload(two, { seed: 1, alive: 2, meanStartGapS: 1e-6 });

  it("lays sessions out on one clock and knows the working set and the next uses", () => {
    expect(workload.requests).toHaveLength(6);
    // Largest sum: a at 65 + 5 tokens beside b at 65 + 5.
    expect(workload.workingSetTokens).toBe(140);
    const [first] = workload.requests;
    expect(first!.nextUse).toHaveLength(1);
    expect(first!.nextUse[0]!.atS - first!.atS).toBeCloseTo(10, 3);
  });

  it("with room for all, only what is new is computed; a time-to-live loses what idled longer", () => {
    // a: 45, then 65 - 40, then 85 - 60; b: 45, 65 - 40, 25 - 20.
    const fresh = 45 + 25 + 25 + 45 + 25 + 5;
    for (const one of rules) {
      const recomputed = runBudget(workload, one, 1e6).recomputedTokens;
      expect([one.name, recomputed]).toEqual([one.name, one.ttlS === undefined ? fresh : fresh + 60]);
    }
  });

  it("what lies below the device is reloaded, not computed", () => {
    const all = runBudget(workload, rule("lru"), 1e6, 40);
    expect(all.recomputedTokens).toBe(runBudget(workload, rule("lru"), 1e6).recomputedTokens);
    expect(all.reloadedTokens).toBeGreaterThan(0);
  });

  it("on random sessions the clairvoyant is never beaten, and knowing what is dead helps", () => {
    const random = new Random(9);
    const many = Array.from({ length: 40 }, (_, s) => {
      let atS = 0;
      let length = 3 + random.below(5);
      const requests = Array.from({ length: 12 }, () => {
        const made = request(atS, [0, length]);
        atS += 2 + random.exponential(20);
        length += 1 + random.below(4);
        return made;
      });
      return session(`s${s}`, requests);
    });
    const load = budgetWorkload(many, { seed: 2, alive: 8, meanStartGapS: 5 });
    for (const share of [0.2, 0.4, 0.6, 0.8]) {
      const cost = (name: string) => runBudget(load, rule(name), share * load.workingSetTokens).recomputedTokens;
      const best = cost("clairvoyant");
      for (const { name } of rules) expect(cost(name)).toBeGreaterThanOrEqual(best);
      // Where all waits follow one exponential law, the least recently used state is the right one to evict, and what is learned from 480 waits costs up to a fifth.
      expect(cost("tool-window")).toBeLessThanOrEqual(1.2 * cost("lru"));
      expect(cost("lru, told")).toBeLessThanOrEqual(cost("lru"));
      expect(cost("tool-window, told")).toBeLessThanOrEqual(1.01 * cost("tool-window"));
    }
  });

  it.each(expected)("%s sessions cost no more at %d than they did", (kind, share, lru, window, toldWindow) => {
    const load = budgetWorkload(generatedSessions(kind, 60, 1), { seed: 1, alive: 12, meanStartGapS: 20 });
    const cost = (name: string) => runBudget(load, rule(name), share * load.workingSetTokens).recomputedTokens;
    const best = cost("clairvoyant");
    const times = ["lru", "tool-window", "tool-window, told"].map((name) => cost(name) / best);
    expect(times[0]).toBeCloseTo(lru, 3);
    expect(times[1]).toBeLessThan(window + 0.0005);
    expect(times[2]).toBeLessThan(toldWindow + 0.0005);
  });

  it("no rule but the clairvoyant is led by what comes, nor by where that lets segments begin", () => {
    const random = new Random(4);
    const many = Array.from({ length: 24 }, (_, s) => {
      let atS = 0;
      let runs = [0, 4];
      const requests = Array.from({ length: 14 }, (__, i) => {
        const made = request(atS, runs, ["tool_use", "", "end_turn"][random.below(3)]);
        atS += 2 + random.exponential(60);
        // Some begin anew after two or three blocks; the rest of the old prompt is never asked for again.
        runs =
          random.below(5) === 0
            ? [0, 2 + random.below(2), 1000 * (i + 1), 3]
            : [...runs.slice(0, -1), runs.at(-1)! + 2];
        return made;
      });
      return session(`s${s}`, requests);
    });
    const load = budgetWorkload(many, { seed: 3, alive: 8, meanStartGapS: 5 });
    expect(load.requests.some(({ nextUse }) => nextUse.length > 1)).toBe(true);
    const blind = {
      ...load,
      requests: load.requests.map((one) => ({ ...one, nextUse: [{ from: 0, atS: Infinity }] })),
    };
    // Rules that are not told of ends see no last requests either.
    const blinder = { ...blind, requests: blind.requests.map((one) => ({ ...one, last: false })) };
    for (const { name } of untold) {
      const tokens = 0.5 * load.workingSetTokens;
      expect(runBudget(blinder, rule(name), tokens)).toEqual(runBudget(load, rule(name), tokens));
    }
    for (const { name } of rules) {
      if (name === clairvoyant.name) continue;
      for (const share of [0.2, 0.5, 0.8]) {
        const tokens = share * load.workingSetTokens;
        expect(runBudget(blind, rule(name), tokens)).toEqual(runBudget(load, rule(name), tokens));
        expect(runBudget(blind, rule(name), tokens, tokens / 4)).toEqual(
          runBudget(load, rule(name), tokens, tokens / 4),
        );
      }
    }
  });
});
