// The end of an attempt, in one place for every way in which it may end: the engine is told, the scheduler learns what the attempt has
// used and how fast it was, the hold is settled, and the attempt's row is made. `Ending.end` is called exactly once for each attempt.
import type { LineshaftError } from "../errors/index.ts";
import type { EngineAnswer, Timings, Usage } from "../engines/index.ts";
import { formatMoney } from "../ledger/index.ts";
import type { CallTimings } from "../scheduler/index.ts";
import type { Alarms, Metrics } from "../telemetry/index.ts";
import { phasesOf } from "./calls/phases.ts";
import type { AttemptRecord } from "./calls/record.ts";
import type { Dispatcher } from "./scheduling/dispatcher.ts";
import { faultOf } from "./scheduling/faults.ts";
import type { Settled, Settling } from "./settling.ts";
import type { AttemptState, CallState, EndedAttempt, Outcome } from "./state.ts";
import { billedUsage, settledUsage, usedBy } from "./usage.ts";

/** How an attempt ended. */
export interface AttemptEnd {
  outcome: Outcome;
  /** The engine's answer, as far as there is one; it is cancelled unless the attempt completed. */
  answer: EngineAnswer | undefined;
  failure?: LineshaftError | undefined;
  finishReason?: string | undefined;
  /** The answer was past its limit of output and was cut. */
  cut?: boolean;
}

interface Rooms {
  metrics: Metrics;
  alarms: Alarms;
  dispatcher: Dispatcher;
  settling: Settling;
  /** A deployment's call has been answered with so many output tokens. */
  answered: (deployment: string, outputTokens: number) => void;
}

export class Ending {
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  async end(call: CallState, attempt: AttemptState, how: AttemptEnd): Promise<EndedAttempt> {
    const { outcome, answer, failure, finishReason } = how;
    const { endpoint, split } = attempt.placement;
    const { moments } = attempt;
    const told = outcome === "completed" ? answer?.usage() : await answer?.cancel();
    // Where the decode engine was not asked yet, what there is to pay for is what the prefill engine computed.
    const known = told ? (split?.billed(told) ?? told) : outcome === "cancelled" ? split?.usage : undefined;
    const fault = outcome === "failed" ? faultOf(failure) : undefined;
    const used = usedBy(attempt, outcome, known, fault);
    const expected = billedUsage(attempt, used.usage);
    endpoint.running--;
    moments.ended ||= call.now();
    split?.close();
    if (fault !== undefined || outcome === "completed")
      this.#rooms.dispatcher.outcome(attempt.id, endpoint.endpoint, fault ?? "served");
    const timings = answer?.timings() ?? {};
    this.#tellScheduler(attempt, outcome, told, timings, expected);
    if (how.cut) this.#ignoredLimit(call, attempt);
    const settled = await this.#rooms.settling.settle(call, attempt, used);
    const usage = settledUsage(expected, settled);
    if (!used.unanswered && (settled.claimed || settled.suspenseNano > 0n))
      this.#claimedTooMuch(call, attempt, settled);
    moments.settled = call.now();
    this.#count(attempt, outcome, usage);
    call.attempts.push(recordOf(call, attempt, { outcome, failure, usage, settled, timings }));
    return {
      usage,
      usageCut: settled.claimed !== undefined,
      timings,
      priceNano: settled.amountNano,
      currency: attempt.card.currency,
      failure,
      finishReason,
    };
  }

