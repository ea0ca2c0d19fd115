// The life of a call: the one way to a model, for clients over HTTP and for agents inside the process alike. Read `call` from
// top to bottom; every step is a function below it, in order.
//
// A call has one or more attempts. Each takes a hold before it, is settled exactly once after it, whatever happens between, and
// leaves a row of its own. A call has ended when its last attempt is settled; its record follows at once.
import { EngineError } from "../engines/index.ts";
import type {
  EngineAnswer,
  EngineChunk,
  EngineRegistry,
  RegisteredEndpoint,
  Usage,
} from "../engines/index.ts";
import { LedgerError, priceOf, worstCase } from "../ledger/index.ts";
import type { BudgetLeft, Ledger, RateCard, Scope } from "../ledger/index.ts";
import { pooledId } from "./ids.ts";
import type { Database } from "../store/index.ts";
import type { LiveEvents, Logger, Metrics } from "../telemetry/index.ts";
import { answersAsked, promptTokensBound, withOutputLimit } from "./admission.ts";
import type { AttemptResource, Call, LiveEvent } from "./api/schemas.ts";
import { asGatewayError, GatewayError } from "./errors.ts";
import { limits } from "./limits.ts";
import { checkOutput, OutputGatherer, outputCheck } from "./output.ts";
import type { OutputCheck } from "./output.ts";
import { phasesOf } from "./phases.ts";
import type { Moments } from "./phases.ts";
import { place } from "./place.ts";
import type { Placement } from "./place.ts";
import { fieldsFor } from "./protocol/fields.ts";
import type { CallBody } from "./protocol/openai.ts";
import { Recorder } from "./records.ts";
import { budgetRefusal, cancelled, modelUnpriced, shuttingDown, unknownModel } from "./refusals.ts";
import type { CallAnswer, CallRecord, CallRequest } from "./types.ts";

export interface GatewayDependencies {
  db: Database;
  ledger: Ledger;
  engines: EngineRegistry;
  events: LiveEvents<LiveEvent>;
  metrics: Metrics;
  log: Logger;
}

export interface Gateway {
  /** Serves a call. Resolves when an engine's answer has begun (stream) or is complete; throws GatewayError. */
  call(request: CallRequest): Promise<CallAnswer>;
  /** Resolves when every call that has ended is in the database: what reads records asks this first. */
  flushed(): Promise<void>;
  /** Refuses new calls, lets those under way end for so long, then cancels and settles them. */
  close(options?: { graceMs?: number }): Promise<void>;
}

export function createGateway(dependencies: GatewayDependencies): Gateway {
  const pipeline = new Pipeline(dependencies);
  return {
    call: (request) => pipeline.call(request),
    flushed: () => pipeline.recorder.flushed(),
    close: (options) => pipeline.close(options?.graceMs ?? limits.graceMs),
  };
}

/** A call under way, and what is known of it so far. */
interface CallState {
  readonly id: string;
  readonly request: CallRequest;
  readonly startedAt: Date;
  /** Clock of the call, milliseconds from its start. */
  readonly now: () => number;
  /** Aborts when the client has gone, the run was stopped, or the server stops. */
  readonly signal: AbortSignal;
  readonly release: () => void;
  readonly check: OutputCheck | undefined;
  readonly attempts: AttemptResource[];
  firstTokenMs: number | undefined;
}

/** An attempt that holds money. */
interface AttemptState {
  readonly id: string;
  readonly number: number;
  readonly placement: Placement;
  readonly body: CallBody;
  readonly card: RateCard;
  /** What the hold was computed from: what is settled when nobody knows what was used. */
  readonly most: { promptTokens: number; outputTokens: number };
  readonly heldNano: bigint;
  readonly tightest: BudgetLeft | undefined;
  readonly moments: Moments;
}

