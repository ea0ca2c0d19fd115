// Values in what engines say, which is not trusted: an object, and a count of tokens.

/** The value where it is an object, and no list. */
export const object = (value: unknown): Record<string, unknown> | undefined =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;

/**
 * A whole number from 0 to 2^53 - 1, or undefined. Engines have been seen to send null, floats and negative counts; a claim of
 * 1e300 is one of the greatest number there is.
 */
export function tokenCount(value: unknown): number | undefined {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) return undefined;
  return Math.min(Math.round(value), Number.MAX_SAFE_INTEGER);
}
