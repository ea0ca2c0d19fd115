// The attempts of a call until one has an answer. tries.ts decides what follows a failed attempt; this file carries it out. A step is a
// model with its price and the endpoints that can take the call: the call's own model first, then its fallbacks, each authorised, priced
// and shaped anew. Money never lies in a wait: an attempt is held when it is made, and settled before the next one is thought of.
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../engines/index.ts";
import type { EngineRegistry, RegisteredEndpoint } from "../engines/index.ts";
import { LineshaftError } from "../errors/index.ts";
import { assertAuthorised } from "../governance/index.ts";
import { batchCard, type RateCard } from "../ledger/index.ts";
import { attemptsMost } from "../scheduler/index.ts";
import type { Alarms, Logger } from "../telemetry/index.ts";
import type { Attempts } from "./attempt.ts";
import { Candidates, RequestShapes } from "./candidates.ts";
import { Hedging } from "./hedging.ts";
import { limits } from "./limits.ts";
import type { ModelRoute } from "./modelRoutes.ts";
import { raisePriceUnknown } from "./prices.ts";
import { modelUnpriced, whyAborted } from "./refusals.ts";
import { busyFor, setBusy } from "./scheduling/busy.ts";
import type { Dispatcher } from "./scheduling/dispatcher.ts";
import { classOf } from "./scheduling/faults.ts";
import { programKey, type PromptReader } from "./scheduling/prompts.ts";
import { UsedUpAccounts } from "./scheduling/usedUp.ts";
import { whenThere, type Soon } from "./soon.ts";
import { leftOf } from "./state.ts";
import type { AttemptState, Begun, CallState, Step } from "./state.ts";
import { type Failed, Tries } from "./tries.ts";
import type { GatewayLedger } from "./types.ts";

interface Rooms {
  engines: EngineRegistry;
  ledger: Pick<GatewayLedger, "currentRateCard">;
  alarms: Alarms;
  log: Logger;
  dispatcher: Dispatcher;
  attempts: Attempts;
  prompts: PromptReader;
}

