// The end of an attempt, in one place for every way in which it may end: the engine is told, the hold is settled with the attempt's row,
// and the scheduler learns what the attempt has used and how fast it was. `Ending.end` is called exactly once for each attempt.
//
// A settlement is written to the ledger's spool, which needs no database. Where even that fails, the hold stands as the spool has it. The
// call has no record then and makes no further attempt: the next start of this process settles the attempt and records the call.
import type { LineshaftError } from "../errors/index.ts";
import type { EngineAnswer, Timings, Usage } from "../engines/index.ts";
import { formatMoney } from "../ledger/index.ts";
import type { AttemptLedger, Settlement } from "../ledger/index.ts";
import type { CallTimings, CallUsage } from "../scheduler/index.ts";
import type { Alarms, Logger, Metrics } from "../telemetry/index.ts";
import { phasesOf } from "./calls/phases.ts";
import type { AttemptRecord } from "./calls/record.ts";
import { attemptToRow } from "./calls/rows.ts";
import { countsOf, sourceOf } from "./counts.ts";
import type { Dispatcher } from "./scheduling/dispatcher.ts";
import { faultOf } from "./scheduling/faults.ts";
import type { AdmittedAttempt, AttemptState, CallState, Cut, EndedAttempt, Outcome, SettledUsage } from "./state.ts";
import { whenThere, type Soon } from "./soon.ts";
import { settledUsage, usedBy } from "./usage.ts";

/** How an attempt ended. */
export interface AttemptEnd {
  outcome: Outcome;
  /** The engine's answer, as far as there is one; it is cancelled unless the attempt completed. */
  answer: EngineAnswer | undefined;
  failure?: LineshaftError | undefined;
  finishReason?: string | undefined;
  /** Why the answer was cut by us, where it was. */
  cut?: Cut | undefined;
}

interface Rooms {
  metrics: Metrics;
  alarms: Alarms;
  log: Logger;
  dispatcher: Dispatcher;
  ledger: Pick<AttemptLedger, "settle">;
  /** A deployment's call has been answered with so many output tokens. */
  answered: (deployment: string, outputTokens: number) => void;
}

export class Ending {
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Ends an attempt: at once where its answer is complete or never began, and once its engine was told where not. */
  end(call: CallState, attempt: AttemptState, how: AttemptEnd): Soon<EndedAttempt> {
    const { outcome, answer } = how;
    if (!answer) return this.#ended(call, attempt, how, undefined);
    const told = outcome === "completed" ? answer.usage() : answer.cancel();
    return whenThere(told, (usage) => this.#ended(call, attempt, how, usage));
  }

  #ended(call: CallState, attempt: AttemptState, how: AttemptEnd, told: Usage | undefined): EndedAttempt {
    const { outcome, answer, failure, finishReason } = how;
    const { endpoint, split } = attempt.placement;
    const { moments } = attempt;
    // Where the decode engine was not asked yet, what there is to pay for is what the prefill engine computed.
    const known = told ? (split?.billed(told) ?? told) : outcome === "cancelled" ? split?.usage : undefined;
    const fault = outcome === "failed" ? faultOf(failure) : undefined;
    const used = usedBy(attempt, outcome, known, fault);
    endpoint.running--;
    moments.ended ||= call.now();
    split?.close();
    if (fault !== undefined || outcome === "completed")
      this.#rooms.dispatcher.outcome(attempt.id, endpoint.endpoint, fault ?? "served");
    const timings = answer?.timings() ?? {};
    const { settled, record } = this.#settle(call, attempt, used, { outcome, failure, timings });
    const usage = settledUsage(used.usage, settled);
    call.attempts.push(record);
    this.#tellScheduler(attempt, outcome, told, timings, usage);
    if (how.cut === "limit") this.#ignoredLimit(call, attempt);
    if (!used.unanswered && (settled.claimed || settled.suspenseNano > 0n))
      this.#claimedTooMuch(call, attempt, settled);
    this.#count(attempt, outcome, usage);
    return {
      usage,
      usageCut: usage !== told,
      timings,
      priceNano: settled.amountNano,
      currency: attempt.card.currency,
      cutBy: cutBy(attempt, how),
      failure,
      finishReason,
    };
  }

  /** Gives back the hold of an attempt that was never sent. An attempt that was never sent has no row. */
  giveBack(call: CallState, { id }: Pick<AdmittedAttempt, "id">): void {
    const { metrics, ledger } = this.#rooms;
    metrics.holdClosed();
    try {
      const tokens = { promptTokens: 0, cachedTokens: 0, outputTokens: 0 };
      ledger.settle({ attempt: id, tokens, usageSource: "counted", row: () => undefined });
    } catch (error) {
      this.#notSettled(call, id, error);
    }
  }

