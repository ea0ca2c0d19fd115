// Rival: SGLang's cache_aware. When requests in flight are out of balance, the least loaded; else, of the endpoints whose
// match passes a threshold, the longest match, and without any the least loaded.
import type { Policy, PlacementView, Rng } from "../types.ts";
import { Costs, lowest } from "./choose.ts";

interface CacheAwareOptions {
  /** Share of the prompt that must match. */
  threshold?: number;
  /** Out of balance: most - least above `absolute` and most above `relative` times least. */
  absolute?: number;
  relative?: number;
}

export function cacheAware(options: CacheAwareOptions = {}): Policy {
  const { threshold = 0.5, absolute = 32, relative = 1.1 } = options;
  const scratch = new Costs();
  const leastLoaded = (view: PlacementView, rng: Rng, reason: string) => {
    const costs = scratch.of(view.count);
    for (let i = 0; i < view.count; i++) costs[i] = view.endpoints[i]!.load.inFlight;
    return lowest(costs, view.count, 0, rng, reason);
  };
  return {
    name: "cache-aware",
    card: {
      goodFor: "many conversations per endpoint, like endpoints",
      badAt:
        "few long prompts: counts of requests do not see KV (SMG #1621); short prompts behind a long shared system prompt",
      needs: "prefix match, requests in flight",
      source: "sgl-project/sglang router cache_aware, defaults of August 2026",
    },
    choose(view, rng) {
      let most = 0;
      let least = Number.POSITIVE_INFINITY;
      let longest = 0;
      for (let i = 0; i < view.count; i++) {
        most = Math.max(most, view.endpoints[i]!.load.inFlight);
        least = Math.min(least, view.endpoints[i]!.load.inFlight);
        longest = Math.max(longest, view.matchedTokens[i]!);
      }
      if (most - least > absolute && most > least * relative) return leastLoaded(view, rng, "imbalance");
      if (longest <= threshold * view.call.promptTokens) return leastLoaded(view, rng, "no_overlap");
      const costs = scratch.of(view.count);
      for (let i = 0; i < view.count; i++) {
        // Overlap first, then lower load: load is bounded, so the fraction never outweighs a token.
        const { inFlight } = view.endpoints[i]!.load;
        costs[i] = -view.matchedTokens[i]! + inFlight / (inFlight + 1);
      }
      return lowest(costs, view.count, 0, rng, "longest_match");
    },
  };
}
