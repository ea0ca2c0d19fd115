// One attempt: admitted (its worst case held), opened at an engine, and ended (the engine told, what was used settled) exactly
// once, whichever way it ends.
import { EngineError } from "../engines/index.ts";
import type { EngineAnswer, EngineChunk, RegisteredEndpoint } from "../engines/index.ts";
import { LedgerError, priceOf, worstCase } from "../ledger/index.ts";
import type { Ledger, RateCard, Scope, SettlementRequest } from "../ledger/index.ts";
import type { Logger, Metrics } from "../telemetry/index.ts";
import { answersAsked, receivedTokensBound, withOutputLimit } from "./admission.ts";
import { asGatewayError } from "./errors.ts";
import type { GatewayError } from "./errors.ts";
import { pooledId } from "./ids.ts";
import { limits } from "./limits.ts";
import { phasesOf } from "./phases.ts";
import type { Placement } from "./place.ts";
import { fieldsFor } from "./protocol/fields.ts";
import { budgetRefusal, cancelled } from "./refusals.ts";
import type { AttemptState, Begun, CallState, EndedAttempt, Outcome } from "./state.ts";
import type { CallRequest } from "./types.ts";
import { usedBy } from "./usage.ts";
import type { SettledUsage } from "./usage.ts";

/** A settlement that fails is tried again so often before its caller is answered, then in the background until it is taken. */
const settleTries = 3;
const settleAgainMs = 1_000;

export class Attempts {
  readonly #ledger: Ledger;
  readonly #metrics: Metrics;
  readonly #log: Logger;

  constructor(rooms: { ledger: Ledger; metrics: Metrics; log: Logger }) {
    this.#ledger = rooms.ledger;
    this.#metrics = rooms.metrics;
    this.#log = rooms.log;
  }

  /** Prices the worst case and holds it on every budget concerned, or throws by name of the budget that refuses. */
  async admit(call: CallState, placement: Placement, card: RateCard, number: number): Promise<AttemptState> {
    const begun = call.now();
    const { endpoint: protocol, body } = call.request;
    const { facts, engine, model } = placement.endpoint;
    const asked = fieldsFor(body, facts?.capabilities);
    const { organisation, project } = call.request.principal;
    const count = async () => (await engine.tokenize(protocol, { ...asked, model }, organisation, call.signal))?.count;
    const bound = receivedTokensBound(protocol, asked, call.request.received?.bytes.length);
    let promptTokens = Math.min(bound, facts?.contextTokens ?? Infinity);
    let limited = withOutputLimit(protocol, asked, facts, promptTokens);
    if (limited.outputTokens === limits.leastOutputTokens && limited.body !== asked)
      // The bound fills the context, the prompt itself may not: without a count, a third of the bound is the usual guess.
      limited = withOutputLimit(protocol, asked, facts, (await count()) ?? Math.ceil(promptTokens / 3));
    const answers = answersAsked(asked);
    const outputTokens = limited.outputTokens * answers;
    const id = pooledId("att");
    const hold = async (tokens: number) => {
      const heldNano = worstCase({ promptTokens: tokens * answers, maxOutputTokens: outputTokens }, card);
      const scopes = scopesOf(call.request);
      const result = await this.#ledger.hold({
        ...{ attempt: id, call: call.id, organisation, project, scopes, amountNano: heldNano, rateCard: card },
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
      throw budgetRefusal(result.refusedBy, heldNano);
    }
    this.#metrics.holdOpened();
    return {
      ...{ id, number, placement, card, heldNano, tightest: result.tightest },
      body: { ...limited.body, model },
      most: { promptTokens: promptTokens * answers, outputTokens },
      moments: { begun, admitted: call.now(), opened: 0, first: 0, ended: 0, settled: 0 },
    };
  }