/** An attempt whose answer has begun. */
interface Begun {
  attempt: AttemptState;
  answer: EngineAnswer;
  iterator: AsyncIterator<EngineChunk> | undefined;
  first: IteratorResult<EngineChunk> | undefined;
  whole: Record<string, unknown> | undefined;
}

type Outcome = "completed" | "failed" | "cancelled";

class Pipeline {
  readonly recorder: Recorder;
  readonly #ledger: Ledger;
  readonly #engines: EngineRegistry;
  readonly #events: LiveEvents<LiveEvent>;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  /** Calls under way, each with the way to stop it. */
  readonly #open = new Map<string, { stop: () => void; ended: Promise<void> }>();
  #closing = false;

  constructor(dependencies: GatewayDependencies) {
    this.#ledger = dependencies.ledger;
    this.#engines = dependencies.engines;
    this.#events = dependencies.events;
    this.#metrics = dependencies.metrics;
    this.#log = dependencies.log;
    this.recorder = new Recorder(dependencies.db, dependencies.log);
  }

  async call(request: CallRequest): Promise<CallAnswer> {
    if (this.#closing) throw shuttingDown();
    const call = this.#begin(request);
    try {
      const endpoints = this.#resolve(call);
      const card = await this.#price(call);
      const begun = await this.#firstToAnswer(call, endpoints, card);
      return request.body.stream === true ? this.#streamed(call, begun) : await this.#whole(call, begun);
    } catch (error) {
      throw this.#refused(call, error);
    }
  }

  // --- begin, resolve, price ------------------------------------------------------------------------------------------

  #begin(request: CallRequest): CallState {
    const stop = new AbortController();
    const onAbort = () => stop.abort();
    if (request.signal?.aborted) stop.abort();
    else request.signal?.addEventListener("abort", onAbort, { once: true });
    let ended = () => {};
    const id = request.id ?? pooledId("call");
    const origin = performance.now();
    this.#open.set(id, { stop: onAbort, ended: new Promise((resolve) => (ended = resolve)) });
    const state = {
      id,
      request,
      startedAt: new Date(),
      now: () => performance.now() - origin,
      signal: stop.signal,
      release: () => {
        request.signal?.removeEventListener("abort", onAbort);
        this.#open.delete(id);
        ended();
      },
      attempts: [],
      firstTokenMs: undefined,
    };
    try {
      return { ...state, check: outputCheck(request.body) };
    } catch (error) {
      state.release();
      throw error;
    }
  }

  #resolve(call: CallState): RegisteredEndpoint[] {
    const { principal, body } = call.request;
    const endpoints = this.#engines.endpoints(body.model, principal.organisation);
    if (endpoints.length > 0) return endpoints;
    throw unknownModel(body.model, [
      ...new Set(this.#engines.list(principal.organisation).map((endpoint) => endpoint.name)),
    ]);
  }

