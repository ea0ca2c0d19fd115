// From an admitted attempt to an endpoint: the attempt is described to the scheduler, and its decision becomes a placement.
import { LineshaftError } from "../../errors/index.ts";
import { EngineError } from "../../engines/index.ts";
import type { EngineRegistry, RegisteredEndpoint } from "../../engines/index.ts";
import { type Call, type Decision, ExpectedOutputs } from "../../scheduler/index.ts";
import { type Candidates, exclusionsOf } from "../candidates.ts";
import { firstTokenBound } from "../firstToken.ts";
import { limits } from "../limits.ts";
import type { Soon } from "../soon.ts";
import { type AdmittedAttempt, type CallState, leftOf, type Placement, type Step } from "../state.ts";
import { decisionRecord } from "./decision.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { programKey, type PromptFacts } from "./prompts.ts";
import { kvCapacityOf, spaceOf } from "./specs.ts";
import { SplitCall } from "./split.ts";

export class Placer {
  readonly #engines: EngineRegistry;
  readonly #dispatcher: Dispatcher;
  readonly #outputs = new ExpectedOutputs();

  constructor(engines: EngineRegistry, dispatcher: Dispatcher) {
    this.#engines = engines;
    this.#dispatcher = dispatcher;
  }

  /**
   * The attempt's place at one of the candidates that it has not tried, at once where its turn has come. Throws LineshaftError when it is
   * refused, or is not wanted any more.
   */
  place(call: CallState, attempt: AdmittedAttempt, step: Step): Soon<Placement> {
    const asked = this.#asked(call, attempt, step);
    // Every round that does not return excludes one more endpoint.
    for (;;) {
      const decision = this.#decision({ ...asked, avoid: avoidedBy(step) }, call, step.candidates);
      if (decision instanceof Promise)
        return decision.then((one) => this.#placedBy(one, attempt, step, call) ?? this.place(call, attempt, step));
      const placement = this.#placedBy(decision, attempt, step, call);
      if (placement) return placement;
    }
  }

  /** Undefined, and given up, where an endpoint of the decision cannot take the request. */
  #placedBy(decision: Decision, attempt: AdmittedAttempt, step: Step, call: CallState): Placement | undefined {
    let placement: Placement | undefined;
    try {
      placement = this.#placement(decision, attempt, step, call);
    } finally {
      if (!placement) this.#dispatcher.ended(attempt.id, { reason: "failed" });
    }
    return placement;
  }

  /** The attempt as the scheduler knows it. */
  #asked(call: CallState, attempt: AdmittedAttempt, { model: deployment, prompt, candidates }: Step): Call {
    const { request } = call;
    const leftMs = leftOf(call);
    const program = programKey(request);
    return {
      id: attempt.id,
      tenant: request.principal.organisation,
      sender: request.principal.key,
      deployment,
      promptTokens: fittedTokens(prompt, candidates),
      prompt: prompt.blocks,
      outputTokens: this.#outputs.of(deployment, attempt.most.outputTokens),
      ...(program !== undefined && { program }),
      ...(request.batch === true && { batch: true }),
      ...(request.priority !== undefined && { priority: request.priority }),
      ...(leftMs !== undefined && { deadlineMs: performance.now() + leftMs }),
    };
  }

  /** The scheduler's decision. A refusal for want of an endpoint names those that were passed over. */
  #decision(asked: Call, { signal }: CallState, { excluded }: Candidates): Soon<Decision> {
    const refused = (error: unknown): never => {
      if (!(error instanceof LineshaftError) || error.code !== "no_endpoint" || excluded.size === 0) throw error;
      const { status, code, message, hint, retryAfterSeconds } = error;
      throw new LineshaftError({
        status,
        code,
        message: message + exclusionsOf(excluded),
        hint,
        retryAfterSeconds,
        cause: error,
      });
    };
    try {
      const decision = this.#dispatcher.place(asked, signal);
      return decision instanceof Promise ? decision.catch(refused) : decision;
    } catch (error) {
      return refused(error);
    }
  }

  /** A decision as a placement. Undefined when an endpoint that it names cannot take the request; that endpoint is then excluded. */
  #placement(
    decision: Decision,
    attempt: AdmittedAttempt,
    { model, prompt, candidates }: Step,
    { request }: CallState,
  ): Placement | undefined {
    const endpoint = this.#endpoint(decision.chosen.endpoint);
    const prefill = decision.prefill && this.#endpoint(decision.prefill.endpoint);
    const answer = candidates.callAt(endpoint);
    const prefillCall = prefill && candidates.callAt(prefill);
    if (!answer || (prefill && !prefillCall)) return undefined;
    const setMs = endpoint.bounds.firstTokenMs ?? this.#engines.settingsOf(model).firstTokenMs;
    const decidedMs = decision.firstTokenMostMs;
    return {
      endpoint,
      shape: { answer, prefill: prefillCall },
      decision: decisionRecord(decision, candidates.excluded),
      bring: decision.bring && (() => this.#dispatcher.bring(decision, programKey(request))),
      predictedTokens: predictedAt(prefill ?? endpoint, prompt, decision),
      expectedFirstTokenMs: decision.chosen.expectedTtftMs,
      firstTokenMostMs: firstTokenBound(answer, { setMs, decidedMs, longestMs: endpoint.longestFirstTokenMs }),
      outputMostMs: (1000 * attempt.most.outputTokens) / limits.slowestTokensPerSecond,
      split:
        prefill &&
        // The bound holds also for a call that asks for reasoning: computing a prompt needs none.
        new SplitCall(this.#dispatcher, this.#engines, attempt.id, { prefill, decode: endpoint }, setMs ?? decidedMs),
    };
  }

  /** A deployment's call has been answered with so many tokens. */
  answered(deployment: string, outputTokens: number): void {
    this.#outputs.answered(deployment, outputTokens);
  }

  /** Throws EngineError where the endpoint has left since the decision. */
  #endpoint(name: string): RegisteredEndpoint {
    const endpoint = this.#engines.get(name);
    if (endpoint) return endpoint;
    throw new EngineError({
      status: 503,
      code: "engine_unreachable",
      message: `The endpoint ${name} has just left.`,
      hint: "Send the call again.",
    });
  }
}

/**
 * Prompt tokens that the endpoint which computes the prompt was expected to have cached. Undefined where the prompt was not cut into that
 * endpoint's blocks, because then 0 would be no prediction: a model with one endpoint, a call of several prompts, or tokens not counted.
 */
function predictedAt(endpoint: RegisteredEndpoint, { blocks }: PromptFacts, decision: Decision): number | undefined {
  if (blocks.length === 0) return undefined;
  const { name } = spaceOf(endpoint);
  if (!blocks.some(({ space }) => space === name)) return undefined;
  return (decision.prefill ?? decision.chosen).matchedTokens;
}

const none: readonly string[] = [];

/** Endpoints that the next placement passes over. */
const avoidedBy = ({ tried, candidates: { excluded } }: Step): readonly string[] =>
  tried.size === 0 && excluded.size === 0 ? none : [...tried, ...excluded.keys()];

/**
 * Prompt tokens by which the call is placed. A guess refuses nothing: where it exceeds what every endpoint holds, the call goes to the
 * largest one, and the engine judges the prompt.
 */
function fittedTokens({ promptTokens, counted }: PromptFacts, { answering }: Candidates): number {
  if (counted) return promptTokens;
  const most = answering.reduce((largest, endpoint) => Math.max(largest, kvCapacityOf(endpoint)), 0);
  return Math.max(1, Math.min(promptTokens, most - 1));
}
