// Lineshaft's own API as data: every resource of /api/*, once. Routes check and document with these schemas (OpenAPI is
// generated from them), the console and the command line infer their types from them.
//
// Conventions: amounts are integer nano strings beside their currency; times are RFC 3339 strings; lists are
// {data, next_cursor}; errors are {error: {code, message, hint, docs, request_id}}.
import { z } from "@hono/zod-openapi";

export const nano = z
  .string()
  .regex(/^-?\d+$/)
  .describe("Integer nano-units of the currency: 1000000000 is 1.00");
export const time = z.string().describe("RFC 3339");
export const tokens = z.number().int().nonnegative();

export const apiError = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string().optional(),
    docs: z.string().optional(),
    request_id: z.string(),
  }),
});

/** A page of a list; `next_cursor` is null on the last. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ data: z.array(item), next_cursor: z.string().nullable() });
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().optional(),
});

// --- status ---------------------------------------------------------------------------------------------------------

export const componentStatus = z.object({
  name: z.string(),
  state: z.enum(["starting", "ready", "restarting", "stopping", "stopped", "failed", "external"]),
  pid: z.number().optional(),
  restarts: z.number(),
  started_at: time.optional(),
  rss_bytes: z.number().optional(),
  last_error: z.string().optional(),
});

export const workerRole = z.enum(["both", "prefill", "decode"]);
export const endpointStatus = z.object({
  endpoint: z.string().describe("worker-0, or the name of an endpoint that was added"),
  role: workerRole.describe("prefill and decode in one place, or one of the two"),
  state: z.enum(["ready", "starting", "restarting", "leaving", "down"]),
  context_tokens: z.number().optional(),
  threads: z.number().optional(),
  slots: z.number().optional(),
  running: z.number().optional(),
  waiting: z.number().optional(),
  memory: z.object({ rss_bytes: z.number(), model_bytes: z.number(), kv_bytes: z.number() }).optional(),
  sequences: z
    .array(
      z.object({
        id: z.number(),
        state: z.enum(["free", "idle", "running"]),
        tokens: z.number(),
        program: z.string().optional(),
      }),
    )
    .optional(),
  totals: z
    .object({
      calls: z.number(),
      prompt_tokens: z.number(),
      computed_tokens: z.number(),
      cached_device_tokens: z.number(),
      cached_disk_tokens: z.number(),
      output_tokens: z.number(),
      parks: z.number(),
      restores: z.number(),
    })
    .optional()
    .describe("Since the endpoint's start"),
  error: z.string().optional(),
});
export const deploymentStatus = z.object({
  name: z.string().describe("What callers write as `model`"),
  engine: z.string().describe("embedded, or openai for an engine that was added"),
  state: z
    .enum(["ready", "partial", "starting", "down", "off"])
    .describe("partial: it is served, but not by all endpoints that are wanted; off: none is wanted"),
  placement: z.string().optional().describe("Policy that says which endpoint serves a call"),
  disk: z
    .object({ used_bytes: z.number(), budget_bytes: z.number(), files: z.number() })
    .optional()
    .describe("The pool of parked KV, which all endpoints share"),
  endpoints: z.array(endpointStatus),
  error: z.string().optional(),
});

export const status = z.object({
  version: z.string(),
  address: z.string(),
  started_at: time,
  healthy: z.boolean(),
  components: z.array(componentStatus),
  deployments: z.array(deploymentStatus),
  memory: z.object({ total_rss_bytes: z.number().describe("Resident memory of the whole process tree") }),
  organisation: z.object({ id: z.string(), name: z.string(), currency: z.string() }),
  project: z.object({ id: z.string(), name: z.string() }),
  role: z.enum(["owner", "member"]).describe("Of the key that asks"),
});

// --- models, engines, keys, budgets ------------------------------------------------------------------------------------

export const price = z.object({
  currency: z.string(),
  input_nano_per_million: nano,
  cached_nano_per_million: nano,
  output_nano_per_million: nano,
});

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
export const deploymentPublish = z.object({
  manifest: z
    .unknown()
    .describe("kind: Deployment, as an object or as YAML text (errors then name the line); docs/configuration.md"),
});
export const deploymentPublished = deployment.extend({
  changed: z.boolean().describe("False when it was wanted like this already"),
});

export const engine = z.object({
  name: z.string(),
  kind: z.enum(["embedded", "openai"]),
  urls: z.array(z.string()).describe("One for each endpoint; none for what this machine serves itself"),
  model: z.string(),
  key_env: z.string().nullable(),
  price: price.nullable(),
  created_at: time.nullable(),
});

export const engineCreate = z.object({
  name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,99}$/),
  urls: z
    .array(z.url())
    .min(1)
    .max(32)
    .refine((urls) => new Set(urls).size === urls.length, "names an address twice")
    .describe("One for each endpoint; all of them serve the model, and calls are placed among them"),
  model: z.string().min(1),
  key_env: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
    .optional(),
  price: price.partial({ cached_nano_per_million: true }).optional(),
});

export const kvCacheErased = z.object({
  project: z.string(),
  erased: z.array(z.string()).describe("Endpoints that keep nothing of the project any more"),
  not_by_project: z.array(z.string()).describe("Endpoints that keep nothing by project"),
});

export const key = z.object({
  id: z.string(),
  name: z.string(),
  role: z.enum(["owner", "member"]),
  project: z.string(),
  created_at: time,
  revoked_at: time.nullable(),
});
export const keyCreate = z.object({
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
  held_nano: nano,
  left_nano: nano,
  resets_at: time.nullable(),
});
/** Setting a budget that exists changes its limit and period; what was spent stands. */
export const budgetSet = z.object({
  scope: z.object({ kind: scopeKind, id: z.string() }),
  limit_nano: nano,
  period: z.enum(["total", "month", "day"]).default("total"),
});

