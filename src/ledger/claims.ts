// What is billed of an engine's claim. A hold was computed from the most tokens that a call could use, so a claim beyond it is not
// the budget's to pay: the engine has ignored its limit, counts otherwise than we do, or lies. The budget pays up to the hold, in
// tokens that the rate card turns into that very amount; the rest of the claim goes to suspense.
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

/** What is billed where an engine accepted a request and gave no answer: nothing. What it may charge all the same is in suspense. */
export function unanswered(tokens: TokenCounts, card: RateCard): Billable {
  return billable(tokens, { promptTokens: 0, outputTokens: 0 }, 0n, card);
}

/** Whole numbers from 0 to 2^53 - 1, cached tokens a part of the prompt's: what is no number counts as nothing. */
function countable(claim: TokenCounts): TokenCounts {
  const promptTokens = count(claim.promptTokens);
  return {
    promptTokens,
    cachedTokens: Math.min(count(claim.cachedTokens), promptTokens),
    outputTokens: count(claim.outputTokens),
  };
}

const count = (value: number): number => (value > 0 ? Math.min(Math.round(value), Number.MAX_SAFE_INTEGER) : 0);
