// What an attempt is settled for, where the engine says what was used and where it does not.
import type { Usage } from "../engines/index.ts";
import type { Settlement } from "../ledger/index.ts";
import type { EndpointFault } from "../scheduler/index.ts";
import type { AttemptState, Outcome, SettledUsage } from "./state.ts";

const nothing: Usage = { promptTokens: 0, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0, source: "counted" };

/**
 * The usage that the engine reported, else what was counted as it passed. An engine that refused or could not be reached used nothing. A
 * provider that accepted the request and was silent may charge its prompt, whose price is in suspense until the provider's bill is there. A
 * call that was given up before its engine began to answer pays for its prompt at most. A call that was given up later, by an engine that
 * cannot say what it has used, is settled for all that was asked of it, marked as an estimate.
 */
export function usedBy(
  attempt: AttemptState,
  outcome: Outcome,
  known: Usage | undefined,
  fault: EndpointFault | undefined,
): SettledUsage {
  const settled = (usage: Usage, source: SettledUsage["source"], unanswered = false) => ({ usage, source, unanswered });
  if (known) return settled(paidPart(attempt, known), known.source);
  if (outcome === "refused") return settled(nothing, "counted");
  const prompt = { ...nothing, promptTokens: attempt.most.promptTokens };
  if (outcome === "failed" && attempt.moments.opened === 0)
    return fault === "timeout" && attempt.placement.endpoint.kind !== "embedded"
      ? settled(prompt, "estimated", true)
      : settled(nothing, "counted");
  if (outcome === "cancelled" && attempt.moments.opened === 0) return settled(prompt, "estimated");
  return settled(paidPart(attempt, { ...prompt, outputTokens: attempt.askedOutputTokens }), "estimated");
}

/**
 * Output that is billed. An engine that can stop was stopped where the money ended, and tokens that it computed until it heard of it cost
 * nothing. At other engines the whole limit was held before the request was sent, and the ledger judges a claim beyond it.
 */
function paidPart({ cover, streams }: AttemptState, usage: Usage): Usage {
  if (!streams || !cover.isClosed || usage.outputTokens <= cover.outputTokens) return usage;
  const { outputTokens } = cover;
  return { ...usage, outputTokens, reasoningTokens: Math.min(usage.reasoningTokens, outputTokens) };
}

/** Usage as it is recorded and shown: what the ledger took. The same object where it took all. */
export function settledUsage(used: Usage, { tokens, usageSource, claimed }: Settlement): Usage {
  const same = (["promptTokens", "cachedTokens", "outputTokens"] as const).every((of) => tokens[of] === used[of]);
  if (same) return used;
  const source = usageSource === "engine" ? "engine" : "counted";
  // Tiers are said of what was claimed. They stand where the prompt was billed as it was claimed.
  const byTier = claimed?.promptTokens === tokens.promptTokens && used.cachedByTier;
  return {
    ...tokens,
    ...(byTier && { cachedByTier: byTier }),
    reasoningTokens: tokens.reasoningTokens ?? 0,
    source,
  };
}
