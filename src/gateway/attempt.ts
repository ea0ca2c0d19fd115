// One attempt: admitted (its worst case held), placed (its turn has come, an endpoint was chosen), opened at an engine, and ended
// (the engine told, what was used settled) exactly once, whichever way it ends.
import { EngineError } from "../engines/index.ts";
import type {
  EngineAnswer,
  EngineChunk,
  EngineRegistry,
  RegisteredEndpoint,
  Timings,
  Usage,
} from "../engines/index.ts";
import { formatMoney, holdNanoMost, worstCase } from "../ledger/index.ts";
import type { Ledger, RateCard, Scope } from "../ledger/index.ts";
import type { CallTimings } from "../scheduler/index.ts";
import type { Alarms, Logger, Metrics } from "../telemetry/index.ts";
import { answersAsked, checkOutputTokens, outputLimitOf } from "./admission.ts";
import type { Candidates } from "./candidates.ts";
import { asGatewayError } from "./errors.ts";
import { lateFirstToken } from "./firstToken.ts";
import type { GatewayError } from "./errors.ts";
import { pooledId } from "./ids.ts";
import { limits } from "./limits.ts";
import { phasesOf } from "./phases.ts";
import { budgetRefusal, callTooDear, whyAborted } from "./refusals.ts";
import { faultOf, ofEndpoint, refusesRequest } from "./scheduling/faults.ts";
import { Placer } from "./scheduling/placer.ts";
import type { Dispatcher } from "./scheduling/dispatcher.ts";
import { cacheSalt, programKey, type PromptFacts } from "./scheduling/prompts.ts";
import type { LegRequest } from "./scheduling/split.ts";
import { Settling, type Settled } from "./settling.ts";
import type { AdmittedAttempt, AttemptState, Begun, CallState, EndedAttempt, Outcome } from "./state.ts";
import type { CallRequest } from "./types.ts";
import { billedUsage, settledUsage, usedBy } from "./usage.ts";

export class Attempts {
  readonly #engines: EngineRegistry;
  readonly #ledger: Ledger;
  readonly #metrics: Metrics;
  readonly #dispatcher: Dispatcher;
  readonly #placer: Placer;
  readonly #settling: Settling;
  readonly #alarms: Alarms;

  constructor(rooms: {
    engines: EngineRegistry;
    ledger: Ledger;
    metrics: Metrics;
    alarms: Alarms;
    log: Logger;
    dispatcher: Dispatcher;
  }) {
    this.#engines = rooms.engines;
    this.#ledger = rooms.ledger;
    this.#metrics = rooms.metrics;
    this.#dispatcher = rooms.dispatcher;
    this.#placer = new Placer(rooms.engines, rooms.dispatcher);
    this.#alarms = rooms.alarms;
    this.#settling = new Settling(rooms);
  }

