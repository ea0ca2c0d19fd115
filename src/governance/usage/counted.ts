// A call that counts against its limits on use, from its beginning to its end.
//
// It is counted in two steps. `Limiter.begin` counts the request, the call under way, its bytes, and one token, so that a call over its
// limit is refused before anything is done for it. `prompt` counts the prompt once its tokens are known, for which an engine may have been
// asked.
import { limitHeaders } from "./headers.ts";
import type { Part } from "./share.ts";
import type { Shares } from "./shares.ts";
import { windows } from "./types.ts";

/** A call that is counted. */
export interface Counted {
  /**
   * Counts the prompt's tokens, once, before any output. Throws, or rejects, as `Limiter.begin` does; the call then counts against nothing.
   */
  prompt(tokens: number): void | Promise<void>;
  /** Output tokens that have come so far. */
  output(tokens: number): void;
  /** The call has ended: prompt and output tokens that all of its attempts used, 0 where it reached no engine. */
  end(tokens: number): void;
  /** The standing of the limits that are nearest, in the headers that OpenAI's and Anthropic's clients read. */
  headers(): Record<string, string>;
}

/** A call that counts against nothing. */
export const uncounted: Counted = { prompt: () => {}, output: () => {}, end: () => {}, headers: () => ({}) };

interface Limits {
  shares: Shares;
  /** Counts more of the call against these limits, or throws, as `Limiter.begin` does. Answers those that are still there. */
  take(parts: Part[], tokens: number): Part[] | Promise<Part[]>;
  /** Something was given back of a limit that calls wait for. */
  freed(number: number): void;
}

export class CountedCall implements Counted {
  #parts: Part[];
  readonly #limits: Limits;
  #output = 0;
  #ended = false;

  /** `parts` are counted already. */
  constructor(parts: Part[], limits: Limits) {
    this.#parts = parts;
    this.#limits = limits;
  }

  prompt(tokens: number): void | Promise<void> {
    const counted = this.#parts.filter(countsTokens);
    if (this.#ended || counted.length === 0) return undefined;
    // The whole prompt is counted in one step, so that all of it leaves the window at once.
    for (const part of counted) this.#giveBack(part);
    this.#parts = this.#parts.filter((part) => !countsTokens(part));
    try {
      const whole = counted.map(({ limit }) => ({
        limit,
        share: this.#limits.shares.of(limit),
        amount: tokens,
        slot: 0,
      }));
      const taken = this.#limits.take(whole, tokens);
      if (Array.isArray(taken)) this.#parts.push(...taken);
      else
        return taken.then(
          (parts) => void this.#parts.push(...parts),
          (error: unknown) => this.#refused(error),
        );
    } catch (error) {
      this.#refused(error);
    }
    return undefined;
  }

  output(tokens: number): void {
    if (this.#ended || tokens <= this.#output) return;
    for (const { limit } of this.#parts.filter(countsTokens))
      this.#limits.shares.of(limit).charge(tokens - this.#output);
    this.#output = tokens;
  }

  end(tokens: number): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const part of this.#parts) {
      const { limit, amount, slot } = part;
      if (windows[limit.dimension].slotMs === undefined) this.#giveBack(part);
      if (!countsTokens(part)) continue;
      const share = this.#limits.shares.of(limit);
      const counted = amount + this.#output;
      if (tokens > counted) share.charge(tokens - counted);
      else share.giveBack(counted - tokens, slot);
    }
  }

  headers(): Record<string, string> {
    for (const part of this.#parts) part.share = this.#limits.shares.of(part.limit);
    return limitHeaders(this.#parts);
  }

  /** A call that is refused counts against nothing. */
  #refused(error: unknown): never {
    this.#ended = true;
    for (const part of this.#parts) this.#giveBack(part);
    throw error;
  }

  #giveBack({ limit, amount, slot }: Part): void {
    this.#limits.shares.of(limit).giveBack(amount, slot);
    this.#limits.freed(limit.number);
  }
}

export const countsTokens = ({ limit }: Pick<Part, "limit">): boolean => windows[limit.dimension].unit === "tokens";
