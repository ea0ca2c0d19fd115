// The life of a call: the one way to a model, for clients over HTTP and for agents inside the process alike. Read `call` from
// top to bottom; its steps stand below it in order, and those of a single attempt in attempt.ts.
//
// A call has one or more attempts. Each takes a hold before it, is settled exactly once after it, whatever happens between, and
// leaves a row of its own. A call has ended when its last attempt is settled; its record follows at once.
import { EngineError } from "../engines/index.ts";
import type { EngineRegistry, RegisteredEndpoint, RuntimeFact } from "../engines/index.ts";
import { assertAuthorised, type Identity } from "../governance/index.ts";
import type { Ledger, RateCard } from "../ledger/index.ts";
import type { Carrier, SchedulerSnapshot } from "../scheduler/index.ts";
import { storable } from "../store/index.ts";
import type { Database } from "../store/index.ts";
import type { Alarms, LiveEvents, Logger, Metrics, SchedulerNumbers } from "../telemetry/index.ts";
import type { AttemptResource, Call, LiveEvent } from "../contract/index.ts";
import { Attempts } from "./attempt.ts";
import { asGatewayError, storageFull } from "./errors.ts";
import type { GatewayError } from "./errors.ts";
import { Candidates, RequestShapes } from "./candidates.ts";
import { cutWhole, outputMost } from "./cap.ts";
import { pooledId } from "./ids.ts";
import { limits } from "./limits.ts";
import { checkWhole, outputCheck, type OutputCheck } from "./output.ts";
import { Recorder } from "./records.ts";
import { keyRevoked, modelUnpriced, shuttingDown, unknownModel, whyAborted } from "./refusals.ts";
import { Media, type MediaOptions } from "./media.ts";
import { Relay } from "./relay.ts";
import { Dispatcher } from "./scheduling/dispatcher.ts";
import { refusesRequest } from "./scheduling/faults.ts";
import { programKey, PromptReader } from "./scheduling/prompts.ts";
import type { AttemptState, Begun, CallState, EndedAttempt, Outcome } from "./state.ts";
import type { AnswerChunk, CallAnswer, CallRecord, CallRequest, Storage } from "./types.ts";

export interface GatewayDependencies {
  db: Database;
  ledger: Ledger;
  /** Where calls under way learn that their key was revoked. */
  keys: Pick<Identity, "watch">;
  engines: EngineRegistry;
  events: LiveEvents<LiveEvent>;
  metrics: Metrics;
  alarms: Alarms;
  log: Logger;
  /** How gateways that share endpoints tell each other their load; absent: this one is alone. */
  carrier?: (Carrier & { gateway: string }) | undefined;
  /** Absent: the database is elsewhere, and says itself when its disk is full. */
  storage?: Storage | undefined;
  /** How media that calls name are fetched. */
  media?: MediaOptions | undefined;
  /** Placement policy of deployments that name none. */
  policy?: string | undefined;
}

export interface Gateway {
  /** Serves a call. Resolves when an engine's answer has begun (stream) or is complete; throws GatewayError. */
  call(request: CallRequest): Promise<CallAnswer>;
  /** What the runtime knows of a program whose model this is: a tool runs, a run has ended. Never waited for, never fails. */
  tell(fact: RuntimeFact, model: string, organisation: string): void;
  /** Forgets what is kept of a project's prompts between two turns. */
  forget(project: string): void;
  /** What waits, what is placed, what endpoints bear: the scheduler's own view. */
  scheduler(): SchedulerSnapshot;
  /** Resolves when every call that has ended is in the database: what reads records asks this first. */
  flushed(): Promise<void>;
  /** Aborts when `close` begins: what serves something endless (live events) ends it then. */
  readonly closing: AbortSignal;
  /** Stops the calls under way that match: their clients are told the reason, and their records have its code. */
  stopCalls(which: (request: CallRequest) => boolean, reason: GatewayError): void;
  /** Refuses new calls, lets those under way end for so long, then cancels and settles them. */
  close(options?: { graceMs?: number }): Promise<void>;
}

export function createGateway(dependencies: GatewayDependencies): Gateway {
  const pipeline = new Pipeline(dependencies);
  return {
    call: (request) => pipeline.call(request),
    tell: (fact, model, organisation) => pipeline.tell(fact, model, organisation),
    forget: (project) => pipeline.prompts.forget(project),
    scheduler: () => pipeline.dispatcher.snapshot(),
    flushed: () => pipeline.recorder.flushed(),
    closing: pipeline.closing,
    stopCalls: (which, reason) => pipeline.stopCalls(which, reason),
    close: (options) => pipeline.close(options?.graceMs ?? limits.graceMs),
  };
}

/** An engine's refusal of a prompt that its context cannot hold. */
const tooLongCode = "context_length_exceeded";

