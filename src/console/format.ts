// How numbers, money and times are written. Each has a compact form for reading and a full form for the tooltip. Money arrives as integer
// nano-units in strings, and is not turned into a float before it is rounded for display.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 1234567 -> "1,234,567" */
export const full = (value: number): string => whole.format(value);

/** 12412 -> "12.4k", 999 -> "999". Three significant digits from a thousand on. */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (size < 1000) return Number.isInteger(value) ? String(value) : trim(value.toPrecision(3));
  const units = ["k", "M", "G", "T"];
  let scaled = value;
  let unit = "";
  for (const next of units) {
    if (Math.abs(scaled) < 999.5) break;
    scaled /= 1000;
    unit = next;
  }
  return `${trim(scaled.toPrecision(3))}${unit}`;
}

const trim = (text: string) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

/** 0.8312 -> "83.1%", null -> "–" */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const value = share * 100;
  return `${value === 0 || value === 100 ? value : value.toFixed(value < 10 ? 2 : 1)}%`;
}

/**
 * A share in a column, where all have one decimal: "90.6%". A small share is "<0.1%" and not 0.0%, and a large one ">99.9%" and not 100.0%.
 */
export function percentFixed(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share < 1 && share >= 0.9995) return ">99.9%";
  return `${(share * 100).toFixed(1)}%`;
}

// --- money
//
// An amount of at least a hundredth of the currency's unit is written in that unit. A smaller one is written with the prefix (milli,
// micro, nano) that shows three figures: "4.71 µUSD". The full decimal value is in the tooltip.

const nanoPerUnit = 1_000_000_000n;

/** The unit in which amounts are written, and how many digits they have after the point. */
export interface MoneyScale {
  prefix: "" | "m" | "µ" | "n";
  decimals: number;
}

const nanoPer: Record<MoneyScale["prefix"], bigint> = { "": nanoPerUnit, m: 1_000_000n, µ: 1_000n, n: 1n };
const sizeOf = (nano: string): bigint => (nano.startsWith("-") ? -BigInt(nano) : BigInt(nano));

/** The exact decimal of a nano amount, with at least two decimals and no further zeros: "12960" -> "0.00001296" */
export function moneyFull(nano: string): string {
  const size = sizeOf(nano);
  const fraction = (size % nanoPerUnit).toString().padStart(9, "0").replace(/0+$/, "").padEnd(2, "0");
  return `${nano.startsWith("-") ? "−" : ""}${whole.format(size / nanoPerUnit)}.${fraction}`;
}

/** The scale that shows an amount with three figures. From one unit on it has two decimals. */
function scaleOf(exact: bigint): MoneyScale {
  if (exact === 0n) return { prefix: "", decimals: 2 };
  // The amount is rounded to three figures first, so that 0.9999 is written as 1.00 and not as 1.000.
  const step = 10n ** BigInt(Math.max(0, exact.toString().length - 3));
  const size = ((exact + step / 2n) / step) * step;
  const prefix = size >= nanoPerUnit / 100n ? "" : size >= 1_000_000n ? "m" : size >= 1_000n ? "µ" : "n";
  if (prefix === "n") return { prefix, decimals: 0 };
  // Figures before the point. Zeros after the point count negative: 0.05 has -1.
  const before = size.toString().length - nanoPer[prefix].toString().length + 1;
  return { prefix, decimals: Math.max(prefix === "" ? 2 : 0, 3 - before) };
}

/**
 * The scale of a column: the one that shows its median amount with three figures. All rows then have the same number of digits, and most
 * of them show more than zeros. Amounts of zero do not count.
 */
export function moneyScale(nanos: Iterable<string>): MoneyScale {
  // Floats are exact enough to find the median, and faster: long lists are sorted again with every new row.
  const sizes = Array.from(nanos, (nano) => Math.abs(Number(nano)))
    .filter((size) => size !== 0)
    .toSorted((a, b) => a - b);
  return scaleOf(BigInt(sizes[sizes.length >> 1] ?? 0));
}

export const moneyUnit = (scale: MoneyScale, currency: string): string => `${scale.prefix}${currency}`;

/** The digits alone, rounded half away from zero. With `cut` they are cut towards zero: an amount that is left is never shown as more. */
export function moneyDigits(nano: string, scale: MoneyScale, cut = false): string {
  const factor = 10n ** BigInt(scale.decimals);
  const scaled = sizeOf(nano) * factor;
  const per = nanoPer[scale.prefix];
  const rounded = (scaled + (cut ? 0n : per / 2n)) / per;
  const fraction = scale.decimals === 0 ? "" : `.${(rounded % factor).toString().padStart(scale.decimals, "0")}`;
  return `${nano.startsWith("-") && rounded > 0n ? "−" : ""}${whole.format(rounded / factor)}${fraction}`;
}

