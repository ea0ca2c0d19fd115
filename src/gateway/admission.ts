// The most that a call may use, computed before it runs (DESIGN section 4, admit). A call that names no limit of output is given one. The
// limit that is sent is never more than the one that is held for, and a hold that is extended while the answer streams ends at it.
import type { EndpointFacts, RegisteredEndpoint } from "../engines/index.ts";
import type { Beginning } from "./continuing.ts";
import { limits } from "./limits.ts";
import type { ModelCall } from "./modelCall.ts";
import { invalidValue } from "./refusals.ts";

/** Answers that are computed for one call, each with its own output. */
export function answersAsked({ kind, prompt, answersPerPrompt }: ModelCall): number {
  // An embedding or ranking model writes nothing, and all texts of its call are one prompt.
  if (kind !== "generate") return 1;
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

/** The part of an output limit that is left for an attempt that continues an answer; the whole limit for any other attempt. */
export const outputLeft = (tokens: number, beginning: Beginning | undefined): number =>
  beginning === undefined ? tokens : Math.max(1, tokens - beginning.outputTokens);

/**
 * Output tokens of one answer, at most, at an endpoint that says so of itself. Without a limit of the caller's it is the protocol's
 * default, cut to the room that the context leaves beside a prompt of `promptTokens` (exact, or the best guess), since many engines
 * refuse more. A limit that the client program always sends is cut likewise.
 */
export function outputLimitOf(asked: ModelCall, facts: EndpointFacts | undefined, promptTokens: number): number {
  const wanted = asked.outputLimit()?.tokens;
  const context = facts?.contextTokens;
  const clips = facts?.capabilities.clipsOutput === true;
  if (wanted !== undefined && !asked.limitIsUsual) return clips && context ? Math.min(wanted, context) : wanted;
  const usual = wanted ?? usualLimit(asked);
  if (context === undefined) return usual;
  return Math.min(usual, clips ? context : Math.max(limits.leastOutputTokens, context - promptTokens));
}

const usualLimit = ({ shape }: ModelCall): number =>
  shape === "completions" ? limits.defaultCompletionTokens : limits.defaultOutputTokens;

/**
 * Whether the call's answer at this endpoint can be stopped where its money ends: the engine is known to stop, and the answer streams or
 * can be put together from a stream. Any other attempt is paid for to its limit before it is sent.
 */
export function isStoppable({ facts }: Pick<RegisteredEndpoint, "facts">, asked: ModelCall): boolean {
  return facts?.capabilities.stops === true && (asked.stream || asked.streamsFaithfully);
}
