// Whether a body asks the model to reason before it answers, and how many tokens that may take beside the limit of output.
//
// Reasoning is often hidden: the engine computes for minutes and streams nothing. Such a call looks like one that hangs, therefore it has
// no bound on its first token (firstToken.ts).

import type { Thinking } from "../../../engines/index.ts";

type Json = Record<string, unknown>;

/** Everything that the body says of thinking, in the spellings of the field: OpenAI's, Anthropic's, Qwen's, OpenRouter's. */
export function thinkingOf(body: Json): Thinking {
  const { reasoning_effort: plainEffort, thinking, reasoning } = body as Record<string, Json | null | undefined>;
  const effort = efforts.find((one) => one === (plainEffort ?? reasoning?.["effort"]));
  const budget = thinking?.["budget_tokens"] ?? reasoning?.["max_tokens"];
  return {
    asked: asksToThink(body),
    ...(effort !== undefined && { effort }),
    ...(typeof budget === "number" && { budgetTokens: budget }),
    ...(thinking?.["type"] === "adaptive" && { adaptive: true }),
    tokensBeside: tokensBeside(body),
  };
}

const efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"] as const;

const off = new Set<unknown>([null, undefined, false, 0, "none", "off", "disabled"]);

/** Fields of providers that ask for reasoning by any value but one that switches it off. */
const plain = ["reasoning_effort", "enable_thinking", "thinking_budget"];
/** Variables of chat templates that do. */
const ofTemplates = ["enable_thinking", "thinking", "thinking_budget", "reasoning_effort"];

/** True when the body asks the model to reason before it answers. */
export function asksToThink(body: Json): boolean {
  if (plain.some((field) => !off.has(body[field]))) return true;
  const { chat_template_kwargs: template, thinking, reasoning } = body as Record<string, Json | null | undefined>;
  if (template && ofTemplates.some((name) => !off.has(template[name]))) return true;
  if (thinking && !off.has(thinking["type"] ?? "enabled")) return true;
  return (
    reasoning !== null &&
    reasoning !== undefined &&
    !off.has(reasoning["enabled"] ?? true) &&
    !off.has(reasoning["effort"] ?? true)
  );
}

/**
 * Tokens of reasoning that the engine may make beside `max_tokens`, and that are held as well. Qwen's `thinking_budget` is a limit of its
 * own: `max_tokens` bounds the answer alone there. An engine that counts it within `max_tokens` uses less than is held.
 * `thinking.budget_tokens` and `reasoning.max_tokens` stand within the limit.
 */
export function tokensBeside(body: Json): number {
  return body["enable_thinking"] === false ? 0 : ((body["thinking_budget"] as number | null | undefined) ?? 0);
}
