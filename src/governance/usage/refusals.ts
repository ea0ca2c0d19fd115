// The refusals of limits on use, each by the name of its limit.
import { LineshaftError } from "../../errors/index.ts";
import { limitHeaders } from "./headers.ts";
import type { Part } from "./share.ts";
import type { Dimension, UsageLimit } from "./types.ts";

const words: Record<Dimension, string> = {
  requests_per_minute: "requests in a minute",
  tokens_per_minute: "tokens in a minute",
  tokens_per_day: "tokens in 24 hours",
  concurrent_calls: "calls at once",
  bytes_in_flight: "bytes of calls under way",
};

/** A limit as a sentence names it. */
function nameOf({ id, scope, dimension, amount }: UsageLimit): string {
  const of = scope.kind === "organisation" ? "the organisation" : `${scope.kind} ${scope.id}`;
  const model = scope.model === undefined ? "" : ` with model ${scope.model}`;
  return `The limit of ${of}${model} (${id}) is ${amount} ${words[dimension]}`;
}

/** The limit is used up now. */
export function overLimit(part: Part): LineshaftError {
  const { limit, share, amount } = part;
  const retryAfterSeconds = Math.max(1, Math.ceil(share.retryAfterMs(amount) / 1_000));
  const hint = `Try again in ${retryAfterSeconds} s, or have an owner raise it: lineshaft limits set.`;
  return new LineshaftError({
    code: "rate_limit_exceeded",
    message: `${nameOf(limit)}: ${share.left()} left, ${amount} needed. ${hint}`,
    hint,
    retryAfterSeconds,
    headers: limitHeaders([part]),
  });
}

/** The call alone is more than the limit, so that it can never be served. */
export function tooMuchAtOnce(part: Part): LineshaftError {
  const { limit, amount } = part;
  const hint = "Send less at once, or have an owner raise the limit: lineshaft limits set.";
  return new LineshaftError({
    code: "call_over_limit",
    message: `${nameOf(limit)}, and this call alone needs ${amount}. ${hint}`,
    hint,
    headers: limitHeaders([part]),
  });
}
