// How many calls of a route may be hedged: at most a share of those in a sliding window. Without a bound a slow model would be sent every
// call twice, and be slower for it.
import { limits } from "./limits.ts";

/** The newest calls of one route, and which of them were hedged. */
export class HedgeWindow {
  readonly #hedged: Uint8Array;
  /** Calls that were counted in all. */
  #calls = 0;
  #inWindow = 0;

  constructor(size: number = limits.hedgeWindowCalls) {
    this.#hedged = new Uint8Array(size);
  }

  /** Counts a call that has begun; answers its number. */
  begun(): number {
    const place = this.#calls % this.#hedged.length;
    this.#inWindow -= this.#hedged[place]!;
    this.#hedged[place] = 0;
    return this.#calls++;
  }

  /** Whether one more call of the window may be hedged. */
  allows(share: number): boolean {
    const calls = Math.min(this.#calls, this.#hedged.length);
    return this.#inWindow + 1 <= share * calls;
  }

  /** Counts the call as hedged. A call that has left the window meanwhile is not counted. */
  hedged(number: number): void {
    if (number < this.#calls - this.#hedged.length) return;
    const place = number % this.#hedged.length;
    this.#inWindow += 1 - this.#hedged[place]!;
    this.#hedged[place] = 1;
  }
}
