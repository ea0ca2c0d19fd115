// Lowest cost, runner-up, ties drawn uniformly: what every scoring policy ends with.
import { below } from "../rng.ts";
import type { Choice, PlacementView, Rng } from "../types.ts";

/**
 * Chooses among `costs[0..count)`; NaN marks what is excluded (at least one must not be). Costs within `slack` of the lowest
 * tie with it, and one of them is drawn uniformly: several gateways that see the same numbers do not all take the same one.
 */
export function lowest(costs: ArrayLike<number>, count: number, slack: number, rng: Rng, reason: string): Choice {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) if (costs[i]! < best) best = costs[i]!;
  const limit = best + slack;
  let ties = 0;
  let index = -1;
  for (let i = 0; i < count; i++) {
    if (!(costs[i]! <= limit)) continue;
    // Reservoir: each of the ties is kept with equal chance, with one draw per tie beyond the first.
    if (++ties === 1 || below(ties, rng) === 0) index = i;
  }
  if (index < 0) index = 0;
  const runnerUp = second(costs, count, index);
  return {
    index,
    runnerUp,
    cost: costs[index]!,
    runnerUpCost: runnerUp < 0 ? Number.NaN : costs[runnerUp]!,
    ties,
    reason,
  };
}

/** Index of the lowest other cost, the first among equals; an excluded candidate when no other is left; -1 without another candidate. */
export function second(costs: ArrayLike<number>, count: number, taken: number): number {
  let found = -1;
  for (let i = 0; i < count; i++) {
    if (i === taken) continue;
    if (found < 0 || costs[i]! < costs[found]! || (Number.isNaN(costs[found]!) && !Number.isNaN(costs[i]!))) found = i;
  }
  return found;
}

/** Whether load alone decided: the runner-up has as much of the prompt. Peers that see the same loads then choose alike. */
export function byLoad({ matchedTokens }: PlacementView, { index, runnerUp }: Choice): boolean {
  return runnerUp >= 0 && matchedTokens[index]! <= matchedTokens[runnerUp]!;
}

/** Scratch for costs, grown when needed and kept: a decision among 1,000 endpoints allocates nothing here. */
export class Costs {
  values: Float64Array = new Float64Array(16);

  of(count: number): Float64Array {
    if (this.values.length < count) this.values = new Float64Array(count * 2);
    return this.values;
  }
}
