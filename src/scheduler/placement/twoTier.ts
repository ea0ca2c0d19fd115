// Lineshaft's own rule. First a gate: endpoints that bear far more KV than the average are out, whatever they have cached.
// Then the least expected time to first token, in which cached tokens count by what reloading their tier costs.
import type { Policy } from "../types.ts";
import { Costs, lowest } from "./choose.ts";
import { expectedTtftMs, kvLoad } from "./estimate.ts";

interface TwoTierOptions {
  /** Out when KV load is above average times this ... */
  spillRelative?: number;
  /** ... and above the average plus this share of the endpoint's capacity. */
  spillAbsolute?: number;
  /** Expected times this close (share of the best) are equal and drawn among; at least `slackMs`. */
  slackShare?: number;
  slackMs?: number;
}

export function twoTier(options: TwoTierOptions = {}): Policy {
  const { spillRelative = 1.1, spillAbsolute = 0.25, slackShare = 0.02, slackMs = 1 } = options;
  const scratch = new Costs();
  return {
    name: "two-tier",
    card: {
      goodFor: "agents and chats with long shared prefixes, unlike chips, bursts",
      badAt: "single-turn traffic without prefixes, where it is least load with more arithmetic",
      needs: "prefill rate per endpoint; KV events, else predictions; load in tokens",
      source:
        "the two-tier shape of SGLang's router and Dynamo's plugin, with tokens of KV in the gate and milliseconds in the cost",
    },
    choose(view, rng) {
      const costs = scratch.of(view.count);
      let sum = 0;
      for (let i = 0; i < view.count; i++) sum += kvLoad(view.endpoints[i]!);
      const average = sum / view.count;
      const limit = Math.max(average * spillRelative, average + spillAbsolute);
      let spilled = 0;
      let best = Number.POSITIVE_INFINITY;
      let favourite = Number.POSITIVE_INFINITY;
      for (let i = 0; i < view.count; i++) {
        const endpoint = view.endpoints[i]!;
        const ttft = expectedTtftMs(view.call, endpoint, view.matched, i * 4);
        favourite = Math.min(favourite, ttft);
        if (kvLoad(endpoint) > limit) {
          costs[i] = Number.NaN;
          spilled++;
          continue;
        }
        costs[i] = ttft;
        best = Math.min(best, ttft);
      }
      const choice = lowest(costs, view.count, Math.max(slackMs, best * slackShare), rng, "least_ttft");
      if (favourite < best) choice.reason = "spilled";
      choice.terms = { averageKvLoad: average, spillLimit: limit, spilled };
      return choice;
    },
  };
}
