// How much to think, in Anthropic's words. Models differ: newer ones decide by themselves (`adaptive`) and take an effort, older ones take
// a budget of tokens. Which of them a model takes, Anthropic's list of models says (`capabilities`).
import type { Asked, Thinking } from "../../asked.ts";
import type { ThinkingKinds } from "../../types.ts";

type Json = Record<string, unknown>;

/** The smallest budget that Anthropic takes. */
const budgetLeast = 1_024;

/** Budgets for models that take no effort. */
const budgets: Readonly<Record<string, number>> = {
  minimal: budgetLeast,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 32_768,
  max: 32_768,
};

/** A model of which nothing is known is taken for a new one. */
const unknown: ThinkingKinds = { adaptive: true, budget: false, effort: true };

/**
 * Members `thinking` and `output_config.effort`. How much a model thinks is a hint: where the call forces a tool, which Anthropic does not
 * take together with thought, or where its limit leaves no room, it is not asked to think.
 */
export function thinkingFields(
  { thinking, toolChoice }: Pick<Asked, "thinking" | "toolChoice">,
  outputTokens: number,
  kinds: ThinkingKinds = unknown,
): { thinking: Json | undefined; effort: string | undefined } {
  const effort = kinds.effort ? effortOf(thinking.effort) : undefined;
  const isForced =
    toolChoice === "required" || (typeof toolChoice === "object" && ("name" in toolChoice || toolChoice.required));
  if (!thinking.asked || isForced) return { thinking: undefined, effort };
  const show = { text: {}, summary: { display: "summarized" }, omitted: { display: "omitted" } }[
    thinking.show ?? "text"
  ];
  const wanted = thinking.budgetTokens ?? budgets[thinking.effort ?? "medium"] ?? budgetLeast;
  const budget = Math.min(Math.max(wanted, budgetLeast), outputTokens - 1);
  const byBudget = kinds.budget && budget >= budgetLeast && (thinking.budgetTokens !== undefined || !kinds.adaptive);
  if (byBudget) return { thinking: { type: "enabled", budget_tokens: budget, ...show }, effort };
  return { thinking: kinds.adaptive ? { type: "adaptive", ...show } : undefined, effort };
}

function effortOf(effort: Thinking["effort"]): string | undefined {
  if (effort === "none") return undefined;
  return effort === "minimal" ? "low" : effort;
}
