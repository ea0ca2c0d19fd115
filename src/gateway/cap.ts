// The limit of output, kept to from our side. It is sent to the engine, but an engine that ignores it would stream for ever and cost
// more than any budget holds. Therefore the output is counted as it passes. Where it is certainly past the limit the engine is
// stopped, and the answer ends with the reason `length`, as if the engine had kept to the limit.
//
// The count is a lower bound, because an honest engine must never be cut. Usage that the engine reports as it goes is taken at its
// word. Otherwise a chunk with text counts as one token, but as no more than one token per four characters (some proxies send single
// characters), and 32 characters count as at least one token. A quarter of the limit is allowed on top.
import type { AnswerDelta, EngineChunk } from "../engines/index.ts";
import type { AttemptState } from "./state.ts";
import type { AnswerChunk } from "./types.ts";

const charactersPerTokenMost = 32;
const charactersPerTokenUsual = 4;
/** Chunks beyond the limit that carry no text: keep-alives, roles, and endless nothing. */
const chunksWithoutText = 10_000;

const slackOf = (limit: number): number => Math.ceil(limit / 4) + 16;

/** Most tokens of text that an attempt's answer may hold: its output, and where they are repeated in it its prompts. */
export const outputMost = ({ asked, askedOutputTokens, most }: AttemptState): number =>
  askedOutputTokens + (asked.repeatsPrompt ? most.promptTokens : 0);

/** Counts the output of one stream. */
export class OutputCap {
  readonly #limit: number;
  #chunks = 0;
  #textChunks = 0;
  #characters = 0;

  /** `limit`: tokens of all answers together (`outputMost`). */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Output tokens so far by the usual length of a token, for engines that do not count while they stream. */
  get likelyTokens(): number {
    return Math.floor(this.#characters / charactersPerTokenUsual);
  }

  /** Counts a chunk; true when the stream is past its limit. `reported`: output tokens that the engine says it has made so far. */
  passedBy({ characters }: EngineChunk, reported: number | undefined): boolean {
    this.#chunks++;
    this.#characters += characters;
    if (characters > 0) this.#textChunks++;
    // A chunk without text is the last one, which says how the answer ended: nothing follows it that could be cut.
    if (characters > 0 && reported !== undefined && reported > this.#limit) return true;
    const atLeast = Math.max(
      Math.min(this.#textChunks, this.#characters / charactersPerTokenUsual),
      this.#characters / charactersPerTokenMost,
    );
    return atLeast > this.#limit + slackOf(this.#limit) || this.#chunks > 8 * this.#limit + chunksWithoutText;
  }
}

/**
 * A whole answer cut to the limit, where its text is past it; undefined where it is not. The engine's claim alone cuts nothing: a
 * short text with a long claim is still an answer, and the bill has its own rule for the claim.
 */
export function cutWhole(whole: EngineChunk, limit: number, reported: number | undefined): AnswerChunk | undefined {
  const { characters, deltas, wire } = whole;
  const surely = characters / charactersPerTokenMost;
  const likely = Math.min(reported ?? 0, characters / charactersPerTokenUsual);
  if (likely <= limit && surely <= limit + slackOf(limit)) return undefined;
  const share = likely > limit ? limit / likely : (limit * charactersPerTokenMost) / characters;
  return { deltas: deltas.map((delta) => cutDelta(delta, share)), wire, altered: true };
}

/** The first part of what a chunk adds to one answer, which ends there. */
export function cutDelta(delta: AnswerDelta, share: number): AnswerDelta {
  const { index, text, reasoning, refusal, toolCalls } = delta;
  const cut: AnswerDelta = { index, finish: "length" };
  if (text !== undefined) cut.text = cutText(text, share);
  if (reasoning !== undefined) cut.reasoning = cutText(reasoning, share);
  if (refusal !== undefined) cut.refusal = cutText(refusal, share);
  if (toolCalls)
    cut.toolCalls = toolCalls.map((call) => ({ ...call, arguments: cutText(call.arguments ?? "", share) }));
  return cut;
}

const cutText = (text: string, share: number): string => text.slice(0, Math.floor(text.length * share)).toWellFormed();
