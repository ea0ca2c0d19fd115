// Rival: the additive cost of NVIDIA Dynamo's KV router (default selector), in blocks.
//
//   cost = prefillWeight * max(0, active prefill blocks + prompt blocks - credit) + decode blocks if placed + requestWeight * active
//   credit = 1.0 device + 0.75 host + 0.25 disk
import type { Policy } from "../types.ts";
import { Costs, lowest } from "./choose.ts";

interface DynamoOptions {
  prefillWeight?: number;
  requestWeight?: number;
  credit?: readonly [number, number, number, number];
}

export function dynamo(options: DynamoOptions = {}): Policy {
  const { prefillWeight = 1, requestWeight = 0, credit = [1, 0.75, 0.25, 0] } = options;
  const scratch = new Costs();
  return {
    name: "dynamo",
    card: {
      goodFor: "prefix-heavy traffic at even load; one number to explain",
      badAt: "unlike endpoints, and single-turn loads: decode blocks outweigh prefill and starve some (dynamo #7836)",
      needs: "block counts per endpoint, KV events",
      source: "ai-dynamo/dynamo lib/kv-router/src/scheduling/selector/default.rs, defaults of August 2026",
    },
    choose(view, rng) {
      const costs = scratch.of(view.count);
      for (let i = 0; i < view.count; i++) {
        const { load, spec } = view.endpoints[i]!;
        const size = spec.blockTokens;
        let credited = 0;
        for (let tier = 0; tier < 4; tier++) credited += (credit[tier]! * view.matched[i * 4 + tier]!) / size;
        const prefill = Math.max(0, load.prefillTokens / size + view.call.promptTokens / size - credited);
        const decode = (load.kvTokens + view.call.promptTokens - view.matchedTokens[i]!) / size;
        costs[i] = prefillWeight * prefill + decode + requestWeight * load.inFlight;
      }
      return lowest(costs, view.count, 0, rng, "least_cost");
    },
  };
}
