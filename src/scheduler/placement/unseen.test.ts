// What peers have placed without word of it: how many calls that is, and that gateways which see the same costs choose as unlike as those
// calls make worth it.
import { describe, expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import type { Choice, EndpointLoad } from "../types.ts";
import { exampleView } from "./conformance.ts";
import { makePolicy } from "./registry.ts";
import { AfterUnseen, unseenCalls } from "./unseen.ts";

type Candidates = Parameters<typeof exampleView>[0];

/** Endpoints at which peers have calls, told `peersAgeMs` ago. */
function viewOf(candidates: Candidates, peersAgeMs: number, peersInFlight = 5) {
  const view = { ...exampleView(candidates), peersAgeMs };
  for (const { load } of view.endpoints) Object.assign(load, { peersInFlight });
  return view;
}

describe("unseen calls", () => {
  const peers = { callsPerMs: 0.01, tokensPerCall: 700, byLoad: 1 };

  it("are what comes in the age of the word and still runs, and as many have ended", () => {
    // Ten run, so a call lasts a second.
    const after = (ageMs: number) => unseenCalls(viewOf([{}, {}], ageMs), peers)!;
    expect(after(50).calls).toBeCloseTo(0.5, 1);
    expect(after(1000)).toEqual({
      calls: expect.closeTo(10 * (1 - 1 / Math.E), 6),
      ended: expect.closeTo(1 - 1 / Math.E, 6),
      tokens: 700,
      ageMs: 1000,
    });
    expect(after(1e9).calls).toBeCloseTo(10, 6);
  });

  it("are those that load alone places", () => {
    expect(unseenCalls(viewOf([{}, {}], 1e9), { ...peers, byLoad: 0.5 })!.calls).toBeCloseTo(5, 6);
    expect(unseenCalls(viewOf([{}, {}], 1e9), { ...peers, byLoad: 0 })).toBeUndefined();
  });

  it("are none without peers, and while peers place nothing", () => {
    expect(unseenCalls(exampleView([{}, {}]), peers)).toBeUndefined();
    expect(unseenCalls(viewOf([{}, {}], 500, 0), peers)).toBeUndefined();
    expect(unseenCalls(viewOf([{}, {}], 500), { ...peers, callsPerMs: 0 })).toBeUndefined();
  });
});

describe("a choice among them", () => {
  /** Share of 2,000 choices by endpoint where a call there adds 40 ms to a cost, and what is `loads` beside. */
  function shares(
    costs: number[],
    candidates: Candidates,
    calls: number,
    loads: Partial<EndpointLoad>[] = [],
  ): number[] {
    const view = exampleView(candidates);
    for (const [i, load] of loads.entries()) Object.assign(view.endpoints[i]!.load, load);
    const rng = seededRng(1);
    const afterUnseen = new AfterUnseen();
    const taken = costs.map(() => 0);
    const first: Choice = { index: 0, runnerUp: 1, cost: costs[0]!, runnerUpCost: costs[1]!, ties: 1, reason: "least" };
    for (let n = 0; n < 2000; n++) {
      const unseen = { calls, tokens: 0, ageMs: 100, ended: 0.5 };
      const choice = afterUnseen.choose(view, Float64Array.from(costs), first, unseen, 0, rng, (i, { load }) => {
        return costs[i]! + 40 * load.inFlight + load.prefillTokens;
      });
      expect([choice.cost, choice.runnerUp]).toEqual([costs[choice.index]!, choice.index === 0 ? 1 : 0]);
      taken[choice.index]! += 1 / 2000;
    }
    return taken;
  }

  it("is mixed so that no gateway gains by another: 10 ms better, and one unseen call", () => {
    // Taken with the share p, the better one costs 40 p more and the other 10 + 40 (1 - p): equal at 0.625.
    expect(shares([100, 110], [{}, {}], 1)[0]).toBeCloseTo(0.625, 1);
    expect(shares([100, 100], [{}, {}], 0.01)[0]).toBeCloseTo(0.5, 1);
    expect(shares([100, 110, 110, 110], [{}, {}, {}, {}], 1000).map((share) => share.toFixed(1))).toEqual(
      Array.from({ length: 4 }, () => expect.stringMatching(/^0\.[23]$/)),
    );
  });

  it("is the best one where that is better than all unseen calls could make the others", () => {
    expect(shares([100, 141], [{}, {}], 1)).toEqual([expect.closeTo(1), 0]);
    expect(shares([100, 100.5], [{}, {}], 0.01)).toEqual([expect.closeTo(1), 0]);
  });

  it("counts what peers' calls have become since they were told, and no guess of them", () => {
    // Two of four calls have ended at the second, which is better by 20 ms then; the prompt there has been computed.
    const told = { inFlight: 4, peersInFlight: 4, prefillTokens: 900, peersPrefill: 900 };
    expect(shares([100, 0], [{}, {}], 0.01, [{}, told])[1]).toBeCloseTo(1, 2);
    const guessed = { guessedCalls: 3, guessedPrefill: 300, prefillTokens: 300 };
    expect(shares([100, 99], [{}, {}], 0.01, [{}, guessed])[1]).toBeCloseTo(1, 2);
  });

  it("takes peers to know nothing of this gateway's newest calls", () => {
    // They go to the second, which looks 10 ms better to them; with this gateway's own call there it is 30 ms worse.
    const own = { inFlight: 1, newCalls: 1 };
    expect(shares([100, 90], [{}, {}], 0.2, [{}, own])).toEqual([expect.closeTo(1), 0]);
    // An own call that has ended before they knew of it takes nothing off.
    expect(shares([100, 100], [{}, {}], 1, [{}, { newCalls: 3 }])[0]).toBeCloseTo(0.5, 1);
  });

  it("stays where the prompt is cached, and moves no state", () => {
    expect(shares([100, 100], [{ matched: [500, 0, 0, 0] }, {}], 5)).toEqual([expect.closeTo(1), 0]);
    expect(shares([100, 100], [{}, { matched: [0, 0, 0, 500] }], 5)).toEqual([expect.closeTo(1), 0]);
    expect(shares([100, 100], [{ matched: [0, 0, 0, 500] }, {}], 5)).toEqual([expect.closeTo(1), 0]);
  });
});

it("with one gateway nothing is drawn where costs differ", () => {
  const view = exampleView([{ prefillTokens: 500 }, {}, { prefillTokens: 900 }]);
  const drawn = () => expect.unreachable("a draw");
  expect(makePolicy("least-delay").choose(view, drawn).index).toBe(1);
});
