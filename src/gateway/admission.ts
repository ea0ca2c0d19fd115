// What a call can cost at most, before it runs (DESIGN section 4, admit).
//
// Two bounds of the prompt are used, in this order. The first comes from the bytes: it needs no question to an engine and is about four
// times too high (protocols/openai/bounds.ts). Only where a budget refuses that bound, the engine is asked for the exact count and the
// hold is tried once more. So a budget is as exact near its limit as far from it, and a call that fits is not refused for a bound.
//
// A call that names no limit of output is given one. The limit that is priced is the limit that is sent, so no answer costs more than
// was held.
import type { EndpointFacts } from "../engines/index.ts";
import { limits } from "./limits.ts";
import type { ModelCall } from "./modelCall.ts";
import { invalidValue } from "./refusals.ts";

/** Answers that are computed for one call, each with its own output. */
export function answersAsked({ prompt, answersPerPrompt }: ModelCall): number {
  return (prompt.kind === "list" ? prompt.prompts.length : 1) * answersPerPrompt;
}

/**
 * Refuses more output than any model writes: only a mistake asks for it, and its hold would be held in full by every budget. An answer
 * is at most the model's context, where that is known; all answers together have a bound of their own.
 */
export function checkOutputTokens(
  asked: ModelCall,
  outputTokens: number,
  answers: number,
  context: number | undefined,
) {
  const limit = asked.outputLimit();
  const field = limit?.field ?? "max_tokens";
  if (limit && context !== undefined && outputTokens > context)
    throw invalidValue(
      field,
      `\`${field}\` is ${outputTokens}, and the model's context has ${context} tokens: ask for fewer.`,
    );
  const { outputTokensMost: most } = limits;
  if (outputTokens * answers <= most) return;
  const times = answers > 1 ? ` for each of ${answers} answers` : "";
  throw invalidValue(
    field,
    `\`${field}\` is ${outputTokens}${times}; a call may ask for ${most} output tokens in all.`,
  );
}

/**
 * Output tokens of one answer, at most, at an endpoint that says so of itself. Without a limit of the caller's it is the protocol's
 * default, cut to the room that the context leaves beside a prompt of `promptTokens` (exact, or the best guess), since many engines
 * refuse more.
 */
export function outputLimitOf(asked: ModelCall, facts: EndpointFacts | undefined, promptTokens: number): number {
  const wanted = asked.outputLimit()?.tokens;
  const context = facts?.contextTokens;
  const clips = facts?.capabilities.clipsOutput === true;
  if (wanted !== undefined) return clips && context ? Math.min(wanted, context) : wanted;
  const usual = asked.endpoint === "chat" ? limits.defaultOutputTokens : limits.defaultCompletionTokens;
  if (context === undefined) return usual;
  return Math.min(usual, clips ? context : Math.max(limits.leastOutputTokens, context - promptTokens));
}
