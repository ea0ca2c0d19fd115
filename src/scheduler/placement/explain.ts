// A decision's record, and its sentence for a person.
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

/** One line: where, why, by which numbers, and what the next best was. */
export function explain(decision: Decision): string {
  const { chosen, runnerUp } = decision;
  const tied = decision.ties > 1 ? `, drawn among ${decision.ties} equals` : "";
  const others =
    runnerUp === undefined ? "the only candidate" : `next ${describe(runnerUp)}, of ${decision.candidates} candidates`;
  const split = decision.prefill === undefined ? "" : `; prefill at ${describe(decision.prefill)}`;
  return `${decision.policy} ${decision.reason}: ${describe(chosen)}${tied}; ${others}${split}`;
}

function describe(numbers: CandidateNumbers): string {
  const name = numbers.rank === 0 ? numbers.endpoint : `${numbers.endpoint}#${numbers.rank}`;
  const cached = `${numbers.matchedTokens} cached, ${numbers.uncachedTokens} to compute`;
  const cost = Number.isFinite(numbers.cost) ? round(numbers.cost) : "out";
  return `${name} (cost ${cost}; ${cached}, ${numbers.prefillTokensAhead} ahead, ${numbers.inFlight} in flight, ${round(numbers.expectedTtftMs)} ms)`;
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}
