// What a step of a run does: a call of the model, a tool, a wait, a verdict. The result is written by the caller (turn.ts).
import type { PoolClient } from "pg";
import { LineshaftError } from "../errors/index.ts";
import { type RuntimeFact, type ToolCallDelta } from "../engines/index.ts";
import { spoken } from "../gateway/errors.ts";
import { chatCall, type ModelCall } from "../gateway/index.ts";
import { checkValues } from "../gateway/values.ts";
import { authorise, type RunPrincipal } from "../governance/index.ts";
import { isStoreAway, newId, putBlob } from "../store/index.ts";
import type { Dependencies } from "./dependencies.ts";
import { effectKey, type Effects } from "./effects.ts";
import { StepError } from "./errors.ts";
import { limits } from "./limits.ts";
import { judgeRun } from "./outcomes.ts";
import { toolDefinitions } from "./prompt.ts";
import type { StepRecord } from "./record.ts";
import type { ClaimedRun } from "./runRows.ts";
import { evidenceTaint } from "./taint.ts";
import type { ToolAnswer, ToolKind } from "./tools/types.ts";
import type { Action, ModelOutput, RunState, StepResult, ToolCall } from "./types.ts";
import { checksOf, type Check } from "./validation.ts";
import type { Sandbox } from "./verifier/sandbox.ts";

/** A step that was done, before it is written. */
export interface Done {
  row: StepRecord;
  result: StepResult;
  along?: (client: PoolClient) => Promise<void>;
  waitUntil?: Date;
  /** A failure that ends the run. */
  failure?: StepError;
}

/** A run with the principal that it acts as during one step. */
export interface ActingRun extends ClaimedRun {
  principal: RunPrincipal;
}

export class Performer {
  readonly #with: Dependencies;
  readonly #parts: { effects: Effects; tools: ToolKind; sandbox: Sandbox };

  constructor(dependencies: Dependencies, parts: { effects: Effects; tools: ToolKind; sandbox: Sandbox }) {
    this.#with = dependencies;
    this.#parts = parts;
  }

