// The scheduler learns the speeds of simulated replicas as it learns those of live endpoints: from a first guess, by calls that end. Waiting
// and batching are in those calls, and are not speed.
import { describe, expect, it } from "vitest";
import { type EndpointState, makePolicy, type Policy } from "../../scheduler/index.ts";
import { prefillMs, type EngineProfile } from "../engine/profile.ts";
import { parseFleet } from "../fleet.ts";
import { loadProfile } from "../profiles/index.ts";
import { summarise } from "../report/summary.ts";
import { longPrompts } from "../traces/generated/longPrompts.ts";
import type { Workload } from "../types.ts";
import { simulate } from "./simulation.ts";

const usual = loadProfile("h100-llama-3.1-70b-tp8");
// No attention: a prompt's tokens then cost the same wherever they stand, and the true rate is one number.
const profile: EngineProfile = { ...usual, step: { ...usual.step, attentionMsPerPair: 0 } };
const slowed: EngineProfile = {
  ...profile,
  step: {
    ...profile.step,
    baseMs: 2 * profile.step.baseMs,
    tokenMs: 2 * profile.step.tokenMs,
    sequenceMs: 2 * profile.step.sequenceMs,
    kvReadMsPerToken: 2 * profile.step.kvReadMsPerToken,
  },
};
const truth = (4096 / prefillMs(profile, 4096, 0)) * 1000;

/** The rule, and a look at the endpoints' rates at each of its decisions. */
function watched(look: (rates: Map<string, number>) => void): Policy {
  const policy = makePolicy("least-delay");
  return {
    name: policy.name,
    card: policy.card,
    choose(view, rng) {
      const rateOf = ({ spec }: EndpointState): [string, number] => [spec.id, spec.speed.prefillTokensPerSecond];
      look(new Map(view.endpoints.map(rateOf)));
      return policy.choose(view, rng);
    },
  };
}

function run(workload: Workload, speeds: "told" | "learned", look: (rates: Map<string, number>) => void = () => {}) {
  const fleet = parseFleet({ pools: [{ name: "a", profile, replicas: 4 }], speeds });
  return summarise(simulate(workload, fleet, watched(look)));
}

const long = { meanTokens: 15_000, meanOutputTokens: 200 };
const short = { meanTokens: 1500, meanOutputTokens: 200, sharedShare: 0.5 };

describe("speeds that are learned", () => {
  const losses: number[] = [];

  it.each([
    ["long prompts, half busy", { ...long, ratePerS: 4 }],
    ["long prompts, busy", { ...long, ratePerS: 8 }],
    ["long prompts in bursts", { ...long, ratePerS: 5, arrivalCv: 3 }],
    ["short prompts, half busy", { ...short, ratePerS: 20 }],
    ["short prompts, busy", { ...short, ratePerS: 40 }],
  ])("%s: stay within 15 percent of the truth for equal endpoints", (_, load) => {
    const workload = longPrompts({ prompts: 800, seed: 1, ...load });
    let decisions = 0;
    let least = Infinity;
    let most = 0;
    const learned = run(workload, "learned", (rates) => {
      if (++decisions <= 200) return;
      least = Math.min(least, ...rates.values());
      most = Math.max(most, ...rates.values());
    });
    expect(least / truth).toBeGreaterThan(0.85);
    expect(most / truth).toBeLessThan(1.15);
    losses.push(run(workload, "told").goodput - learned.goodput);
  });

  it("cost less than one point of goodput against speeds that are told, the first guess included", () => {
    expect(losses).toHaveLength(5);
    expect(losses.reduce((sum, loss) => sum + loss, 0) / losses.length).toBeLessThan(0.01);
  });

  it("show an endpoint that takes twice the time for everything", () => {
    const pools = [
      { name: "a", profile, replicas: 7 },
      { name: "slow", profile: slowed, replicas: 1 },
    ];
    const fleet = parseFleet({ pools, speeds: "learned" });
    const workload = longPrompts({ prompts: 1500, seed: 1, ...short, ratePerS: 40 });
    let last = new Map<string, number>();
    simulate(
      workload,
      fleet,
      watched((rates) => (last = rates)),
    );
    const others = [...last].filter(([id]) => id !== "slow-0").map(([, rate]) => rate);
    expect(last.get("slow-0")! / Math.min(...others)).toBeLessThan(0.65);
    expect(Math.min(...others) / truth).toBeGreaterThan(0.85);
  });
});
