// Arithmetic of money: bigint nano-units in, bigint nano-units out, one rounding rule. No floating point touches an amount.
import { LineshaftError } from "../errors/index.ts";
import type { RateCard, TokenCounts } from "./types.ts";

const nanoPerUnit = 1_000_000_000n;
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

/** Parses "5", "5.00" or "0.000001" into nano-units. Throws LineshaftError `invalid_amount` for anything else. */
export function parseMoney(text: string): bigint {
  const match = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text.trim());
  if (!match)
    throw new LineshaftError({
      code: "invalid_amount",
      message: `"${text}" is not an amount. Write units with a dot, such as 5 or 5.00.`,
    });
  return BigInt(match[1]!) * nanoPerUnit + BigInt((match[2] ?? "").padEnd(9, "0"));
}

/** Units that amounts are written in, largest first, with the smallest nano amount that is written in each. */
const units = [
  { prefix: "", from: nanoPerUnit / 100n, nano: nanoPerUnit },
  { prefix: "m", from: 1_000_000n, nano: 1_000_000n },
  { prefix: "µ", from: 1_000n, nano: 1_000n },
  { prefix: "n", from: 1n, nano: 1n },
] as const;

/**
 * "5.00 USD", "0.0500 USD", "4.71 µUSD": three significant figures. Amounts of a hundredth of the currency's unit and more are written in
 * that unit, smaller ones with the prefix that leaves no leading zeros; amounts of one unit and more have two decimals. The console
 * writes amounts in the same way (console/format.ts). `down` rounds towards zero, so that a budget never shows more than is left.
 */
export function formatMoney(nano: bigint, currency: string, rounding: "nearest" | "down" = "nearest"): string {
  const exact = nano < 0n ? -nano : nano;
  if (exact === 0n) return `0.00 ${currency}`;
  // Three figures first: 0.9999 is written as 1.00 and not as 1.000.
  const figure = 10n ** BigInt(Math.max(0, exact.toString().length - 3));
  const round = (of: bigint, step: bigint) => ((of + (rounding === "down" ? 0n : step / 2n)) / step) * step;
  const size = round(exact, figure);
  const unit = units.find(({ from }) => size >= from)!;
  const before = size.toString().length - unit.nano.toString().length + 1;
  const decimals = unit.prefix === "n" ? 0 : Math.max(unit.prefix === "" ? 2 : 0, 3 - before);
  const scale = 10n ** BigInt(decimals);
  const digits = round(exact * scale, unit.nano) / unit.nano;
  const fraction = decimals === 0 ? "" : `.${(digits % scale).toString().padStart(decimals, "0")}`;
  return `${nano < 0n ? "-" : ""}${digits / scale}${fraction} ${unit.prefix}${currency}`;
}