/**
 * Digits and unit of an amount, in its column's scale or in its own. An amount that its column's scale would show as zero is written in
 * its own: 3 µUSD among dollars are not 0.00.
 */
export function moneyParts(
  nano: string,
  currency: string,
  { scale = moneyScale([nano]), cut = false }: { scale?: MoneyScale; cut?: boolean } = {},
): [digits: string, unit: string] {
  const digits = moneyDigits(nano, scale, cut);
  if (BigInt(nano) !== 0n && !/[1-9]/.test(digits)) return moneyParts(nano, currency, { cut });
  return [digits, moneyUnit(scale, currency)];
}

/** "4710" -> "4.71 µUSD" */
export const money = (nano: string, currency: string): string => moneyParts(nano, currency).join(" ");

/** "5", "5.00" or "0.000001" -> nano-units as the API takes them. Undefined when the text is not such an amount. */
export function nanoOf(text: string): string | undefined {
  const match = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text.trim());
  return match === null ? undefined : String(BigInt(match[1]!) * nanoPerUnit + BigInt((match[2] ?? "").padEnd(9, "0")));
}

/** "600", "200,000" or "200_000" -> a count as the API takes it. Undefined when the text is no whole number that a limit may have. */
export function wholeOf(text: string): number | undefined {
  const plain = text.trim().replaceAll(/(?<=\d)[ ,_](?=\d)/g, "");
  const value = /^\d{1,16}$/.test(plain) ? Number(plain) : Infinity;
  return value <= 2 ** 52 ? value : undefined;
}

/** A float in whole units, or in those of a scale. For charts and shares only. */
export const moneyNumber = (nano: string, scale?: MoneyScale): number =>
  Number(BigInt(nano)) / Number(scale === undefined ? nanoPerUnit : nanoPer[scale.prefix]);

// --- time

/** Milliseconds -> "840 ms", "1.24 s", "3 min 12 s", "2 h 5 min", "3 d 4 h" */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 10) return `${trim(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [Math.round(seconds) % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/**
 * Writes the durations of one column with one unit and one number of digits, chosen by their median. From a minute on each is written in
 * its own units ("3 min 12 s").
 */
export function durationScale(values: Iterable<number | null>): (ms: number | null) => string {
  const known = [...values].filter((ms) => ms !== null && Number.isFinite(ms)).toSorted((a, b) => a! - b!) as number[];
  const middle = known[known.length >> 1] ?? 0;
  return (ms) => {
    if (ms === null || !Number.isFinite(ms)) return "–";
    if (ms >= 59_950) return duration(ms);
    const text = middle < 1_000 ? `${whole.format(ms)} ms` : `${(ms / 1000).toFixed(middle < 9_995 ? 2 : 1)} s`;
    return ms > 0 && !/[1-9]/.test(text) ? duration(ms) : text;
  };
}

/** "12 s ago", "4 min ago", "3 h ago", "2 d ago", then the date. */
export function ago(iso: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 7 * 86_400) return `${Math.floor(seconds / 86_400)} d ago`;
  return date(iso);
}

const dateFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const date = (iso: string): string => dateFormat.format(new Date(iso));
export const clock = (iso: string): string => clockFormat.format(new Date(iso));
/** "22 Nov 2026, 07:32:37" in the reader's time zone. */
export const moment = (iso: string): string => `${date(iso)}, ${clock(iso)}`;

// --- sizes

/** Bytes in decimal units, as disks are sold and `lineshaft status` prints: 98_304_000 -> "98.3 MB" */
export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let scaled = value;
  let unit = "B";
  for (const next of units) {
    if (scaled < 999.5) break;
    scaled /= 1000;
    unit = next;
  }
  return `${trim(scaled.toPrecision(3))} ${unit}`;
}

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${compact(count)} ${count === 1 ? one : many}`;

/** Change against the period before. Null when that period has no value. */
export function change(now: number, before: number): { text: string; direction: "up" | "down" | "same" } | null {
  if (before === 0) return null;
  const share = (now - before) / before;
  if (Math.abs(share) < 0.0005) return { text: "0%", direction: "same" };
  const size = Math.abs(share);
  const text = size >= 10 ? `×${compact(now / before)}` : `${(size * 100).toFixed(size < 0.1 ? 1 : 0)}%`;
  return { text, direction: share > 0 ? "up" : "down" };
}

/** JSON with line breaks and indentation. A string stays as it is. */
export function pretty(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined ? "" : JSON.stringify(value, null, 2);
}
