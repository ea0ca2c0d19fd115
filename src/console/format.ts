// How numbers, money and times are written. Each has a compact form for reading and a full form for the tooltip.
// Money comes as integer nano-units in strings and is never turned into a float before it is rounded for display.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 1234567 -> "1,234,567" */
export const full = (value: number): string => whole.format(value);

/** 12412 -> "12.4k"; 999 -> "999"; three significant digits from a thousand on. */
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

/** 0.8312 -> "83.1%"; null -> "–" */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const value = share * 100;
  return `${value === 0 || value === 100 ? value : value.toFixed(value < 10 ? 2 : 1)}%`;
}

// --- money

const nanoPerUnit = 1_000_000_000n;

/** Exact decimal of a nano amount, without needless zeros but with two decimals at least: "12960" -> "0.00001296" */
export function moneyFull(nano: string): string {
  const value = BigInt(nano);
  const size = value < 0n ? -value : value;
  const fraction = (size % nanoPerUnit).toString().padStart(9, "0").replace(/0+$/, "").padEnd(2, "0");
  return `${value < 0n ? "−" : ""}${whole.format(size / nanoPerUnit)}.${fraction}`;
}

/** Rounded half away from zero to `decimals` (0 to 9): for columns, whose decimal points must stand below each other. */
export function moneyFixed(nano: string, decimals: number): string {
  const value = BigInt(nano);
  const size = value < 0n ? -value : value;
  const step = 10n ** BigInt(9 - decimals);
  const rounded = (size + step / 2n) / step;
  const scale = 10n ** BigInt(decimals);
  const fraction = decimals === 0 ? "" : `.${(rounded % scale).toString().padStart(decimals, "0")}`;
  return `${value < 0n && rounded > 0n ? "−" : ""}${whole.format(rounded / scale)}${fraction}`;
}

/** Decimals that show the largest amount of a column with at least three significant digits. */
export function decimalsFor(nanos: Iterable<string>): number {
  let largest = 0n;
  for (const nano of nanos) {
    const value = BigInt(nano);
    const size = value < 0n ? -value : value;
    if (size > largest) largest = size;
  }
  if (largest === 0n || largest >= nanoPerUnit) return 2;
  return Math.min(9, 9 - largest.toString().length + 3);
}

/**
 * Decimals for a column of amounts of many sizes: those that show the middle one with three significant digits, so that most
 * rows say something and the points still stand below each other.
 */
export function columnDecimals(nanos: Iterable<string>): number {
  const digits: number[] = [];
  for (const nano of nanos) {
    const size = nano.replace("-", "").length;
    if (nano !== "0") digits.push(size);
  }
  digits.sort((a, b) => a - b);
  const middle = digits[digits.length >> 1];
  return middle === undefined ? 2 : Math.min(9, Math.max(2, 12 - middle));
}

/** One amount by itself: two decimals from one unit on, three significant digits below. */
export const money = (nano: string): string => moneyFixed(nano, decimalsFor([nano]));

/** "5", "5.00" or "0.000001" -> nano-units as the API takes them; undefined when it is no such amount. */
export function nanoOf(text: string): string | undefined {
  const match = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text.trim());
  return match === null ? undefined : String(BigInt(match[1]!) * nanoPerUnit + BigInt((match[2] ?? "").padEnd(9, "0")));
}

/** For charts only: a float in whole units. */
export const moneyNumber = (nano: string): number => Number(BigInt(nano)) / 1e9;

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

export const date = (iso: string): string => dateFormat.format(new Date(iso));
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

/** Change against the period before; null where there was nothing to compare with. */
export function change(now: number, before: number): { text: string; direction: "up" | "down" | "same" } | null {
  if (before === 0) return null;
  const share = (now - before) / before;
  if (Math.abs(share) < 0.0005) return { text: "0%", direction: "same" };
  const size = Math.abs(share);
  const text = size >= 10 ? `×${compact(now / before)}` : `${(size * 100).toFixed(size < 0.1 ? 1 : 0)}%`;
  return { text, direction: share > 0 ? "up" : "down" };
}

/** JSON as a person reads it; strings stay strings. */
export function pretty(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined ? "" : JSON.stringify(value, null, 2);
}