  /**
   * Does one step as the run's principal; answers what is to be written of it. Throws StepError when it could not be done, or when
   * the principal may not do it.
   */
  async perform(
    run: ActingRun,
    state: RunState,
    action: Exclude<Action, { type: "finish" | "fail" }>,
    signal: AbortSignal,
  ): Promise<Done> {
    switch (action.type) {
      case "model":
        return this.#model(run, state, action, signal);
      case "tool":
        return this.#tool(run, state, action, signal);
      case "refuse": {
        const step = this.#newStep(state, "tool", action.name);
        const inputRef = await putBlob(this.#with.db, run.project, action.input);
        return this.#failed({ ...step, inputRef }, action.message);
      }
      case "wait": {
        const step = this.#newStep(state, "wait", action.name);
        const until = new Date(step.startedAt.getTime() + action.seconds * 1000);
        const output = { until: until.toISOString() };
        const kind = action.seconds * 1000 > limits.quickWaitMs ? "slow" : "quick";
        this.tell(run, state, { type: "tool_started", program: run.id, tool: "wait", kind });
        return { ...(await this.#completed(run, { ...step, endedAt: until }, output)), waitUntil: until };
      }
      case "lookup":
        return this.#lookUp(run, state, action, signal);
      case "verify":
        return this.#verify(run, state, action);
    }
  }

  async #model(
    run: ActingRun,
    state: RunState,
    action: Extract<Action, { type: "model" }>,
    signal: AbortSignal,
  ): Promise<Done> {
    const step = this.#newStep(state, "model", action.name);
    const { model, generation } = state.published.manifest;
    const call = newId("call");
    const { temperature, seed } = generation;
    const asked = chatCall({
      model,
      messages: action.messages,
      sampling: { temperature, ...(seed !== undefined && { seed }) },
      outputTokens: action.maxTokens,
      ...(action.schema && { format: { kind: "schema", schema: action.schema, name: "output", strict: true } }),
      ...(action.tools && { tools: toolDefinitions(action.tools), toolChoice: "auto" }),
    });
    const answer = await this.#call(run, call, signal, asked);
    const inputRef = await putBlob(this.#with.db, run.project, action.asked);
    const output = outputOf(answer, state.steps.length);
    const row = { ...step, inputRef, call };
    const invalid = action.schema && (await decide(checksOf(run.organisation), output, action.schema, answer.finish));
    if (!invalid) return this.#completed(run, row, output);
    const outputRef = await putBlob(this.#with.db, run.project, output);
    return { ...this.#failed({ ...row, outputRef }, invalid.message), failure: invalid };
  }

  /** A call through the gateway's one pipeline. Throws StepError, with `retryAfterMs` where another try may do better. */
  async #call(run: ActingRun, id: string, signal: AbortSignal, asked: ModelCall) {
    try {
      const answer = await this.#with.gateway.call({
        principal: run.principal,
        asked,
        agent: run.agent,
        run: run.id,
        program: run.id,
        batch: true,
        id,
        signal,
      });
      const { deltas } = await answer.whole();
      await answer.finished;
      return deltas[0] ?? { index: 0 };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw modelFailure(error);
    }
  }

  async #tool(
    run: ActingRun,
    state: RunState,
    action: Extract<Action, { type: "tool" }>,
    signal: AbortSignal,
  ): Promise<Done> {
    const { tool } = action;
    const { db } = this.#with;
    mayCallTools(run);
    const inputRef = await putBlob(db, run.project, action.arguments);
    const step = { ...this.#newStep(state, "tool", action.name), inputRef };
    const kind = tool.slow ? "slow" : "quick";
    this.tell(run, state, { type: "tool_started", program: run.id, tool: tool.name, kind });
    try {
      const owner = { organisation: run.organisation, project: run.project, run: run.id, fence: run.fence };
      const answer: ToolAnswer & { key?: string } = tool.effect
        ? await this.#parts.effects.perform(owner, action, signal)
        : await this.#parts.tools.call(tool, action.arguments, { project: run.project, signal });
      const { key } = answer;
      const row = { ...step, ...(key !== undefined && { effect: key }) };
      const answerRef =
        key === undefined
          ? undefined
          : await putBlob(db, run.project, { output: answer.output, isError: answer.isError });
      const along =
        key === undefined ? undefined : (client: PoolClient) => this.#parts.effects.markDone(client, key, answerRef!);
      if (!answer.isError) return { ...(await this.#completed(run, row, answer.output)), ...(along && { along }) };
      const message = typeof answer.output === "string" ? answer.output : JSON.stringify(answer.output);
      const outputRef = await putBlob(db, run.project, answer.output);
      const failure = new StepError("tool_failed", `Tool '${tool.name}' failed: ${message}`);
      return {
        ...this.#failed({ ...row, outputRef }, message),
        ...(along && { along }),
        ...(action.failure === "ends" && { failure }),
      };
    } catch (error) {
      if (signal.aborted && !(error instanceof StepError && error.code === "effect_unknown")) throw signal.reason;
      throw error;
    } finally {
      this.tell(run, state, { type: "tool_ended", program: run.id, tool: tool.name });
    }
  }

  /** What the system of an effect keeps of it: a step of its own, so that the evidence can be looked at and is asked for once. */
  async #lookUp(
    run: ActingRun,
    state: RunState,
    action: Extract<Action, { type: "lookup" }>,
    signal: AbortSignal,
  ): Promise<Done> {
    mayCallTools(run);
    const key = effectKey({ organisation: run.organisation, run: run.id }, action.decidedBy);
    const step = this.#newStep(state, "tool", action.name);
    const inputRef = await putBlob(this.#with.db, run.project, { effect_key: key });
    try {
      const kept = await this.#parts.effects.lookUp(run.project, key, action.tool, signal);
      return this.#completed(run, { ...step, inputRef }, kept);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw error;
    }
  }

  async #verify(run: ClaimedRun, state: RunState, action: Extract<Action, { type: "verify" }>): Promise<Done> {
    const step = this.#newStep(state, "verify", action.name);
    this.#reportTaint(run, state);
    const { outcome, evidenceRef } = await judgeRun(
      this.#with,
      this.#parts.sandbox,
      run,
      state.published,
      action.evidence,
    );
    const output = { verdict: outcome.verdict, reason: outcome.reason, verifier: outcome.verifier };
    return this.#completed(run, { ...step, inputRef: evidenceRef }, output);
  }

  /** A version that was published before taint was checked may show its verifier what a model wrote: it runs on, and its owner is told. */
  #reportTaint(run: ClaimedRun, { published }: RunState): void {
    if (published.evidence === "independent") return;
    const [taint] = evidenceTaint(published.manifest, false);
    const { name } = published.manifest;
    const of = { code: "evidence_tainted", subject: name, organisation: run.organisation };
    if (taint === undefined) return;
    this.#with.alarms.raise({
      ...of,
      message: `Results of agent ${name} are judged by evidence that a model may have written, and charged by its contract. Publish it again: effects with a lookup are then shown as their systems keep them, and other evidence of that kind is refused. Now ${taint}.`,
    });
  }