  /** Settles the hold; the attempt's row is part of the same record. */
  #settle(
    call: CallState,
    attempt: AttemptState,
    { usage, source, unanswered }: SettledUsage,
    ended: Pick<Ended, "outcome" | "failure" | "timings">,
  ): { settled: Settlement; record: AttemptRecord } {
    const { moments } = attempt;
    let record: AttemptRecord | undefined;
    const rowOf = (settled: Settlement) => {
      moments.settled = call.now();
      record = recordOf(call, attempt, { ...ended, settled, usage: settledUsage(usage, settled) });
      return attemptToRow(record);
    };
    try {
      const settled = this.#rooms.ledger.settle({
        attempt: attempt.id,
        tokens: countsOf(usage),
        usageSource: sourceOf(attempt.card, source),
        unanswered,
        row: rowOf,
      });
      return { settled, record: record! };
    } catch (error) {
      this.#notSettled(call, attempt.id, error);
      const settled = unsettled(attempt);
      rowOf(settled);
      return { settled, record: record! };
    }
  }

  #notSettled(call: CallState, attempt: string, error: unknown): void {
    const { log, alarms } = this.#rooms;
    call.isUnsettled = true;
    log.error({ call: call.id, attempt, err: (error as Error).message }, "an attempt could not be settled");
    alarms.raise({
      code: "settlement_unwritten",
      message:
        "The settlement of an attempt could not be written. Its hold stands until this process starts again, which settles it. Look for its error in the log: the disk of the home may be full or broken.",
      organisation: call.request.principal.organisation,
    });
  }

  #tellScheduler(
    attempt: AttemptState,
    outcome: Outcome,
    told: Usage | undefined,
    timings: Timings,
    billed: Usage,
  ): void {
    const { dispatcher, metrics, answered } = this.#rooms;
    const { endpoint, predictedTokens } = attempt.placement;
    // Counts of ours are estimates: a tenant is charged by them, and no speed is learned from them.
    const measured = told?.source === "engine";
    dispatcher.ended(attempt.id, {
      reason: outcome === "completed" ? "done" : outcome === "cancelled" ? "cancelled" : "failed",
      ...(told && { usage: within(told, billed) }),
      ...(measured && { timings: seenTimings(attempt, told, timings) }),
    });
    if (outcome === "completed" && told) answered(attempt.model, billed.outputTokens);
    if (measured && !told.cachedUnreported && predictedTokens !== undefined)
      metrics.cachedGap(endpoint.endpoint, predictedTokens, billed.cachedTokens);
  }

  #count({ model, placement }: AttemptState, outcome: Outcome, usage: Usage): void {
    const { metrics } = this.#rooms;
    metrics.holdClosed();
    metrics.attemptEnded({ engine: placement.endpoint.endpoint, outcome });
    metrics.tokensUsed(model, {
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

  #claimedTooMuch(
    call: CallState,
    { model, card, cover, most }: AttemptState,
    { suspenseNano, claimed }: Settlement,
  ): void {
    const claim = claimed ? `${claimed.promptTokens} prompt and ${claimed.outputTokens} output tokens` : "more";
    this.#rooms.alarms.raise({
      code: "usage_over_hold",
      message: `An engine of ${model} claimed ${claim} for an attempt that was held for ${most.promptTokens} and ${cover.outputTokens}. The budget paid what was held; ${formatMoney(suspenseNano, card.currency)} is in suspense. Compare the provider's bill with: lineshaft bill. Remove the engine if it is wrong again.`,
      subject: model,
      organisation: call.request.principal.organisation,
    });
  }
}

interface Ended {
  outcome: Outcome;
  failure: LineshaftError | undefined;
  usage: Usage;
  settled: Settlement;
  timings: Timings;
}

/** The end of an attempt whose settlement could not be written: nothing is billed yet. */
const unsettled = ({ id, card }: AttemptState): Settlement => ({
  attempt: id,
  amountNano: 0n,
  suspenseNano: 0n,
  tokens: { promptTokens: 0, cachedTokens: 0, outputTokens: 0 },
  claimed: undefined,
  usageSource: "counted",
  currency: card.currency,
  repeated: false,
});

/** The budget whose end cut the answer: while it streamed, or by the limit that was lowered to what could be held. */
function cutBy({ cover, loweredBy }: AttemptState, { cut, finishReason }: AttemptEnd): string | undefined {
  if (cut === "budget") return cover.cutBy?.budget;
  return finishReason === "length" ? loweredBy?.budget : undefined;
}

/**
 * The engine's usage with every count cut to what is billed, so that the scheduler learns nothing from a claim that is not believed. Cached
 * tokens that the engine does not report are left out, although they are billed as 0.
 */
const within = (told: Usage, billed: Usage): CallUsage => ({
  promptTokens: Math.min(told.promptTokens, billed.promptTokens),
  outputTokens: Math.min(told.outputTokens, billed.outputTokens),
  ...(!told.cachedUnreported && { cachedTokens: Math.min(told.cachedTokens, billed.promptTokens) }),
});

/** The attempt as it is recorded. */
function recordOf(
  call: CallState,
  { id, number, model, why, card, placement, moments }: AttemptState,
  { outcome, failure, usage, settled, timings }: Ended,
): AttemptRecord {
  return {
    id,
    call: call.id,
    number,
    engine: placement.endpoint.endpoint,
    model,
    rateCard: card.id,
    why,
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
function seenTimings({ moments, streams }: AttemptState, usage: Usage, timings: Timings): CallTimings {
  const restoredTokens = usage.cachedByTier?.disk ?? 0;
  const { queueMs = 0, restoreMs } = timings;
  const streamed = streams && moments.first > 0;
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
