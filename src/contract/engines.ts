// What serves tokens (deployments, engines), who may call (keys), and what they may spend (budgets).
import { z } from "@hono/zod-openapi";
import { idText, nano, pageFields, strict, time } from "./common.ts";
import { price, priceSet } from "./prices.ts";
import { workerRole } from "./status.ts";

export const deployment = z.object({
  name: z.string().describe("What callers write as `model`"),
  manifest: z
    .record(z.string(), z.unknown())
    .describe("kind: Deployment, with its defaults; change it and publish it again"),
  source: z
    .enum(["environment", "published"])
    .describe("environment: a start made it of its environment, and the next one makes it anew"),
  state: z
    .enum(["ready", "changing", "failed"])
    .describe("changing: workers start or leave; failed: some that are wanted do not run, `error` says why"),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
  notes: z.array(z.string()).describe("What is as it is for a reason that a person may want to know"),
  endpoints: z.array(
    z.object({
      endpoint: z.string(),
      role: workerRole,
      state: z.enum(["starting", "ready", "restarting", "leaving"]),
      threads: z.number(),
    }),
  ),
  created_at: time,
  updated_at: time,
});
export const deploymentPublish = strict({
  manifest: z
    .unknown()
    .describe("kind: Deployment, as an object or as YAML text (errors then name the line); docs/configuration.md"),
});
export const deploymentPublished = deployment.extend({
  changed: z.boolean().describe("False when it was wanted like this already"),
});

/** Kinds of engines that users add: openai is any OpenAI-compatible endpoint. */
const addedKinds = ["openai", "responses", "anthropic", "gemini"] as const;

export const engine = z.object({
  name: z.string(),
  kind: z.enum(["embedded", ...addedKinds]).describe("The API that it is asked by; embedded: a worker of this machine"),
  urls: z
    .array(z.string())
    .describe("One for each endpoint, shown to owners; none for what this machine serves itself"),
  endpoints: z
    .array(
      z.object({
        endpoint: z.string(),
        state: z
          .enum(["ready", "starting", "down", "ejected", "trial"])
          .describe("ejected: calls are kept away because its last ones failed; trial: one call finds out how it is"),
      }),
    )
    .describe("What serves it now, and how each of them is"),
  model: z.string(),
  key_env: z.string().nullable(),
  allow_fields: z.array(z.string()).describe("Fields beyond those of its software that calls may send it"),
  preset: z.string().nullable().describe("Provider whose quirks it has; null: found out by its address"),
  connect_ms: z.number().nullable(),
  first_token_ms: z.number().nullable(),
  idle_ms: z.number().nullable(),
  concurrency: z
    .number()
    .nullable()
    .describe("Calls that each of its endpoints is sent at once; null: as many as it says"),
  price: price.nullable(),
  created_at: time.nullable(),
});

const milliseconds = z.number().int().min(1).max(3_600_000);

export const engineCreate = strict({
  name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,99}$/),
  kind: z
    .enum(addedKinds)
    .optional()
    .describe("The API that it is asked by; by default that of the provider at its address, else openai"),
  urls: z
    .array(z.url().max(2_000))
    .min(1)
    .max(32)
    .refine((urls) => new Set(urls).size === urls.length, "names an address twice")
    .describe("One for each endpoint; all of them serve the model, and calls are placed among them"),
  model: z.string().min(1).max(200),
  key_env: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,199}$/)
    .optional(),
  allow_fields: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/))
    .max(64)
    .default([])
    .describe("Fields that calls may send it beyond those of its software (docs/api.md); a few are never allowed"),
  preset: z
    .string()
    .max(100)
    .optional()
    .describe("The provider that serves at the addresses, where their host does not say it"),
  connect_ms: milliseconds.optional().describe("Time to open a connection; 5,000 where absent"),
  first_token_ms: milliseconds
    .optional()
    .describe(
      "Time to the first token, after which the call goes elsewhere or fails; by prompt and speed, and only where another endpoint is left, where absent. A call that asks for reasoning is always waited for",
    ),
  idle_ms: milliseconds
    .optional()
    .describe("Time between two pieces of an answer once the first has come; 300,000 where absent"),
  concurrency: z
    .number()
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe("Calls that each endpoint is sent at once; further calls wait for their turn or go to another endpoint"),
  price: priceSet.optional(),
});

