// Arithmetic of money: bigint nano-units in, bigint nano-units out, one rounding rule. No floating point touches an amount.
import type { RateCard, TokenCounts } from "./types.ts";

export const nanoPerUnit = 1_000_000_000n;
const perMillion = 1_000_000n;

/** Price of tokens by a rate card, rounded half up once, at the end. Throws RangeError on counts that cannot be. */
export function priceOf(tokens: TokenCounts, card: RateCard): bigint {
  for (const [name, count] of Object.entries(tokens)) {
    if (!Number.isSafeInteger(count) || count < 0)
      throw new RangeError(`${name} must be a whole number from 0 on, not ${count}`);
  }
  if (tokens.cachedTokens > tokens.promptTokens)
    throw new RangeError(`cachedTokens (${tokens.cachedTokens}) cannot exceed promptTokens (${tokens.promptTokens})`);
  const total =
    BigInt(tokens.promptTokens - tokens.cachedTokens) * card.inputNanoPerMillion +
    BigInt(tokens.cachedTokens) * card.cachedNanoPerMillion +
    BigInt(tokens.outputTokens) * card.outputNanoPerMillion;
  return (total + perMillion / 2n) / perMillion;
}

/** The most a call can cost: nothing of its prompt cached (or everything, were that dearer), every output token used. */
export function worstCase(call: { promptTokens: number; maxOutputTokens: number }, card: RateCard): bigint {
  const tokens = { promptTokens: call.promptTokens, outputTokens: call.maxOutputTokens };
  const uncached = priceOf({ ...tokens, cachedTokens: 0 }, card);
  const cached = priceOf({ ...tokens, cachedTokens: call.promptTokens }, card);
  return uncached > cached ? uncached : cached;
}

export class MoneyFormatError extends Error {
  readonly code = "invalid_amount";
}

/** Parses "5", "5.00" or "0.000001" into nano-units. */
export function parseMoney(text: string): bigint {
  const match = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text.trim());
  if (!match) throw new MoneyFormatError(`"${text}" is not an amount. Write units with a dot, such as 5 or 5.00.`);
  return BigInt(match[1]!) * nanoPerUnit + BigInt((match[2] ?? "").padEnd(9, "0"));
}

/** "5.00 USD", "0.000123 USD": two decimals, or as many as an amount under a tenth needs for three figures. */
export function formatMoney(nano: bigint, currency: string): string {
  const magnitude = nano < 0n ? -nano : nano;
  const digits = magnitude.toString().padStart(10, "0");
  const whole = digits.slice(0, -9);
  const fraction = digits.slice(-9);
  const firstFigure = fraction.search(/[1-9]/);
  const decimals = whole !== "0" || firstFigure < 1 ? 2 : Math.min(9, firstFigure + 3);
  // Cut, never rounded: what is shown as left is never more than there is.
  return `${nano < 0n ? "-" : ""}${whole}.${fraction.slice(0, decimals)} ${currency}`;
}
