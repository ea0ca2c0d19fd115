// Rival: the weighted scores of llm-d's endpoint picker. Each score is in [0, 1]; the highest weighted sum wins.
//
//   queue  (most - own) / (most - least) by requests in flight     weight 2
//   kv     1 - KV in use                                           weight 2
//   prefix matched blocks / blocks of the prompt                   weight 3
import type { Policy } from "../types.ts";
import { Costs, lowest } from "./choose.ts";

interface LlmdOptions {
  queueWeight?: number;
  kvWeight?: number;
  prefixWeight?: number;
}

export function llmd(options: LlmdOptions = {}): Policy {
  const { queueWeight = 2, kvWeight = 2, prefixWeight = 3 } = options;
  const scratch = new Costs();
  return {
    name: "llm-d",
    card: {
      goodFor: "profiles that operators tune by hand; scores are easy to add",
      badAt: "short differences: min-max stretches one request of difference to the whole queue weight",
      needs: "requests in flight, KV use, prefix match",
      source: "llm-d/llm-d-router scorers queue, kv-cache-utilization, prefix with the default weights of August 2026",
    },
    choose(view, rng) {
      const costs = scratch.of(view.count);
      let most = 0;
      let least = Number.POSITIVE_INFINITY;
      for (let i = 0; i < view.count; i++) {
        most = Math.max(most, view.endpoints[i]!.load.inFlight);
        least = Math.min(least, view.endpoints[i]!.load.inFlight);
      }
      for (let i = 0; i < view.count; i++) {
        const { load, spec } = view.endpoints[i]!;
        const queue = most === least ? 1 : (most - load.inFlight) / (most - least);
        const kv = Math.max(0, 1 - load.kvTokens / Math.max(1, spec.kvCapacityTokens));
        const prefix = view.matchedTokens[i]! / Math.max(1, view.call.promptTokens);
        costs[i] = -(queueWeight * queue + kvWeight * kv + prefixWeight * prefix);
      }
      return lowest(costs, view.count, 0, rng, "highest_score");
    },
  };
}
