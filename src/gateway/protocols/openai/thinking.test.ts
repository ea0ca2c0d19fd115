import { expect, test } from "vitest";
import { firstTokenBound } from "../../firstToken.ts";
import { chatOf } from "../testing.ts";
import { asksToThink, tokensBeside } from "./thinking.ts";

test.each([
  [{ reasoning_effort: "high" }],
  [{ reasoning_effort: "minimal" }],
  [{ enable_thinking: true }],
  [{ thinking_budget: 4_000 }],
  [{ thinking: { type: "enabled", budget_tokens: 2_000 } }],
  [{ thinking: { budget_tokens: 2_000 } }],
  [{ reasoning: { effort: "low" } }],
  [{ reasoning: { max_tokens: 2_000 } }],
  [{ reasoning: { enabled: true } }],
  [{ chat_template_kwargs: { enable_thinking: true } }],
  [{ chat_template_kwargs: { thinking: true } }],
])("%j asks for reasoning: its first token has no bound", (body) => {
  expect(asksToThink(body)).toBe(true);
  expect(firstTokenBound(chatOf(body), { setMs: 5_000, decidedMs: 15_000, longestMs: 0 })).toBeUndefined();
});

test.each([
  [{}],
  [{ reasoning_effort: "none" }],
  [{ reasoning_effort: null }],
  [{ enable_thinking: false }],
  [{ thinking_budget: 0 }],
  [{ thinking: { type: "disabled" } }],
  [{ thinking: null }],
  [{ reasoning: { enabled: false } }],
  [{ reasoning: { effort: "none" } }],
  [{ reasoning: null }],
  [{ chat_template_kwargs: { enable_thinking: false } }],
])("%j does not", (body) => expect(asksToThink(body)).toBe(false));

test("the bound is never below the longest first token that the endpoint has taken, unless the deployment sets it", () => {
  const of = (setMs: number | undefined, longestMs: number) =>
    firstTokenBound(chatOf({}), { setMs, decidedMs: 23_000, longestMs });
  expect([of(undefined, 0), of(undefined, 60_000), of(undefined, 900), of(5_000, 60_000)]).toEqual([
    23_000, 60_000, 23_000, 5_000,
  ]);
});

test.each([
  [{}, 0],
  [{ thinking_budget: 4_000 }, 4_000],
  [{ enable_thinking: true, thinking_budget: 4_000 }, 4_000],
  [{ enable_thinking: false, thinking_budget: 4_000 }, 0],
  [{ thinking_budget: null }, 0],
  // These stand within the limit of output.
  [{ thinking: { type: "enabled", budget_tokens: 2_000 } }, 0],
  [{ reasoning: { max_tokens: 2_000 } }, 0],
])("%j is held for %i tokens beside the limit of output", (body, tokens) => expect(tokensBeside(body)).toBe(tokens));
