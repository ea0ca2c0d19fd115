// A second attempt of a call whose first has been silent for too long, at another endpoint of its model (hedging): the first of the two
// that gives a token serves the call, and the other is stopped. Both hold, cost and are recorded like any attempt. A route has to ask for
// it, and hedge.ts bounds how many of its calls get one.
//
// A second attempt goes only to an endpoint that is known to stop when it is told, because any other would cost its whole limit. It is
// given up where its money or its turn does not come at once: what waits for a budget or in a queue makes nothing faster.
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../engines/index.ts";
import type { RegisteredEndpoint } from "../engines/index.ts";
import { LineshaftError } from "../errors/index.ts";
import type { Logger } from "../telemetry/index.ts";
import { isStoppable } from "./admission.ts";
import type { Attempts } from "./attempt.ts";
import { Candidates, RequestShapes } from "./candidates.ts";
import { HedgeWindow } from "./hedge.ts";
import { limits } from "./limits.ts";
import type { ModelRoute } from "./modelRoutes.ts";
import { answeredElsewhere, whyAborted } from "./refusals.ts";
import { busyFor, setBusy } from "./scheduling/busy.ts";
import type { Dispatcher } from "./scheduling/dispatcher.ts";
import type { Soon } from "./soon.ts";
import type { AttemptState, Begun, CallState, Step } from "./state.ts";
import { stoppable } from "./stoppable.ts";
import type { Tries } from "./tries.ts";

type Hedge = NonNullable<ModelRoute["hedge"]>;

/** What the attempts of a call need of its steps. */
interface Placing {
  endpoints(request: CallState["request"], model: string): readonly RegisteredEndpoint[];
  placed(call: CallState, step: Step, number: number, failed: unknown): Soon<AttemptState>;
}

/** An attempt that is being opened, with a way to stop it alone. */
interface Opened {
  attempt: AttemptState;
  outcome: Promise<{ begun: Begun; error?: undefined } | { begun?: undefined; error: unknown }>;
  stop: (reason: LineshaftError) => void;
}

export class Hedging {
  readonly #attempts: Attempts;
  readonly #dispatcher: Dispatcher;
  readonly #placing: Placing;
  readonly #log: Logger;
  /** By organisation and model. Only routes of owners make one, and their number is bounded. */
  readonly #windows = new Map<string, HedgeWindow>();

  constructor(rooms: { attempts: Attempts; dispatcher: Dispatcher; log: Logger }, placing: Placing) {
    this.#log = rooms.log;
    this.#attempts = rooms.attempts;
    this.#dispatcher = rooms.dispatcher;
    this.#placing = placing;
  }

  /**
   * Opens the attempt, and a second one where the first is silent for too long. Throws what ended the first where neither begins; both have
   * ended then. `tries` counts the second attempt where it is made.
   */
  async open(
    call: CallState,
    attempt: AttemptState,
    step: Step,
    { afterMs, share }: Hedge,
    elsewhere: (() => boolean) | undefined,
    tries: Pick<Tries, "attempted" | "givenUp">,
  ): Promise<Begun> {
    const window = this.#windowOf(call);
    const place = window.begun();
    const first = this.#opened(alone(call), attempt, elsewhere);
    const isSilent = await silentFor(afterMs, first);
    const candidates = isSilent && window.allows(share) ? this.#others(call, attempt, step) : undefined;
    if (!candidates) return begunOf(await first.outcome);
    const besides: Step = { ...step, ...candidates, why: "hedge", beside: attempt.id };
    const second = await this.#second(call, first, besides, tries.attempted());
    if (!second) {
      tries.givenUp();
      return begunOf(await first.outcome);
    }
    window.hedged(place);
    return this.#raced(call, first, second, step);
  }

