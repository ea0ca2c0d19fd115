// What a run does next, decided from what has happened: `next(state, check) → action`. Pure: no clock, no I/O, no randomness, so that
// a run started again from its rows, on another machine and in another Restate, goes on exactly where it was.
//
//   declared program:  step 0 → step 1 → … → [lookup]* → [verify] → finish
//   free loop:         model ─┬─ tool calls → tool → … → model
//                             └─ no calls → [answer in the output's shape] → [lookup]* → [verify] → finish
//
// Any step that failed ends the run, except a tool's failure in the free loop, which the model is told.
import { conversation, said, stablePrefix } from "./prompt.ts";
import { referencesIn, resolve, UnresolvedError, type Scope } from "./references.ts";
import type { Action, ModelOutput, PinnedTool, RunState, StepResult, ToolCall } from "./types.ts";
import type { Check } from "./validation.ts";

/** `check` judges values against schemas; it is asked rather than done here, since that runs in a thread. */
export async function next(state: RunState, check: Check): Promise<Action> {
  try {
    return await (state.published.manifest.steps ? nextDeclared(state, check) : nextInLoop(state, check));
  } catch (error) {
    if (error instanceof UnresolvedError) return { type: "fail", code: "reference_unresolved", message: error.message };
    throw error;
  }
}

function fail(code: string, message: string): Action {
  return { type: "fail", code, message };
}

/** Limits are looked at before a step is begun: what has been paid for is never thrown away. */
function overLimit(state: RunState): Action | undefined {
  const { limits } = state.published.manifest;
  if (state.steps.length >= limits.steps)
    return fail("limit_steps", `The run took ${state.steps.length} steps, as many as its manifest allows.`);
  if (limits.tokens !== undefined && state.tokensUsed >= limits.tokens)
    return fail("limit_tokens", `The run used ${state.tokensUsed} tokens of the ${limits.tokens} its manifest allows.`);
  return undefined;
}

/** Output tokens of one call: what the manifest says, and never more than the run has left. */
function maxTokens(state: RunState): number {
  const { limits, generation } = state.published.manifest;
  const left = limits.tokens === undefined ? Infinity : Math.max(1, limits.tokens - state.tokensUsed);
  return Math.min(generation.max_tokens, left);
}

function scopeOf(state: RunState): Scope {
  const declared = state.published.manifest.steps ?? [];
  return {
    input: state.input,
    run: { id: state.run },
    steps: Object.fromEntries(
      declared.flatMap(({ id }, index) => {
        const taken = state.steps[index];
        return taken ? [[id, valueOf(taken)] as const] : [];
      }),
    ),
  };
}

/** What references see of a step: a model step's decision, anything else's output. */
function valueOf(step: StepResult): unknown {
  if (step.kind !== "model") return step.output;
  const output = step.output as ModelOutput;
  return output.value ?? output.content;
}

async function nextDeclared(state: RunState, check: Check): Promise<Action> {
  const { manifest, tools } = state.published;
  const declared = manifest.steps!;
  const failed = state.steps.find((step) => step.status === "failed");
  if (failed)
    return fail("step_failed", `Step '${failed.name}' failed: ${failed.errorMessage ?? "no reason was given"}`);
  const number = state.steps.length;
  const scope = scopeOf(state);
  if (number >= declared.length) {
    const last = state.steps[declared.length - 1]!;
    return conclude(
      state,
      manifest.result === undefined ? valueOf(last) : resolve(manifest.result, scope),
      declared.length,
    );
  }
  const limited = overLimit(state);
  if (limited) return limited;
  const step = declared[number]!;
  if (step.wait !== undefined) return { type: "wait", name: step.id, seconds: step.wait };
  if (step.decide !== undefined) {
    const question = resolve(step.decide, scope);
    const content = typeof question === "string" ? question : JSON.stringify(question);
    return {
      type: "model",
      name: step.id,
      messages: [...stablePrefix(manifest), said("user", content)],
      asked: content,
      ...(manifest.output && { schema: manifest.output }),
      maxTokens: maxTokens(state),
    };
  }
  const tool = tools.find(({ name }) => name === step.tool);
  if (!tool) return fail("tool_unknown", `The agent has no tool '${step.tool}'.`);
  const args = resolve(step.with ?? {}, scope) as Record<string, unknown>;
  const problem = await check(tool.inputSchema, args);
  if (problem) return fail("arguments_invalid", `Arguments of '${tool.name}' do not fit its schema: ${problem}`);
  const decidedBy = { step: number, ordinal: 0 };
  return { type: "tool", name: step.id, tool, arguments: args, decidedBy, failure: "ends" };
}

