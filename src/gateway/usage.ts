// What an attempt is settled for, where the engine says what was used and where it does not.
import type { Usage } from "../engines/index.ts";
import { billable } from "../ledger/index.ts";
import type { EndpointFault } from "../scheduler/index.ts";
import { countsOf } from "./counts.ts";
import type { Settled } from "./settling.ts";
import type { AdmittedAttempt, AttemptState, Outcome, SettledUsage } from "./state.ts";

const nothing: Usage = { promptTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0, source: "counted" };

/**
 * What the engine said or what passed, where that is known. An engine that refused or could not be reached used nothing. A provider
 * that accepted the request and was silent may charge its prompt, whose price is in suspense until the provider's bill is there. A call
 * that was given up before its engine began to answer pays for its prompt at most. A call that was given up later, by an engine that
 * cannot say what it has used, is settled for what was held, marked as an estimate.
 */
export function usedBy(
  attempt: AttemptState,
  outcome: Outcome,
  known: Usage | undefined,
  fault: EndpointFault | undefined,
): SettledUsage {
  const settled = (usage: Usage, source: SettledUsage["source"], unanswered = false) => ({ usage, source, unanswered });
  if (known) return settled(known, known.source);
  if (outcome === "refused") return settled(nothing, "counted");
  const prompt = { ...nothing, promptTokens: attempt.most.promptTokens };
  if (outcome === "failed" && attempt.moments.opened === 0)
    return fault === "timeout" && attempt.placement.endpoint.kind !== "embedded"
      ? settled(prompt, "estimated", true)
      : settled(nothing, "counted");
  if (outcome === "cancelled" && attempt.moments.opened === 0) return settled(prompt, "estimated");
  return settled({ ...prompt, outputTokens: attempt.askedOutputTokens }, "estimated");
}

/** Usage as it is billed: a claim beyond the hold is cut to it, by the ledger's own rule. The same object where nothing is cut. */
export function billedUsage({ most, heldNano, card }: AdmittedAttempt, usage: Usage): Usage {
  const { tokens, claimed } = billable(countsOf(usage), most, heldNano, card);
  if (!claimed) return usage;
  const { cachedByTier: _claimed, ...rest } = usage;
  return { ...rest, ...tokens, reasoningTokens: tokens.reasoningTokens ?? 0 };
}

/**
 * Usage as it is recorded: what the ledger took. That is not what was expected where it took the whole hold, or where another process
 * had settled the attempt before.
 */
export function settledUsage(expected: Usage, { tokens, usageSource }: Settled): Usage {
  const { promptTokens, cachedTokens, outputTokens } = tokens;
  const same = (["promptTokens", "cachedTokens", "outputTokens"] as const).every((of) => tokens[of] === expected[of]);
  if (same) return expected;
  const source = usageSource === "engine" ? "engine" : "counted";
  const reasoningTokens = Math.min(expected.reasoningTokens, outputTokens);
  return { promptTokens, cachedTokens, outputTokens, reasoningTokens, source };
}
