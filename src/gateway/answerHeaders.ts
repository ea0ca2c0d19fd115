// The headers of an answer: what is known of its call when it begins, and what is known at its end. A stream has sent its headers by then,
// so those of the end follow it in the way of its protocol.
import type { SpoolPosition } from "../ledger/index.ts";
import { limits } from "./limits.ts";
import type { GivenAnswer } from "./sharing/sharing.ts";
import type { AttemptState, CallState, EndedAttempt } from "./state.ts";

/** Of an attempt that has begun to answer. */
export function attemptHeaders(call: CallState, attempt: AttemptState): Record<string, string> {
  const { tightest } = attempt;
  const { predictedTokens } = attempt.placement;
  const { leftOut = [] } = attempt.asked;
  return {
    "x-lineshaft-call": call.id,
    "x-lineshaft-decision": attempt.id,
    "x-lineshaft-engine": attempt.placement.endpoint.endpoint,
    "x-lineshaft-currency": attempt.card.currency,
    ...(predictedTokens !== undefined && { "x-lineshaft-predicted-cached-tokens": String(predictedTokens) }),
    ...(attempt.model !== call.request.asked.model && { "x-lineshaft-model": attempt.model }),
    ...call.counted?.headers(),
    ...(leftOut.length > 0 && { "x-lineshaft-left-out": headerText(leftOut.join(", ")) }),
    ...(tightest && {
      "x-lineshaft-budget": tightest.budget,
      "x-lineshaft-budget-left-nano": tightest.leftNano.toString(),
    }),
  };
}

/** Of an answer that was kept, or that another call computes. */
export function givenHeaders(call: CallState, from: GivenAnswer["from"]): Record<string, string> {
  const { principal, asked } = call.request;
  return {
    "x-lineshaft-call": call.id,
    "x-lineshaft-cache": from,
    "x-lineshaft-currency": principal.currency,
    ...(call.model !== asked.model && { "x-lineshaft-model": call.model }),
    ...call.counted?.headers(),
  };
}

/** What headers say of an attempt that has ended. An answer that another call computed used no prompt. */
type Ended = Pick<EndedAttempt, "priceNano" | "cutBy"> & { usage?: { cachedTokens: number } };

/** What is known of a call once it is settled and recorded: its price, the budget that cut it, and where its record will be read. */
export function endHeaders(
  { priceNano, cutBy, usage }: Ended,
  { spool, number }: SpoolPosition,
): Record<string, string> {
  return {
    "x-lineshaft-price-nano": priceNano.toString(),
    ...(usage && { "x-lineshaft-cached-tokens": String(usage.cachedTokens) }),
    ...(cutBy !== undefined && { "x-lineshaft-budget-cut": cutBy }),
    "x-lineshaft-after": `${spool}/${number}`,
  };
}

/** Text of a client as a header may hold it. */
const headerText = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, limits.leftOutCharacters);