interface UnderWay {
  request: CallRequest;
  stop: (reason: GatewayError) => void;
  ended: Promise<void>;
}

class Pipeline {
  readonly recorder: Recorder;
  readonly dispatcher: Dispatcher;
  readonly prompts = new PromptReader();
  readonly #attempts: Attempts;
  readonly #media: Media;
  readonly #ledger: Ledger;
  readonly #keys: Pick<Identity, "watch">;
  readonly #engines: EngineRegistry;
  readonly #events: LiveEvents<LiveEvent>;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #storage: Storage | undefined;
  /** Calls under way, each with the way to stop it. */
  readonly #underWay = new Map<string, UnderWay>();
  readonly #closing = new AbortController();

  constructor(dependencies: GatewayDependencies) {
    this.recorder = new Recorder(dependencies.db, dependencies.log, dependencies.alarms);
    this.dispatcher = new Dispatcher({ ...dependencies, gateway: dependencies.carrier?.gateway ?? "alone" });
    dependencies.metrics.schedulerReadBy(() => numbersOf(this.dispatcher.snapshot()));
    this.#attempts = new Attempts({ ...dependencies, dispatcher: this.dispatcher });
    this.#media = new Media(dependencies.media);
    this.#ledger = dependencies.ledger;
    this.#keys = dependencies.keys;
    this.#engines = dependencies.engines;
    this.#events = dependencies.events;
    this.#metrics = dependencies.metrics;
    this.#log = dependencies.log;
    this.#storage = dependencies.storage;
  }

  async call(request: CallRequest): Promise<CallAnswer> {
    if (this.closing.aborted) throw shuttingDown();
    if (this.#storage?.full) throw storageFull();
    // The demands on its answer are read first: an invalid schema starts no call.
    const check = await this.#promised(request);
    if (this.closing.aborted) throw shuttingDown();
    const call = this.#begin(request, check);
    try {
      const endpoints = this.#resolve(request);
      const card = await this.#price(request);
      const candidates = await this.#candidates(call, request, endpoints);
      const begun = await this.#firstToAnswer(call, candidates, card);
      return begun.streams ? this.#streamed(call, begun) : await this.#whole(call, begun);
    } catch (error) {
      throw this.#refused(call, error);
    }
  }

  async #promised({ asked, principal }: CallRequest): Promise<OutputCheck | undefined> {
    try {
      return await outputCheck(asked, principal.organisation);
    } catch (error) {
      throw asGatewayError(error);
    }
  }