export const kvCacheErased = z.object({
  project: z.string(),
  erased: z.array(z.string()).describe("Endpoints that keep nothing of the project any more"),
  not_by_project: z.array(z.string()).describe("Endpoints that keep nothing by project"),
  responses: z.number().int().describe("Stored responses that were deleted"),
  conversations: z.number().int().describe("Conversations that were deleted"),
  batches: z.number().int().describe("Batches that were deleted, those under way included"),
  files: z.number().int().describe("Files that were deleted"),
});

export const responseStorage = z.object({
  project: z.string(),
  bytes: z.number().int().describe("What the project keeps in stored responses and conversations"),
  limit_bytes: z.number().int().describe("What it may keep"),
  retention_days: z
    .number()
    .int()
    .describe("Days for which a response is kept; 0: none is. Files are kept for no longer, and for a day at least"),
});

/** Null: as the installation has it. */
export const responseStorageSet = z.object({
  limit_bytes: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
  retention_days: z.number().int().min(0).max(3_650).nullish(),
});

export const key = z.object({
  id: z.string(),
  name: z.string(),
  role: z.enum(["owner", "member"]),
  project: z.string(),
  created_at: time,
  revoked_at: time.nullable(),
});
export const keyCreate = strict({
  name: z.string().min(1).max(100),
  role: z.enum(["owner", "member"]).default("member"),
});
export const keyCreated = key.extend({ secret: z.string().describe("Shown once, never stored") });

export const scopeKind = z.enum(["organisation", "project", "key", "agent", "run"]);
export const budget = z.object({
  id: z.string(),
  scope: z.object({ kind: scopeKind, id: z.string(), name: z.string().optional() }),
  currency: z.string(),
  period: z.enum(["total", "month", "day"]),
  limit_nano: nano,
  spent_nano: nano,
  leased_nano: nano.describe(
    "Taken by gateway processes and not given back: free, held by calls, or settled and not posted yet",
  ),
  lost_nano: nano.describe("Leases of processes that are gone, which stand in suspense by name and count as spent"),
  left_nano: nano,
  pending: z
    .boolean()
    .describe("A new budget or a lowered limit that not every process knows yet: calls under way may still pass it"),
  resets_at: time.nullable(),
  ended_at: time.nullable().describe("When the run of its scope ended"),
});
export const budgetQuery = strict({
  ...pageFields,
  ended: z.enum(["true", "false"]).default("false").describe("`true`: budgets of ended runs too"),
  scope: z
    .string()
    .regex(
      /^(organisation|project|key|agent|run)(,(organisation|project|key|agent|run))*$/,
      "must be kinds of scope, with commas between",
    )
    .optional()
    .describe("Only these kinds of scope, with commas between"),
  of: idText.optional().describe("Only the budget of this scope: its id, or the name of an agent or a key"),
});
/** Setting a budget that exists changes its limit and period; what was spent stands. */
export const budgetSet = strict({
  scope: strict({ kind: scopeKind, id: idText }),
  limit_nano: nano,
  period: z.enum(["total", "month", "day"]).default("total"),
});

export const limitDimension = z
  .enum(["requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrent_calls", "bytes_in_flight"])
  .describe(
    "Tokens: the prompt's when a call begins, and the output's as it comes; corrected by the engine's usage when the call ends",
  );
const limitScopeKind = z.enum(["organisation", "project", "key"]);
/** The largest amount: a sum of two is still a whole number in a double. */
const limitAmount = z
  .number()
  .int()
  .nonnegative()
  .max(2 ** 52)
  .describe("0 refuses every call of the scope");
const limitModel = z.string().min(1).max(200);
export const limit = z.object({
  id: z.string(),
  scope: z.object({
    kind: limitScopeKind,
    id: z.string(),
    name: z.string().optional(),
    model: z.string().nullable().describe("Only calls to this model count; null: all calls of the scope"),
  }),
  dimension: limitDimension,
  amount: limitAmount,
  used: z
    .number()
    .int()
    .nonnegative()
    .describe(
      "What counts against it now, at all processes; what others than the asked one used is up to five seconds old",
    ),
});
/** Setting a limit that exists changes its amount; what was used counts on. */
export const limitSet = strict({
  scope: strict({ kind: limitScopeKind, id: idText, model: limitModel.optional() }),
  dimension: limitDimension,
  amount: limitAmount,
});

export type LimitResource = z.infer<typeof limit>;
export type DeploymentResource = z.infer<typeof deployment>;
export type EngineResource = z.infer<typeof engine>;
export type KvCacheErased = z.infer<typeof kvCacheErased>;
export type ResponseStorage = z.infer<typeof responseStorage>;
export type KeyResource = z.infer<typeof key>;
export type BudgetResource = z.infer<typeof budget>;
