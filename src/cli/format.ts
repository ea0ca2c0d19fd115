// Formats data for people: tables, money, bytes, times. `--json` output does not use this file.
import { formatMoney } from "../ledger/money.ts";

/** "in 3 h", "2 min ago", "just now". */
export function relativeTime(then: Date | string, now: number): string {
  const seconds = (new Date(then).getTime() - now) / 1000;
  const size = Math.abs(seconds);
  const [amount, unit] =
    size < 60
      ? [size, "s"]
      : size < 3600
        ? [size / 60, "min"]
        : size < 86_400
          ? [size / 3600, "h"]
          : [size / 86_400, "d"];
  if (size < 1) return "just now";
  const text = `${Math.floor(amount)} ${unit}`;
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

/** A span in milliseconds: "0.31 s", "2 min 4 s". */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  return `${minutes} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** "98 MB", "1.1 GB": decimal units, as disks and downloads are sold. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value < 10 && unit > 1 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "12,345". */
export function count(value: number | bigint): string {
  return value.toLocaleString("en-US");
}

/** "97.5 %"; "-" when there is nothing to divide. */
export function percent(share: number | null): string {
  return share === null ? "-" : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

/** Nano-units as the API writes them, with their currency: "5.00 USD", "4.71 µUSD". */
export function money(nano: string, currency: string): string {
  return formatMoney(BigInt(nano), currency);
}

/** The rest of a budget, rounded down, so that it is never shown too high. */
export function moneyLeft(nano: string, currency: string): string {
  return formatMoney(BigInt(nano), currency, "down");
}

interface Column<Row> {
  title: string;
  value(row: Row): string;
  /** Numbers are aligned right. */
  right?: boolean;
}

/** Aligned columns with a heading; an empty list has no heading either. */
export function table<Row>(rows: Row[], columns: Column<Row>[]): string[] {
  if (rows.length === 0) return [];
  const cells = [
    columns.map(({ title }) => title.toUpperCase()),
    ...rows.map((row) => columns.map((c) => c.value(row))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]!.length)));
  return cells.map((line) =>
    line
      .map((cell, index) => (columns[index]!.right ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!)))
      .join("  ")
      .trimEnd(),
  );
}

/** One line for each name and value. */
export function pairs(rows: [string, string][]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
