// The bill, and the figures of the overview.
import { z } from "@hono/zod-openapi";
import { afterFields, idText, moment, nano, strict, time, tokens } from "./common.ts";

export const billQuery = strict({
  from: moment.optional().describe("First moment included; the beginning by default"),
  to: moment.optional().describe("First moment not included; now by default"),
  agent: idText.optional(),
  ...afterFields,
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
  outcomes_attested: z.number().describe("Of those that passed: how many rest on a person's word about an effect"),
  pass_rate: z.number().nullable(),
  cost_per_verified_outcome_nano: nano
    .nullable()
    .describe("Token cost by outcomes passed; in the total, of the agents whose outcomes were judged"),
  verified_outcomes_per_million_tokens: z.number().nullable(),
});
export const suspenseLine = z.object({
  model: z.string(),
  attempts: z.number(),
  amount_nano: nano,
});
export const lease = z.object({
  budget: z.string(),
  scope: z.string().describe("`kind:id` of the budget's scope"),
  leased_nano: nano.describe(
    "Taken by gateway processes and not given back: free, held by calls, or settled and not posted yet",
  ),
  processes: z.number(),
});
export const suspenseItem = z.object({
  id: z.string(),
  kind: z
    .enum(["lost_lease", "over_hold", "unanswered", "quarantine"])
    .describe(
      "lost_lease: of a process that is gone; over_hold, unanswered: what an engine may charge; quarantine: a record that the database refused",
    ),
  subject: z.string().describe("The model, or the budget of a lease"),
  left_nano: nano.describe("What stands in suspense of it now"),
  reason: z.string(),
  created_at: time,
});
/** What is not settled yet, by name. */
export const standing = z.object({
  complete_through: time.describe("Everything that counts before this moment is posted, or stands in suspense"),
  leased: z.array(lease).describe("By budget, largest first"),
  suspense: z.array(suspenseItem).describe("Newest first, at most 100"),
  suspense_count: z.number(),
});
export const bill = z.object({
  closed: z
    .boolean()
    .describe("Everything of the period is posted or in suspense: only corrections change it. False without `to`"),
  from: time,
  to: time,
  currency: z.string(),
  lines: z.array(billLine),
  total: billLine,
  suspense: z
    .array(suspenseLine)
    .describe(
      "What engines claimed beyond what was held: in no line and no budget, to be compared with the provider's bill",
    ),
  standing: standing.nullable().describe("What is leased and in suspense in the organisation; null for members"),
});

export const discrepancy = z.object({
  rule: z.string().describe("Short name of what must hold"),
  meaning: z.string(),
  id: z.string().describe("The thing that breaks it: an attempt, a journal and account, a budget, a day"),
  expected: z.string(),
  found: z.string(),
});
export const proof = z.object({
  kind: z.enum(["whole", "incremental"]),
  began_at: time,
  ended_at: time,
  compared: z
    .record(z.string(), z.number())
    .describe("How many rows of each kind were compared, of the whole instance"),
  discrepancies: z.array(discrepancy).describe("Of the caller's organisation and of no organisation, at most 100"),
  discrepancy_count: z.number().describe("Of the whole instance"),
});
/** What the ledger last proved, newest first. */
export const proofs = z.object({ data: z.array(proof), standing });
export const proofWanted = strict({
  kind: z
    .enum(["whole", "incremental"])
    .default("whole")
    .describe("incremental: what was posted since the proof before, and counters; whole: everything"),
});

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
    tokens: tokens.describe(
      "Prompt and output that calls did not use because they were given the answer of an identical call",
    ),
  }),
  first_token_ms: z.object({ p50: z.number().nullable(), p90: z.number().nullable(), p99: z.number().nullable() }),
  runs: z.object({ running: z.number(), waiting: z.number(), completed: z.number(), failed: z.number() }),
  outcomes: z.object({ passed: z.number(), failed: z.number(), pass_rate: z.number().nullable() }),
  money: z.object({
    revenue_nano: nano,
    cost_nano: nano,
    margin_nano: nano,
    suspense_nano: nano.describe("What engines claimed beyond what was held; not part of the cost"),
  }),
  series: z.array(point).describe("Equal steps over the range, oldest first"),
  previous: z
    .object({ calls: z.number(), tokens: z.number(), cost_nano: nano, revenue_nano: nano })
    .describe("The period of equal length before"),
});
export const overviewQuery = strict({
  range: z.enum(["1h", "24h", "7d", "30d"]).default("24h"),
  ...afterFields,
});

export type Standing = z.infer<typeof standing>;
export type Proof = z.infer<typeof proof>;
export type Proofs = z.infer<typeof proofs>;
export type Bill = z.infer<typeof bill>;
export type BillLine = z.infer<typeof billLine>;
export type Overview = z.infer<typeof overview>;
