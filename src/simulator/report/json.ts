// Results as JSON: numbers as they are, except infinite ones and NaN, which become null.

/** Pretty-printed, ending in a newline. NaN and infinities become null. */
export function jsonReport(result: unknown): string {
  const plain = (_key: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isFinite(value) ? null : value;
  return `${JSON.stringify(result, plain, 2)}\n`;
}
