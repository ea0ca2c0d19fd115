// The body of a text completion, as it is judged and as /api/openapi.json describes it.
import { z } from "@hono/zod-openapi";
import { limits } from "../../limits.ts";
import { sampling } from "../openai/bodies.ts";

/** A schema library takes microseconds for each of a million token ids; this takes nanoseconds. */
function isPrompt(prompt: unknown): boolean {
  if (typeof prompt === "string") return true;
  if (!Array.isArray(prompt) || prompt.length === 0) return false;
  if (typeof prompt[0] === "number") return isTokens(prompt);
  if (prompt.length > limits.promptsPerCall) return false;
  return typeof prompt[0] === "string" ? prompt.every((one) => typeof one === "string") : prompt.every(isTokens);
}

const isTokens = (tokens: unknown): boolean =>
  Array.isArray(tokens) && tokens.length > 0 && tokens.every((token) => Number.isInteger(token));

const listOf = <Items>(items: Items) => ({ type: "array" as const, items, minItems: 1 });
const text = { type: "string" as const };
const tokenList = listOf({ type: "integer" as const });
const maxItems = limits.promptsPerCall;
const promptSchema = {
  anyOf: [text, { ...listOf(text), maxItems }, tokenList, { ...listOf(tokenList), maxItems }],
};

export const completionBody = z
  .looseObject({
    ...sampling,
    prompt: z
      .unknown()
      .refine(isPrompt, {
        error: ({ input }) =>
          input === undefined
            ? "expected text or token ids, received undefined"
            : `must be text, token ids, or a list of either, of at most ${limits.promptsPerCall} prompts`,
      })
      .openapi(promptSchema),
    logprobs: z.number().int().min(0).max(20).nullish(),
    echo: z.boolean().nullish(),
    suffix: z.string().nullish(),
    best_of: z.number().int().min(1).max(limits.answersPerPrompt).nullish(),
  })
  .openapi("CompletionRequest");