// --- calls ----------------------------------------------------------------------------------------------------------

export const callStatus = z.enum(["completed", "refused", "failed", "cancelled"]);
export const call = z.object({
  id: z.string(),
  endpoint: z.enum(["chat", "completions"]),
  model: z.string(),
  stream: z.boolean(),
  status: callStatus,
  error_code: z.string().nullable(),
  finish_reason: z.string().nullable(),
  key: z.string().nullable(),
  agent: z.string().nullable(),
  run: z.string().nullable(),
  program: z.string().nullable(),
  prompt_tokens: tokens,
  cached_tokens: tokens,
  output_tokens: tokens,
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
  reason: z.string().describe("One sentence for a person"),
});

/** One endpoint as the scheduler sees it. */
const schedulerEndpoint = z.object({
  endpoint: z.string(),
  deployment: z.string(),
  role: z.enum(["both", "prefill", "decode"]),
  health: z.enum(["ready", "starting", "draining", "down"]),
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
  status: z.enum(["completed", "failed", "cancelled"]),
  error_code: z.string().nullable(),
  decision: decision.nullable(),
  cached_by_tier: z.record(z.string(), z.number()).nullable(),
  phases: z.array(phase),
  prompt_tokens: tokens,
  cached_tokens: tokens,
  output_tokens: tokens,
  price_nano: nano,
});
export const callDetail = call.extend({ attempts: z.array(attempt) });

// --- agents, runs, outcomes ---------------------------------------------------------------------------------------------

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
export const agentDeploy = z.object({
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
  error_message: z.string().nullable(),
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
    })
    .nullable(),
  error_message: z.string().nullable(),
  started_at: time,
  ended_at: time,
});
export const runDetail = run.extend({ input: z.unknown(), output: z.unknown(), step_list: z.array(step) });
/** `idempotency-key` in the header makes a repeated creation answer the same run. */
export const runCreate = z.object({ agent: z.string(), input: z.unknown() });

// --- bill and overview --------------------------------------------------------------------------------------------------

