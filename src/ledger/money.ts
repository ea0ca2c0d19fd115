// Amounts of money as text: bigint nano-units in, bigint nano-units out. No floating point touches an amount.
import { LineshaftError } from "../errors/index.ts";

const nanoPerUnit = 1_000_000_000n;

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
