// One attempt: admitted (its prompt and a first window are held: holding.ts), placed (its turn has come and an endpoint was chosen), opened
// at an engine (opening.ts), and ended exactly once, whichever way it ends (ending.ts).
import type { EngineError, EngineRegistry } from "../engines/index.ts";
import type { AttemptLedger, RateCard } from "../ledger/index.ts";
import type { Alarms, Logger, Metrics } from "../telemetry/index.ts";
import { answersAsked, isStoppable, outputLeft, outputLimitOf } from "./admission.ts";
import { paidOrAborted } from "./cover.ts";
import { Ending, type AttemptEnd } from "./ending.ts";
import { asLineshaftError } from "./errors.ts";
import { Holding, priceOfMost } from "./holding.ts";
import type { ModelCall } from "./modelCall.ts";
import { gathered, openAt, openInTime, type Opening } from "./opening.ts";
import { budgetEnded, DeadlinePassed, whyAborted } from "./refusals.ts";
import type { Dispatcher } from "./scheduling/dispatcher.ts";
import { faultOf, ofEndpoint, refusesRequest } from "./scheduling/faults.ts";
import { Placer } from "./scheduling/placer.ts";
import { whenThere, type Soon } from "./soon.ts";
import { leftOf } from "./state.ts";
import type { AdmittedAttempt, AttemptState, Begun, CallState, EndedAttempt, Placement, Step } from "./state.ts";

export class Attempts {
  readonly #engines: EngineRegistry;
  readonly #metrics: Metrics;
  readonly #dispatcher: Dispatcher;
  readonly #holding: Holding;
  readonly #placer: Placer;
  readonly #ledger: AttemptLedger;
  readonly #ending: Ending;

