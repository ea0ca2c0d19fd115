// The limit of output, kept to from our side. It is sent to the engine; one that ignores it would cost what no budget holds, and
// stream for ever. So what passes is counted: where it is surely past the limit the engine is stopped, and the answer ends with
// `finish_reason: length` as if the engine had kept to it.
//
// What passed is bounded from below, since an honest engine must never be cut. Its usage, where it reports one as it goes, is taken
// by its word. Otherwise a chunk with text is taken for a token, but for no more than a token per four characters (some proxies send
// single characters), and 32 characters are taken for at least one token; a quarter of the limit is allowed on top.
import { textLength } from "../engines/index.ts";
import type { AttemptState } from "./state.ts";

type Json = Record<string, unknown>;

const charactersPerTokenMost = 32;
const charactersPerTokenUsual = 4;
/** Chunks beyond the limit that carry no text: keep-alives, roles, and endless nothing. */
const chunksWithoutText = 10_000;

const slackOf = (limit: number): number => Math.ceil(limit / 4) + 16;

/** Most tokens of text that an attempt's answer may hold: its output, and where they are repeated in it its prompts. */
export const outputMost = (attempt: Pick<AttemptState, "body" | "most" | "askedOutputTokens">): number =>
  attempt.askedOutputTokens + (attempt.body["echo"] === true ? attempt.most.promptTokens : 0);

/** Counts what passes of one stream. */
export class OutputCap {
  readonly #limit: number;
  #chunks = 0;
  #textChunks = 0;
  #characters = 0;

  /** `limit`: tokens of all answers together (`outputMost`). */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts a chunk; true when the stream is past its limit. `reported`: output tokens that the engine says it has made so far. */
  passedBy(data: Json, reported: number | undefined): boolean {
    const characters = textLength(data);
    this.#chunks++;
    this.#characters += characters;
    if (characters > 0) this.#textChunks++;
    // The last chunk says how it ended: nothing follows that could be cut.
    if (characters > 0 && reported !== undefined && reported > this.#limit) return true;
    const atLeast = Math.max(
      Math.min(this.#textChunks, this.#characters / charactersPerTokenUsual),
      this.#characters / charactersPerTokenMost,
    );
    return atLeast > this.#limit + slackOf(this.#limit) || this.#chunks > 8 * this.#limit + chunksWithoutText;
  }
}

/**
 * Cuts a whole answer to the limit, in place, where its text is past it; true when it did. An engine's claim alone cuts nothing: a
 * short text with a long claim is an answer all the same, and the bill has its own rule.
 */
export function trimWhole(whole: Json, limit: number, reported: number | undefined): boolean {
  const characters = textLength(whole);
  const surely = characters / charactersPerTokenMost;
  const likely = Math.min(reported ?? 0, characters / charactersPerTokenUsual);
  if (likely <= limit && surely <= limit + slackOf(limit)) return false;
  const share = likely > limit ? limit / likely : (limit * charactersPerTokenMost) / characters;
  for (const choice of whole["choices"] as (Json | null)[]) {
    if (!choice || typeof choice !== "object") continue;
    trimText(choice, "text", share);
    const message = choice["message"] as Json | null | undefined;
    if (message && typeof message === "object") trimMessage(message, share);
    choice["finish_reason"] = "length";
  }
  return true;
}

function trimMessage(message: Json, share: number): void {
  for (const field of ["content", "reasoning_content", "reasoning", "refusal"]) trimText(message, field, share);
  if (!Array.isArray(message["tool_calls"])) return;
  for (const call of message["tool_calls"] as { function?: Json }[])
    if (call?.function && typeof call.function === "object") trimText(call.function, "arguments", share);
}

function trimText(of: Json, field: string, share: number): void {
  const text = of[field];
  if (typeof text === "string") of[field] = text.slice(0, Math.floor(text.length * share)).toWellFormed();
}
