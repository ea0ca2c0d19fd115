// The life of a call: the one way to a model, for clients over HTTP and for agents inside the process alike. Read `call` from top to
// bottom; its steps stand below it in their order (DESIGN section 4), and those of a single attempt in attempt.ts.
//
//   decode         the protocol has done it: protocols/, before the call comes here
//   authenticate   the HTTP server has done it: the call comes with its principal
//   share          an identical call's answer is given, where the route allows it (sharing/)
//   route          the asked name stands for a model, and says what may follow a failed attempt (modelRoutes.ts)
//   authorise      the principal may call the model (`#resolve`, where the endpoints of the model are known)
//   price, fit     the model has a price, and endpoints that can take the request (candidates.ts)
//   limit          the call counts against the limits on use (governance/usage/), or waits for them, or is refused; then its media are
//                  fetched (media.ts), and the tokens of its prompt count
//   admit          the prompt and a first window of output are held on every budget (holding.ts), at the prices that are valid now
//   queue, place   the attempt's turn comes and an endpoint is chosen (scheduling/)
//   attempt        the request is sent, and the beginning of the answer awaited (opening.ts); a failure goes on to the next endpoint
//                  or model (steps.ts, tries.ts)
//   guard          the answer is checked against what was asked (output.ts); its hold is extended window by window (cover.ts), and it
//                  is cut at its limit or where its money ends (paidStream.ts)
//   settle         what was used is billed, exactly once for each attempt (ending.ts)
//   record         the call's record, metrics and live event (reporting.ts)
//
// A call has one or more attempts. Each takes a hold before it, is settled exactly once after it, whatever happens between, and leaves a
// row of its own. A call has ended when its last attempt is settled; its record follows at once.
import { processMemory } from "../bounded/index.ts";
import { LineshaftError } from "../errors/index.ts";
import type { EngineRegistry, RegisteredEndpoint, RuntimeFact, Usage } from "../engines/index.ts";
import type { Use } from "../governance/index.ts";
import type { SchedulerSnapshot } from "../scheduler/index.ts";
import type { Logger, SchedulerNumbers } from "../telemetry/index.ts";
import { attemptHeaders, endHeaders, givenHeaders } from "./answerHeaders.ts";
import { Attempts } from "./attempt.ts";
import { Candidates, RequestShapes } from "./candidates.ts";
import { cutWhole, outputMost } from "./cap.ts";
import { Continuations } from "./continuations.ts";
import { asLineshaftError, storageFull } from "./errors.ts";
import { limits } from "./limits.ts";
import { Media } from "./media.ts";
import { checkWhole, outputCheck, promisesNothing, type OutputCheck } from "./output.ts";
import type { CallRecord } from "./calls/record.ts";
import type { ModelRoute, NamedRoute } from "./modelRoutes.ts";
import { invalidValue, notYetPosted, shuttingDown, unknownModel } from "./refusals.ts";
import { Relay } from "./relay.ts";
import { Reporting, whenWritten } from "./reporting.ts";
import { servedBy } from "./served.ts";
import { Dispatcher } from "./scheduling/dispatcher.ts";
import { promptGuess, PromptReader } from "./scheduling/prompts.ts";
import { recorded } from "./sharing/recorded.ts";
import { Sharing, type GivenAnswer } from "./sharing/sharing.ts";
import { whenThere, type Soon } from "./soon.ts";
import type { Begun, BegunStream, CallState, Outcome } from "./state.ts";
import { Steps } from "./steps.ts";
import type {
  AnswerChunk,
  CallAnswer,
  CallRequest,
  Gateway,
  GatewayDependencies,
  GatewayLedger,
  Storage,
} from "./types.ts";
import { CallsUnderWay } from "./underWay.ts";

/** Puts the gateway together. It begins to work with the first call; `close` ends it. */
export function createGateway(dependencies: GatewayDependencies): Gateway {
  const pipeline = new Pipeline(dependencies);
  const sharing = new Sharing(
    {
      routeOf: (request) => pipeline.routeOf(request),
      attempt: (request) => pipeline.call(request),
      given: (request, answer) => pipeline.given(request, answer),
    },
    dependencies.kept,
  );
  return {
    call: (request) => sharing.call(request),
    aliases: (organisation) => dependencies.routes?.aliases(organisation) ?? [],
    tell: (fact, model, organisation) => pipeline.tell(fact, model, organisation),
    async forget(project) {
      pipeline.prompts.forget(project);
      await dependencies.kept?.erase(project);
    },
    scheduler: () => pipeline.dispatcher.snapshot(),
    flushed: () => pipeline.flushed(),
    posted: (after, signal) => pipeline.posted(after, signal),
    closing: pipeline.closing,
    stopCalls: (which, reason) => pipeline.stopCalls(which, reason),
    close: (options) => pipeline.close(options?.graceMs ?? limits.graceMs),
  };
}

