// One attempt: admitted (its worst case is held: holding.ts), placed (its turn has come and an endpoint was chosen), opened at an engine
// (opening.ts), and ended exactly once, whichever way it ends (ending.ts).
import type { EngineError, EngineRegistry, RegisteredEndpoint } from "../engines/index.ts";
import type { Ledger, RateCard } from "../ledger/index.ts";
import type { Alarms, Logger, Metrics } from "../telemetry/index.ts";
import { answersAsked, outputLimitOf } from "./admission.ts";
import type { Candidates } from "./candidates.ts";
import { Ending, type AttemptEnd } from "./ending.ts";
import { asLineshaftError } from "./errors.ts";
import { Holding } from "./holding.ts";
import { openAt, openInTime, type Opening } from "./opening.ts";
import { whyAborted } from "./refusals.ts";
import type { Dispatcher } from "./scheduling/dispatcher.ts";
import { faultOf, ofEndpoint, refusesRequest } from "./scheduling/faults.ts";
import { Placer } from "./scheduling/placer.ts";
import type { PromptFacts } from "./scheduling/prompts.ts";
import { Settling } from "./settling.ts";
import type { AdmittedAttempt, AttemptState, Begun, CallState, EndedAttempt } from "./state.ts";

export class Attempts {
  readonly #engines: EngineRegistry;
  readonly #metrics: Metrics;
  readonly #dispatcher: Dispatcher;
  readonly #holding: Holding;
  readonly #placer: Placer;
  readonly #settling: Settling;
  readonly #ending: Ending;

  constructor(rooms: {
    engines: EngineRegistry;
    ledger: Ledger;
    metrics: Metrics;
    alarms: Alarms;
    log: Logger;
    dispatcher: Dispatcher;
  }) {
    const { engines, metrics, dispatcher } = rooms;
    const placer = new Placer(engines, dispatcher);
    const settling = new Settling(rooms);
    this.#engines = engines;
    this.#metrics = metrics;
    this.#dispatcher = dispatcher;
    this.#holding = new Holding(rooms);
    this.#placer = placer;
    this.#settling = settling;
    this.#ending = new Ending({
      metrics,
      alarms: rooms.alarms,
      dispatcher,
      settling,
      answered: (deployment, outputTokens) => placer.answered(deployment, outputTokens),
    });
  }

  /** Holds the worst case at any of the candidates. Throws by name of the budget that refuses. */
  admit(
    call: CallState,
    prompt: PromptFacts,
    candidates: readonly RegisteredEndpoint[],
    card: RateCard,
    number: number,
  ): Promise<AdmittedAttempt> {
    return this.#holding.admit(call, prompt, candidates, card, number);
  }

  /**
   * Waits for the attempt's turn and for an endpoint, and shapes the request for that endpoint. When it throws, the hold has been given
   * back.
   */
  async place(
    call: CallState,
    admitted: AdmittedAttempt,
    prompt: PromptFacts,
    candidates: Candidates,
    tried: ReadonlySet<string>,
  ): Promise<AttemptState> {
    try {
      const placement = await this.#placer.place(call, admitted, prompt, candidates, tried);
      admitted.moments.placed = call.now();
      const { endpoint, shape } = placement;
      const asked = shape.answer;
      const limit = outputLimitOf(asked, endpoint.facts, admitted.roomTokens);
      const outputLimit = Math.min(admitted.outputTokens, limit);
      const askedOutputTokens = (outputLimit + asked.reasoning.tokensBeside) * answersAsked(asked);
      return { ...admitted, placement, asked, outputLimit, askedOutputTokens, tokens: prompt.tokens };
    } catch (error) {
      await this.#settling.giveBack(call, admitted);
      this.#metrics.holdClosed();
      throw error;
    }
  }

  /**
   * Sends the attempt and waits for the first chunk of its answer, or for all of it when it does not stream. When it throws, the attempt
   * has been ended. `elsewhere`: whether another endpoint may take the call now; undefined where none ever may.
   */
  async open(call: CallState, attempt: AttemptState, elsewhere: (() => boolean) | undefined): Promise<Begun> {
    const { endpoint, expectedFirstTokenMs, firstTokenMostMs } = attempt.placement;
    endpoint.running++;
    const sentMs = call.now();
    const opening: Opening = { answer: undefined };
    // A whole answer does not say when its prompt was computed, so its prefill load is released after the predicted time.
    const guess = attempt.asked.stream
      ? undefined
      : setTimeout(() => this.#dispatcher.prefilled(attempt.id), expectedFirstTokenMs).unref();
    try {
      const begun = await (elsewhere && firstTokenMostMs !== undefined
        ? openInTime(call, attempt, opening, elsewhere, firstTokenMostMs)
        : openAt(call, attempt, opening, call.signal));
      this.#begun(call, attempt, begun, sentMs);
      return begun;
    } catch (thrown) {
      const error = ofEndpoint(thrown, endpoint);
      await this.#failed(call, attempt, opening, error);
      throw error;
    } finally {
      clearTimeout(guess);
    }
  }

  /** Ends an attempt whose answer had begun. */
  end(call: CallState, attempt: AttemptState, how: AttemptEnd): Promise<EndedAttempt> {
    return this.#ending.end(call, attempt, how);
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
    if (call.signal.aborted) {
      await this.#ending.end(call, attempt, { outcome: "cancelled", answer, failure: whyAborted(call.signal) });
      return;
    }
    const fault = faultOf(error);
    if (fault === "connect") {
      this.#engines.lost(endpoint, (error as EngineError).message);
      this.#metrics.engineUp(endpoint.endpoint, false);
    }
    // The engine broke off, or was given up, before it said anything. It cannot say what it used, so no budget pays for the attempt.
    const silent = fault !== undefined && fault !== "garbage" && answer?.usage()?.source !== "engine";
    if (silent) attempt.moments.opened = 0;
    await this.#ending.end(call, attempt, {
      outcome: refusesRequest(error) ? "refused" : "failed",
      answer: silent ? undefined : answer,
      failure: asLineshaftError(error),
    });
  }
}