  /** Registers the call as under way. */
  #begin(request: CallRequest, check: OutputCheck | undefined): CallState {
    const stop = new AbortController();
    const onAbort = () => stop.abort(request.signal?.reason);
    if (request.signal?.aborted) onAbort();
    else request.signal?.addEventListener("abort", onAbort, { once: true });
    const id = request.id ?? pooledId("call");
    const origin = performance.now();
    const ended = Promise.withResolvers<void>();
    const unwatch = this.#keys.watch(request.principal.key, () => stop.abort(keyRevoked()));
    this.#underWay.set(id, { request, stop: (reason) => stop.abort(reason), ended: ended.promise });
    return {
      id,
      request,
      check,
      startedAt: Date.now(),
      signal: stop.signal,
      attempts: [],
      firstTokenMs: undefined,
      now: () => performance.now() - origin,
      release: () => {
        unwatch();
        request.signal?.removeEventListener("abort", onAbort);
        this.#underWay.delete(id);
        ended.resolve();
      },
    };
  }

  /** The endpoints that serve the model to this organisation. Throws LineshaftError where the principal may not call it. */
  #resolve({ principal, asked }: CallRequest): RegisteredEndpoint[] {
    const { organisation, project } = principal;
    const endpoints = this.#engines.endpoints(asked.model, organisation);
    if (endpoints.length > 0) {
      // A model without an organisation is the instance's, and serves every organisation as if it were its own.
      assertAuthorised(principal, "call.create", { organisation: endpoints[0]!.organisation ?? organisation, project });
      return endpoints;
    }
    const known = this.#engines.list(principal.organisation).map((endpoint) => endpoint.name);
    throw unknownModel(asked.model, [...new Set(known)]);
  }

  /** The endpoints that can take the request. Its media are brought in once for all attempts. */
  async #candidates(call: CallState, request: CallRequest, endpoints: RegisteredEndpoint[]): Promise<Candidates> {
    const candidates = new Candidates(new RequestShapes(request.asked), endpoints);
    const asked = await this.#media.broughtIn(request.asked, candidates.media, request.principal.key, call.signal);
    if (asked === request.asked) return candidates;
    call.request = { ...request, asked };
    return new Candidates(new RequestShapes(asked), endpoints);
  }

  async #price({ principal, asked }: CallRequest): Promise<RateCard> {
    const card = await this.#ledger.currentRateCard(principal.organisation, asked.model);
    if (!card) throw modelUnpriced(asked.model);
    if (card.currency !== principal.currency) throw modelUnpriced(asked.model, card.currency, principal.currency);
    return card;
  }

  /** Tries endpoints until one answers; a failure before the first byte moves on to the next, with a hold of its own. */
  async #firstToAnswer(call: CallState, candidates: Candidates, card: RateCard): Promise<Begun> {
    const tried = new Set<string>();
    const program = programKey(call.request);
    const last = this.dispatcher.lastOf(program);
    const prompt = await this.prompts.read(call.request, program, candidates.endpoints, last);
    candidates.excludeShort(call.request.asked, prompt.promptTokens);
    let failed: unknown;
    for (let number = 1; ; number++) {
      const admitted = await this.#attempts.admit(call, prompt, candidates.endpoints, card, number);
      const attempt = await this.#attempts.place(call, admitted, prompt, candidates, tried).catch((error: unknown) => {
        // After a failed attempt its error says more than that no other endpoint may take the call.
        throw call.signal.aborted ? whyAborted(call.signal) : (failed ?? error);
      });
      const others = candidates.answering.filter(
        ({ endpoint }) => endpoint !== attempt.placement.endpoint.endpoint && !tried.has(endpoint),
      );
      const elsewhere =
        number === limits.attemptsMost || others.length === 0
          ? undefined
          : () => others.some(({ endpoint }) => this.dispatcher.takesCalls(endpoint));
      try {
        return await this.#attempts.open(call, attempt, elsewhere);
      } catch (error) {
        if (call.signal.aborted) throw whyAborted(call.signal);
        const { endpoint } = attempt.placement;
        if (!(error instanceof EngineError) || number === limits.attemptsMost) throw error;
        const goesOn = error.retryable || (error.code === tooLongCode && candidates.excludeUpTo(endpoint));
        if (!goesOn) throw error;
        failed = error;
        tried.add(endpoint.endpoint);
        if (candidates.answering.some((one) => !tried.has(one.endpoint))) continue;
        // A connection that broke under the request is tried once more at the same endpoint. A worker restarts, so its calls wait for it.
        if (error.code !== "engine_unreachable" || (number > 1 && endpoint.kind !== "embedded")) throw error;
        tried.clear();
      }
    }
  }

  /** A whole answer: checked, settled, then given. */
  async #whole(call: CallState, begun: Extract<Begun, { streams: false }>): Promise<CallAnswer> {
    const { attempt, answer, whole } = begun;
    // The reader sees every token at once; the engine knows when the first was there, or nobody does.
    const { decodeMs } = answer.timings();
    call.firstTokenMs = decodeMs === undefined ? undefined : Math.max(0, attempt.moments.first - decodeMs);
    const cut = cutWhole(whole, outputMost(attempt), answer.usage()?.outputTokens);
    const { deltas, wire } = whole;
    const finishReason = (cut?.deltas ?? deltas)[0]?.finish;
    const failure = call.check && (await failureOf(async () => checkWhole(call.check!, cut?.deltas ?? deltas)));
    const outcome = failure ? "failed" : "completed";
    const ended = await this.#attempts.end(call, attempt, answer, outcome, failure, finishReason, cut !== undefined);
    if (failure) throw failure;
    // In a PD call the decode engine reports transferred tokens as cached, so the answer says what is billed.
    const told = !attempt.placement.split && whole.reportsUsage && !ended.usageCut && !cut;
    const shown: AnswerChunk = told ? { deltas, wire } : { deltas, wire, ...cut, usage: ended.usage };
    return {
      id: call.id,
      chunks: none(),
      whole: () => Promise.resolve(shown),
      finished: this.#finish(call, outcome, ended),
      headers: {
        ...headersOf(call, attempt),
        "x-lineshaft-price-nano": ended.priceNano.toString(),
        "x-lineshaft-cached-tokens": String(ended.usage.cachedTokens),
      },
    };
  }

  /** A stream: passed on as it comes, settled when it ends, before its reader sees the end. */
  #streamed(call: CallState, begun: Extract<Begun, { streams: true }>): CallAnswer {
    const { attempt, answer } = begun;
    call.firstTokenMs = attempt.moments.first;
    const finished = Promise.withResolvers<CallRecord>();
    const stream = new Relay(call, begun, async (outcome, failure, finishReason, cut) => {
      const ended = await this.#attempts.end(call, attempt, answer, outcome, failure, finishReason, cut);
      finished.resolve(this.#finish(call, outcome, ended));
    });
    return {
      id: call.id,
      chunks: stream,
      finished: finished.promise,
      whole: () => Promise.reject(new TypeError("This call streams: read `chunks`.")),
      headers: { ...headersOf(call, attempt), "x-lineshaft-price-nano-most": attempt.heldNano.toString() },
    };
  }

  /** Records a call that an engine has served, one way or another. */
  async #finish(call: CallState, outcome: Outcome, ended: EndedAttempt): Promise<CallRecord> {
    const { usage, timings, priceNano, currency, failure, finishReason } = ended;
    await this.#record(call, outcome, failure?.code ?? null, finishReason ?? null);
    return {
      id: call.id,
      status: outcome,
      usage,
      timings,
      priceNano,
      currency,
      ...(failure && { errorCode: failure.code }),
      ...(finishReason !== undefined && { finishReason }),
    };
  }

  /** Records a call that was refused, or failed before any answer began; answers the error for the caller. */
  #refused(call: CallState, error: unknown): GatewayError {
    const failure = asGatewayError(error);
    if (failure.code === "internal_error")
      this.#log.error({ call: call.id, err: (error as Error).stack }, "a call failed for an unforeseen reason");
    const refused = call.attempts.length === 0 || refusesRequest(failure);
    const outcome = call.signal.aborted ? "cancelled" : refused ? "refused" : "failed";
    void this.#record(call, outcome, failure.code, null);
    return failure;
  }

  #record(
    call: CallState,
    status: Call["status"],
    errorCode: string | null,
    finishReason: string | null,
  ): Promise<void> {
    const { request, attempts, firstTokenMs } = call;
    const { principal, asked } = request;
    const durationMs = call.now();
    const sum = (of: (attempt: AttemptResource) => number) => attempts.reduce((total, one) => total + of(one), 0);
    const shown: Call = {
      id: call.id,
      endpoint: asked.endpoint,
      model: asked.model,
      stream: asked.stream,
      status,
      error_code: errorCode,
      finish_reason: finishReason === null ? null : storable(finishReason, limits.engineCodeCharacters),
      key: principal.key,
      agent: request.agent ?? null,
      run: request.run ?? null,
      program: request.program ?? null,
      prompt_tokens: sum((one) => one.prompt_tokens),
      cached_tokens: sum((one) => one.cached_tokens),
      output_tokens: sum((one) => one.output_tokens),
      price_nano: attempts.reduce((total, one) => total + BigInt(one.price_nano), 0n).toString(),
      currency: principal.currency,
      started_at: new Date(call.startedAt).toISOString(),
      first_token_ms: firstTokenMs ?? null,
      duration_ms: durationMs,
    };
    // A name that nobody serves is the caller's own: as a label it could be anything.
    const model = errorCode === "model_not_found" ? "unknown" : asked.model;
    this.#metrics.callEnded({ model, outcome: status, durationMs, firstTokenMs });
    // Codes, never messages: an engine's message may repeat a part of the prompt.
    this.#log.debug({ call: call.id, model, status, code: errorCode, durationMs }, "call ended");
    const { organisation, project } = principal;
    const written = this.recorder.add({ organisation, project, call: shown, attempts });
    this.#events.publish({ organisation, project }, { type: "call", call: shown });
    call.release();
    return written;
  }

  tell(fact: RuntimeFact, model: string, organisation: string): void {
    this.dispatcher.fact(fact);
    if (fact.type !== "program" && fact.type !== "run_ended") return;
    // Whose files are whose is every engine's to know: a program's state may lie with more than one.
    for (const { engine } of this.#engines.endpoints(model, organisation))
      engine
        .tell([fact])
        .catch((error: Error) => this.#log.debug({ fact: fact.type, program: fact.program }, error.message));
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  stopCalls(which: (request: CallRequest) => boolean, reason: GatewayError): void {
    for (const { request, stop } of this.#underWay.values()) if (which(request)) stop(reason);
  }

  async close(graceMs: number): Promise<void> {
    this.#closing.abort(shuttingDown());
    const all = () => Promise.all([...this.#underWay.values()].map((call) => call.ended));
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([all(), grace]);
    clearTimeout(timer);
    this.stopCalls(() => true, shuttingDown());
    await all();
    this.dispatcher.close();
    await this.recorder.close();
  }
}

function numbersOf({ waiting, endpoints, index }: SchedulerSnapshot): SchedulerNumbers {
  return {
    waiting: waiting.map(({ name, calls, tokens }) => ({ model: name, calls, tokens })),
    endpoints: endpoints.map(({ spec, load }) => ({ engine: spec.id, ...load })),
    index,
  };
}

/** What a check throws, or undefined. */
async function failureOf(check: () => Promise<void>): Promise<GatewayError | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    return asGatewayError(error);
  }
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

async function* none(): AsyncGenerator<never, void, void> {}
