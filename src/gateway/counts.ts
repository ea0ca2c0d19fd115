// What of an engine's usage is priced, and what the price makes of where it comes from.
import type { Usage } from "../engines/index.ts";
import type { RateCard, SettlementRequest, TokenCounts } from "../ledger/index.ts";

/** What is priced of a usage. */
export function countsOf(usage: Usage): TokenCounts {
  const { promptTokens, cachedTokens, cacheWriteTokens, cacheWriteLongTokens, outputTokens, reasoningTokens, units } =
    usage;
  const counts: TokenCounts = { promptTokens, cachedTokens, outputTokens };
  if (cacheWriteTokens) counts.cacheWriteTokens = cacheWriteTokens;
  if (cacheWriteLongTokens) counts.cacheWriteLongTokens = cacheWriteLongTokens;
  if (reasoningTokens) counts.reasoningTokens = reasoningTokens;
  if (units) counts.units = units;
  return counts;
}

/** Where what is billed comes from: with the price of another model even a usage that the engine reported is billed by an estimate. */
export const sourceOf = (card: RateCard, source: SettlementRequest["usageSource"]): SettlementRequest["usageSource"] =>
  card.estimate ? "estimated" : source;
