// What is billed of the usage that an engine claims. A hold is computed from the most tokens that a call could use. An engine that claims
// more has ignored its limit, counts tokens in another way, or lies, so the budget pays at most the hold and the rest of the claim goes
// to suspense. The billed tokens are cut too, so that their price by the rate card is the billed amount.
import { promptTokensPlausible, suspenseNanoMost } from "./limits.ts";
import { priceOf } from "./pricing.ts";
import type { MostTokens, RateCard, TokenCounts } from "./types.ts";

export interface Billable {
  /** Tokens that are billed: `amountNano` is their price. */
  tokens: TokenCounts;
  amountNano: bigint;
  /** Price of what was claimed beyond it, bounded. */
  suspenseNano: bigint;
  /** The claim, where it is not what is billed. */
  claimed: TokenCounts | undefined;
}

/**
 * Pure and total: whatever the counts are, the amount is at most `heldNano`, and every number fits its column.
 * A claim within the hold is billed as it is, also where its prompt is a little longer than the bound: output that was not used
 * leaves room for that. Output is never more than was asked for, since that limit was sent to the engine.
 */
export function billable(claim: TokenCounts, most: MostTokens, heldNano: bigint, card: RateCard): Billable {
  const claimed = countable(claim, card);
  const claimedNano = priceOf(claimed, card);
  const atMost = (bound: MostTokens): TokenCounts =>
    within({
      ...claimed,
      promptTokens: Math.min(claimed.promptTokens, bound.promptTokens),
      outputTokens: Math.min(claimed.outputTokens, bound.outputTokens),
      ...(claimed.units && { units: fewer(claimed.units, bound.units) }),
    });
  let tokens = atMost({ ...most, promptTokens: claimed.promptTokens });
  if (claimed.promptTokens > promptTokensPlausible || priceOf(tokens, card) > heldNano) tokens = atMost(most);
  const price = priceOf(tokens, card);
  const amountNano = price < heldNano ? price : heldNano;
  // A longer prompt may fall into a cheaper tier, so that what is claimed costs less than what is billed: nothing is owed then.
  const rest = claimedNano > amountNano ? claimedNano - amountNano : 0n;
  const over =
    tokens.promptTokens < claimed.promptTokens ||
    tokens.outputTokens < claimed.outputTokens ||
    Object.entries(claimed.units ?? {}).some(([name, units]) => units > tokens.units![name]!);
  return {
    tokens,
    amountNano,
    suspenseNano: rest < suspenseNanoMost ? rest : suspenseNanoMost,
    claimed: over ? claimed : undefined,
  };
}

/** Bills nothing where an engine accepted a request and gave no answer; the price of `tokens`, which it may charge, goes to suspense. */
export function unanswered(tokens: TokenCounts, card: RateCard): Billable {
  return billable(tokens, { promptTokens: 0, outputTokens: 0 }, 0n, card);
}

/**
 * The claim in whole numbers from 0 to 2^53 - 1, its parts within their wholes. A value that is no number counts as 0. Units that the card
 * does not name were not held, because a hold for them is refused, so they are left out.
 */
function countable(claim: TokenCounts, card: RateCard): TokenCounts {
  const units = Object.entries(claim.units ?? {}).filter(([name]) => card.unitsNano?.[name] !== undefined);
  return within({
    promptTokens: count(claim.promptTokens),
    cachedTokens: count(claim.cachedTokens),
    outputTokens: count(claim.outputTokens),
    ...(claim.cacheWriteTokens !== undefined && { cacheWriteTokens: count(claim.cacheWriteTokens) }),
    ...(claim.cacheWriteLongTokens !== undefined && { cacheWriteLongTokens: count(claim.cacheWriteLongTokens) }),
    ...(claim.reasoningTokens !== undefined && { reasoningTokens: count(claim.reasoningTokens) }),
    ...(units.length > 0 && { units: Object.fromEntries(units.map(([name, used]) => [name, count(used)])) }),
  });
}

/** The counts with every part cut to what its whole leaves for it: cached tokens first, then writes, of the prompt. */
function within(counts: TokenCounts): TokenCounts {
  const cachedTokens = Math.min(counts.cachedTokens, counts.promptTokens);
  let left = counts.promptTokens - cachedTokens;
  const cut: TokenCounts = { ...counts, cachedTokens };
  for (const part of ["cacheWriteTokens", "cacheWriteLongTokens"] as const) {
    if (counts[part] === undefined) continue;
    cut[part] = Math.min(counts[part], left);
    left -= cut[part];
  }
  if (counts.reasoningTokens !== undefined) cut.reasoningTokens = Math.min(counts.reasoningTokens, counts.outputTokens);
  return cut;
}

const fewer = (units: Readonly<Record<string, number>>, most: Readonly<Record<string, number>> = {}) =>
  Object.fromEntries(Object.entries(units).map(([name, used]) => [name, Math.min(used, most[name] ?? 0)]));

const count = (value: number): number => (value > 0 ? Math.min(Math.round(value), Number.MAX_SAFE_INTEGER) : 0);
