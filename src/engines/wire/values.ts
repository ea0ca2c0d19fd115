// Values in what engines say, which is not trusted: an object, a count of tokens, a text, a list of objects.

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

/** The member where it is a text; else an empty text. */
export function textIn(of: Record<string, unknown>, name: string): string {
  const value = of[name];
  return typeof value === "string" ? value : "";
}

/** The objects in a member that is a list. */
export const listIn = (of: Record<string, unknown>, name: string): Record<string, unknown>[] =>
  Array.isArray(of[name]) ? (of[name] as unknown[]).map(object).filter((one) => one !== undefined) : [];

/** What a table has for a word that an engine has sent; undefined also for names that every object has. */
export const inTable = <Value>(table: Readonly<Record<string, Value>>, word: string): Value | undefined =>
  Object.hasOwn(table, word) ? table[word] : undefined;

/** How Anthropic says, by a 400, that the money of the account is gone. */
export const aboutAccount = /credit balance is too low/i;