  /** The first that begins; the other is stopped, and ends beside the call. */
  async #raced(call: CallState, first: Opened, second: Opened, step: Step): Promise<Begun> {
    const orOther = async (one: Opened, other: Opened) => {
      const outcome = await one.outcome;
      if (outcome.begun) return { outcome, loser: other };
      if (outcome.error instanceof EngineError) setBusy(one.attempt.placement.endpoint, outcome.error);
      return { outcome: await other.outcome, loser: one };
    };
    const { outcome, loser } = await Promise.race([orOther(first, second), orOther(second, first)]);
    if (outcome.begun) {
      const reason = answeredElsewhere();
      loser.stop(reason);
      call.losing = loser.outcome.then(async ({ begun }) => {
        // Both have begun in the same moment.
        if (begun)
          await this.#attempts.end(call, loser.attempt, {
            outcome: "cancelled",
            answer: begun.answer,
            failure: reason,
          });
      });
      return outcome.begun;
    }
    if (call.signal.aborted) throw whyAborted(call.signal);
    step.tried.add(second.attempt.placement.endpoint.endpoint);
    throw (await first.outcome).error;
  }

  /**
   * The second attempt, sent; undefined where it has no place at once, or the first has begun or failed meanwhile. It never throws, because
   * the first attempt is under way, whatever goes wrong with the second.
   */
  async #second(call: CallState, first: Opened, step: Step, number: number): Promise<Opened | undefined> {
    const own = alone(call);
    const placing = (async () => this.#placing.placed(own.call, step, number, undefined))();
    const giveUp = new AbortController();
    const over = Promise.race([
      first.outcome,
      sleep(limits.hedgePlaceMostMs, undefined, { signal: giveUp.signal, ref: false }).catch(() => {}),
    ]);
    try {
      const attempt = await Promise.race([placing, over.then(() => undefined)]);
      if (attempt) return this.#opened(own, attempt, undefined);
      own.stop(answeredElsewhere());
      const late = await placing;
      // It had its place at the last moment.
      this.#attempts.giveUp(call, late);
      return undefined;
    } catch (error) {
      if (!(error instanceof LineshaftError))
        this.#log.error(
          { call: call.id, err: (error as Error).stack },
          "a second attempt failed for an unforeseen reason",
        );
      return undefined;
    } finally {
      giveUp.abort();
    }
  }

  #opened(own: ReturnType<typeof alone>, attempt: AttemptState, elsewhere: (() => boolean) | undefined): Opened {
    const outcome = this.#attempts.open(own.call, attempt, elsewhere).then(
      (begun) => ({ begun }),
      (error: unknown) => ({ error }),
    );
    return { attempt, outcome, stop: own.stop };
  }

  /** The endpoints that may take a second attempt; undefined where there are none. */
  #others(call: CallState, { placement }: AttemptState, step: Step): Pick<Step, "candidates" | "tried"> | undefined {
    const { request } = call;
    const tried = new Set([...step.tried, placement.endpoint.endpoint]);
    const endpoints = this.#placing.endpoints(request, step.model);
    const able = endpoints.filter(
      (one) =>
        one.role !== "prefill" &&
        !tried.has(one.endpoint) &&
        busyFor(one) === 0 &&
        isStoppable(one, request.asked) &&
        this.#dispatcher.takesCalls(one.endpoint) &&
        step.candidates.endpoints.includes(one),
    );
    if (able.length === 0) return undefined;
    const candidates = new Candidates(new RequestShapes(request.asked), endpoints);
    candidates.keepOnly(able, "it is not known to stop, or takes no calls now.");
    return { candidates, tried };
  }

  #windowOf({ request: { principal }, model }: CallState): HedgeWindow {
    const key = `${principal.organisation} ${model}`;
    const window = this.#windows.get(key) ?? new HedgeWindow();
    this.#windows.set(key, window);
    return window;
  }
}

/** Whether nothing has come of the attempt for so long. */
async function silentFor(ms: number, { outcome }: Opened): Promise<boolean> {
  const over = new AbortController();
  const late = sleep(ms, true, { signal: over.signal, ref: false }).catch(() => false);
  const silent = await Promise.race([outcome.then(() => false), late]);
  over.abort();
  return silent;
}

function begunOf(outcome: Awaited<Opened["outcome"]>): Begun {
  if (outcome.begun) return outcome.begun;
  throw outcome.error;
}

/** The call with a way to stop one of its attempts alone. */
function alone(call: CallState): { call: CallState; stop: (reason: LineshaftError) => void } {
  const own = new AbortController();
  return { call: stoppable(call, own.signal), stop: (reason) => own.abort(reason) };
}