async function nextInLoop(state: RunState, check: Check): Promise<Action> {
  const { manifest, tools } = state.published;
  const lastModel = state.steps.findLastIndex((step) => step.kind === "model");
  const verified = state.steps.some((step) => step.kind === "verify");
  const modelStep = state.steps[lastModel];
  if (modelStep?.status === "failed")
    return fail("step_failed", `Step '${modelStep.name}' failed: ${modelStep.errorMessage ?? "no reason was given"}`);
  const output = modelStep?.output as ModelOutput | undefined;
  if (modelStep && output) {
    const calls = output.tool_calls ?? [];
    const answered = state.steps.length - lastModel - 1;
    if (!verified && answered < calls.length)
      return overLimit(state) ?? callTool(check, calls[answered]!, tools, { step: lastModel, ordinal: answered });
    if (calls.length === 0) {
      if (!manifest.output) return conclude(state, output.content, lastModel + 1);
      const value = output.value ?? parsed(output.content);
      if (value !== undefined && (await check(manifest.output, value)) === undefined)
        return conclude(state, value, lastModel + 1);
      if (modelStep.name === "answer")
        return fail("decision_invalid", "The model's answer does not have the shape that the manifest asks for.");
    }
  }
  const limited = overLimit(state);
  if (limited) return limited;
  const messages = conversation(manifest, state.input, state.steps);
  const asked = modelStep ? { after_step: state.steps.length - 1 } : state.input;
  // The model has said what it knows: once more, in the output's shape. Without tools there is nothing to wait for.
  const finalAnswer = manifest.output && (tools.length === 0 || (output && !output.tool_calls?.length));
  if (finalAnswer)
    return { type: "model", name: "answer", messages, asked, schema: manifest.output!, maxTokens: maxTokens(state) };
  return {
    type: "model",
    name: "think",
    messages,
    asked,
    ...(tools.length > 0 && { tools }),
    maxTokens: maxTokens(state),
  };
}

async function callTool(
  check: Check,
  call: ToolCall,
  tools: PinnedTool[],
  decidedBy: { step: number; ordinal: number },
): Promise<Action> {
  const refuse = (message: string): Action => ({ type: "refuse", name: call.name, input: call.arguments, message });
  const tool = tools.find(({ name }) => name === call.name);
  if (!tool) return refuse(`There is no tool '${call.name}'. Tools are: ${tools.map(({ name }) => name).join(", ")}.`);
  const args = parsed(call.arguments === "" ? "{}" : call.arguments);
  if (args === null || typeof args !== "object" || Array.isArray(args))
    return refuse("The arguments are not a JSON object.");
  const problem = await check(tool.inputSchema, args);
  if (problem) return refuse(`The arguments do not fit the tool's schema: ${problem}`);
  return {
    type: "tool",
    name: tool.name,
    tool,
    arguments: args as Record<string, unknown>,
    decidedBy,
    failure: "told",
  };
}

/**
 * The program is done: where there is a contract, ask the systems of the effects in its evidence, verify once, then finish. `taken`
 * steps belong to the program itself.
 */
function conclude(state: RunState, output: unknown, taken: number): Action {
  const { manifest, evidence: rule } = state.published;
  const { outcome } = manifest;
  const after = state.steps.slice(taken);
  if (!outcome || after.some((step) => step.kind === "verify")) return { type: "finish", output };
  const lookups = rule === "independent" ? lookupsOf(state, taken) : [];
  const due = lookups[after.length];
  if (due) return { type: "lookup", name: due.tool.lookup!.name, tool: due.tool, decidedBy: due.decidedBy };
  const scope = scopeOf(state);
  const looked = lookups.map((lookup, index) => ({ ...lookup, output: after[index]!.output }));
  for (const { step, output: kept } of looked) if (step !== undefined) scope.steps[step] = kept;
  const evidence = resolve(outcome.evidence, scope) as Record<string, unknown>;
  if (manifest.steps) return { type: "verify", name: outcome.contract, evidence };
  // In the free loop there are no step ids: the verifier sees outputs under the tools' names, newest last.
  const tools =
    rule === "independent"
      ? looked.map(({ tool, output: kept }) => ({ tool: tool.name, output: kept }))
      : toolOutputs(state.steps);
  return { type: "verify", name: outcome.contract, evidence: { ...evidence, tools } };
}

interface Lookup {
  /** Id of the declared step. */
  step?: string;
  tool: PinnedTool;
  decidedBy: { step: number; ordinal: number };
}

/** Effects that the verifier sees by their lookup, in the order in which they happened. */
function lookupsOf(state: RunState, taken: number): Lookup[] {
  const { manifest, tools } = state.published;
  const lookedUp = (name: string | undefined) =>
    tools.find((tool) => tool.name === name && tool.effect && tool.lookup !== undefined);
  if (manifest.steps) {
    const named = new Set(referencesIn(manifest.outcome!.evidence).map(({ step }) => step));
    return manifest.steps.flatMap((step, number) => {
      const tool = named.has(step.id) ? lookedUp(step.tool) : undefined;
      return tool ? [{ step: step.id, tool, decidedBy: { step: number, ordinal: 0 } }] : [];
    });
  }
  let decision = 0;
  return state.steps.slice(0, taken).flatMap((step, number) => {
    if (step.kind === "model") decision = number;
    const tool = step.kind === "tool" && step.status === "completed" ? lookedUp(step.name) : undefined;
    return tool ? [{ tool, decidedBy: { step: decision, ordinal: number - decision - 1 } }] : [];
  });
}

function toolOutputs(steps: StepResult[]): { tool: string; output: unknown }[] {
  return steps
    .filter((step) => step.kind === "tool" && step.status === "completed")
    .map((step) => ({ tool: step.name, output: step.output }));
}

function parsed(text: string | null): unknown {
  if (text === null) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