export const billQuery = z.object({
  from: time.optional().describe("First moment included; the beginning by default"),
  to: time.optional().describe("First moment not included; now by default"),
  agent: z.string().optional(),
});
export const billLine = z.object({
  agent: z.string().nullable().describe("Name; null for calls outside runs"),
  runs: z.number(),
  calls: z.number(),
  prompt_tokens: tokens,
  cached_tokens: tokens,
  output_tokens: tokens,
  revenue_nano: nano,
  token_cost_nano: nano,
  margin_nano: nano,
  outcomes_passed: z.number(),
  outcomes_failed: z.number(),
  pass_rate: z.number().nullable(),
  cost_per_verified_outcome_nano: nano.nullable(),
  verified_outcomes_per_million_tokens: z.number().nullable(),
});
export const bill = z.object({ from: time, to: time, currency: z.string(), lines: z.array(billLine), total: billLine });

export const point = z.object({
  time: time,
  uncached_tokens: tokens,
  cached_tokens: tokens,
  output_tokens: tokens,
  calls: tokens,
  cost_nano: nano,
});
export const overview = z.object({
  from: time,
  to: time,
  currency: z.string(),
  calls: z.object({ total: z.number(), failed: z.number(), refused: z.number() }),
  tokens: z.object({ uncached: tokens, cached: tokens, output: tokens }),
  cached_share: z.number().nullable().describe("Cached prompt tokens of all prompt tokens"),
  saved: z.object({
    nano: nano.describe("What the cached tokens would have cost more at the uncached price"),
    prefill_ms: z.number().nullable().describe("Their time at the measured prefill speed"),
  }),
  first_token_ms: z.object({ p50: z.number().nullable(), p90: z.number().nullable(), p99: z.number().nullable() }),
  runs: z.object({ running: z.number(), waiting: z.number(), completed: z.number(), failed: z.number() }),
  outcomes: z.object({ passed: z.number(), failed: z.number(), pass_rate: z.number().nullable() }),
  money: z.object({ revenue_nano: nano, cost_nano: nano, margin_nano: nano }),
  series: z.array(point).describe("Equal steps over the range, oldest first"),
  previous: z
    .object({ calls: z.number(), tokens: z.number(), cost_nano: nano, revenue_nano: nano })
    .describe("The period of equal length before"),
});
export const overviewQuery = z.object({ range: z.enum(["1h", "24h", "7d", "30d"]).default("24h") });

/** Server-sent events of /api/events: `event` is `type`, `id` a sequence for Last-Event-ID, `data` the object named here. */
export const liveEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("call"), call }),
  z.object({ type: z.literal("run"), run }),
  z.object({ type: z.literal("step"), run: z.string(), step }),
  z.object({ type: z.literal("component"), component: componentStatus }),
]);

// --- search -----------------------------------------------------------------------------------------------------------

export const searchResults = z.object({
  data: z.array(z.object({ kind: z.enum(["model", "agent", "run", "call", "key"]), id: z.string(), name: z.string() })),
});

export type Status = z.infer<typeof status>;
export type ComponentStatus = z.infer<typeof componentStatus>;
export type DeploymentStatus = z.infer<typeof deploymentStatus>;
export type EndpointStatus = z.infer<typeof endpointStatus>;
export type DeploymentResource = z.infer<typeof deployment>;
export type EngineResource = z.infer<typeof engine>;
export type KeyResource = z.infer<typeof key>;
export type BudgetResource = z.infer<typeof budget>;
export type Call = z.infer<typeof call>;
export type CallDetail = z.infer<typeof callDetail>;
export type AttemptResource = z.infer<typeof attempt>;
export type SchedulerView = z.infer<typeof schedulerView>;
export type DecisionResource = z.infer<typeof decision>;
export type AgentSummary = z.infer<typeof agentSummary>;
export type AgentDetail = z.infer<typeof agentDetail>;
export type Run = z.infer<typeof run>;
export type RunDetail = z.infer<typeof runDetail>;
export type StepResource = z.infer<typeof step>;
export type OutcomeResource = z.infer<typeof outcome>;
export type Bill = z.infer<typeof bill>;
export type BillLine = z.infer<typeof billLine>;
export type Overview = z.infer<typeof overview>;
export type LiveEvent = z.infer<typeof liveEvent>;
