// Agents, their runs, steps and outcomes.
import { z } from "@hono/zod-openapi";
import { idText, nano, pageFields, strict, time, tokens } from "./common.ts";

export const agentSummary = z.object({
  id: z.string(),
  name: z.string(),
  version: z.number().describe("Newest version"),
  model: z.string(),
  created_at: time,
  runs: z.object({ total: z.number(), running: z.number(), waiting: z.number(), failed: z.number() }),
  outcomes: z.object({ passed: z.number(), failed: z.number() }),
});
export const agentDetail = agentSummary.extend({
  manifest: z.unknown(),
  versions: z.array(z.object({ number: z.number(), id: z.string(), created_at: time })),
});
export const agentDeploy = strict({
  manifest: z.unknown().describe("kind: Agent, as an object or as YAML text (errors then name the line)"),
  files: z
    .record(z.string(), z.string())
    .optional()
    .describe("Files that the manifest names, such as verifier.js, as text"),
});
export const agentDeployed = z.object({
  id: z.string(),
  name: z.string(),
  version: z.number(),
  created: z.boolean().describe("False when this very manifest was the newest already"),
});

export const runStatus = z.enum(["queued", "running", "waiting", "completed", "failed", "stopped"]);
export const outcome = z.object({
  id: z.string(),
  contract: z.string(),
  verifier: z.string(),
  verdict: z.enum(["passed", "failed"]),
  reason: z.string(),
  attested: z.boolean().describe("Whether what was judged rests on a person's word about an effect"),
  price_nano: nano,
  currency: z.string(),
  created_at: time,
});
export const run = z.object({
  id: z.string(),
  agent: z.string().describe("Name"),
  version: z.number(),
  status: runStatus,
  error_code: z.string().nullable(),
  error_message: z.string().nullable().describe("Why it failed or was stopped; while it waits, what for"),
  wakes_at: time.nullable().describe("While it waits: when it is tried again by itself; null when a person decides"),
  steps: z.number(),
  prompt_tokens: tokens,
  cached_tokens: tokens,
  output_tokens: tokens,
  cost_nano: nano,
  currency: z.string(),
  outcome: outcome.nullable(),
  created_at: time,
  started_at: time.nullable(),
  ended_at: time.nullable(),
});
export const step = z.object({
  number: z.number(),
  kind: z.enum(["model", "tool", "wait", "verify"]),
  name: z.string(),
  status: z.enum(["completed", "failed"]),
  input: z.unknown(),
  output: z.unknown(),
  call: z.string().nullable(),
  cost_nano: nano,
  effect: z
    .object({
      key: z.string(),
      tool: z.string(),
      state: z.enum(["planned", "claimed", "done", "unknown"]),
      attempts: z.number(),
      attested: z
        .object({ by: z.string().describe("Name of the key that gave its word"), note: z.string(), at: time })
        .nullable()
        .describe("Not null: no tool has answered; a person said that it happened"),
    })
    .nullable(),
  error_message: z.string().nullable(),
  queued_ms: z.number().describe("How long the step's call waited for its turn, in the queue and inside the engine"),
  started_at: time,
  ended_at: time,
});
/** Why a run did not go on: one for each step and reason, however often it was tried again. */
export const runWait = z.object({
  step: z.number().describe("Number of the step that could not be done at first"),
  code: z.string().describe("Code of the failure, as in docs/errors.md"),
  message: z.string().describe("What happened and what to do, of the newest wait"),
  times: z.number(),
  waited_ms: z.number().describe("In all; while it waits, until now"),
  began_at: time,
  waiting: z.boolean().describe("Whether the run waits for this now"),
  until: time.nullable().describe("When it goes on by itself; null when a person decides or it does not wait any more"),
});
export const runDetail = run.extend({
  input: z.unknown(),
  output: z.unknown(),
  step_list: z.array(step),
  queued_ms: z.number().describe("How long all its calls waited for their turn, those that failed included"),
  waits: z.array(runWait).describe("What it waited for, in order"),
});
/** `idempotency-key` in the header makes a repeated creation answer the same run. */
export const runCreate = strict({ agent: idText, input: z.unknown() });
export const runsQuery = strict({ ...pageFields, agent: idText.optional(), status: runStatus.optional() });

export type AgentSummary = z.infer<typeof agentSummary>;
export type AgentDetail = z.infer<typeof agentDetail>;
export type Run = z.infer<typeof run>;
export type RunDetail = z.infer<typeof runDetail>;
export type StepResource = z.infer<typeof step>;
export type RunWait = z.infer<typeof runWait>;
export type OutcomeResource = z.infer<typeof outcome>;