export class Steps {
  readonly #rooms: Rooms;
  readonly #usedUp: UsedUpAccounts;
  readonly #hedging: Hedging;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
    this.#usedUp = new UsedUpAccounts(rooms.alarms);
    this.#hedging = new Hedging(rooms, this);
  }

  /**
   * The endpoints that serve a model to the call's organisation; none where there is no such model. Throws LineshaftError where the
   * principal may not call it.
   */
  endpoints({ principal }: CallState["request"], model: string): readonly RegisteredEndpoint[] {
    const { organisation, project } = principal;
    const endpoints = this.#rooms.engines.endpoints(model, organisation);
    // A model without an organisation is the instance's, and serves every organisation as if it were its own.
    if (endpoints.length > 0)
      assertAuthorised(principal, "call.create", { organisation: endpoints[0]!.organisation ?? organisation, project });
    return endpoints;
  }

  /** The card that prices the call, and is valid now. Throws LineshaftError `model_unpriced`. */
  price({ principal, line }: CallState["request"], model: string): Soon<RateCard> {
    return whenThere(this.#rooms.ledger.currentRateCard(principal.organisation, model), (card) => {
      if (!card) throw modelUnpriced(model);
      if (card.currency !== principal.currency) throw modelUnpriced(model, card.currency, principal.currency);
      if (card.estimate) raisePriceUnknown(this.#rooms.alarms, principal.organisation, card);
      // A card without batch prices prices lines of batches as other calls.
      return (line && batchCard(card)) ?? card;
    });
  }

  /** Tries endpoints and models until one answers. Throws what ended the call. */
  async firstToAnswer(
    call: CallState,
    candidates: Candidates,
    { fallbacks = [], retry = {}, hedge }: ModelRoute,
  ): Promise<Begun> {
    const tries = new Tries({
      fallbacks,
      mostAtModel: retry.most ?? attemptsMost,
      mostInAll: limits.attemptsInAllMost,
      waitMostMs: retry.waitMostMs ?? 0,
    });
    const first = this.#step(call, call.model, candidates, "first");
    let step = first instanceof Promise ? await first : first;
    const counting = call.counted?.prompt(step.prompt.promptTokens);
    if (counting instanceof Promise) await counting;
    let failed: unknown;
    // A connection that broke ejects its endpoint, and is tried once more all the same.
    let anyway = false;
    for (;;) {
      const away = anyway ? undefined : this.#away(call, step, tries);
      anyway = false;
      const next = away && tries.next(away.failed);
      if (next && next.do !== "end") {
        step = await this.#follow(call, step, tries, next, away.failed, failed ?? away.error);
        continue;
      }
      // Endpoints that are ejected are tried all the same where nothing else is left. Those that have asked for a pause are not.
      if (away?.error) throw failed ?? away.error;
      const placed = this.placed(call, step, tries.attempted(), failed);
      const attempt = placed instanceof Promise ? await placed : placed;
      step.why = "retry";
      try {
        const elsewhere = this.#elsewhere(call, attempt, step, tries);
        const isHedged = hedge && call.request.asked.stream && attempt.number === 1;
        const begun = await (isHedged
          ? this.#hedging.open(call, attempt, step, hedge, elsewhere, tries)
          : this.#rooms.attempts.open(call, attempt, elsewhere));
        this.#usedUp.answered(begun.attempt.placement.endpoint);
        return begun;
      } catch (error) {
        if (call.signal.aborted) throw whyAborted(call.signal);
        if (call.isUnsettled || !(error instanceof EngineError)) throw error;
        setBusy(attempt.placement.endpoint, error);
        this.#usedUp.failed(attempt.placement.endpoint, error);
        failed = error;
        const how = this.#failed(call, step, attempt, error);
        const after = tries.next(how);
        step = await this.#follow(call, step, tries, after, how, error);
        anyway = after.do === "again" && after.afterMs === 0;
      }
    }
  }

  /** An attempt at one of the step's endpoints, which holds its money and has its place. */
  placed(call: CallState, step: Step, number: number, failed: unknown): Soon<AttemptState> {
    const { attempts } = this.#rooms;
    const admitted = whenThere(this.price(call.request, step.model), (card) => {
      step.candidates.busy = busyOnes(step.candidates.endpoints);
      return attempts.admit(call, step, card, number);
    });
    // After a failed attempt its error says more than that no other endpoint may take the call.
    const told = (error: unknown) => (call.signal.aborted ? whyAborted(call.signal) : (failed ?? error));
    return whenThere(admitted, (held) => {
      try {
        const placed = attempts.place(call, held, step);
        if (!(placed instanceof Promise)) return placed;
        return placed.catch((error: unknown) => {
          throw told(error);
        });
      } catch (error) {
        throw told(error);
      }
    });
  }

  /** Carries out what follows; answers the step of the next attempt. Throws `error` where nothing follows. */
  async #follow(
    call: CallState,
    step: Step,
    tries: Tries,
    next: ReturnType<Tries["next"]>,
    how: Failed,
    error: unknown,
  ): Promise<Step> {
    switch (next.do) {
      case "elsewhere":
        return step;
      case "again":
        step.tried.clear();
        if (next.afterMs > 0)
          await sleep(Math.ceil(next.afterMs) + 1, undefined, { signal: call.signal }).catch(() => {});
        if (call.signal.aborted) throw whyAborted(call.signal);
        return step;
      case "fallback":
        try {
          return await this.#fallbackTo(call, next.model);
        } catch (refused) {
          // A fallback that cannot be priced, or cannot take the request, is passed over.
          if (!(refused instanceof LineshaftError) || call.signal.aborted) throw refused;
          return this.#follow(call, step, tries, tries.fallback(how), how, error);
        }
      case "end":
        throw error;
    }
  }

  async #fallbackTo(call: CallState, model: string): Promise<Step> {
    const endpoints = this.endpoints(call.request, model);
    await this.price(call.request, model);
    const step = await this.#step(
      call,
      model,
      new Candidates(new RequestShapes(call.request.asked), endpoints),
      "fallback",
    );
    call.model = model;
    return step;
  }

  #step(call: CallState, model: string, candidates: Candidates, why: Step["why"]): Soon<Step> {
    const { dispatcher, prompts } = this.#rooms;
    const program = programKey(call.request);
    const last = dispatcher.lastOf(program, model);
    return whenThere(prompts.read(call.request, program, candidates.endpoints, last), (prompt) => {
      candidates.excludeShort(call.request.asked, prompt);
      return { model, candidates, prompt, tried: new Set(), why };
    });
  }

  /** What is known of a failed attempt; its endpoint is noted as tried. */
  #failed(call: CallState, { candidates, tried }: Step, { placement }: AttemptState, error: EngineError): Failed {
    const { endpoint } = placement;
    const why = classOf(error);
    tried.add(endpoint.endpoint);
    const isLeft = () => candidates.answering.some((one) => !tried.has(one.endpoint) && busyFor(one) === 0);
    const longer = why !== "too_long" || candidates.excludeUpTo(endpoint);
    return {
      why,
      retryAfterMs: error.retryAfterSeconds === undefined ? undefined : 1000 * error.retryAfterSeconds,
      elsewhere: longer && (isLeft() || (candidates.takeBack() && isLeft())),
      restarts: endpoint.kind === "embedded",
      leftMs: leftOf(call),
      takes: (model) => this.#takes(call, model, why === "too_long" ? endpoint : undefined),
    };
  }

  /**
   * Why no attempt is made at this model now: all endpoints that are left have asked for a pause (`error`), or are ejected while a fallback
   * takes calls. Undefined where an attempt can be made.
   */
  #away(
    call: CallState,
    { model, candidates, tried }: Step,
    tries: Tries,
  ): { failed: Failed; error?: EngineError } | undefined {
    const left = candidates.answering.filter(({ endpoint }) => !tried.has(endpoint));
    if (left.length === 0) return undefined;
    const pauses = left.map(busyFor);
    const pauseMs = Math.min(...pauses);
    const isBusy = pauseMs > 0;
    const { dispatcher } = this.#rooms;
    if (!isBusy && (tries.fallbacks.length === 0 || left.some(({ endpoint }) => dispatcher.takesCalls(endpoint))))
      return undefined;
    const failed: Failed = {
      why: "away",
      retryAfterMs: isBusy ? pauseMs : undefined,
      elsewhere: false,
      restarts: false,
      leftMs: leftOf(call),
      takes: (other) => this.#takes(call, other, undefined, true),
    };
    return isBusy ? { failed, error: paused(model, pauseMs) } : { failed };
  }

  /** Whether a fallback may take the call. `longerThan`: its context has to be longer. `now`: one of its endpoints has to take calls. */
  #takes({ request }: CallState, model: string, longerThan: RegisteredEndpoint | undefined, now = false): boolean {
    const endpoints = this.#rooms.engines.endpoints(model, request.principal.organisation);
    return endpoints.some((one) => {
      if (one.role === "prefill" || busyFor(one) > 0) return false;
      if (longerThan && contextOf(one) <= contextOf(longerThan)) return false;
      return !now || this.#rooms.dispatcher.takesCalls(one.endpoint);
    });
  }

  /** Whether the call could be served elsewhere now; undefined where this attempt is the last that may be made. */
  #elsewhere(
    call: CallState,
    { placement }: AttemptState,
    { candidates, tried }: Step,
    tries: Tries,
  ): (() => boolean) | undefined {
    const { dispatcher } = this.#rooms;
    const own = placement.endpoint.endpoint;
    const others = candidates.answering.filter(({ endpoint }) => endpoint !== own && !tried.has(endpoint));
    if (tries.isOver || others.length + tries.fallbacks.length === 0) return undefined;
    return () =>
      others.some((one) => busyFor(one) === 0 && dispatcher.takesCalls(one.endpoint)) ||
      tries.fallbacks.some((model) => this.#takes(call, model, undefined, true));
  }
}

/** An endpoint that does not say how long its context is counts as one that holds any call. */
const contextOf = ({ facts }: RegisteredEndpoint): number => facts?.contextTokens ?? Number.POSITIVE_INFINITY;

/** The reasons of those that have asked for a pause, by endpoint. */
function busyOnes(endpoints: readonly RegisteredEndpoint[]): ReadonlyMap<string, string> {
  const busy = new Map<string, string>();
  for (const one of endpoints) {
    const ms = busyFor(one);
    if (ms > 0) busy.set(one.endpoint, `it takes no calls for another ${Math.ceil(ms / 1000)} s, as it said.`);
  }
  return busy;
}

/** No endpoint of the model takes calls before a time that they have named. */
function paused(model: string, pauseMs: number): EngineError {
  const seconds = Math.ceil(pauseMs / 1000);
  return new EngineError({
    status: 429,
    code: "engine_busy",
    message: `The endpoints of ${model} take no calls for another ${seconds} s, as they said.`,
    hint: `Try again in ${seconds} s, or name a fallback: lineshaft routes set ${model} --fallback MODEL.`,
    retryAfterSeconds: seconds,
  });
}
