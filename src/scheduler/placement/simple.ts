// Rivals without knowledge of caches: least load, round robin, random. They are the floor that every other rule must beat.
import { below } from "../rng.ts";
import type { Policy } from "../types.ts";
import { Costs, lowest, second } from "./choose.ts";
import { kvLoad } from "./estimate.ts";

export function leastLoad(): Policy {
  const scratch = new Costs();
  return {
    name: "least-load",
    card: {
      goodFor: "single-turn traffic of uneven sizes",
      badAt: "anything with shared prefixes: it spreads them",
      needs: "load in tokens",
      source: "llm-d's load-only profile",
    },
    choose(view, rng) {
      const costs = scratch.of(view.count);
      for (let i = 0; i < view.count; i++) costs[i] = kvLoad(view.endpoints[i]!);
      return lowest(costs, view.count, 0, rng, "least_load");
    },
  };
}

export function roundRobin(): Policy {
  let turn = 0;
  return {
    name: "round-robin",
    card: {
      goodFor: "like calls on like endpoints",
      badAt: "calls of unlike size, sessions",
      needs: "nothing",
      source: "every load balancer",
    },
    choose(view) {
      const index = turn++ % view.count;
      const runnerUp = view.count === 1 ? -1 : (index + 1) % view.count;
      return { index, runnerUp, cost: 0, runnerUpCost: runnerUp < 0 ? Number.NaN : 1, ties: 1, reason: "turn" };
    },
  };
}

export function random(): Policy {
  return {
    name: "random",
    card: {
      goodFor: "nothing but comparison; it never herds",
      badAt: "calls of unlike size, sessions",
      needs: "nothing",
      source: "every load balancer",
    },
    choose(view, rng) {
      const index = below(view.count, rng);
      const runnerUp = second(new Float64Array(view.count), view.count, index);
      const runnerUpCost = runnerUp < 0 ? Number.NaN : 0;
      return { index, runnerUp, cost: 0, runnerUpCost, ties: view.count, reason: "drawn" };
    },
  };
}
