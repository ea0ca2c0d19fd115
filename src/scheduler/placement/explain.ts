// A decision's record: the numbers of the chosen candidate and of the runner-up, copied out of the view.
import { type CandidateNumbers, type Choice, type Decision, type PlacementView, tiers } from "../types.ts";
import { expectedTtftMs, firstTokenMostMs } from "./estimate.ts";

/** The numbers of candidate `i`, copied: views are reused. */
export function numbersOf(view: PlacementView, i: number, cost: number): CandidateNumbers {
  const { spec, load } = view.endpoints[i]!;
  const matchedByTier = { device: 0, host: 0, disk: 0, remote: 0 };
  for (let tier = 0; tier < 4; tier++) matchedByTier[tiers[tier]!] = view.matched[i * 4 + tier]!;
  return {
    endpoint: spec.id,
    rank: spec.rank,
    cost,
    matchedTokens: view.matchedTokens[i]!,
    matchedByTier,
    expectedTokens: view.expectedTokens[i]!,
    uncachedTokens: Math.max(1, view.call.promptTokens - view.matchedTokens[i]!),
    prefillTokensAhead: load.prefillTokens,
    kvTokens: load.kvTokens,
    inFlight: load.inFlight,
    expectedTtftMs: expectedTtftMs(view.call, view.endpoints[i]!, view.matched, i * 4, view.now),
  };
}

/** The record of a choice. */
export function decisionOf(view: PlacementView, choice: Choice, policy: string, queuedMs: number): Decision {
  const chosen = numbersOf(view, choice.index, choice.cost);
  return {
    call: view.call.id,
    policy,
    atMs: view.now,
    queuedMs,
    chosen,
    firstTokenMostMs: firstTokenMostMs(chosen, view.endpoints[choice.index]!.measured === true),
    runnerUp: choice.runnerUp < 0 ? undefined : numbersOf(view, choice.runnerUp, choice.runnerUpCost),
    reason: choice.reason,
    ties: choice.ties,
    candidates: view.count,
    terms: choice.terms ?? {},
  };
}
