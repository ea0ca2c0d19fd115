// How Google's models are asked to think: by a word, or by a number of tokens within the limit of output.
import type { Thinking } from "../../asked.ts";
import { thinksByLevel } from "./models.ts";

/** Tokens that stand for each word, as Google's own OpenAI-compatible API has them; 0 turns thinking off. */
const budgets: Readonly<Record<NonNullable<Thinking["effort"]>, number>> = {
  none: 0,
  minimal: 1_024,
  low: 1_024,
  medium: 8_192,
  high: 24_576,
  xhigh: 24_576,
  max: 24_576,
};

const levels: Readonly<Record<NonNullable<Thinking["effort"]>, string>> = {
  none: "minimal",
  minimal: "minimal",
  low: "low",
  medium: "medium",
  high: "high",
  xhigh: "high",
  max: "high",
};

/** A budget of tokens as the nearest word. */
const levelOf = (tokens: number): string => (tokens <= 4_096 ? "low" : tokens <= 16_384 ? "medium" : "high");

/** `thinkingConfig`; undefined where the client said nothing of thinking. */
export function thinkingConfig(
  { asked, effort, budgetTokens, adaptive, show }: Thinking,
  model: string,
): Record<string, unknown> | undefined {
  const config: Record<string, unknown> = {};
  if (thinksByLevel(model)) {
    if (effort !== undefined) config["thinkingLevel"] = levels[effort];
    else if (budgetTokens !== undefined) config["thinkingLevel"] = levelOf(budgetTokens);
  } else if (budgetTokens !== undefined) config["thinkingBudget"] = budgetTokens;
  else if (effort !== undefined) config["thinkingBudget"] = budgets[effort];
  else if (adaptive) config["thinkingBudget"] = -1;
  if (asked && show !== "omitted") config["includeThoughts"] = true;
  return Object.keys(config).length > 0 ? config : undefined;
}
