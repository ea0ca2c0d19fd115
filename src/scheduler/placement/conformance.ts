// The shared behaviour suite of placement rules, as data and checks without a test framework. It knows no rule by name:
// `policies.test.ts` runs it for each rule of the registry, so that a new rule is held to it by being registered.
import { seededRng } from "../rng.ts";
import type { Call, Choice, EndpointSpec, EndpointState, PlacementView, Policy, Rng } from "../types.ts";

/** An endpoint for tests and examples: 100,000 tokens of KV, 10,000 tokens/s of prefill. */
export function exampleSpec(id: string, more: Partial<EndpointSpec> = {}): EndpointSpec {
  return {
    id,
    rank: 0,
    deployment: "d",
    role: "both",
    space: "m/tokens/16",
    blockTokens: 16,
    kvCapacityTokens: 100_000,
    totalKvCapacityTokens: 100_000,
    slots: 64,
    maxInFlight: 64,
    knowledge: "events",
    speed: {
      prefillTokensPerSecond: 10_000,
      decodeTokensPerSecond: 50,
      reloadMsPerToken: { host: 0.01 },
      overheadMs: 1,
    },
    topology: {},
    ...more,
  };
}

export function exampleCall(more: Partial<Call> = {}): Call {
  return { id: "call", tenant: "t", deployment: "d", promptTokens: 1000, outputTokens: 100, prompt: [], ...more };
}

interface ExampleCandidate {
  id?: string;
  matched?: readonly [number, number, number, number];
  expected?: number;
  prefillTokens?: number;
  kvTokens?: number;
  inFlight?: number;
  guessedCalls?: number;
  spec?: Partial<EndpointSpec>;
}

/** A view as the builder would make it. */
export function exampleView(candidates: readonly ExampleCandidate[], call: Call = exampleCall()): PlacementView {
  const endpoints: EndpointState[] = candidates.map((candidate, slot) => ({
    slot,
    spec: exampleSpec(candidate.id ?? `e${slot}`, candidate.spec),
    load: {
      prefillTokens: candidate.prefillTokens ?? 0,
      kvTokens: candidate.kvTokens ?? 0,
      inFlight: candidate.inFlight ?? 0,
      prefilling: 0,
      guessedCalls: candidate.guessedCalls ?? 0,
    },
    health: "ready",
  }));
  const matched = candidates.map((candidate) => candidate.matched ?? [0, 0, 0, 0]);
  return {
    call,
    now: 0,
    count: candidates.length,
    endpoints,
    matched: Float64Array.from(matched.flat()),
    matchedTokens: Float64Array.from(matched, (tiers) => tiers.reduce((sum, tokens) => sum + tokens, 0)),
    expectedTokens: Float64Array.from(candidates, (candidate) => candidate.expected ?? 0),
  };
}

interface Requirement {
  name: string;
  /** Answers what is wrong, or undefined. `make` gives a fresh instance. */
  check(make: () => Policy): string | undefined;
}

function randomCandidates(rng: Rng): ExampleCandidate[] {
  return Array.from({ length: 1 + Math.floor(rng() * 12) }, () => ({
    matched: [Math.floor(rng() * 500), Math.floor(rng() * 300), 0, 0] as const,
    prefillTokens: Math.floor(rng() * 20_000),
    kvTokens: Math.floor(rng() * 120_000),
    inFlight: Math.floor(rng() * 80),
  }));
}

function problemOf(choice: Choice, view: PlacementView): string | undefined {
  const inside = (index: number): boolean => Number.isInteger(index) && index >= 0 && index < view.count;
  if (!inside(choice.index)) return `index ${choice.index} of ${view.count}`;
  if (view.count === 1 && choice.runnerUp !== -1) return "a runner-up among one";
  if (view.count > 1 && (!inside(choice.runnerUp) || choice.runnerUp === choice.index))
    return `runner-up ${choice.runnerUp}`;
  if (!(choice.ties >= 1) || choice.ties > view.count) return `${choice.ties} ties`;
  return choice.reason === "" ? "no reason" : undefined;
}

/** What holds for every rule. */
export const requirements: readonly Requirement[] = [
  {
    name: "answers a candidate, another one as runner-up, and a reason",
    check(make) {
      const rng = seededRng(1);
      const policy = make();
      for (let round = 0; round < 500; round++) {
        const view = exampleView(randomCandidates(rng), exampleCall({ id: `c${round}`, promptTokens: 900 }));
        const problem = problemOf(policy.choose(view, rng), view);
        if (problem !== undefined) return `${problem} in round ${round}`;
      }
      return undefined;
    },
  },
  {
    name: "depends on nothing but its inputs and the seed",
    check(make) {
      const runs = [0, 1].map(() => {
        const policy = make();
        const rng = seededRng(5);
        return Array.from({ length: 200 }, (_, round) =>
          policy.choose(exampleView(randomCandidates(rng), exampleCall({ id: `c${round}` })), rng),
        );
      });
      return JSON.stringify(runs[0]) === JSON.stringify(runs[1]) ? undefined : "two runs of one seed differ";
    },
  },
  {
    name: "spreads sessions over equal candidates: none gets more than twice its share",
    check(make) {
      const policy = make();
      const rng = seededRng(9);
      const taken = [0, 0, 0, 0, 0, 0, 0, 0];
      const calls = 4000;
      const fleet = exampleView(taken.map(() => ({})));
      for (let round = 0; round < calls; round++) {
        const call = exampleCall({ id: `c${round}`, affinity: `session-${round}` });
        taken[policy.choose({ ...fleet, call }, rng).index]! += 1;
      }
      return Math.max(...taken) > (2 * calls) / taken.length ? taken.join(" ") : undefined;
    },
  },
  {
    name: "works with a view that says nothing of resident tokens and other gateways, and with one candidate",
    check(make) {
      const rng = seededRng(2);
      const policy = make();
      for (const count of [1, 1, 2]) {
        const view = exampleView(Array.from({ length: count }, () => ({})));
        const problem = problemOf(policy.choose(view, rng), view);
        if (problem !== undefined) return `${problem} of ${count}`;
      }
      return undefined;
    },
  },
  {
    name: "does not change what it is shown",
    check(make) {
      const view = exampleView([{ matched: [100, 50, 0, 0] }, { inFlight: 3, kvTokens: 500 }, {}]);
      const before = JSON.stringify([...view.matched, ...view.matchedTokens, view.endpoints, view.call]);
      make().choose(view, seededRng(3));
      const after = JSON.stringify([...view.matched, ...view.matchedTokens, view.endpoints, view.call]);
      return before === after ? undefined : "the view was changed";
    },
  },
  {
    name: "says what it is good for, bad at, and needs",
    check(make) {
      const { card } = make();
      return [card.goodFor, card.badAt, card.needs, card.source].every((text) => text.length > 3)
        ? undefined
        : "an empty card";
    },
  },
];