  /**
   * Prices the worst case at any of the candidates and holds it on every budget concerned. Throws by name of the budget that refuses.
   */
  async admit(
    call: CallState,
    prompt: PromptFacts,
    candidates: readonly RegisteredEndpoint[],
    card: RateCard,
    number: number,
  ): Promise<AdmittedAttempt> {
    const begun = number === 1 ? 0 : call.now();
    const { asked, principal } = call.request;
    // An engine that counts a prompt's tokens counts a mark in place of a medium.
    const countable = !asked.hasMedia;
    const counted = prompt.counted && countable;
    const count = async () => {
      if (!countable) return undefined;
      return counted ? prompt.promptTokens : countedBy(candidates, call);
    };
    const bound = counted ? prompt.promptTokens : asked.promptTokensMost;
    const contextTokens = longestContext(candidates);
    let promptTokens = Math.min(bound, contextTokens ?? Infinity);
    // The bound may fill a context that the prompt does not. Without a count a third of the bound is the usual guess.
    const fills = asked.outputLimit() === undefined && candidates.some(({ facts }) => isFilled(facts, promptTokens));
    const roomTokens = fills ? ((await count()) ?? Math.ceil(promptTokens / 3)) : promptTokens;
    const outputTokens = Math.max(...candidates.map(({ facts }) => outputLimitOf(asked, facts, roomTokens)));
    const answers = answersAsked(asked);
    checkOutputTokens(asked, outputTokens, answers, contextTokens);
    const id = pooledId("att");
    const mostOutputTokens = (outputTokens + asked.reasoning.tokensBeside) * answers;
    const hold = async (tokens: number) => {
      const heldNano = worstCase({ promptTokens: tokens * answers, maxOutputTokens: mostOutputTokens }, card);
      if (heldNano > holdNanoMost) throw callTooDear(heldNano, holdNanoMost, card.currency);
      const result = await this.#ledger.hold({
        attempt: id,
        call: call.id,
        organisation: principal.organisation,
        project: principal.project,
        scopes: scopesOf(call.request),
        amountNano: heldNano,
        rateCard: card,
        most: { promptTokens: tokens * answers, outputTokens: mostOutputTokens },
      });
      return { result, heldNano };
    };
    let { result, heldNano } = await hold(promptTokens);
    if (!result.admitted) {
      const exact = await count();
      if (exact !== undefined && exact < promptTokens) {
        promptTokens = exact;
        ({ result, heldNano } = await hold(promptTokens));
      }
    }
    if (!result.admitted) {
      this.#metrics.budgetRefused(result.refusedBy.scope.kind);
      throw budgetRefusal(result, heldNano);
    }
    this.#metrics.holdOpened();
    return {
      id,
      number,
      card,
      heldNano,
      tightest: result.tightest,
      outputTokens,
      roomTokens,
      most: { promptTokens: promptTokens * answers, outputTokens: mostOutputTokens },
      moments: { begun, admitted: call.now(), placed: 0, prefilled: 0, opened: 0, first: 0, ended: 0, settled: 0 },
    };
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
      const outputLimit = Math.min(admitted.outputTokens, outputLimitOf(asked, endpoint.facts, admitted.roomTokens));
      return {
        ...admitted,
        placement,
        asked,
        outputLimit,
        askedOutputTokens: (outputLimit + asked.reasoning.tokensBeside) * answersAsked(asked),
        tokens: prompt.tokens,
      };
    } catch (error) {
      await this.#settling.giveBack(call, admitted);
      this.#metrics.holdClosed();
      throw error;
    }
  }

  /**
   * Sends the attempt and waits for the first chunk of its answer, or for all of it when it does not stream. When it throws,
   * the attempt has been ended.
   */
  async open(call: CallState, attempt: AttemptState, elsewhere: (() => boolean) | undefined): Promise<Begun> {
    const { endpoint, firstTokenMostMs, split } = attempt.placement;
    endpoint.running++;
    const sentMs = call.now();
    const opening: Opening = { answer: undefined };
    // Of a whole answer nobody says when its prompt was done: it is taken to be, when that was expected.
    const guess = attempt.asked.stream
      ? undefined
      : setTimeout(() => this.#dispatcher.prefilled(attempt.id), attempt.placement.expectedFirstTokenMs).unref();
    try {
      const begun = await (elsewhere && firstTokenMostMs !== undefined
        ? this.#openInTime(call, attempt, opening, elsewhere, firstTokenMostMs)
        : openAt(call, attempt, opening, call.signal));
      attempt.moments.first = call.now();
      if (begun.streams && !split)
        endpoint.longestFirstTokenMs = Math.max(endpoint.longestFirstTokenMs, attempt.moments.first - sentMs);
      this.#dispatcher.prefilled(attempt.id);
      this.#dispatcher.outcome(attempt.id, endpoint.endpoint, "alive");
      endpoint.aliveMs = performance.now();
      this.#answered(endpoint);
      return begun;
    } catch (thrown) {
      const error = ofEndpoint(thrown, endpoint);
      const fault = call.signal.aborted ? undefined : faultOf(error);
      if (fault === "connect") this.#lost(endpoint, error as EngineError);
      if (call.signal.aborted) await this.end(call, attempt, opening.answer, "cancelled", whyAborted(call.signal));
      else {
        // It broke off, or was given up, before it said anything: it has nothing to be asked, and no budget pays for it.
        const silent = fault !== undefined && fault !== "garbage" && opening.answer?.usage()?.source !== "engine";
        if (silent) attempt.moments.opened = 0;
        const outcome = refusesRequest(error) ? "refused" : "failed";
        await this.end(call, attempt, silent ? undefined : opening.answer, outcome, asGatewayError(error));
      }
      throw error;
    } finally {
      clearTimeout(guess);
    }
  }

  /** The same with a bound on the wait for the first token. What a late endpoint says after it is not heard. */
  async #openInTime(
    call: CallState,
    attempt: AttemptState,
    opening: Opening,
    elsewhere: () => boolean,
    firstTokenMostMs: number,
  ): Promise<Begun> {
    const { endpoint, outputMostMs, split } = attempt.placement;
    // The two legs of a split call have as long as one endpoint each.
    const mostMs = split ? 2 * firstTokenMostMs : firstTokenMostMs;
    const over = new AbortController();
    const given = new AbortController();
    const outputMs = attempt.asked.stream ? undefined : outputMostMs;
    const late = lateFirstToken({ endpoint, mostMs, outputMs, elsewhere }, over.signal);
    const begun = openAt(call, attempt, opening, AbortSignal.any([call.signal, given.signal]));
    try {
      const first = await Promise.race([begun, late]);
      // The wait ends without a word only when it is called off.
      if (!(first instanceof EngineError)) return first ?? (await begun);
      throw first;
    } catch (error) {
      given.abort(error);
      begun.catch(() => {});
      // It is told to stop; that is not waited for, since it may hang there too.
      void opening.answer?.cancel();
      throw error;
    } finally {
      over.abort();
    }
  }

  #answered(endpoint: RegisteredEndpoint): void {
    if (endpoint.up === true) return;
    this.#engines.answered(endpoint);
    this.#metrics.engineUp(endpoint.endpoint, true);
  }

  #lost(endpoint: RegisteredEndpoint, error: EngineError): void {
    this.#engines.lost(endpoint, error.message);
    this.#metrics.engineUp(endpoint.endpoint, false);
  }

  /** Ends an attempt: the engine is told where it still works, what was used is settled, the attempt's row is made. */
  async end(
    call: CallState,
    attempt: AttemptState,
    answer: EngineAnswer | undefined,
    outcome: Outcome,
    failure: GatewayError | undefined,
    finishReason?: string,
    cut = false,
  ): Promise<EndedAttempt> {
    const { endpoint, decision, split, predictedTokens } = attempt.placement;
    const { moments } = attempt;
    const told = outcome === "completed" ? answer?.usage() : await answer?.cancel();
    // Nobody had asked the decoder yet: what there is to pay for is what was computed for it.
    const known = told ? (split?.billed(told) ?? told) : outcome === "cancelled" ? split?.usage : undefined;
    const fault = outcome === "failed" ? faultOf(failure) : undefined;
    const used = usedBy(attempt, outcome, known, fault);
    const expected = billedUsage(attempt, used.usage);
    endpoint.running--;
    moments.ended ||= call.now();
    split?.close();
    if (fault !== undefined || outcome === "completed")
      this.#dispatcher.outcome(attempt.id, endpoint.endpoint, fault ?? "served");
    const timings = answer?.timings() ?? {};
    this.#dispatcher.ended(attempt.id, {
      reason: outcome === "completed" ? "done" : outcome === "cancelled" ? "cancelled" : "failed",
      ...(told && { usage: billedUsage(attempt, told), timings: seenTimings(attempt, told, timings) }),
    });
    if (outcome === "completed" && told) this.#placer.answered(attempt.asked.model, expected.outputTokens);
    if (told?.source === "engine" && predictedTokens !== undefined)
      this.#metrics.cachedGap(endpoint.endpoint, predictedTokens, expected.cachedTokens);
    if (cut) this.#ignoredLimit(call, attempt);
    const settled = await this.#settling.settle(call, attempt, used);
    const priceNano = settled.amountNano;
    const usage = settledUsage(expected, settled);
    if (!used.unanswered && (settled.claimed || settled.suspenseNano > 0n))
      this.#claimedTooMuch(call, attempt, settled);
    moments.settled = call.now();
    this.#metrics.holdClosed();
    this.#metrics.attemptEnded({ engine: endpoint.endpoint, outcome });
    this.#metrics.tokensUsed(attempt.asked.model, {
      prompt: usage.promptTokens,
      cached: usage.cachedTokens,
      output: usage.outputTokens,
    });
    call.attempts.push({
      id: attempt.id,
      number: attempt.number,
      engine: endpoint.endpoint,
      status: outcome,
      error_code: failure?.code ?? null,
      decision,
      cached_by_tier: usage.cachedByTier ?? null,
      phases: phasesOf(moments, timings),
      prompt_tokens: usage.promptTokens,
      cached_tokens: usage.cachedTokens,
      output_tokens: usage.outputTokens,
      price_nano: priceNano.toString(),
      claimed_prompt_tokens: settled.claimed?.promptTokens ?? null,
      claimed_output_tokens: settled.claimed?.outputTokens ?? null,
      suspense_nano: settled.suspenseNano.toString(),
    });
    const usageCut = settled.claimed !== undefined;
    return { usage, usageCut, timings, priceNano, currency: attempt.card.currency, failure, finishReason };
  }

  #ignoredLimit(call: CallState, { askedOutputTokens: asked, placement }: AttemptState): void {
    this.#alarms.raise({
      code: "output_over_limit",
      message: `The engine ${placement.endpoint.endpoint} sent more than the ${asked} output tokens that it was asked for. The answer was cut and the budget paid at most what was held. Check that it honours max_tokens; else remove it: lineshaft engines remove.`,
      subject: placement.endpoint.endpoint,
      organisation: call.request.principal.organisation,
    });
  }

  #claimedTooMuch(call: CallState, { card, most }: AttemptState, { suspenseNano, claimed }: Settled): void {
    const { model } = call.request.asked;
    const claim = claimed ? `${claimed.promptTokens} prompt and ${claimed.outputTokens} output tokens` : "more";
    this.#alarms.raise({
      code: "usage_over_hold",
      message: `An engine of ${model} claimed ${claim} for an attempt that was held for ${most.promptTokens} and ${most.outputTokens}. The budget paid what was held; ${formatMoney(suspenseNano, card.currency)} is in suspense. Compare the provider's bill with: lineshaft bill. Remove the engine if it is wrong again.`,
      subject: model,
      organisation: call.request.principal.organisation,
    });
  }
}

