// A call that counts against its limits on use, from its beginning to its end.
import { limitHeaders } from "./headers.ts";
import type { Part } from "./share.ts";
import type { Shares } from "./shares.ts";
import { windows } from "./types.ts";

/** A call that is counted. */
export interface Counted {
  /** Output tokens that have come so far. */
  output(tokens: number): void;
  /** The call has ended: prompt and output tokens that all of its attempts used, 0 where it reached no engine. */
  end(tokens: number): void;
  /** The standing of the limits that are nearest, in the headers that OpenAI's and Anthropic's clients read. */
  headers(): Record<string, string>;
}

/** A call that counts against nothing. */
export const uncounted: Counted = { output: () => {}, end: () => {}, headers: () => ({}) };

export class CountedCall implements Counted {
  readonly #parts: Part[];
  readonly #shares: Shares;
  readonly #freed: (number: number) => void;
  #output = 0;
  #ended = false;

  constructor(parts: Part[], shares: Shares, freed: (number: number) => void) {
    this.#parts = parts;
    this.#shares = shares;
    this.#freed = freed;
  }

  output(tokens: number): void {
    if (this.#ended || tokens <= this.#output) return;
    this.#countTokens(tokens - this.#output);
    this.#output = tokens;
  }

  end(tokens: number): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const { limit, amount, slot } of this.#parts) {
      const share = this.#shares.of(limit);
      const { unit, slotMs } = windows[limit.dimension];
      if (slotMs === undefined) {
        share.giveBack(amount, slot);
        this.#freed(limit.number);
      }
      if (unit !== "tokens") continue;
      const counted = amount + this.#output;
      if (tokens > counted) share.charge(tokens - counted);
      else share.giveBack(counted - tokens, slot);
    }
  }

  headers(): Record<string, string> {
    for (const part of this.#parts) part.share = this.#shares.of(part.limit);
    return limitHeaders(this.#parts);
  }

  #countTokens(tokens: number): void {
    for (const { limit } of this.#parts)
      if (windows[limit.dimension].unit === "tokens") this.#shares.of(limit).charge(tokens);
  }
}