  /**
   * Sends the attempt and waits for the first chunk of its answer, or for all of it when it does not stream. When it throws,
   * the attempt has been ended.
   */
  async open(call: CallState, attempt: AttemptState): Promise<Begun> {
    const { endpoint } = attempt.placement;
    const { principal, endpoint: protocol, program = call.request.run } = call.request;
    endpoint.running++;
    let answer: EngineAnswer | undefined;
    try {
      const { organisation, project } = principal;
      const hints = { attempt: attempt.id, organisation, project, ...(program !== undefined && { program }) };
      const { received, body: object } = call.request;
      const source = received && { source: { ...received, object } };
      const request = { endpoint: protocol, body: attempt.body, hints, ...source };
      answer = await endpoint.engine.open(request, call.signal);
      attempt.moments.opened = call.now();
      const begun = await firstOf(call, attempt, answer);
      attempt.moments.first = call.now();
      this.#answered(endpoint);
      return begun;
    } catch (error) {
      if (error instanceof EngineError && error.code === "engine_unreachable") this.#lost(endpoint, error);
      if (call.signal.aborted) await this.end(call, attempt, answer, "cancelled", cancelled());
      else await this.end(call, attempt, answer, "failed", asGatewayError(error));
      throw error;
    }
  }

  #answered(endpoint: RegisteredEndpoint): void {
    if (endpoint.up === true) return;
    endpoint.up = true;
    endpoint.lastError = undefined;
    this.#metrics.engineUp(endpoint.endpoint, true);
  }

  #lost(endpoint: RegisteredEndpoint, error: EngineError): void {
    endpoint.up = false;
    endpoint.lastError = error.message;
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
  ): Promise<EndedAttempt> {
    const { endpoint, decision } = attempt.placement;
    const { moments } = attempt;
    const known = outcome === "completed" ? answer?.usage() : await answer?.cancel();
    const used = usedBy(attempt, answer, outcome, known);
    const { usage } = used;
    endpoint.running--;
    moments.ended ||= call.now();
    const priceNano = await this.#settle(call, attempt, used);
    moments.settled = call.now();
    this.#metrics.holdClosed();
    this.#metrics.attemptEnded({ engine: endpoint.endpoint, outcome });
    this.#metrics.tokensUsed(call.request.body.model, {
      ...{ prompt: usage.promptTokens, cached: usage.cachedTokens, output: usage.outputTokens },
    });
    const timings = answer?.timings() ?? {};
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
    });
    return { usage, timings, priceNano, currency: attempt.card.currency, failure, finishReason };
  }

  async #settle(call: CallState, attempt: AttemptState, { usage, source }: SettledUsage): Promise<bigint> {
    const { promptTokens, cachedTokens, outputTokens } = usage;
    const tokens = { promptTokens, cachedTokens, outputTokens };
    for (let tries = 1; ; tries++) {
      try {
        const settlement = await this.#ledger.settle({ attempt: attempt.id, tokens, usageSource: source });
        return settlement.amountNano;
      } catch (error) {
        const { message } = error as Error;
        this.#log.error({ call: call.id, attempt: attempt.id, err: message }, "an attempt could not be settled");
        if (tries < settleTries && !(error instanceof LedgerError)) {
          await new Promise((resolve) => setTimeout(resolve, 100 * tries));
          continue;
        }
        if (!(error instanceof LedgerError)) this.#settleLater({ attempt: attempt.id, tokens, usageSource: source });
        return priceOf(tokens, attempt.card);
      }
    }
  }

  /** The hold stands until it is settled. If this process ends before, who comes after it settles the hold in full. */
  #settleLater(request: SettlementRequest): void {
    const again = (error: unknown) => {
      if (!(error instanceof LedgerError)) this.#settleLater(request);
    };
    setTimeout(() => void this.#ledger.settle(request).catch(again), settleAgainMs).unref();
  }
}

/** The beginning of an answer. The engine is told as soon as the client has gone, also while nothing comes. */
async function firstOf(call: CallState, attempt: AttemptState, answer: EngineAnswer): Promise<Begun> {
  if (call.signal.aborted) throw cancelled();
  const stop = () => void answer.cancel();
  call.signal.addEventListener("abort", stop, { once: true });
  try {
    const begun: Begun =
      attempt.body.stream === true
        ? await firstChunk(attempt, answer, answer.chunks[Symbol.asyncIterator]())
        : { attempt, answer, streams: false, whole: await answer.body() };
    if (call.signal.aborted) throw cancelled();
    return begun;
  } finally {
    call.signal.removeEventListener("abort", stop);
  }
}

async function firstChunk(
  attempt: AttemptState,
  answer: EngineAnswer,
  iterator: AsyncIterator<EngineChunk>,
): Promise<Begun> {
  return { attempt, answer, streams: true, iterator, first: await iterator.next() };
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
