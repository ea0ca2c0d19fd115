// The bill, and the figures of the overview.
import { z } from "@hono/zod-openapi";
import { idText, moment, nano, strict, time, tokens } from "./common.ts";

export const billQuery = strict({
  from: moment.optional().describe("First moment included; the beginning by default"),
  to: moment.optional().describe("First moment not included; now by default"),
  agent: idText.optional(),
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
export const bill = z.object({
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
export const overviewQuery = strict({ range: z.enum(["1h", "24h", "7d", "30d"]).default("24h") });

export type Bill = z.infer<typeof bill>;
export type BillLine = z.infer<typeof billLine>;
export type Overview = z.infer<typeof overview>;
