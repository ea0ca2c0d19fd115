// Prompts as text or as token ids, alone or in a list: the prompts of text completions, and the inputs of embeddings.

/** Whether it is text, token ids, or a list of at most `most` of either. A schema library takes microseconds for each of a million ids. */
export function isPrompt(prompt: unknown, most: number): boolean {
  if (typeof prompt === "string") return true;
  if (!Array.isArray(prompt) || prompt.length === 0) return false;
  if (typeof prompt[0] === "number") return isTokens(prompt);
  if (prompt.length > most) return false;
  return typeof prompt[0] === "string" ? prompt.every((one) => typeof one === "string") : prompt.every(isTokens);
}

const isTokens = (tokens: unknown): boolean =>
  Array.isArray(tokens) && tokens.length > 0 && tokens.every((token) => Number.isInteger(token));

/** What is wrong with a value that is no prompt. */
export const promptIssue = (prompt: unknown, most: number): string =>
  prompt === undefined
    ? "expected text or token ids, received undefined"
    : `must be text, token ids, or a list of either, of at most ${most} prompts`;

const listOf = <Items>(items: Items) => ({ type: "array" as const, items, minItems: 1 });
const text = { type: "string" as const };
const tokenList = listOf({ type: "integer" as const });

/** The same for /api/openapi.json. */
export const promptSchema = (maxItems: number) => ({
  anyOf: [text, { ...listOf(text), maxItems }, tokenList, { ...listOf(tokenList), maxItems }],
});
