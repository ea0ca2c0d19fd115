// A rate card as JSON and as a row. JSON has no bigint, so prices are decimal strings; a card that was written can be read by any
// later version, since absent prices mean what they mean in memory.
import { isDeepStrictEqual } from "node:util";
import type { PriceTable, PriceTier, RateCard, TokenPrices } from "./types.ts";

interface PricesRecord {
  input: string;
  cached: string;
  output: string;
  cache_write?: string;
  cache_write_long?: string;
  reasoning?: string;
}

interface TableRecord extends PricesRecord {
  tiers?: (PricesRecord & { above: number })[];
}

/** What a card has beyond its row's own columns: the column `more`. */
interface MoreRecord extends Omit<TableRecord, "input" | "cached" | "output"> {
  call?: string;
  units?: Record<string, string>;
  batch?: TableRecord;
}

/** A rate card as plain JSON. `cardOf` reads it. */
interface CardRecord extends TableRecord, MoreRecord {
  id: string;
  model: string;
  version: number;
  currency: string;
  valid_from?: string;
  valid_until?: string;
  estimate?: true;
}

/** A rate card as plain JSON, whole, so that its reader needs no database to price by it. */
export function cardRecord(card: RateCard): CardRecord {
  const { id, model, version, currency } = card;
  const record: CardRecord = { id, model, version, currency, ...tableRecord(card), ...moreRecord(card) };
  if (card.validFrom) record.valid_from = card.validFrom.toISOString();
  if (card.validUntil) record.valid_until = card.validUntil.toISOString();
  if (card.estimate) record.estimate = true;
  return record;
}

/** The card of a record that `cardRecord` made. Throws SyntaxError where a price is no whole number. */
export function cardOf(record: CardRecord): RateCard {
  const { id, model, version, currency } = record;
  const card: RateCard = { id, model, version, currency, ...tableOf(record) };
  if (record.call !== undefined) card.callNano = BigInt(record.call);
  if (record.units)
    card.unitsNano = Object.fromEntries(Object.entries(record.units).map(([name, nano]) => [name, BigInt(nano)]));
  if (record.batch) card.batch = tableOf(record.batch);
  if (record.valid_from !== undefined) card.validFrom = new Date(record.valid_from);
  if (record.valid_until !== undefined) card.validUntil = new Date(record.valid_until);
  if (record.estimate) card.estimate = true;
  return card;
}

/** A row of `rate_cards`, by the columns below. */
export interface RateCardRow {
  [column: string]: unknown;
  id: string;
  model: string;
  version: number;
  currency: string;
  input_nano_per_million: bigint;
  cached_nano_per_million: bigint;
  output_nano_per_million: bigint;
  more: MoreRecord;
  valid_from: Date | null;
  valid_until: Date | null;
}

/** Columns of a card, of `rate_cards c`. Cards of before there were moments of validity have been valid since ever. */
export const rateCardColumns = `c.id, c.model, c.version, c.currency, c.input_nano_per_million, c.cached_nano_per_million,
  c.output_nano_per_million, c.more, nullif(c.valid_from, '-infinity') as valid_from, c.valid_until`;

export function rateCardOf(row: RateCardRow): RateCard {
  const { id, model, version, currency, more, valid_from: from, valid_until: until } = row;
  const card = cardOf({
    id,
    model,
    version,
    currency,
    ...more,
    input: row.input_nano_per_million.toString(),
    cached: row.cached_nano_per_million.toString(),
    output: row.output_nano_per_million.toString(),
  });
  if (from) card.validFrom = from;
  if (until) card.validUntil = until;
  return card;
}

/** What a card prices by, without its name, version and validity. */
type Prices = Omit<RateCard, "id" | "model" | "version">;

/** Whether two cards price everything alike, in one currency. */
export function samePrices(a: Prices, b: Prices): boolean {
  const record = (card: Prices) => ({ ...tableRecord(card), ...moreRecord(card) });
  return a.currency === b.currency && isDeepStrictEqual(record(a), record(b));
}

/** The column `more` of a card. */
export function moreRecord(card: Prices): MoreRecord {
  const { input: _input, cached: _cached, output: _output, ...more }: TableRecord & MoreRecord = tableRecord(card);
  if (card.callNano !== undefined) more.call = card.callNano.toString();
  if (card.unitsNano)
    more.units = Object.fromEntries(Object.entries(card.unitsNano).map(([name, nano]) => [name, nano.toString()]));
  if (card.batch) more.batch = tableRecord(card.batch);
  return more;
}

function tableRecord(table: PriceTable): TableRecord {
  const record: TableRecord = pricesRecord(table);
  if (table.tiers) record.tiers = table.tiers.map((tier) => ({ above: tier.abovePromptTokens, ...pricesRecord(tier) }));
  return record;
}

function tableOf(record: TableRecord): PriceTable {
  const table: PriceTable = pricesOf(record);
  if (record.tiers)
    table.tiers = record.tiers.map((tier): PriceTier => ({ abovePromptTokens: tier.above, ...pricesOf(tier) }));
  return table;
}

function pricesRecord(prices: TokenPrices): PricesRecord {
  const record: PricesRecord = {
    input: prices.inputNanoPerMillion.toString(),
    cached: prices.cachedNanoPerMillion.toString(),
    output: prices.outputNanoPerMillion.toString(),
  };
  if (prices.cacheWriteNanoPerMillion !== undefined) record.cache_write = prices.cacheWriteNanoPerMillion.toString();
  if (prices.cacheWriteLongNanoPerMillion !== undefined)
    record.cache_write_long = prices.cacheWriteLongNanoPerMillion.toString();
  if (prices.reasoningNanoPerMillion !== undefined) record.reasoning = prices.reasoningNanoPerMillion.toString();
  return record;
}

function pricesOf(record: PricesRecord): TokenPrices {
  const prices: TokenPrices = {
    inputNanoPerMillion: BigInt(record.input),
    cachedNanoPerMillion: BigInt(record.cached),
    outputNanoPerMillion: BigInt(record.output),
  };
  if (record.cache_write !== undefined) prices.cacheWriteNanoPerMillion = BigInt(record.cache_write);
  if (record.cache_write_long !== undefined) prices.cacheWriteLongNanoPerMillion = BigInt(record.cache_write_long);
  if (record.reasoning !== undefined) prices.reasoningNanoPerMillion = BigInt(record.reasoning);
  return prices;
}
