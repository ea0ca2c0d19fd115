// The attempts that continue an answer whose stream broke off, at other endpoints of the same model. Each has a hold, a price and a row of
// its own, like any attempt. What is certain is written in continuing.ts; this file carries it out.
import { continuedBody, EngineError } from "../engines/index.ts";
import type { RegisteredEndpoint, Shape } from "../engines/index.ts";
import { LineshaftError } from "../errors/index.ts";
import type { Logger } from "../telemetry/index.ts";
import { answersAsked } from "./admission.ts";
import type { Attempts } from "./attempt.ts";
import { Candidates, RequestShapes } from "./candidates.ts";
import type { Beginning } from "./continuing.ts";
import { limits } from "./limits.ts";
import type { ModelRoute } from "./modelRoutes.ts";
import { shapeAt } from "./protocols/spoken.ts";
import { whyAborted } from "./refusals.ts";
import { busyFor, setBusy } from "./scheduling/busy.ts";
import type { AttemptState, BegunStream, CallState, Step } from "./state.ts";
import type { Steps } from "./steps.ts";

/** APIs of which a stream that was passed on as it came can be gone on with. The others number their events, or name them by an id. */
const goneOnWith: ReadonlySet<Shape> = new Set(["chat", "completions", "messages"]);

export class Continuations {
  readonly #steps: Steps;
  readonly #attempts: Attempts;
  readonly #log: Logger;

  constructor({ steps, attempts, log }: { steps: Steps; attempts: Attempts; log: Logger }) {
    this.#steps = steps;
    this.#attempts = attempts;
    this.#log = log;
  }

  /** Whether what passes of this stream is worth keeping, because another endpoint might continue it. */
  isPossible(call: CallState, { attempt, first }: BegunStream, { continues = true }: ModelRoute): boolean {
    const { asked } = call.request;
    if (!continues || call.check || asked.kind !== "generate" || answersAsked(asked) !== 1) return false;
    const shape = first?.wire.shape;
    if (shape === undefined || (shape === asked.shape && !goneOnWith.has(shape))) return false;
    return this.#steps.endpoints(call.request, attempt.model).length > 1;
  }

  /**
   * The stream of another endpoint, which goes on with the answer; undefined where there is none. Throws what stopped the call, and then
   * no attempt is under way.
   */
  async next(call: CallState, broken: AttemptState, beginning: Beginning): Promise<BegunStream | undefined> {
    const tried = new Set([broken.placement.endpoint.endpoint]);
    let { number } = broken;
    const earlier = call.attempts.filter(({ why }) => why === "continued").length;
    for (let made = earlier; made < limits.continuationsMost && number < limits.attemptsInAllMost; made++) {
      const step = this.#step(call, broken, beginning, tried);
      if (!step) return undefined;
      let attempt: AttemptState | undefined;
      try {
        attempt = await this.#steps.placed(call, step, ++number, undefined);
        const own = attempt.placement.endpoint.endpoint;
        const isElsewhere = () => this.#able(call, broken.model, beginning, new Set([...tried, own])).length > 0;
        const begun = await this.#attempts.open(call, attempt, isElsewhere);
        // A call that streams is answered by a stream.
        if (begun.streams) return begun;
      } catch (error) {
        if (call.signal.aborted) throw whyAborted(call.signal);
        if (!(error instanceof EngineError) && !(error instanceof LineshaftError))
          this.#log.error(
            { call: call.id, err: (error as Error).stack },
            "a continuation failed for an unforeseen reason",
          );
        // A budget that pays for no more, say: the client is told of the break.
        if (call.isUnsettled || !attempt || !(error instanceof EngineError)) return undefined;
        setBusy(attempt.placement.endpoint, error);
        tried.add(attempt.placement.endpoint.endpoint);
      }
    }
    return undefined;
  }

  #step(call: CallState, broken: AttemptState, beginning: Beginning, tried: Set<string>): Step | undefined {
    const { request } = call;
    const { model } = broken;
    const able = this.#able(call, model, beginning, tried);
    if (able.length === 0) return undefined;
    const candidates = new Candidates(new RequestShapes(request.asked), this.#steps.endpoints(request, model));
    candidates.keepOnly(able, "it cannot go on with an answer that another endpoint has begun.");
    // The ids of the prompt do not have the answer so far.
    return { model, candidates, prompt: { ...broken.prompt, tokens: undefined }, tried, why: "continued", beginning };
  }

  #able({ request }: CallState, model: string, { text }: Beginning, tried: ReadonlySet<string>): RegisteredEndpoint[] {
    return this.#steps
      .endpoints(request, model)
      .filter(
        (one) =>
          one.role !== "prefill" && !tried.has(one.endpoint) && busyFor(one) === 0 && goesOn(request.asked, one, text),
      );
  }
}

/** Whether the endpoint can be asked to go on with this call after the text; with a call of which nothing has passed every endpoint can. */
function goesOn(call: CallState["request"]["asked"], endpoint: RegisteredEndpoint, text: string): boolean {
  const { model, facts } = endpoint;
  try {
    const asked = call.fitted(endpoint);
    if (text === "") return true;
    const shape = shapeAt(asked, endpoint);
    const body = asked.engineBody({
      shape,
      model,
      outputTokens: 1,
      stream: true,
      capabilities: facts?.capabilities,
    });
    return continuedBody(shape, body, text, facts?.capabilities) !== undefined;
  } catch (error) {
    if (error instanceof LineshaftError) return false;
    throw error;
  }
}
