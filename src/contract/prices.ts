// Prices of models: rate cards with tiers, cache writes, reasoning, fees, units and batch jobs, and how a price comes about.
import { z } from "@hono/zod-openapi";
import { moment, nano, priceNano, strict, time, wholeListQuery } from "./common.ts";

const names = {
  cached: "Of prompt tokens that the engine read from its cache",
  write: "Of prompt tokens that it wrote to a cache of the usual lifetime; the input price, when left out",
  writeLong:
    "Of prompt tokens that it wrote to a cache of the longer lifetime; the price of usual writes, when left out",
  reasoning: "Of output tokens of the model's reasoning; the output price, when left out",
  call: "Fee of a call, due once as soon as anything of it is billed",
  units: "Of one unit that is not tokens (image, second, search), by its name",
  from: "First moment at which it prices calls",
  until: "First moment at which it no longer does",
};
const perUnit = nano.refine((text) => !text.startsWith("-"), { message: "must not be negative" });
const unitName = z.string().regex(/^[a-z][a-z0-9_]{0,39}$/, "must be a lower-case name of at most 40 characters");
const abovePromptTokens = z
  .number()
  .int()
  .min(0)
  .max(100_000_000)
  .describe("A call whose prompt has more tokens, cached ones included, is priced by this tier whole");

const tokenPrices = {
  input_nano_per_million: nano,
  cached_nano_per_million: nano.describe(names.cached),
  output_nano_per_million: nano,
  cache_write_nano_per_million: nano.optional().describe(names.write),
  cache_write_long_nano_per_million: nano.optional().describe(names.writeLong),
  reasoning_nano_per_million: nano.optional().describe(names.reasoning),
};
const priceTable = {
  ...tokenPrices,
  tiers: z.array(z.object({ above_prompt_tokens: abovePromptTokens, ...tokenPrices })).optional(),
};
/** Prices as they are answered. */
export const price = z.object({
  currency: z.string(),
  ...priceTable,
  call_nano: nano.optional().describe(names.call),
  units_nano: z.record(z.string(), nano).optional().describe(names.units),
  batch: z.object(priceTable).optional().describe("Prices of batch jobs"),
  valid_from: time.optional().describe(names.from),
  valid_until: time.optional().describe(names.until),
  estimate: z.literal(true).optional().describe("The model has no price: the organisation's fallback prices its calls"),
});

const newPrices = {
  input_nano_per_million: priceNano,
  cached_nano_per_million: priceNano.optional().describe(`${names.cached}; the price of input, when left out`),
  output_nano_per_million: priceNano,
  cache_write_nano_per_million: priceNano.optional().describe(names.write),
  cache_write_long_nano_per_million: priceNano.optional().describe(names.writeLong),
  reasoning_nano_per_million: priceNano.optional().describe(names.reasoning),
};
const newTable = {
  ...newPrices,
  tiers: z
    .array(strict({ above_prompt_tokens: abovePromptTokens, ...newPrices }))
    .min(1)
    .max(16)
    .refine((tiers) => new Set(tiers.map((tier) => tier.above_prompt_tokens)).size === tiers.length, {
      message: "names a size twice",
    })
    .optional()
    .describe("A tier has all of its prices: what it leaves out is not taken from the prices below it"),
};
/** Prices as they are set. */
export const priceSet = strict({
  currency: z.string().regex(/^[A-Z]{3}$/, "must be three capital letters"),
  ...newTable,
  call_nano: perUnit.optional().describe(names.call),
  units_nano: z
    .record(unitName, perUnit)
    .refine((units) => Object.keys(units).length <= 32, { message: "names more than 32 units" })
    .optional()
    .describe(names.units),
  batch: z
    .union([
      strict({ discount_percent: z.number().int().min(1).max(100).describe("Off every price of tokens") }),
      strict(newTable),
    ])
    .optional()
    .describe("Prices of batch jobs, or a discount; without it requests of batches pay the usual prices"),
});
export const cardSet = strict({
  model: z
    .string()
    .min(1)
    .max(200)
    .describe("What callers write as `model`, or any name that others are to be priced by"),
  ...priceSet.shape,
  valid_from: moment.optional().describe(`${names.from}; the moment when it is set, when left out`),
  valid_until: moment.optional().describe(names.until),
}).refine((card) => !card.valid_until || Date.parse(card.valid_until) > Date.parse(card.valid_from ?? "1970-01-01"), {
  message: "must be later than valid_from",
  path: ["valid_until"],
});

export const card = price.extend({
  id: z.string(),
  model: z.string(),
  version: z.number(),
  state: z
    .enum(["valid", "planned", "replaced", "ended"])
    .describe("valid: prices calls now; planned: begins later; replaced: another card that is valid prices calls"),
});
export const cardsQuery = strict({
  ...wholeListQuery.shape,
  model: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe("All versions of this model's card, instead of those that are valid or planned"),
});

const counted = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
/** What a price is asked for. */
export const priceAsked = strict({
  model: z.string().min(1).max(200),
  prompt_tokens: counted.default(0).describe("All of the prompt, cached and written tokens included"),
  cached_tokens: counted.default(0),
  cache_write_tokens: counted.default(0),
  cache_write_long_tokens: counted.default(0),
  output_tokens: counted.default(0).describe("All of the output, reasoning included"),
  reasoning_tokens: counted.default(0),
  units: z.record(unitName, counted).optional(),
  batch: z.boolean().default(false).describe("As a batch job"),
});
export const priceExplained = z.object({
  card,
  above_prompt_tokens: z.number().nullable().describe("The tier that priced it; null: the prices of shorter prompts"),
  lines: z.array(
    z.object({
      kind: z.string().describe("input, cached, cache_write, cache_write_long, output, reasoning, call, or unit:NAME"),
      count: z.number(),
      nano_per_million: z.string().describe("Integer nano-units of a million of it"),
      millionths_nano: z.string().describe("Their product: integer millionths of nano-units, not rounded"),
    }),
  ),
  amount_nano: nano.describe("The sum of the lines, rounded half up once"),
  held_nano: nano.describe("What is held for a call of at most so many prompt and output tokens"),
});

/** What is done where a model has no price that is valid. */
export const unknownPrice = z.discriminatedUnion("rule", [
  z.object({ rule: z.literal("refuse") }),
  z.object({ rule: z.literal("hold_at"), fallback: z.string() }),
]);
export const unknownPriceSet = z.discriminatedUnion("rule", [
  strict({ rule: z.literal("refuse").describe("Calls of it are refused: model_unpriced") }),
  strict({
    rule: z.literal("hold_at").describe("It is priced as another model, recorded as an estimate, with an alarm"),
    fallback: z.string().min(1).max(200).describe("A model that has a price; it needs no engine of that name"),
  }),
]);

export type PriceResource = z.infer<typeof price>;
export type PriceSet = z.infer<typeof priceSet>;
export type CardResource = z.infer<typeof card>;
export type PriceExplained = z.infer<typeof priceExplained>;
export type UnknownPriceResource = z.infer<typeof unknownPrice>;
