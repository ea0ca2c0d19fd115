// What a use of a model costs by a rate card. Pure: bigint nano-units in and out, and one rounding, half up, of the total.
//
// Providers price a whole call by the size of its prompt: one token above 200,000 (Gemini) or 272,000 (OpenAI) moves every token of the
// call to the dearer prices, output and cached tokens included; it is no marginal rate on the tokens above. The prompt is counted with
// what the cache gave. Sources: ai.google.dev/gemini-api/docs/pricing, developers.openai.com/api/docs/pricing, and LiteLLM's
// `_get_token_base_cost`, which replaces the base price in the same way (its users found tiers under-priced: BerriAI/litellm #30135,
// #40002, #26672; comet-ml/opik #6982).
import type { MostTokens, PriceTable, RateCard, TokenCounts, TokenPrices } from "./types.ts";

const perMillion = 1_000_000n;

/** What a line of a bill counts. `unit:NAME` is a unit that is not tokens. */
type PricedKind =
  | "input"
  | "cached"
  | "cache_write"
  | "cache_write_long"
  | "output"
  | "reasoning"
  | "call"
  | `unit:${string}`;

/** One line of a price: `count` times `nanoPerMillion` is millionths of nano-units. The fee of a call and units are such prices too. */
interface PriceLine {
  kind: PricedKind;
  count: number;
  nanoPerMillion: bigint;
}

/**
 * The lines that a price is the sum of, without those that count nothing. Throws RangeError on counts that cannot be, and for a unit
 * that the card has no price for: an unknown price is never zero.
 */
export function priceLines(tokens: TokenCounts, card: RateCard): PriceLine[] {
  const lines: PriceLine[] = [];
  eachLine(tokens, card, (kind, count, nanoPerMillion) => lines.push({ kind, count, nanoPerMillion }));
  return lines;
}

/** Price of a use by a rate card, in nano-units, rounded half up once. Throws as `priceLines` does. */
export function priceOf(tokens: TokenCounts, card: RateCard): bigint {
  let total = 0n;
  eachLine(tokens, card, (_kind, count, nanoPerMillion) => (total += BigInt(count) * nanoPerMillion));
  return roundedHalfUp(total);
}

/** Calls `take` for each line that counts anything. */
function eachLine(
  tokens: TokenCounts,
  card: RateCard,
  take: (kind: PricedKind, count: number, nanoPerMillion: bigint) => void,
): void {
  const { promptTokens, cachedTokens, outputTokens, units } = tokens;
  const { cacheWriteTokens = 0, cacheWriteLongTokens = 0, reasoningTokens = 0 } = tokens;
  checkCount("promptTokens", promptTokens);
  checkCount("cachedTokens", cachedTokens);
  checkCount("cacheWriteTokens", cacheWriteTokens);
  checkCount("cacheWriteLongTokens", cacheWriteLongTokens);
  checkCount("outputTokens", outputTokens);
  checkCount("reasoningTokens", reasoningTokens);
  const uncached = promptTokens - cachedTokens - cacheWriteTokens - cacheWriteLongTokens;
  if (uncached < 0)
    throw new RangeError(
      `cachedTokens (${cachedTokens}) and cache writes (${cacheWriteTokens + cacheWriteLongTokens}) cannot exceed promptTokens (${promptTokens})`,
    );
  if (reasoningTokens > outputTokens)
    throw new RangeError(`reasoningTokens (${reasoningTokens}) cannot exceed outputTokens (${outputTokens})`);
  const prices = pricesFor(promptTokens, card);
  let anything = false;
  const line = (kind: PricedKind, count: number, nanoPerMillion: bigint) => {
    if (count === 0) return;
    anything = true;
    take(kind, count, nanoPerMillion);
  };
  line("input", uncached, prices.inputNanoPerMillion);
  line("cached", cachedTokens, prices.cachedNanoPerMillion);
  line("cache_write", cacheWriteTokens, cacheWritePrice(prices));
  line("cache_write_long", cacheWriteLongTokens, cacheWriteLongPrice(prices));
  line("output", outputTokens - reasoningTokens, prices.outputNanoPerMillion);
  line("reasoning", reasoningTokens, reasoningPrice(prices));
  if (units) for (const { kind, count, nanoPerMillion } of unitLines(units, card)) line(kind, count, nanoPerMillion);
  if (anything && card.callNano !== undefined) take("call", 1, card.callNano * perMillion);
}

/**
 * The most that any use within a bound can cost, whatever of its prompt is cached, written or computed, whatever of its output is
 * reasoning, and whichever tier its prompt falls into: a smaller prompt may be dearer where a tier is cheaper. It never falls when a
 * bound grows, so the price of a further window of output is the difference of two worst cases, and windows add up to the whole.
 */
