// Calls, their attempts and decisions, and what the scheduler sees.
import { z } from "@hono/zod-openapi";
import { nano, time, tokens } from "./common.ts";

const shape = z.enum(["chat", "completions", "responses", "messages", "gemini", "embeddings", "rerank"]);
export const callStatus = z.enum(["completed", "refused", "failed", "cancelled"]);
export const call = z.object({
  id: z.string(),
  endpoint: shape.describe("The API that the caller spoke"),
  model: z.string().describe("The model that served it, or that was to serve it"),
  asked_model: z
    .string()
    .nullable()
    .describe("The name that was asked for, where an alias or a fallback served the call; null: `model` itself"),
  stream: z.boolean(),
  status: callStatus,
  error_code: z.string().nullable(),
  finish_reason: z.string().nullable(),
  cut_by: z.string().nullable().describe("The budget whose end cut the answer short"),
  key: z.string().nullable(),
  agent: z.string().nullable(),
  run: z.string().nullable(),
  program: z.string().nullable(),
  batch: z.string().nullable().describe("The batch whose line it is"),
  prompt_tokens: tokens,
  cached_tokens: tokens,
  output_tokens: tokens,
  saved_tokens: tokens
    .nullable()
    .describe(
      "Tokens that it did not use, because it was given the answer of an identical call; it has no attempt then",
    ),
  price_nano: nano,
  currency: z.string(),
  started_at: time,
  first_token_ms: z.number().nullable(),
  duration_ms: z.number(),
});

/** One candidate of a placement with the numbers it was judged by. */
export const candidate = z.object({
  endpoint: z.string(),
  score: z.number().nullable().describe("By the policy's own unit, less is better; null: ruled out"),
  numbers: z.record(z.string(), z.number()),
});
export const decision = z.object({
  policy: z.string(),
  chosen: candidate,
  runner_up: candidate.nullable(),
  prefill: candidate.nullable().describe("Where the prompt was computed, when that was elsewhere"),
  candidates: z.number().describe("Endpoints that could have taken it"),
  queued_ms: z.number().describe("How long it waited for its turn"),
  terms: z
    .record(z.string(), z.number())
    .describe("The policy's own numbers; of least-delay, milliseconds of each part of the score"),
  excluded: z
    .array(z.object({ endpoint: z.string(), reason: z.string() }))
    .optional()
    .describe("Endpoints that could not take the request, each with the reason; absent where all could"),
  reason: z.string().describe("For a person: why this endpoint, and why others were passed over"),
});

/** One endpoint as the scheduler sees it. */
const schedulerEndpoint = z.object({
  endpoint: z.string(),
  deployment: z.string(),
  role: z.enum(["both", "prefill", "decode"]),
  health: z
    .enum(["ready", "starting", "draining", "down", "ejected", "trial"])
    .describe(
      "ejected: calls are kept away because its last ones failed; trial: one call at a time finds out how it is",
    ),
  running: z.number().describe("Calls that were placed there and have not ended"),
  waiting_tokens: z.number().describe("Prompt tokens placed there that are not computed yet"),
  kv_tokens: z.number().describe("Tokens of KV that these calls hold or will hold"),
  kv_capacity_tokens: z.number(),
  prefill_tokens_per_second: z.number().describe("Learned from its calls"),
  decode_tokens_per_second: z.number(),
});
export const schedulerView = z.object({
  deployments: z.array(
    z.object({
      name: z.string(),
      policy: z.string(),
      waiting_calls: z.number().describe("Calls in the fair queue, of all tenants"),
      waiting_tokens: z.number(),
      live_programs: z.number().describe("Runs and sessions that compute, run a tool, or did within the last minute"),
      paused_programs: z.number().describe("Of these, those that wait because the KV of all of them does not fit"),
      paused_programs_with_calls: z.number().describe("Of these, those whose calls wait for that"),
      working_set_share: z
        .number()
        .describe("Share of the KV of all tiers that live programs need which are not paused"),
    }),
  ),
  endpoints: z.array(schedulerEndpoint),
  index: z.object({
    blocks: z.number().describe("Distinct blocks that are known to be cached somewhere"),
    bytes: z.number(),
    bytes_most: z.number(),
  }),
  cached_tokens: z
    .object({ calls: z.number(), predicted: z.number(), reported: z.number(), gap: z.number() })
    .describe("Prompt tokens that were expected to be cached beside what engines reported; `gap` sums the differences"),
  programs: z.number().describe("Runs and sessions that are remembered"),
  split_calls: z.number().describe("Calls under way whose prompt is computed elsewhere than they decode"),
});

/** Phases of an attempt in order, milliseconds from the call's start. */
export const phase = z.object({
  name: z.enum(["admit", "queue", "connect", "wait", "restore", "prefill", "transfer", "decode", "settle"]),
  start_ms: z.number(),
  end_ms: z.number(),
});
export const attempt = z.object({
  id: z.string(),
  number: z.number(),
  engine: z.string(),
  model: z.string().nullable().describe("The model that it asked; null in older records, where it is that of the call"),
  why: z
    .enum(["first", "retry", "fallback", "hedge", "continued"])
    .nullable()
    .describe(
      "What it follows from: retry, another try at the same model; fallback, at the next model of its route; hedge, the attempt before it was silent and went on beside it; continued, the attempt before it broke off in mid-stream",
    ),
  status: callStatus,
  error_code: z.string().nullable(),
  decision: decision.nullable(),
  cached_by_tier: z.record(z.string(), z.number()).nullable(),
  phases: z.array(phase),
  prompt_tokens: tokens,
  cached_tokens: tokens,
  output_tokens: tokens,
  price_nano: nano,
  claimed_prompt_tokens: tokens
    .nullable()
    .describe("What the engine claimed, where that was more than was held; the tokens above are billed"),
  claimed_output_tokens: tokens.nullable(),
  suspense_nano: nano.describe("Price of what was claimed beyond what was held; no budget pays it"),
});
export const callDetail = call.extend({ attempts: z.array(attempt) });

export type Call = z.infer<typeof call>;
export type CallDetail = z.infer<typeof callDetail>;
export type AttemptResource = z.infer<typeof attempt>;
export type SchedulerView = z.infer<typeof schedulerView>;
export type DecisionResource = z.infer<typeof decision>;
