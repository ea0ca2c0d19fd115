// llm-d's endpoint picker as it was benchmarked: scores of scraped engine metrics, not of the gateway's own counts. It is
// here and not among the scheduler's rivals because it needs what only a simulation has at hand, the engine's own gauges;
// it exists to reproduce llm-d's published tables.
//
//   queue   (most - own) / (most - least) over calls waiting in the engine, as scraped
//   kv      1 - KV in use, as scraped
//   active  1 - own / most over calls in flight, as the picker counts them itself
//   prefix  matched tokens / prompt tokens (up to the depth that the router hashes); by KV events: min-max over endpoints
import { lowest, type Policy } from "../../src/scheduler/index.ts";
import type { SimulatedEndpoint } from "../../src/simulator/run/scraped.ts";

export interface LlmdWeights {
  queue: number;
  kv: number;
  active: number;
  prefix: number;
  /** Tokens that a full prefix score stands for; the whole prompt when absent. */
  prefixDepthTokens?: number;
  /** Prefix scores are stretched to 0 to 1 over the endpoints, as the scorer by KV events does. */
  stretchPrefix?: boolean;
}

export function llmdScraped(name: string, weights: LlmdWeights): Policy {
  let costs = new Float64Array(16);
  return {
    name,
    card: {
      goodFor: "reproducing llm-d's published tables",
      badAt: "bursts between two scrapes",
      needs: "engine metrics, scraped (fleet.scrapeMs)",
      source: "llm-d endpoint picker configurations printed with its benchmark reports",
    },
    choose(view, rng) {
      if (costs.length < view.count) costs = new Float64Array(view.count * 2);
      const endpoints = view.endpoints as readonly SimulatedEndpoint[];
      let mostWaiting = 0;
      let leastWaiting = Infinity;
      let mostActive = 0;
      let mostMatched = 0;
      let leastMatched = Infinity;
      for (let i = 0; i < view.count; i++) {
        mostWaiting = Math.max(mostWaiting, endpoints[i]!.scraped.waiting);
        leastWaiting = Math.min(leastWaiting, endpoints[i]!.scraped.waiting);
        mostActive = Math.max(mostActive, endpoints[i]!.load.inFlight);
        mostMatched = Math.max(mostMatched, view.matchedTokens[i]!);
        leastMatched = Math.min(leastMatched, view.matchedTokens[i]!);
      }
      const depth = Math.min(weights.prefixDepthTokens ?? Infinity, view.call.promptTokens);
      for (let i = 0; i < view.count; i++) {
        const { scraped, load } = endpoints[i]!;
        const queue = mostWaiting === leastWaiting ? 1 : (mostWaiting - scraped.waiting) / (mostWaiting - leastWaiting);
        const active = mostActive === 0 ? 1 : 1 - load.inFlight / mostActive;
        const own = view.matchedTokens[i]!;
        const stretched = mostMatched === leastMatched ? 1 : (own - leastMatched) / (mostMatched - leastMatched);
        const prefix = weights.stretchPrefix === true ? stretched : Math.min(1, own / depth);
        costs[i] = -(
          weights.queue * queue +
          weights.kv * (1 - scraped.kvUsage) +
          weights.active * active +
          weights.prefix * prefix
        );
      }
      return lowest(costs, view.count, 0, rng, "highest_score");
    },
  };
}
