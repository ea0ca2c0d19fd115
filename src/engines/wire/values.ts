// Values of JSON: an object, a count of tokens, a text and a list of objects in what engines say, which is not trusted, and the length of a
// text that is not written.

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

/**
 * Characters of a value's JSON text, as if no character of its texts had to be escaped. It is counted without writing the text, at a
 * twentieth of the cost. 0 for undefined. Recursive: the depth of what is counted is bounded before.
 */
export function jsonLength(value: unknown): number {
  if (typeof value === "string") return value.length + 2;
  if (typeof value === "number") return String(value).length;
  if (typeof value === "boolean") return value ? 4 : 5;
  if (value === null) return 4;
  if (typeof value !== "object") return 0;
  // Each item or member ends with a comma or the closing bracket; an empty list or object has two brackets.
  let characters = 1;
  if (Array.isArray(value)) {
    for (const item of value) characters += jsonLength(item) + 1;
    return Math.max(2, characters);
  }
  const members = value as Record<string, unknown>;
  for (const name in members)
    if (members[name] !== undefined) characters += name.length + 4 + jsonLength(members[name]);
  return Math.max(2, characters);
}