  async #price(call: CallState): Promise<RateCard> {
    const { principal, body } = call.request;
    const card = await this.#ledger.currentRateCard(principal.organisation, body.model);
    if (!card) throw modelUnpriced(body.model);
    if (card.currency !== principal.currency) throw modelUnpriced(body.model, card.currency, principal.currency);
    return card;
  }

  // --- attempts -------------------------------------------------------------------------------------------------------

  /** Tries endpoints until one answers; a failure before the first byte moves on to the next, with a hold of its own. */
  async #firstToAnswer(call: CallState, endpoints: RegisteredEndpoint[], card: RateCard): Promise<Begun> {
    const tried = new Set<string>();
    for (let number = 1; ; number++) {
      const placement = place(endpoints, tried)!;
      const attempt = await this.#admit(call, placement, card, number);
      try {
        return await this.#open1(call, attempt);
      } catch (error) {
        if (call.signal.aborted) throw cancelled();
        tried.add(placement.endpoint.endpoint);
        const again = error instanceof EngineError && error.retryable && number < limits.attemptsMost;
        if (!again) throw error;
        // A connection that broke under the request (a worker that was just replaced) deserves one more try where it was.
        if (tried.size === endpoints.length && error.code === "engine_unreachable" && number === 1) tried.clear();
        if (tried.size === endpoints.length) throw error;
      }
    }
  }

  /** Prices the worst case and holds it on every budget concerned, or throws by name of the budget that refuses. */
  async #admit(call: CallState, placement: Placement, card: RateCard, number: number): Promise<AttemptState> {
    const { endpoint: protocol, body } = call.request;
    const { facts, engine, model } = placement.endpoint;
    const asked = fieldsFor(body, facts?.capabilities);
    const context = facts?.contextTokens ?? Infinity;
    const count = () => engine.countTokens(protocol, { ...asked, model }, call.signal);
    let promptTokens = Math.min(promptTokensBound(protocol, asked), context);
    let limited = withOutputLimit(protocol, asked, facts, promptTokens);
    if (limited.outputTokens === limits.leastOutputTokens && limited.body !== asked) {
      // The bound fills the context, the prompt itself may not: without a count a third of it is the usual guess.
      limited = withOutputLimit(protocol, asked, facts, (await count()) ?? Math.ceil(promptTokens / 3));
    }
    const answers = answersAsked(asked);
    const attempt = {
      id: pooledId("att"),
      number,
      placement,
      body: { ...limited.body, model },
      card,
      moments: { begun: call.now(), admitted: 0, opened: 0, first: 0, ended: 0, settled: 0 },
    };
    const outputTokens = limited.outputTokens * answers;
    const hold = async () => {
      const heldNano = worstCase({ promptTokens: promptTokens * answers, maxOutputTokens: outputTokens }, card);
      const result = await this.#ledger.hold({
        attempt: attempt.id,
        call: call.id,
        organisation: call.request.principal.organisation,
        project: call.request.principal.project,
        scopes: scopesOf(call.request),
        amountNano: heldNano,
        rateCard: card,
      });
      return { result, heldNano };
    };
    let { result, heldNano } = await hold();
    if (!result.admitted) {
      const exact = await count();
      if (exact !== undefined && exact < promptTokens) {
        promptTokens = exact;
        ({ result, heldNano } = await hold());
      }
    }
    if (!result.admitted) {
      this.#metrics.budgetRefused(result.refusedBy.scope.kind);
      throw budgetRefusal(result.refusedBy, heldNano);
    }
    this.#metrics.holdOpened();
    attempt.moments.admitted = call.now();
    return {
      ...attempt,
      most: { promptTokens: promptTokens * answers, outputTokens },
      heldNano,
      tightest: result.tightest,
    };
  }

  /** Sends the attempt and waits for the first byte of its answer, or for all of it when it does not stream. */
  async #open1(call: CallState, attempt: AttemptState): Promise<Begun> {
    const { endpoint } = attempt.placement;
    const { principal, endpoint: protocol, program, run } = call.request;
    endpoint.running++;
    let answer: EngineAnswer | undefined;
    try {
      answer = await endpoint.engine.open(
        {
          endpoint: protocol,
          body: attempt.body,
          hints: {
            attempt: attempt.id,
            organisation: principal.organisation,
            project: principal.project,
            ...((program ?? run) !== undefined && { program: program ?? run }),
          },
        },
        call.signal,
      );
      attempt.moments.opened = call.now();
      if (attempt.body.stream !== true) {
        const whole = await this.#wholeOf(call, answer);
        attempt.moments.first = attempt.moments.ended = call.now();
        this.#answered(endpoint);
        return { attempt, answer, whole, iterator: undefined, first: undefined };
      }
      const iterator = answer.chunks[Symbol.asyncIterator]();
      const first = await this.#nextOf(call, answer, iterator);
      attempt.moments.first = call.now();
      this.#answered(endpoint);
      return { attempt, answer, iterator, first, whole: undefined };
    } catch (error) {
      await this.#failedEarly(call, attempt, answer, error);
      throw error;
    }
  }

  async #wholeOf(call: CallState, answer: EngineAnswer): Promise<Record<string, unknown>> {
    if (call.signal.aborted) throw cancelled();
    const stop = () => void answer.cancel();
    call.signal.addEventListener("abort", stop, { once: true });
    try {
      const whole = await answer.body();
      if (call.signal.aborted) throw cancelled();
      return whole;
    } finally {
      call.signal.removeEventListener("abort", stop);
    }
  }

  /** The next chunk; an engine is told as soon as the client has gone, also while nothing comes. */
  async #nextOf(
    call: CallState,
    answer: EngineAnswer,
    iterator: AsyncIterator<EngineChunk>,
  ): Promise<IteratorResult<EngineChunk>> {
    if (call.signal.aborted) throw cancelled();
    const stop = () => void answer.cancel();
    call.signal.addEventListener("abort", stop, { once: true });
    try {
      const step = await iterator.next();
      if (call.signal.aborted) throw cancelled();
      return step;
    } finally {
      call.signal.removeEventListener("abort", stop);
    }
  }

  #answered(endpoint: RegisteredEndpoint): void {
    if (endpoint.up === true) return;
    endpoint.up = true;
    endpoint.lastError = undefined;
    this.#metrics.engineUp(endpoint.endpoint, true);
  }

  /** An attempt that ended before its answer began: nothing was used, unless it was given up in the middle. */
  async #failedEarly(
    call: CallState,
    attempt: AttemptState,
    answer: EngineAnswer | undefined,
    error: unknown,
  ): Promise<void> {
    const { endpoint } = attempt.placement;
    if (error instanceof EngineError && error.code === "engine_unreachable") {
      endpoint.up = false;
      endpoint.lastError = error.message;
      this.#metrics.engineUp(endpoint.endpoint, false);
    }
    if (call.signal.aborted) await this.#end(call, attempt, answer, "cancelled", cancelled());
    else await this.#end(call, attempt, answer, "failed", asGatewayError(error));
  }

  // --- the answer -----------------------------------------------------------------------------------------------------

  async #whole(call: CallState, begun: Begun): Promise<CallAnswer> {
    const { attempt, answer } = begun;
    const whole = begun.whole!;
    const gatherer = new OutputGatherer();
    gatherer.add(whole);
    call.firstTokenMs = attempt.moments.first;
    const finishReason = gatherer.choices.values().next().value?.finish;
    let failure: GatewayError | undefined;
    try {
      if (call.check) checkOutput(call.check, gatherer.choices.values());
    } catch (error) {
      failure = asGatewayError(error);
    }
    const ended = await this.#end(call, attempt, answer, failure ? "failed" : "completed", failure, finishReason);
    if (failure) throw failure;
    if (whole["usage"] === undefined || whole["usage"] === null) whole["usage"] = openAiUsage(ended.usage);
    const finished = this.#finish(call, "completed", ended);
    return {
      id: call.id,
      chunks: none(),
      events: none(),
      body: () => Promise.resolve(whole),
      finished,
      headers: {
        ...headersOf(call, attempt),
        "x-lineshaft-price-nano": ended.priceNano.toString(),
        "x-lineshaft-cached-tokens": String(ended.usage.cachedTokens),
      },
    };
  }

  #streamed(call: CallState, begun: Begun): CallAnswer {
    const { attempt } = begun;
    call.firstTokenMs = attempt.moments.first;
    let settle: ((record: Promise<CallRecord>) => void) | undefined;
    const finished = new Promise<CallRecord>((resolve) => (settle = resolve));
    const stream = this.#relay(call, begun, settle!);
    return {
      id: call.id,
      events: stream,
      chunks: objectsOf(stream),
      body: () => Promise.reject(new TypeError("This call streams: read `chunks`.")),
      finished,
      headers: { ...headersOf(call, attempt), "x-lineshaft-price-nano-most": attempt.heldNano.toString() },
    };
  }

  /**
   * Passes the engine's stream on, and ends the attempt whichever way the stream ends: by itself, by failing, by the client
   * going, by its reader stopping. The engine's iterator is never closed from here before `cancel` has had what it used.
   */
  #relay(call: CallState, begun: Begun, settle: (record: Promise<CallRecord>) => void): AsyncIterableIterator<EngineChunk> {
    const { attempt, answer } = begun;
    const iterator = begun.iterator!;
    const gatherer = call.check ? new OutputGatherer() : undefined;
    const wantsUsage = includesUsage(attempt.body);
    let first = begun.first;
    let finishReason: string | undefined;
    let template: Record<string, unknown> | undefined;
    let sentUsage = false;
    let ended: Promise<CallRecord> | undefined;
    const state: { over: boolean; tail: EngineChunk[] } = { over: false, tail: [] };

    const end = (outcome: Outcome, failure?: GatewayError): Promise<CallRecord> =>
      (ended ??= (async () => {
        call.signal.removeEventListener("abort", onAbort);
        attempt.moments.ended = call.now();
        const record = await this.#end(call, attempt, answer, outcome, failure, finishReason);
        settle(this.#finish(call, outcome, record));
        return record as unknown as CallRecord;
      })());
    // Whether or not anybody reads on: a client that has gone ends the attempt now.
    const onAbort = () => void end("cancelled", cancelled());
    call.signal.addEventListener("abort", onAbort, { once: true });
    if (call.signal.aborted) onAbort();

    const next = async (): Promise<IteratorResult<EngineChunk>> => {
      for (;;) {
        if (state.tail.length > 0) return { done: false, value: state.tail.shift()! };
        if (state.over) return { done: true, value: undefined };
        let step: IteratorResult<EngineChunk>;
        try {
          step = first ?? (await iterator.next());
          first = undefined;
          if (call.signal.aborted) throw cancelled();
          if (!step.done) {
            const data = step.value.data;
            const choices = data["choices"] as { finish_reason?: unknown }[] | undefined;
            for (const choice of choices ?? [])
              if (typeof choice.finish_reason === "string") finishReason = choice.finish_reason;
            gatherer?.add(data);
            template = data;
            if (data["usage"] === undefined || data["usage"] === null || (choices?.length ?? 0) > 0) return step;
            // The usage chunk: asked of the engine always, shown to who asked.
            if (!wantsUsage) continue;
            sentUsage = true;
            return step;
          }
          if (call.check) checkOutput(call.check, gatherer!.choices.values());
        } catch (error) {
          state.over = true;
          const failure = call.signal.aborted ? cancelled() : asGatewayError(error);
          await end(call.signal.aborted ? "cancelled" : "failed", failure);
          throw failure;
        }
        state.over = true;
        await end("completed");
        if (wantsUsage && !sentUsage) state.tail.push({ data: usageChunk(template, answer.usage()) });
      }
    };
    return {
      next,
      return: async () => {
        state.over = true;
        await end("cancelled", cancelled());
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  // --- settle and record ----------------------------------------------------------------------------------------------

  /** Ends an attempt: the engine is told where it still works, what was used is settled, the attempt's row is made. */
  async #end(
    call: CallState,
    attempt: AttemptState,
    answer: EngineAnswer | undefined,
    outcome: Outcome,
    failure: GatewayError | undefined,
    finishReason?: string,
  ): Promise<EndedAttempt> {
    const { endpoint, decision } = attempt.placement;
    const known = outcome === "completed" ? answer?.usage() : await answer?.cancel();
    const { usage, source } = usedBy(attempt, answer, outcome, known);
    endpoint.running--;
    attempt.moments.ended ||= call.now();
    const priceNano = await this.#settle(call, attempt, usage, source);
    attempt.moments.settled = call.now();
    this.#metrics.holdClosed();
    this.#metrics.attemptEnded({ engine: endpoint.endpoint, outcome });
    this.#metrics.tokensUsed(call.request.body.model, {
      prompt: usage.promptTokens,
      cached: usage.cachedTokens,
      output: usage.outputTokens,
    });
    const timings = answer?.timings() ?? {};
    call.attempts.push({
      id: attempt.id,
      number: attempt.number,
      engine: endpoint.endpoint,
      status: outcome,
      error_code: failure?.code ?? null,
      decision,
      cached_by_tier: (usage.cachedByTier as Record<string, number> | undefined) ?? null,
      phases: phasesOf(attempt.moments, timings),
      prompt_tokens: usage.promptTokens,
      cached_tokens: usage.cachedTokens,
      output_tokens: usage.outputTokens,
      price_nano: priceNano.toString(),
    });
    return { usage, timings, priceNano, currency: attempt.card.currency, failure, finishReason };
  }

  async #settle(
    call: CallState,
    attempt: AttemptState,
    usage: Usage,
    source: "engine" | "counted" | "estimated",
  ): Promise<bigint> {
    const tokens = {
      promptTokens: usage.promptTokens,
      cachedTokens: usage.cachedTokens,
      outputTokens: usage.outputTokens,
    };
    for (let tries = 1; ; tries++) {
      try {
        const settlement = await this.#ledger.settle({ attempt: attempt.id, tokens, usageSource: source });
        return settlement.amountNano;
      } catch (error) {
        // The hold stands until it is settled; if the database stays away, whoever comes after this process settles it in full.
        this.#log.error({ call: call.id, attempt: attempt.id, err: (error as Error).message }, "an attempt could not be settled");
        if (tries === 3 || error instanceof LedgerError) return priceOf(tokens, attempt.card);
        await new Promise((resolve) => setTimeout(resolve, 100 * tries));
      }
    }
  }

  /** Records a call that an engine has served, one way or another. */
  #finish(call: CallState, outcome: Outcome, ended: EndedAttempt): Promise<CallRecord> {
    const { request } = call;
    const record: CallRecord = {
      id: call.id,
      status: outcome,
      ...(ended.failure && { errorCode: ended.failure.code }),
      ...(ended.finishReason !== undefined && { finishReason: ended.finishReason }),
      usage: ended.usage,
      timings: ended.timings,
      priceNano: ended.priceNano,
      currency: ended.currency,
    };
    const written = this.#record(call, outcome, ended.failure?.code ?? null, ended.finishReason ?? null);
    this.#log.debug({ call: call.id, model: request.body.model, outcome }, "call ended");
    return written.then(() => record);
  }

  /** Records a call that was refused or failed before any answer began; answers the error for the caller. */
  #refused(call: CallState, error: unknown): GatewayError {
    const failure = asGatewayError(error);
    if (failure.status >= 500 && failure.code === "internal_error")
      this.#log.error({ call: call.id, err: (error as Error).stack }, "a call failed for an unforeseen reason");
    const outcome = call.signal.aborted ? "cancelled" : call.attempts.length === 0 ? "refused" : "failed";
    void this.#record(call, outcome, failure.code, null);
    return failure;
  }

  #record(call: CallState, status: Call["status"], errorCode: string | null, finishReason: string | null): Promise<void> {
    const { request, attempts } = call;
    const durationMs = call.now();
    const sum = (of: (attempt: AttemptResource) => number) => attempts.reduce((total, one) => total + of(one), 0);
    const shown: Call = {
      id: call.id,
      endpoint: request.endpoint,
      model: request.body.model,
      stream: request.body.stream === true,
      status,
      error_code: errorCode,
      finish_reason: finishReason,
      key: request.principal.key,
      agent: request.agent ?? null,
      run: request.run ?? null,
      program: request.program ?? null,
      prompt_tokens: sum((one) => one.prompt_tokens),
      cached_tokens: sum((one) => one.cached_tokens),
      output_tokens: sum((one) => one.output_tokens),
      price_nano: attempts.reduce((total, one) => total + BigInt(one.price_nano), 0n).toString(),
      currency: request.principal.currency,
      started_at: call.startedAt.toISOString(),
      first_token_ms: call.firstTokenMs ?? null,
      duration_ms: durationMs,
    };
    this.#metrics.callEnded({
      model: status === "refused" && errorCode === "model_not_found" ? "unknown" : shown.model,
      outcome: status,
      durationMs,
      firstTokenMs: call.firstTokenMs,
    });
    const { organisation, project } = request.principal;
    const written = this.recorder.add({ organisation, project, call: shown, attempts });
    this.#events.publish(organisation, { type: "call", call: shown });
    call.release();
    return written;
  }

  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const all = () => Promise.all([...this.#open.values()].map((call) => call.ended));
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([all(), grace]);
    clearTimeout(timer);
    for (const call of this.#open.values()) call.stop();
    await all();
    await this.recorder.close();
  }
}

interface EndedAttempt {
  usage: Usage;
  timings: ReturnType<EngineAnswer["timings"]>;
  priceNano: bigint;
  currency: string;
  failure: GatewayError | undefined;
  finishReason: string | undefined;
}

/** Every scope that a call is counted against. */
function scopesOf({ principal, agent, run }: CallRequest): Scope[] {
  return [
    { kind: "organisation", id: principal.organisation },
    { kind: "project", id: principal.project },
    { kind: "key", id: principal.key },
    ...(agent === undefined ? [] : [{ kind: "agent" as const, id: agent }]),
    ...(run === undefined ? [] : [{ kind: "run" as const, id: run }]),
  ];
}

const nothing = (source: Usage["source"]): Usage => ({
  promptTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  source,
});

/**
 * What an attempt is settled for. An engine that refused or could not be reached used nothing; one that was given up without
 * being able to say what it had done is settled for what was held, marked so.
 */
function usedBy(
  attempt: AttemptState,
  answer: EngineAnswer | undefined,
  outcome: Outcome,
  known: Usage | undefined,
): { usage: Usage; source: "engine" | "counted" | "estimated" } {
  if (known) return { usage: known, source: known.source };
  if (outcome === "failed" && attempt.moments.opened === 0) return { usage: nothing("counted"), source: "counted" };
  if (outcome === "cancelled" && !answer && attempt.body.stream === true) {
    // Closed before the first byte: at most the prompt was worked on.
    return { usage: { ...nothing("counted"), promptTokens: attempt.most.promptTokens }, source: "estimated" };
  }
  return { usage: { ...nothing("counted"), ...attempt.most }, source: "estimated" };
}

function includesUsage(body: CallBody): boolean {
  return (body["stream_options"] as { include_usage?: boolean } | null | undefined)?.include_usage === true;
}

/** Usage in OpenAI's shape, for engines that give none. */
function openAiUsage(usage: Usage): Record<string, unknown> {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.promptTokens + usage.outputTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
  };
}

function usageChunk(template: Record<string, unknown> | undefined, usage: Usage | undefined): Record<string, unknown> {
  const { choices: _choices, ...rest } = template ?? {};
  return { ...rest, choices: [], usage: usage ? openAiUsage(usage) : null };
}

function headersOf(call: CallState, attempt: AttemptState): Record<string, string> {
  const { tightest } = attempt;
  return {
    "x-lineshaft-call": call.id,
    "x-lineshaft-decision": attempt.id,
    "x-lineshaft-engine": attempt.placement.endpoint.endpoint,
    "x-lineshaft-currency": attempt.card.currency,
    ...(tightest && {
      "x-lineshaft-budget": tightest.budget,
      "x-lineshaft-budget-left-nano": tightest.leftNano.toString(),
    }),
  };
}

async function* objectsOf(stream: AsyncIterable<EngineChunk>): AsyncGenerator<Record<string, unknown>, void, void> {
  for await (const chunk of stream) yield chunk.data;
}

async function* none(): AsyncGenerator<never, void, void> {}
