// From an admitted attempt to an endpoint: what the scheduler must know of it, and what its decision means here.
import { EngineError } from "../../engines/index.ts";
import type { EngineRegistry, RegisteredEndpoint } from "../../engines/index.ts";
import type { Call } from "../../scheduler/index.ts";
import { firstTokenBound } from "../firstToken.ts";
import { limits } from "../limits.ts";
import type { AdmittedAttempt, CallState, Placement } from "../state.ts";
import { decisionResource } from "./decision.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { programKey, type PromptFacts } from "./prompts.ts";
import { SplitCall } from "./split.ts";

/** Output tokens that a deployment's calls are expected to have before any has ended. */
const firstOutputGuess = 256;
/** Weight of the newest answer in the average. */
const newest = 0.05;

export class Placer {
  readonly #engines: EngineRegistry;
  readonly #dispatcher: Dispatcher;
  /** Output tokens of a deployment's answers, averaged: what a cap of thousands says nothing about. */
  readonly #usualOutput = new Map<string, number>();

  constructor(engines: EngineRegistry, dispatcher: Dispatcher) {
    this.#engines = engines;
    this.#dispatcher = dispatcher;
  }

  /** Waits for the attempt's turn. Throws GatewayError when it is refused or not wanted any more. */
  async place(
    call: CallState,
    attempt: AdmittedAttempt,
    prompt: PromptFacts,
    tried: ReadonlySet<string>,
  ): Promise<Placement> {
    const { request } = call;
    const deployment = request.body.model;
    const { outputTokens } = attempt.most;
    const program = programKey(request);
    const asked: Call = {
      id: attempt.id,
      tenant: request.principal.organisation,
      sender: request.principal.key,
      deployment,
      promptTokens: prompt.promptTokens,
      prompt: prompt.blocks,
      outputTokens: Math.min(outputTokens, this.#usualOutput.get(deployment) ?? firstOutputGuess),
      avoid: [...tried],
      ...(program !== undefined && { program }),
      ...(request.batch === true && { batch: true }),
      ...(request.priority !== undefined && { priority: request.priority }),
      ...(request.deadlineMs !== undefined && { deadlineMs: performance.now() - call.now() + request.deadlineMs }),
    };
    const decision = await this.#dispatcher.place(asked, call.signal);
    try {
      const endpoint = this.#endpoint(decision.chosen.endpoint);
      const prefill = decision.prefill && this.#endpoint(decision.prefill.endpoint);
      const setMs = this.#engines.settingsOf(deployment).firstTokenMs;
      const decidedMs = decision.firstTokenMostMs;
      return {
        endpoint,
        decision: decisionResource(decision),
        bring: () => this.#dispatcher.bring(decision, program),
        predictedTokens: prompt.blocks.length === 0 ? undefined : (decision.prefill ?? decision.chosen).matchedTokens,
        expectedFirstTokenMs: decision.chosen.expectedTtftMs,
        firstTokenMostMs: firstTokenBound(attempt.body, { setMs, decidedMs, longestMs: endpoint.longestFirstTokenMs }),
        outputMostMs: (1000 * outputTokens) / limits.slowestTokensPerSecond,
        split:
          prefill &&
          // Computing a prompt needs no reasoning, whatever the call asks for.
          new SplitCall(this.#dispatcher, this.#engines, attempt.id, { prefill, decode: endpoint }, setMs ?? decidedMs),
      };
    } catch (error) {
      this.#dispatcher.ended(attempt.id, { reason: "failed" });
      throw error;
    }
  }

  /** A deployment's call has been answered with so many tokens. */
  answered(deployment: string, outputTokens: number): void {
    const usual = this.#usualOutput.get(deployment);
    this.#usualOutput.set(deployment, usual === undefined ? outputTokens : usual + newest * (outputTokens - usual));
  }

  /** It may have left between the decision and now. */
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