/** The longest context among endpoints; undefined where one of them does not say how long its own is. */
function longestContext(endpoints: readonly RegisteredEndpoint[]): number | undefined {
  const longest = Math.max(...endpoints.map(({ facts }) => facts?.contextTokens ?? Infinity));
  return longest === Infinity ? undefined : longest;
}

/** Whether so many prompt tokens leave an endpoint's context no room for an answer. */
function isFilled(facts: RegisteredEndpoint["facts"], promptTokens: number): boolean {
  if (facts?.contextTokens === undefined || facts.capabilities.clipsOutput) return false;
  return facts.contextTokens - promptTokens <= limits.leastOutputTokens;
}

/** Tokens of the call's prompt as one of the endpoints counts them; undefined where none does. */
async function countedBy(endpoints: readonly RegisteredEndpoint[], call: CallState): Promise<number | undefined> {
  const { engine, model } = endpoints.find(({ facts }) => facts?.capabilities.tokenize) ?? endpoints[0]!;
  const { asked } = call.request;
  const counted = await engine.tokenize(
    asked.endpoint,
    asked.engineBody({ model }),
    cacheSalt(call.request),
    call.signal,
  );
  return counted?.count;
}

/** What is known of an attempt while it is opened. */
interface Opening {
  answer: EngineAnswer | undefined;
}