class Pipeline {
  readonly dispatcher: Dispatcher;
  readonly prompts = new PromptReader();
  readonly #attempts: Attempts;
  readonly #serving: { attempts: Attempts; continuations: Continuations };
  readonly #media: Media;
  readonly #ledger: GatewayLedger;
  readonly #engines: EngineRegistry;
  readonly #steps: Steps;
  readonly #routes: GatewayDependencies["routes"];
  readonly #limiter: GatewayDependencies["limiter"];
  readonly #log: Logger;
  readonly #storage: Storage | undefined;
  readonly #underWay: CallsUnderWay;
  readonly #reporting: Reporting;
  readonly #closing = new AbortController();

  constructor(dependencies: GatewayDependencies) {
    const { log, alarms, metrics, events, carrier, ledger } = dependencies;
    this.dispatcher = new Dispatcher({ ...dependencies, gateway: carrier?.gateway ?? "alone" });
    metrics.buffersReadBy(() => processMemory.bytes());
    metrics.schedulerReadBy(() => numbersOf(this.dispatcher.snapshot()));
    this.#attempts = new Attempts({ ...dependencies, dispatcher: this.dispatcher });
    this.#reporting = new Reporting({ ledger, events, metrics, log });
    this.#underWay = new CallsUnderWay(dependencies.keys);
    this.#media = new Media(dependencies.media);
    this.#ledger = ledger;
    this.#engines = dependencies.engines;
    this.#steps = new Steps({
      engines: dependencies.engines,
      ledger,
      alarms,
      log,
      dispatcher: this.dispatcher,
      attempts: this.#attempts,
      prompts: this.prompts,
    });
    const continuations = new Continuations({ steps: this.#steps, attempts: this.#attempts, log });
    this.#serving = { attempts: this.#attempts, continuations };
    this.#routes = dependencies.routes;
    this.#limiter = dependencies.limiter;
    this.#log = log;
    this.#storage = dependencies.storage;
  }

  async call(request: CallRequest): Promise<CallAnswer> {
    if (this.closing.aborted) throw shuttingDown();
    if (this.#storage?.full) throw storageFull();
    // The demands on its answer are read first: an invalid schema starts no call.
    const check = promisesNothing(request.asked) ? undefined : await this.#promised(request);
    if (this.closing.aborted) throw shuttingDown();
    const call = this.#underWay.begin(request, check);
    try {
      const { model, route } = this.routeOf(request);
      call.model = model;
      call.marksPrompt = route.marks === "auto";
      const endpoints = this.#resolve(request, model);
      const pricing = this.#steps.price(request, model);
      if (pricing instanceof Promise) await pricing;
      const fitting = new Candidates(new RequestShapes(request.asked), endpoints);
      if (this.#limiter) {
        const counted = this.#limiter.begin(useOf(call));
        call.counted = counted instanceof Promise ? await counted : counted;
      }
      const candidates = fitting.media.length === 0 ? fitting : await this.#withMedia(call, fitting, endpoints);
      const begun = await this.#steps.firstToAnswer(call, candidates, route);
      if (begun.streams) return this.#streamed(call, begun, route);
      const answer = this.#whole(call, begun);
      return answer instanceof Promise ? await answer : answer;
    } catch (error) {
      throw await this.#reporting.refuse(call, error);
    }
  }

  /**
   * A call whose answer is there already, or comes for an identical call: authorised, counted and recorded like any other, without an
   * attempt and without a price.
   */
  async given(request: CallRequest, { from, chunks, saved }: GivenAnswer): Promise<CallAnswer> {
    if (this.closing.aborted) throw shuttingDown();
    const call = this.#underWay.begin(request, undefined);
    const end = async (outcome: Outcome, failure?: LineshaftError, finishReason?: string): Promise<CallRecord> => {
      const tokens = outcome === "completed" ? await saved() : undefined;
      call.savedTokens = tokens && tokens.promptTokens + tokens.outputTokens;
      const ended = this.#reporting.finish(call, outcome, { failure, finishReason, cutBy: undefined });
      await whenWritten(ended);
      return ended.record;
    };
    let whole: AnswerChunk | undefined;
    try {
      call.model = this.routeOf(request).model;
      this.#resolve(request, call.model);
      await this.#steps.price(request, call.model);
      call.counted = await this.#limiter?.begin(useOf(call));
      if (!request.asked.stream) for await (const chunk of chunks) whole = chunk;
    } catch (error) {
      throw await this.#reporting.refuse(call, error);
    }
    const finished = Promise.withResolvers<CallRecord>();
    const headers = givenHeaders(call, from);
    if (whole) finished.resolve(await end("completed", undefined, whole.deltas[0]?.finish));
    const last = () => endHeaders({ priceNano: 0n, cutBy: undefined }, this.#ledger.position());
    return {
      id: call.id,
      chunks: whole ? none : recorded(call, chunks, async (...how) => finished.resolve(await end(...how))),
      finished: finished.promise,
      whole: () =>
        whole ? Promise.resolve(whole) : Promise.reject(new TypeError("This call streams: read `chunks`.")),
      headers: whole ? { ...headers, ...last() } : headers,
      lastHeaders: whole ? () => ({}) : last,
    };
  }

  async #promised({ asked, principal }: CallRequest): Promise<OutputCheck | undefined> {
    try {
      return await outputCheck(asked, principal.organisation);
    } catch (error) {
      throw asLineshaftError(error);
    }
  }

  /** The model that serves the name that was asked for, and what may follow when an attempt fails. */
  routeOf({ principal: { organisation }, asked }: CallRequest): NamedRoute {
    const exists = (model: string) => this.#engines.endpoints(model, organisation).length > 0;
    return this.#routes?.of(organisation, asked.model, exists) ?? { model: asked.model, route: {} };
  }

  /** The endpoints that serve the model to this organisation. Throws LineshaftError where the principal may not call it. */
  #resolve(request: CallRequest, model: string): readonly RegisteredEndpoint[] {
    const endpoints = this.#steps.endpoints(request, model);
    if (endpoints.length > 0) return endpoints;
    const known = this.#engines.list(request.principal.organisation).map((endpoint) => endpoint.name);
    throw unknownModel(model, [...new Set(known)]);
  }

  /** The call's media are brought in once for all attempts. */
  async #withMedia(
    call: CallState,
    candidates: Candidates,
    endpoints: readonly RegisteredEndpoint[],
  ): Promise<Candidates> {
    const { request } = call;
    const asked = await this.#media.broughtIn(request.asked, candidates.media, request.principal.key, call);
    if (asked === request.asked) return candidates;
    call.request = { ...request, asked };
    return new Candidates(new RequestShapes(asked), endpoints);
  }

  /** A whole answer: checked, settled, then given. */
  #whole(call: CallState, begun: Extract<Begun, { streams: false }>): Soon<CallAnswer> {
    const { attempt, answer, whole } = begun;
    // Its text, its values, and the text that is sent; where it was gathered from a stream the first two are counted.
    call.buffered.count("answers", (attempt.streams ? 1 : 3) * whole.bytes);
    // An engine that sends its answer whole may say when the first token was there.
    const { decodeMs } = answer.timings();
    call.firstTokenMs = attempt.streams
      ? attempt.moments.first
      : decodeMs && Math.max(0, attempt.moments.first - decodeMs);
    const capped = cutWhole(whole, outputMost(attempt), answer.usage()?.outputTokens);
    const failure = call.check && failureOf(() => checkWhole(call.check!, capped?.deltas ?? whole.deltas));
    return whenThere(failure, (failed) => this.#settled(call, begun, capped, failed));
  }

  #settled(
    call: CallState,
    begun: Extract<Begun, { streams: false }>,
    capped: AnswerChunk | undefined,
    failure: LineshaftError | undefined,
  ): Soon<CallAnswer> {
    const { attempt, answer, whole } = begun;
    const { deltas, wire } = whole;
    const cut = capped ? "limit" : begun.cut;
    const finishReason = (capped?.deltas ?? deltas)[0]?.finish;
    const outcome = failure ? "failed" : "completed";
    // In a PD call the decode engine reports transferred tokens as cached, so the answer says what is billed.
    const isOwnShape = wire.shape === call.request.asked.shape;
    const told = isOwnShape && !attempt.placement.split && whole.reportsUsage && !cut;
    const shownWith = (usage: Usage | undefined, usageCut: boolean): AnswerChunk =>
      told && !usageCut ? { deltas, wire } : { deltas, wire, ...capped, ...(usage && { usage }) };
    const { line } = call.request;
    const kept = line && !failure ? this.#kept(call, begun, line, shownWith(answer.usage(), false)) : undefined;
    const ending = whenThere(kept, () =>
      this.#attempts.end(call, attempt, { outcome, answer, failure, finishReason, cut }),
    );
    return whenThere(ending, (ended) => {
      if (failure) throw failure;
      const { record, written } = this.#reporting.finish(call, outcome, ended);
      const shown = shownWith(ended.usage, ended.usageCut);
      const given: CallAnswer = {
        id: call.id,
        chunks: none,
        whole: () => Promise.resolve(shown),
        finished: Promise.resolve(record),
        headers: {
          ...attemptHeaders(call, attempt),
          ...endHeaders(ended, this.#ledger.position()),
        },
        lastHeaders: () => ({}),
      };
      // As `whenWritten`, with fewer promises.
      const told = () => given;
      return written ? written.then(told, told) : given;
    });
  }

  /**
   * Keeps the answer of a line of a batch, before it is paid for. Where it cannot be kept its client has none of it, so nothing is billed,
   * as for a whole answer that broke off.
   */
  async #kept(
    call: CallState,
    { attempt }: Begun,
    line: NonNullable<CallRequest["line"]>,
    answer: AnswerChunk,
  ): Promise<void> {
    const failure = await failureOf(() => line.keep(answer));
    if (!failure) return;
    attempt.moments.opened = 0;
    await this.#attempts.end(call, attempt, { outcome: "failed", answer: undefined, failure });
    throw failure;
  }

  /** A stream: passed on as it comes, settled when it ends, before its reader sees the end. */
  #streamed(call: CallState, begun: BegunStream, route: ModelRoute): CallAnswer {
    const { attempt } = begun;
    call.firstTokenMs = attempt.moments.first;
    const finished = Promise.withResolvers<CallRecord>();
    let last: Record<string, string> = {};
    const served = servedBy(this.#serving, call, begun, route, async (outcome, ended) => {
      const written = this.#reporting.finish(call, outcome, ended);
      const { record } = written;
      const usage = ended.usage && { cachedTokens: record.cachedTokens };
      last = {
        ...endHeaders({ priceNano: record.priceNano, cutBy: ended.cutBy, usage }, this.#ledger.position()),
        ...(served.before().length > 0 && { "x-lineshaft-continued": "true" }),
      };
      await whenWritten(written);
      finished.resolve(record);
    });
    return {
      id: call.id,
      chunks: new Relay(call, begun, served),
      finished: finished.promise,
      whole: () => Promise.reject(new TypeError("This call streams: read `chunks`.")),
      headers: { ...attemptHeaders(call, attempt), "x-lineshaft-price-nano-most": attempt.mostNano.toString() },
      lastHeaders: () => last,
    };
  }

  /** Resolves when every record of this process so far can be read. */
  flushed(): Promise<void> {
    return this.#ledger.posted(this.#ledger.position());
  }

  async posted(after: string, signal?: AbortSignal): Promise<void> {
    const [, spool, number] = /^([\w-]{1,64})\/(\d{1,15})$/.exec(after) ?? [];
    if (spool === undefined)
      throw invalidValue("after", "`after` is not a place: send `x-lineshaft-after` as an answer gave it.");
    await this.#ledger.posted({ spool, number: Number(number) }, signal).catch((error: unknown) => {
      throw error instanceof LineshaftError && error.isPublic ? error : notYetPosted(error);
    });
  }

  tell(fact: RuntimeFact, model: string, organisation: string): void {
    this.dispatcher.fact(fact);
    if (fact.type !== "run_ended") return;
    // Every engine of the model is told, because a program's state may lie with more than one.
    for (const { engine } of this.#engines.endpoints(model, organisation))
      engine.kv
        ?.tell([fact])
        .catch((error: Error) => this.#log.debug({ fact: fact.type, program: fact.program }, error.message));
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  stopCalls(which: (request: CallRequest) => boolean, reason: LineshaftError): void {
    this.#underWay.stop(which, reason);
  }

  async close(graceMs: number): Promise<void> {
    this.#closing.abort(shuttingDown());
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)));
    await Promise.race([this.#underWay.ended(), grace]);
    clearTimeout(timer);
    this.stopCalls(() => true, shuttingDown());
    await this.#underWay.ended();
    this.dispatcher.close();
  }
}

function numbersOf({ waiting, endpoints, workingSets, index }: SchedulerSnapshot): SchedulerNumbers {
  return {
    waiting: waiting.map(({ name, calls, tokens }) => ({ model: name, calls, tokens })),
    endpoints: endpoints.map(({ spec, load }) => ({ engine: spec.id, ...load })),
    workingSets: workingSets.map(({ deployment, load, paused }) => ({ model: deployment, load, paused })),
    index,
  };
}

/** What a check throws, or undefined. */
async function failureOf(check: () => Promise<void>): Promise<LineshaftError | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    return asLineshaftError(error);
  }
}

/** What a call uses of its limits as far as is known before it begins. */
function useOf({ model, request, signal }: CallState): Use {
  const { asked, principal } = request;
  const { organisation, project, key } = principal;
  const bytes = asked.received?.bytes.length ?? asked.promptTokensMost;
  return { organisation, project, key, model, promptTokens: promptGuess(asked), bytes, signal };
}

/** The chunks of an answer that came whole. */
const none: AsyncIterable<never> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
};
