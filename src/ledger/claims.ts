// What is billed of the usage that an engine claims. A hold is computed from the most tokens that a call could use. An engine that claims
// more has ignored its limit, counts tokens in another way, or lies, so the budget pays at most the hold and the rest of the claim goes
// to suspense. The billed tokens are cut too, so that their price by the rate card is the billed amount.
import { promptTokensPlausible, suspenseNanoMost } from "./limits.ts";
import { priceOf } from "./money.ts";
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
  const claimed = countable(claim);
  const claimedNano = priceOf(claimed, card);
  const atMost = (bound: MostTokens): TokenCounts => {
    const promptTokens = Math.min(claimed.promptTokens, bound.promptTokens);
    return {
      promptTokens,
      cachedTokens: Math.min(claimed.cachedTokens, promptTokens),
      outputTokens: Math.min(claimed.outputTokens, bound.outputTokens),
    };
  };
  let tokens = atMost({ promptTokens: claimed.promptTokens, outputTokens: most.outputTokens });
  if (claimed.promptTokens > promptTokensPlausible || priceOf(tokens, card) > heldNano) tokens = atMost(most);
  const price = priceOf(tokens, card);
  const amountNano = price < heldNano ? price : heldNano;
  const rest = claimedNano - amountNano;
  const over = tokens.promptTokens < claimed.promptTokens || tokens.outputTokens < claimed.outputTokens;
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

/** Whole numbers from 0 to 2^53 - 1, with at most as many cached tokens as prompt tokens. A value that is no number counts as 0. */
function countable(claim: TokenCounts): TokenCounts {
  const promptTokens = count(claim.promptTokens);
  return {
    promptTokens,
    cachedTokens: Math.min(count(claim.cachedTokens), promptTokens),
    outputTokens: count(claim.outputTokens),
  };
}

const count = (value: number): number => (value > 0 ? Math.min(Math.round(value), Number.MAX_SAFE_INTEGER) : 0);
