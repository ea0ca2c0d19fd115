// Calls that are answered by what identical calls were answered: by a kept answer, or by an answer under way of the same payer. Both are
// opt-in (policy.ts). Such a call is authorised, counted against limits on use, and recorded like any other; it makes no attempt, costs
// nothing, and its record says the tokens that it has saved.
import type { Usage } from "../../engines/index.ts";
import { whyAborted } from "../refusals.ts";
import type { AnswerChunk, CallAnswer, CallRequest } from "../types.ts";
import type { ModelRoute, NamedRoute } from "../modelRoutes.ts";
import { Flight } from "./flight.ts";
import type { KeptAnswers } from "./keptAnswers.ts";
import { shareable, type Shareable } from "./policy.ts";
import type { KeptAnswer } from "./keptAnswer.ts";
import { AnswerGatherer, piecesOf, wholeOf } from "./wholeAnswer.ts";

/** What the pipeline does for shared calls. */
interface Serves {
  routeOf(request: CallRequest): NamedRoute;
  /** A call that asks an engine. */
  attempt(request: CallRequest): Promise<CallAnswer>;
  /**
   * A call whose answer is there. It has begun when this resolves, and is recorded when `chunks` ends, or at once where it does not stream.
   * Throws LineshaftError where the principal may not make it.
   */
  given(request: CallRequest, answer: GivenAnswer): Promise<CallAnswer>;
}

/** What an answer would have used. */
type SavedTokens = Pick<Usage, "promptTokens" | "outputTokens">;

/** An answer that is there, or on its way. */
export interface GivenAnswer {
  from: "hit" | "coalesced";
  chunks: AsyncIterable<AnswerChunk>;
  /** Tokens that were saved, asked once the answer has ended well. */
  saved: () => Promise<SavedTokens | undefined>;
}

export class Sharing {
  readonly #serves: Serves;
  readonly #kept: KeptAnswers | undefined;
  readonly #flights = new Map<string, Flight>();

  constructor(serves: Serves, kept: KeptAnswers | undefined) {
    this.#serves = serves;
    this.#kept = kept;
  }

  call(request: CallRequest): Promise<CallAnswer> {
    const { model, route } = this.#serves.routeOf(request);
    if (!route.cache) return this.#serves.attempt(request);
    return this.#shared(request, model, route);
  }

  /** Serves a call whose route allows sharing. */
  async #shared(request: CallRequest, model: string, route: ModelRoute): Promise<CallAnswer> {
    const shared = shareable(request, model, route);
    if (!shared) return this.#serves.attempt(request);
    const isKept = (shared.policy.keepSeconds ?? 0) > 0;
    const kept = isKept ? await this.#kept?.get(request.principal.project, shared.key) : undefined;
    if (kept) return this.#replayed(request, kept);
    const flight = this.#flights.get(shared.flight);
    if (!flight?.isOpen) return this.#led(request, model, shared);
    const { chunks, leave } = flight.join(request.signal);
    try {
      const answer = await orGone(flight.begun, request.signal);
      const saved = async () => {
        const record = await answer.finished;
        return record.status === "completed" ? record : undefined;
      };
      return await this.#serves.given(request, { from: "coalesced", chunks, saved });
    } catch (error) {
      leave();
      if (request.signal?.aborted || !(await failedToBegin(flight))) throw error;
      // Nothing of an answer was there to share: the call asks for one itself.
      return this.#serves.attempt(request);
    }
  }

  #replayed(request: CallRequest, kept: KeptAnswer): Promise<CallAnswer> {
    const { asked } = request;
    const pieces = asked.stream ? piecesOf(kept, asked) : [wholeOf(kept, asked)];
    return this.#serves.given(request, { from: "hit", chunks: eachOf(pieces), saved: async () => kept.usage });
  }

  /** The call asks an engine, and identical calls of its payer may join it. */
  async #led(request: CallRequest, model: string, { key, flight: name, policy }: Shareable): Promise<CallAnswer> {
    const gatherer = new AnswerGatherer();
    const flight = new Flight(() => {
      if (this.#flights.get(name) === flight) this.#flights.delete(name);
    });
    this.#flights.set(name, flight);
    const { chunks, leave } = flight.join(request.signal);
    const { asked, principal } = request;
    const run = flight.run(
      () => this.#serves.attempt({ ...request, signal: flight.signal }),
      asked.stream,
      (chunk) => gatherer.add(chunk),
    );
    try {
      const answer = await orGone(flight.begun, request.signal);
      void run.then(async () => {
        const { status, promptTokens, cachedTokens, outputTokens } = await answer.finished;
        const usage: Usage = { promptTokens, cachedTokens, outputTokens, reasoningTokens: 0, source: "engine" };
        const whole = status === "completed" && gatherer.whole(usage);
        const seconds = policy.keepSeconds ?? 0;
        if (whole && seconds > 0) await this.#kept?.put(principal.project, key, whole, { model, seconds });
      });
      const headers = { ...answer.headers, "x-lineshaft-cache": "miss" };
      if (asked.stream) return { ...answer, chunks, headers };
      for await (const _ of chunks);
      return { ...answer, headers };
    } catch (error) {
      leave();
      throw error;
    }
  }
}

const failedToBegin = (flight: Flight): Promise<boolean> =>
  flight.begun.then(
    () => false,
    () => true,
  );

/** The answer once it begins. Throws why the client's signal aborts before that. */
async function orGone(begun: Promise<CallAnswer>, signal: AbortSignal | undefined): Promise<CallAnswer> {
  if (!signal) return begun;
  const gone = Promise.withResolvers<never>();
  const onAbort = () => gone.reject(whyAborted(signal));
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([begun, gone.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    gone.promise.catch(() => {});
  }
}

async function* eachOf<Item>(items: Iterable<Item>): AsyncGenerator<Item, void> {
  yield* items;
}