  #newStep(state: RunState, kind: StepResult["kind"], name: string): StepRecord {
    const number = state.steps.length;
    return { number, kind, name, status: "completed", inputRef: null, outputRef: null, startedAt: new Date() };
  }

  async #completed(run: ClaimedRun, row: StepRecord, output: unknown): Promise<Done> {
    const outputRef = await putBlob(this.#with.db, run.project, output);
    const { number, kind, name } = row;
    return { row: { ...row, outputRef }, result: { number, kind, name, status: "completed", output } };
  }

  #failed(row: StepRecord, errorMessage: string): Done {
    const { number, kind, name } = row;
    const status = "failed" as const;
    return {
      row: { ...row, status, errorMessage },
      result: { number, kind, name, status, output: null, errorMessage },
    };
  }

  /** Tells the gateway's scheduler what it cannot see from calls alone: tools that start and end, runs that end. */
  tell(run: ClaimedRun, state: RunState, fact: RuntimeFact): void {
    this.#with.gateway.tell(fact, state.published.manifest.model, run.organisation);
  }
}

/** Asked once before each tool call and each lookup. Throws StepError, which ends the run, where the run's principal may not call tools. */
function mayCallTools({ principal, organisation, project }: ActingRun): void {
  const decision = authorise(principal, "tool.call", { organisation, project });
  if (!decision.allowed) throw new StepError(decision.code, `${decision.message} ${decision.hint}`);
}

function outputOf(
  { text: content = null, toolCalls = [] }: { text?: string | null; toolCalls?: ToolCallDelta[] },
  step: number,
): ModelOutput {
  if (toolCalls.length === 0) return { content };
  const calls = toolCalls.map((call, ordinal): ToolCall => {
    const { id = `call_${step}_${ordinal}`, name, arguments: text } = call;
    if (name === undefined || text === undefined)
      throw new StepError(
        "engine_invalid_answer",
        "The engine's answer has a tool call without a name or without arguments. Use another engine for this agent.",
      );
    return { id, name, arguments: text };
  });
  return { content, tool_calls: calls };
}

/** Puts the parsed decision into the output; answers what is wrong with it otherwise. */
async function decide(
  check: Check,
  output: ModelOutput,
  schema: Record<string, unknown>,
  finishReason: string | undefined,
): Promise<StepError | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(output.content ?? "");
    checkValues(value, { depth: limits.valueDepth, values: limits.values, text: false });
  } catch (error) {
    if (error instanceof LineshaftError)
      return new StepError("decision_invalid", `The model's decision cannot be kept: ${error.message}`);
    return finishReason === "length"
      ? new StepError("decision_cut", "The model's decision was cut off: raise generation.max_tokens in the manifest.")
      : new StepError("decision_invalid", "The model's decision is not JSON.");
  }
  const problem = await check(schema, value);
  if (problem)
    return new StepError("decision_invalid", `The model's decision does not fit the output's schema: ${problem}`);
  output.value = value;
  return undefined;
}

/** A failure of this installation that heals without the run: the step waits for as long as the run may live. */
const patientCodes = new Set(["shutting_down", "storage_full", "store_unavailable"]);

/** Which failures of a call may pass by themselves: the engine is away, busy or restarting. Money and shape do not. */
function modelFailure(error: unknown): unknown {
  const isAnswer =
    error instanceof LineshaftError && error.isPublic && !(error instanceof StepError) && !isStoreAway(error);
  if (!isAnswer) return error;
  const passing = error.status === 429 || error.status >= 500 || error.code === "model_not_found";
  // Asked again, the same model says the same, and every try is paid.
  const final = error.code === "budget_exceeded" || error.code === "output_invalid";
  const asked = error.retryAfterSeconds === undefined ? limits.retryFirstMs : error.retryAfterSeconds * 1000;
  return new StepError(error.code, spoken(error), {
    ...(passing && !final && { retryAfterMs: asked, patient: error.status === 429 || patientCodes.has(error.code) }),
    cause: error,
  });
}