  #tellScheduler(
    attempt: AttemptState,
    outcome: Outcome,
    told: Usage | undefined,
    timings: Timings,
    expected: Usage,
  ): void {
    const { dispatcher, metrics, answered } = this.#rooms;
    const { endpoint, predictedTokens } = attempt.placement;
    dispatcher.ended(attempt.id, {
      reason: outcome === "completed" ? "done" : outcome === "cancelled" ? "cancelled" : "failed",
      ...(told && { usage: billedUsage(attempt, told), timings: seenTimings(attempt, told, timings) }),
    });
    if (outcome === "completed" && told) answered(attempt.asked.model, expected.outputTokens);
    if (told?.source === "engine" && predictedTokens !== undefined)
      metrics.cachedGap(endpoint.endpoint, predictedTokens, expected.cachedTokens);
  }

  #count({ asked, placement }: AttemptState, outcome: Outcome, usage: Usage): void {
    const { metrics } = this.#rooms;
    metrics.holdClosed();
    metrics.attemptEnded({ engine: placement.endpoint.endpoint, outcome });
    metrics.tokensUsed(asked.model, {
      prompt: usage.promptTokens,
      cached: usage.cachedTokens,
      output: usage.outputTokens,
    });
  }

  #ignoredLimit(call: CallState, { askedOutputTokens, placement }: AttemptState): void {
    const { endpoint } = placement.endpoint;
    this.#rooms.alarms.raise({
      code: "output_over_limit",
      message: `The engine ${endpoint} sent more than the ${askedOutputTokens} output tokens that it was asked for. The answer was cut and the budget paid at most what was held. Check that it honours max_tokens; else remove it: lineshaft engines remove.`,
      subject: endpoint,
      organisation: call.request.principal.organisation,
    });
  }

  #claimedTooMuch(call: CallState, { card, most }: AttemptState, { suspenseNano, claimed }: Settled): void {
    const { model } = call.request.asked;
    const claim = claimed ? `${claimed.promptTokens} prompt and ${claimed.outputTokens} output tokens` : "more";
    this.#rooms.alarms.raise({
      code: "usage_over_hold",
      message: `An engine of ${model} claimed ${claim} for an attempt that was held for ${most.promptTokens} and ${most.outputTokens}. The budget paid what was held; ${formatMoney(suspenseNano, card.currency)} is in suspense. Compare the provider's bill with: lineshaft bill. Remove the engine if it is wrong again.`,
      subject: model,
      organisation: call.request.principal.organisation,
    });
  }
}

/** The attempt as it is recorded. */
function recordOf(
  call: CallState,
  { id, number, placement, moments }: AttemptState,
  ended: {
    outcome: Outcome;
    failure: LineshaftError | undefined;
    usage: Usage;
    settled: Settled;
    timings: Timings;
  },
): AttemptRecord {
  const { outcome, failure, usage, settled, timings } = ended;
  return {
    id,
    call: call.id,
    number,
    engine: placement.endpoint.endpoint,
    status: outcome,
    errorCode: failure?.code,
    decision: placement.decision,
    cachedByTier: usage.cachedByTier && { ...usage.cachedByTier },
    phases: phasesOf(moments, timings),
    promptTokens: usage.promptTokens,
    cachedTokens: usage.cachedTokens,
    outputTokens: usage.outputTokens,
    priceNano: settled.amountNano,
    claimed: settled.claimed,
    suspenseNano: settled.suspenseNano,
  };
}

/** What the scheduler learns endpoints' speeds from: the engine's own times, or those seen from here. In milliseconds. */
function seenTimings({ moments, asked }: AttemptState, usage: Usage, timings: Timings): CallTimings {
  const restoredTokens = usage.cachedByTier?.disk ?? 0;
  const { queueMs = 0, restoreMs } = timings;
  const streamed = asked.stream && moments.first > 0;
  const decodeMs = timings.decodeMs ?? (streamed ? moments.ended - moments.first : undefined);
  const told = timings.prefillMs === undefined ? undefined : queueMs + timings.prefillMs;
  const seen = streamed ? moments.first - moments.placed - (restoreMs ?? 0) : undefined;
  const prefillMs = moments.prefilled > 0 ? moments.prefilled - moments.placed : (told ?? seen);
  return {
    ...(prefillMs !== undefined && { prefillMs }),
    ...(decodeMs !== undefined && { decodeMs }),
    ...(restoreMs !== undefined && restoredTokens > 0 && { restoreMs, restoredTokens, restoredFrom: "disk" as const }),
  };
}