export function worstCase(
  {
    promptTokens,
    maxOutputTokens,
    units,
  }: { promptTokens: number; maxOutputTokens: number } & Pick<MostTokens, "units">,
  card: RateCard,
): bigint {
  checkCount("promptTokens", promptTokens);
  checkCount("maxOutputTokens", maxOutputTokens);
  let worst = 0n;
  const output = BigInt(maxOutputTokens);
  for (const { above, upTo, ofPrompt, ofOutput } of dearest(card)) {
    if (promptTokens <= above) break;
    const total = BigInt(promptTokens < upTo ? promptTokens : upTo) * ofPrompt + output * ofOutput;
    if (total > worst) worst = total;
  }
  let anything = promptTokens > 0 || maxOutputTokens > 0;
  if (units)
    for (const { count, nanoPerMillion } of unitLines(units, card)) {
      worst += BigInt(count) * nanoPerMillion;
      anything ||= count > 0;
    }
  if (anything && card.callNano !== undefined) worst += card.callNano * perMillion;
  return roundedHalfUp(worst);
}

/** The dearest prices of one tier, and the prompts that it prices: longer than `above` tokens, up to `upTo`. */
interface Dearest {
  above: number;
  upTo: number;
  ofPrompt: bigint;
  ofOutput: bigint;
}

/** Cards do not change, and one of them prices many calls: a worst case is asked for several times in each. */
const dearestKnown = new WeakMap<PriceTable, Dearest[]>();

/** The tiers of a card in the order of their prompts; the first is the card's own prices, for every prompt. */
function dearest(card: PriceTable): Dearest[] {
  const known = dearestKnown.get(card);
  if (known) return known;
  const { tiers = [] } = card;
  const made = [{ ...card, abovePromptTokens: -1 }, ...tiers].map((prices, place) => ({
    above: prices.abovePromptTokens,
    upTo: tiers[place]?.abovePromptTokens ?? Infinity,
    ofPrompt: dearestOfPrompt(prices),
    ofOutput: dearestOfOutput(prices),
  }));
  dearestKnown.set(card, made);
  return made;
}

/** The card that prices a batch job: the batch prices in place of the others. Undefined where the card has none. */
export function batchCard({ batch, tiers: _interactive, ...card }: RateCard): RateCard | undefined {
  if (!batch) return undefined;
  const { cacheWriteNanoPerMillion: _short, cacheWriteLongNanoPerMillion: _long, ...rest } = card;
  const { reasoningNanoPerMillion: _reasoning, ...others } = rest;
  return { ...others, ...batch };
}

/** Prices after a discount, for a provider that names its batch prices as one. Each price is rounded half up to a nano per million. */
export function discounted({ tiers, ...base }: PriceTable, percent: number): PriceTable {
  const of = (price: bigint) => (price * BigInt(100 - percent) + 50n) / 100n;
  const pricesAt = (prices: TokenPrices): TokenPrices => ({
    inputNanoPerMillion: of(prices.inputNanoPerMillion),
    cachedNanoPerMillion: of(prices.cachedNanoPerMillion),
    outputNanoPerMillion: of(prices.outputNanoPerMillion),
    cacheWriteNanoPerMillion: of(cacheWritePrice(prices)),
    cacheWriteLongNanoPerMillion: of(cacheWriteLongPrice(prices)),
    reasoningNanoPerMillion: of(reasoningPrice(prices)),
  });
  if (!tiers) return pricesAt(base);
  return {
    ...pricesAt(base),
    tiers: tiers.map((tier) => ({ abovePromptTokens: tier.abovePromptTokens, ...pricesAt(tier) })),
  };
}

/** The prices of a call by its prompt's size. */
function pricesFor(promptTokens: number, table: PriceTable): TokenPrices {
  let prices: TokenPrices = table;
  for (const tier of table.tiers ?? []) if (promptTokens > tier.abovePromptTokens) prices = tier;
  return prices;
}

const cacheWritePrice = (prices: TokenPrices): bigint => prices.cacheWriteNanoPerMillion ?? prices.inputNanoPerMillion;
const cacheWriteLongPrice = (prices: TokenPrices): bigint =>
  prices.cacheWriteLongNanoPerMillion ?? cacheWritePrice(prices);
const reasoningPrice = (prices: TokenPrices): bigint => prices.reasoningNanoPerMillion ?? prices.outputNanoPerMillion;

const dearestOfPrompt = (prices: TokenPrices): bigint =>
  most(prices.inputNanoPerMillion, prices.cachedNanoPerMillion, cacheWritePrice(prices), cacheWriteLongPrice(prices));
const dearestOfOutput = (prices: TokenPrices): bigint => most(prices.outputNanoPerMillion, reasoningPrice(prices));

const most = (...prices: bigint[]): bigint => prices.reduce((a, b) => (a > b ? a : b));

function unitLines(units: Readonly<Record<string, number>>, card: RateCard): PriceLine[] {
  return Object.entries(units).map(([name, count]) => {
    checkCount(name, count);
    const nano = card.unitsNano?.[name];
    if (nano === undefined) throw new RangeError(`the price of ${card.model} names no unit ${name}`);
    return { kind: `unit:${name}` as const, count, nanoPerMillion: nano * perMillion };
  });
}

function checkCount(name: string, count: number): void {
  if (!Number.isSafeInteger(count) || count < 0)
    throw new RangeError(`${name} must be a whole number from 0 on, not ${count}`);
}

const roundedHalfUp = (millionths: bigint): bigint => (millionths + perMillion / 2n) / perMillion;
