// Rate cards as /api shows and takes them: the only mapping from and to the ledger's.
import type { CardResource, PriceResource, PriceSet } from "../../contract/index.ts";
import type { NewPrices } from "../../gateway/prices.ts";
import { discounted, type CardState, type RateCard } from "../../ledger/index.ts";

type Prices = Pick<
  RateCard,
  | "inputNanoPerMillion"
  | "cachedNanoPerMillion"
  | "outputNanoPerMillion"
  | "cacheWriteNanoPerMillion"
  | "cacheWriteLongNanoPerMillion"
  | "reasoningNanoPerMillion"
>;
type Table = Prices & Pick<RateCard, "tiers">;
type NewTable = Pick<PriceSet, keyof TableFields>;
interface TableFields extends PriceFields {
  tiers: unknown;
}
interface PriceFields {
  input_nano_per_million: unknown;
  cached_nano_per_million: unknown;
  output_nano_per_million: unknown;
  cache_write_nano_per_million: unknown;
  cache_write_long_nano_per_million: unknown;
  reasoning_nano_per_million: unknown;
}

export function priceResource(card: RateCard): PriceResource {
  const resource: PriceResource = { currency: card.currency, ...tableResource(card) };
  if (card.callNano !== undefined) resource.call_nano = card.callNano.toString();
  if (card.unitsNano)
    resource.units_nano = Object.fromEntries(Object.entries(card.unitsNano).map(([name, nano]) => [name, `${nano}`]));
  if (card.batch) resource.batch = tableResource(card.batch);
  if (card.validFrom) resource.valid_from = card.validFrom.toISOString();
  if (card.validUntil) resource.valid_until = card.validUntil.toISOString();
  if (card.estimate) resource.estimate = true;
  return resource;
}

export function cardResource(card: RateCard, state: CardState): CardResource {
  return { id: card.id, model: card.model, version: card.version, state, ...priceResource(card) };
}

/** Prices as they were sent, as the ledger takes them. Tiers may be sent in any order. */
export function newPrices(sent: PriceSet & { valid_from?: string; valid_until?: string }): NewPrices {
  const table = tableOf(sent);
  const prices: NewPrices = { currency: sent.currency, ...table };
  if (sent.call_nano !== undefined) prices.callNano = BigInt(sent.call_nano);
  if (sent.units_nano)
    prices.unitsNano = Object.fromEntries(
      Object.entries(sent.units_nano).map(([name, nano]) => [name, BigInt(nano)] as const),
    );
  if (sent.batch)
    prices.batch =
      "discount_percent" in sent.batch ? discounted(table, sent.batch.discount_percent) : tableOf(sent.batch);
  if (sent.valid_from !== undefined) prices.validFrom = new Date(sent.valid_from);
  if (sent.valid_until !== undefined) prices.validUntil = new Date(sent.valid_until);
  return prices;
}

function tableOf(sent: NewTable): Table {
  const table: Table = pricesOf(sent);
  if (sent.tiers)
    table.tiers = sent.tiers
      .toSorted((a, b) => a.above_prompt_tokens - b.above_prompt_tokens)
      .map((tier) => ({ abovePromptTokens: tier.above_prompt_tokens, ...pricesOf(tier) }));
  return table;
}

function pricesOf(sent: Omit<NewTable, "tiers">): Prices {
  const prices: Prices = {
    inputNanoPerMillion: BigInt(sent.input_nano_per_million),
    cachedNanoPerMillion: BigInt(sent.cached_nano_per_million ?? sent.input_nano_per_million),
    outputNanoPerMillion: BigInt(sent.output_nano_per_million),
  };
  if (sent.cache_write_nano_per_million !== undefined)
    prices.cacheWriteNanoPerMillion = BigInt(sent.cache_write_nano_per_million);
  if (sent.cache_write_long_nano_per_million !== undefined)
    prices.cacheWriteLongNanoPerMillion = BigInt(sent.cache_write_long_nano_per_million);
  if (sent.reasoning_nano_per_million !== undefined)
    prices.reasoningNanoPerMillion = BigInt(sent.reasoning_nano_per_million);
  return prices;
}

function tableResource(table: Table) {
  return {
    ...pricesResource(table),
    ...(table.tiers && {
      tiers: table.tiers.map((tier) => ({ above_prompt_tokens: tier.abovePromptTokens, ...pricesResource(tier) })),
    }),
  };
}

function pricesResource(of: Prices) {
  return {
    input_nano_per_million: of.inputNanoPerMillion.toString(),
    cached_nano_per_million: of.cachedNanoPerMillion.toString(),
    output_nano_per_million: of.outputNanoPerMillion.toString(),
    ...(of.cacheWriteNanoPerMillion !== undefined && {
      cache_write_nano_per_million: of.cacheWriteNanoPerMillion.toString(),
    }),
    ...(of.cacheWriteLongNanoPerMillion !== undefined && {
      cache_write_long_nano_per_million: of.cacheWriteLongNanoPerMillion.toString(),
    }),
    ...(of.reasoningNanoPerMillion !== undefined && {
      reasoning_nano_per_million: of.reasoningNanoPerMillion.toString(),
    }),
  };
}