  constructor(rooms: {
    engines: EngineRegistry;
    ledger: AttemptLedger;
    metrics: Metrics;
    alarms: Alarms;
    log: Logger;
    dispatcher: Dispatcher;
  }) {
    const { engines, metrics, dispatcher } = rooms;
    const placer = new Placer(engines, dispatcher);
    this.#engines = engines;
    this.#metrics = metrics;
    this.#dispatcher = dispatcher;
    this.#holding = new Holding(rooms);
    this.#placer = placer;
    this.#ledger = rooms.ledger;
    this.#ending = new Ending({
      metrics,
      alarms: rooms.alarms,
      log: rooms.log,
      dispatcher,
      ledger: rooms.ledger,
      answered: (deployment, outputTokens) => placer.answered(deployment, outputTokens),
    });
  }

  /** Holds the prompt and a first window of output. Throws by name of the budget that refuses. */
  admit(call: CallState, step: Step, card: RateCard, number: number): Soon<AdmittedAttempt> {
    return this.#holding.admit(call, step, card, number);
  }

  /**
   * Waits for the attempt's turn and for an endpoint, and shapes the request for that endpoint. When it throws, the hold has been given
   * back.
   */
  place(call: CallState, admitted: AdmittedAttempt, step: Step): Soon<AttemptState> {
    const failed = (error: unknown): never => {
      this.#ending.giveBack(call, admitted);
      throw error;
    };
    try {
      const placed = whenThere(this.#placer.place(call, admitted, step), (placement) =>
        this.#shapedAt(call, admitted, placement, step),
      );
      return placed instanceof Promise ? placed.catch(failed) : placed;
    } catch (error) {
      return failed(error);
    }
  }

  /** The same, once it has its place, which is given up where it throws. */
  #shapedAt(call: CallState, admitted: AdmittedAttempt, placement: Placement, step: Step): Soon<AttemptState> {
    const failed = (error: unknown): never => {
      this.#dispatcher.ended(admitted.id, { reason: "failed" });
      throw error;
    };
    admitted.moments.placed = call.now();
    try {
      const shaped = this.#shaped(call, admitted, placement, step);
      return shaped instanceof Promise ? shaped.catch(failed) : shaped;
    } catch (error) {
      return failed(error);
    }
  }

  /** The attempt as the chosen endpoint is asked it. What cannot be stopped there is paid for in full before it is sent. */
  #shaped(
    call: CallState,
    admitted: AdmittedAttempt,
    placement: Placement,
    { model, why, prompt, beginning }: Step,
  ): Soon<AttemptState> {
    const { endpoint, shape } = placement;
    const asked = shape.answer;
    const answers = answersAsked(asked);
    const isCut = isStoppable(endpoint, asked);
    const ofEndpoint = outputLimitOf(asked, endpoint.facts, admitted.roomTokens);
    const wanted = Math.min(admitted.outputTokens, outputLeft(ofEndpoint, beginning));
    const inAll = (limit: number) => (limit + asked.thinking.tokensBeside) * answers;
    const isPaid = admitted.cover.outputTokens >= inAll(wanted) && (wanted >= 1 || asked.kind !== "generate");
    const limit = isCut || isPaid ? wanted : paidFor(call, admitted, asked, wanted);
    return whenThere(limit, (outputLimit) => ({
      ...admitted,
      model,
      why,
      placement,
      asked,
      outputLimit,
      askedOutputTokens: inAll(outputLimit),
      streams: isCut || asked.stream,
      prompt,
      beginning,
    }));
  }

  /**
   * Sends the attempt and waits for the first chunk of its answer, or for all of it when it does not stream. When it throws, the attempt
   * has been ended. `elsewhere`: whether another endpoint may take the call now; undefined where none ever may.
   */
  async open(call: CallState, attempt: AttemptState, elsewhere: (() => boolean) | undefined): Promise<Begun> {
    const { endpoint, expectedFirstTokenMs, firstTokenMostMs } = attempt.placement;
    endpoint.running++;
    const sentMs = call.now();
    // A bound of the engine's own holds where no other endpoint is left as well.
    const leaves = endpoint.bounds.firstTokenMs === undefined ? elsewhere : () => true;
    const silence =
      leaves && firstTokenMostMs !== undefined ? { elsewhere: leaves, mostMs: firstTokenMostMs } : undefined;
    const isStopped = attempt.streams && isStoppable(endpoint, attempt.asked);
    const leftMs = isStopped ? leftOf(call) : undefined;
    const opening: Opening = { answer: undefined, sent: () => this.#ledger.sent(attempt.id, endpoint.endpoint) };
    // A whole answer does not say when its prompt was computed, so its prefill load is released after the predicted time.
    const guess = attempt.streams
      ? undefined
      : setTimeout(() => this.#dispatcher.prefilled(attempt.id), expectedFirstTokenMs).unref();
    try {
      const begun = await (silence || leftMs !== undefined
        ? openInTime(call, attempt, opening, { silence, leftMs })
        : openAt(call, attempt, opening, call.signal));
      this.#begun(call, attempt, begun, sentMs);
      return begun.streams && !attempt.asked.stream ? await gathered(call, begun) : begun;
    } catch (thrown) {
      const error = ofEndpoint(thrown, endpoint);
      await this.#failed(call, attempt, opening, error);
      throw error;
    } finally {
      clearTimeout(guess);
    }
  }

  /** Ends an attempt whose answer had begun. */
  end(call: CallState, attempt: AttemptState, how: AttemptEnd): Soon<EndedAttempt> {
    return this.#ending.end(call, attempt, how);
  }

  /** Gives up an attempt that was placed and never sent. */
  giveUp(call: CallState, { id }: AttemptState): void {
    this.#dispatcher.ended(id, { reason: "cancelled" });
    this.#ending.giveBack(call, { id });
  }

  /** Notes that the endpoint has answered. */
  #begun(call: CallState, attempt: AttemptState, begun: Begun, sentMs: number): void {
    const { endpoint, split } = attempt.placement;
    attempt.moments.first = call.now();
    if (begun.streams && !split)
      endpoint.longestFirstTokenMs = Math.max(endpoint.longestFirstTokenMs, attempt.moments.first - sentMs);
    this.#dispatcher.prefilled(attempt.id);
    this.#dispatcher.outcome(attempt.id, endpoint.endpoint, "alive");
    endpoint.aliveMs = performance.now();
    if (endpoint.up === true) return;
    this.#engines.answered(endpoint);
    this.#metrics.engineUp(endpoint.endpoint, true);
  }

  /** Ends an attempt that failed before its answer began. */
  async #failed(call: CallState, attempt: AttemptState, opening: Opening, error: unknown): Promise<void> {
    const { endpoint } = attempt.placement;
    const { answer } = opening;
    const stopped = call.signal.aborted ? whyAborted(call.signal) : error instanceof DeadlinePassed ? error : undefined;
    if (stopped) {
      await this.#ending.end(call, attempt, { outcome: "cancelled", answer, failure: stopped });
      return;
    }
    const fault = faultOf(error);
    if (fault === "connect") {
      this.#engines.lost(endpoint, (error as EngineError).message);
      this.#metrics.engineUp(endpoint.endpoint, false);
    }
    // The engine broke off, or was given up, before it said anything. It cannot say what it used, so no budget pays for the attempt.
    // Nor does it pay for a whole answer that broke off while it was gathered, of which its client has seen nothing.
    const gathering = attempt.streams && !attempt.asked.stream;
    const silent = fault !== undefined && fault !== "garbage" && (gathering || answer?.usage()?.source !== "engine");
    if (silent) attempt.moments.opened = 0;
    await this.#ending.end(call, attempt, {
      outcome: refusesRequest(error) ? "refused" : "failed",
      answer: silent ? undefined : answer,
      failure: asLineshaftError(error),
    });
  }
}

/**
 * The limit of output of an attempt that cannot be stopped, once it is paid for: the wanted one, or a lower one where the money ends
 * before. Throws where nothing of an answer can be paid for.
 */
async function paidFor(
  call: CallState,
  admitted: AdmittedAttempt,
  asked: ModelCall,
  wantedTokens: number,
): Promise<number> {
  const { cover, card, most } = admitted;
  const answers = answersAsked(asked);
  const beside = asked.thinking.tokensBeside;
  const inAll = (limit: number) => (limit + beside) * answers;
  await paidOrAborted(cover.coverAll(inAll(wantedTokens)), call.signal);
  if (cover.failure) throw cover.failure;
  const paidTokens = Math.floor(cover.outputTokens / answers) - beside;
  if (paidTokens < wantedTokens) admitted.loweredBy = cover.cutBy;
  const outputLimit = Math.min(paidTokens, wantedTokens);
  if (outputLimit < 1 && asked.kind === "generate") {
    const price = (outputTokens: number) => priceOfMost({ promptTokens: most.promptTokens, outputTokens }, card);
    throw budgetEnded(cover.cutBy!, { neededNano: price(inAll(1)), heldNano: price(cover.outputTokens) });
  }
  return outputLimit;
}
