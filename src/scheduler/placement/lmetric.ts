// Rival: LMetric, new prefill tokens times batch size, no weights. One is added to both factors: in the published form the
// product is zero as soon as one factor is, whatever the other factor is.
import type { Policy } from "../types.ts";
import { Costs, lowest } from "./choose.ts";

export function lmetric(): Policy {
  const scratch = new Costs();
  return {
    name: "lmetric",
    card: {
      goodFor: "no weights to tune; balances by itself when hit rates differ little",
      badAt: "idle fleets (products of small numbers decide), unlike chips",
      needs: "prefix match, prefill waiting, batch size",
      source: "arXiv 2603.15202",
    },
    choose(view, rng) {
      const costs = scratch.of(view.count);
      for (let i = 0; i < view.count; i++) {
        const { load } = view.endpoints[i]!;
        const fresh = load.prefillTokens + view.call.promptTokens - view.matchedTokens[i]!;
        costs[i] = (fresh + 1) * (load.inFlight + 1);
      }
      return lowest(costs, view.count, 0, rng, "least_product");
    },
  };
}