/** Sends the attempt where it was placed, and waits for the beginning of its answer. */
async function openAt(call: CallState, attempt: AttemptState, opening: Opening, signal: AbortSignal): Promise<Begun> {
  const { endpoint, split, bring } = attempt.placement;
  const { moments } = attempt;
  const requestOf = requestsOf(call, attempt);
  let answer: EngineAnswer;
  if (split) answer = await split.open(requestOf, signal, () => (moments.prefilled = call.now()));
  else {
    await bring();
    answer = await endpoint.engine.open(requestOf(endpoint), signal);
  }
  opening.answer = answer;
  moments.opened = call.now();
  return firstOf(attempt, answer, signal);
}

/** The beginning of an answer. The engine is told as soon as the client has gone, also while nothing comes. */
async function firstOf(attempt: AttemptState, answer: EngineAnswer, signal: AbortSignal): Promise<Begun> {
  const stop = () => void answer.cancel();
  if (signal.aborted) stop();
  if (signal.aborted) throw whyAborted(signal);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const begun: Begun = attempt.asked.stream
      ? await firstChunk(attempt, answer, answer.chunks[Symbol.asyncIterator]())
      : { attempt, answer, streams: false, whole: await answer.whole() };
    if (signal.aborted) throw whyAborted(signal);
    return begun;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function firstChunk(
  attempt: AttemptState,
  answer: EngineAnswer,
  iterator: AsyncIterator<EngineChunk>,
): Promise<Begun> {
  return { attempt, answer, streams: true, iterator, first: await iterator.next() };
}

/** The attempt's request as each of its legs is sent it. */
function requestsOf(call: CallState, attempt: AttemptState): LegRequest {
  const { project } = call.request.principal;
  const program = programKey(call.request);
  const { outputLimit, placement, asked } = attempt;
  const { endpoint: route, received } = asked;
  const source = received && { source: received };
  return (endpoint, leg, transfer) => ({
    endpoint: route,
    body: (leg === "prefill" ? placement.shape.prefill! : asked).engineBody({
      model: endpoint.model,
      outputTokens: outputLimit,
    }),
    hints: {
      attempt: leg === undefined ? attempt.id : `${attempt.id}.${leg}`,
      cacheSalt: cacheSalt(call.request),
      project,
      ...(program !== undefined && { program }),
      ...(attempt.tokens && endpoint.facts?.capabilities.takesTokens && { promptTokens: attempt.tokens }),
      ...(transfer && { transfer }),
    },
    ...source,
  });
}

/** What the scheduler learns endpoints' speeds from: the engine's own times, or those seen from here. */
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

/** Every scope that a call is counted against. */
function scopesOf({ principal, agent, run }: CallRequest): Scope[] {
  const scopes: Scope[] = [
    { kind: "organisation", id: principal.organisation },
    { kind: "project", id: principal.project },
    { kind: "key", id: principal.key },
  ];
  if (agent !== undefined) scopes.push({ kind: "agent", id: agent });
  if (run !== undefined) scopes.push({ kind: "run", id: run });
  return scopes;
}
