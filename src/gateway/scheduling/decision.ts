// A decision as it is recorded: the numbers of the chosen endpoint, of the runner-up and of the prefill leg, and one
// sentence for a person.
import { type CandidateNumbers, type Decision, tiers } from "../../scheduler/index.ts";
import type { CandidateRecord, DecisionRecord } from "../calls/record.ts";
import { exclusionsOf } from "../candidates.ts";

/** `excluded`: endpoints that could not take the request, each with the reason. */
export function decisionRecord(decision: Decision, excluded: ReadonlyMap<string, string>): DecisionRecord {
  const { chosen, runnerUp, prefill } = decision;
  return {
    policy: decision.policy,
    chosen: candidate(chosen),
    runnerUp: runnerUp && candidate(runnerUp),
    prefill: prefill && candidate(prefill),
    candidates: decision.candidates,
    queuedMs: decision.queuedMs,
    terms: decision.terms,
    reason: sentenceOf(decision) + pauseOf(decision) + exclusionsOf(excluded),
    excluded: [...excluded].map(([endpoint, reason]) => ({ endpoint, reason })),
  };
}

function candidate(numbers: CandidateNumbers): CandidateRecord {
  const byTier = tiers.flatMap((tier) => {
    const tokens = numbers.matchedByTier[tier];
    return tokens > 0 && tier !== "device" ? [[`matched_${tier}_tokens`, tokens] as const] : [];
  });
  return {
    endpoint: numbers.endpoint,
    score: Number.isFinite(numbers.cost) ? numbers.cost : undefined,
    numbers: {
      expected_first_token_ms: numbers.expectedTtftMs,
      matched_tokens: numbers.matchedTokens,
      ...Object.fromEntries(byTier),
      uncached_tokens: numbers.uncachedTokens,
      waiting_tokens: numbers.prefillTokensAhead,
      kv_tokens: numbers.kvTokens,
      running: numbers.inFlight,
    },
  };
}

const whole = (value: number): string => Math.round(value).toLocaleString("en-US");

function sentenceOf(decision: Decision): string {
  const { chosen, runnerUp, prefill } = decision;
  const split = prefill ? ` The prompt is computed at ${prefill.endpoint}, which then hands its KV over.` : "";
  if (!runnerUp) return `The only endpoint that could take it.${split}`;
  return `${why(decision, chosen, runnerUp)}${split}`;
}

function pauseOf({ pausedMs }: Decision): string {
  if (pausedMs === undefined) return "";
  return ` Its program waited ${whole(pausedMs)} ms before, because live programs needed more KV than there is.`;
}

function why({ reason, ties, policy }: Decision, chosen: CandidateNumbers, runnerUp: CandidateNumbers): string {
  if (reason === "spilled") return `Where more is cached, too much waits already; here the first token comes sooner.`;
  if (reason === "turn") return `It was its turn (${policy}).`;
  if (reason === "drawn") return `Drawn at random (${policy}).`;
  if (reason === "ring" || reason === "bounded") return `The endpoint of this session (${policy}).`;
  if (reason === "least_load") return `Least is under way here.`;
  const here = (numbers: CandidateNumbers) => numbers.matchedTokens - numbers.matchedByTier.remote;
  const more = here(chosen) - here(runnerUp);
  if (reason === "no_overlap") return `No endpoint has any of its prompt; least is under way here.`;
  if (ties > 1) return `As good as ${runnerUp.endpoint}; drawn between equals.`;
  const first = `First token expected in ${whole(chosen.expectedTtftMs)} ms, at ${runnerUp.endpoint} in ${whole(runnerUp.expectedTtftMs)} ms`;
  if (more > 0) return `${first}: ${whole(more)} more tokens of its prompt are cached here.`;
  const remote = chosen.matchedByTier.remote;
  if (remote > 0) return `${first}: its state is brought here, since too much waits there.`;
  const waits = runnerUp.prefillTokensAhead - chosen.prefillTokensAhead;
  if (waits > 0) return `${first}: ${whole(waits)} fewer tokens wait here.`;
  return `${first}.`;
}
