// Prices of models over time, how a price comes about, and what is done where a model has none.
import { createRoute, z } from "@hono/zod-openapi";
import { LineshaftError } from "../../errors/index.ts";
import { setPrices } from "../../gateway/prices.ts";
import { batchCard, priceLines, priceOf, worstCase, type RateCard, type TokenCounts } from "../../ledger/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import { card, cardSet, cardsQuery, priceAsked, priceExplained } from "../../contract/index.ts";
import { unknownPrice, unknownPriceSet } from "../../contract/index.ts";
import { cardResource, newPrices } from "../resources/price.ts";

const tags = ["Prices"];
const list = createRoute({
  method: "get",
  path: "/api/prices",
  authorise: action("prices.read", ofOrganisation),
  tags,
  summary: "Rate cards that are valid or planned, or all versions of one model's, newest first; at most a thousand",
  request: { query: cardsQuery },
  responses: answers("The cards", z.object({ data: z.array(card), next_cursor: z.null() })),
});
const set = createRoute({
  method: "put",
  path: "/api/prices",
  authorise: action("prices.set", ofOrganisation),
  tags,
  summary: "Set the prices of a model, from now on or for a time",
  description:
    "A call is priced by the card that is valid when it is held: of several the one that began last, and of those that began together the newest. Prices that are the valid ones already add no version.",
  request: { body: { required: true, content: { "application/json": { schema: cardSet } } } },
  responses: answers("The card", card, 400),
});
const explain = createRoute({
  method: "post",
  path: "/api/prices/explain",
  authorise: action("prices.read", ofOrganisation),
  tags,
  summary: "What a use of a model costs now, line by line",
  request: { body: { required: true, content: { "application/json": { schema: priceAsked } } } },
  responses: answers("The lines and their sum", priceExplained, 400),
});
const readUnknown = createRoute({
  method: "get",
  path: "/api/prices/unknown",
  authorise: action("prices.read", ofOrganisation),
  tags,
  summary: "What is done with calls of models without a price",
  responses: answers("The rule", unknownPrice),
});
const setUnknown = createRoute({
  method: "put",
  path: "/api/prices/unknown",
  authorise: action("prices.set", ofOrganisation),
  tags,
  summary: "Refuse calls of models without a price, or bill them by another model's card as estimates",
  request: { body: { required: true, content: { "application/json": { schema: unknownPriceSet } } } },
  responses: answers("The rule", unknownPrice, 400),
});

export function priceRoutes({ ledger, alarms }: ServerDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const cards = await ledger.listRateCards(c.var.principal.organisation, c.req.valid("query").model);
      return c.json({ data: cards.map((one) => cardResource(one.card, one.state)), next_cursor: null }, 200);
    })
    .openapi(readUnknown, async (c) => c.json(await ledger.unknownPrice(c.var.principal.organisation), 200))
    .openapi(setUnknown, async (c) => {
      const policy = c.req.valid("json");
      await ledger.setUnknownPrice(c.var.principal.organisation, policy);
      return c.json(policy, 200);
    })
    .openapi(explain, async (c) => {
      const { model, batch, ...asked } = c.req.valid("json");
      const current = await ledger.currentRateCard(c.var.principal.organisation, model);
      if (!current) throw unpriced(model);
      const priced = batch ? batchCard(current) : current;
      if (!priced) throw noBatchPrice(model);
      const tokens: TokenCounts = {
        promptTokens: asked.prompt_tokens,
        cachedTokens: asked.cached_tokens,
        outputTokens: asked.output_tokens,
        cacheWriteTokens: asked.cache_write_tokens,
        cacheWriteLongTokens: asked.cache_write_long_tokens,
        reasoningTokens: asked.reasoning_tokens,
        ...(asked.units && { units: asked.units }),
      };
      return c.json({ card: cardResource(current, "valid"), ...explained(tokens, priced) }, 200);
    })
    .openapi(set, async (c) => {
      const { principal } = c.var;
      const { model, ...sent } = c.req.valid("json");
      const made = await setPrices({ ledger, alarms }, principal, model, newPrices(sent));
      const cards = await ledger.listRateCards(principal.organisation, model);
      return c.json(cardResource(made, cards.find(({ card: { id } }) => id === made.id)?.state ?? "replaced"), 200);
    });
}

/** The lines of a price and their sum. Throws a 400 for counts that cannot be. */
function explained(tokens: TokenCounts, priced: RateCard) {
  try {
    const tier = (priced.tiers ?? []).findLast(({ abovePromptTokens }) => tokens.promptTokens > abovePromptTokens);
    const bound = { promptTokens: tokens.promptTokens, maxOutputTokens: tokens.outputTokens };
    return {
      above_prompt_tokens: tier?.abovePromptTokens ?? null,
      lines: priceLines(tokens, priced).map(({ kind, count, nanoPerMillion }) => ({
        kind,
        count,
        nano_per_million: nanoPerMillion.toString(),
        millionths_nano: (BigInt(count) * nanoPerMillion).toString(),
      })),
      amount_nano: priceOf(tokens, priced).toString(),
      held_nano: worstCase({ ...bound, ...(tokens.units && { units: tokens.units }) }, priced).toString(),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new LineshaftError({
      code: "invalid_value",
      message: `The counts have no price: ${error.message}.`,
      hint: "Cached and written tokens are parts of the prompt, reasoning is a part of the output, and units must be on the card.",
    });
  }
}

function unpriced(model: string): LineshaftError {
  return new LineshaftError({
    code: "model_unpriced",
    message: `The model ${model} has no price that is valid now.`,
    param: "model",
    hint: `Set one: npx lineshaft prices set ${model} --price-in N --price-out N; 0 is a price.`,
  });
}

function noBatchPrice(model: string): LineshaftError {
  return new LineshaftError({
    code: "batch_unpriced",
    message: `The model ${model} has no prices of batch jobs.`,
    param: "batch",
    hint: `Set them: npx lineshaft prices set ${model} with --price-batch.`,
  });
}
