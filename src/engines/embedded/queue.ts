// Calls that wait for a sequence: bounded, and served in order of arrival. Which call comes first is the
// scheduler's to decide, before a call is sent here.
// A full queue refuses at once and says after how many seconds a retry is likely to succeed.
import { LineshaftError } from "../../errors/index.ts";

export class WaitingQueue<T> {
  readonly limit: number;
  private readonly items: T[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get length(): number {
    return this.items.length;
  }

  /**
   * Throws 429 when the queue is full; `secondsPerCall` is what a call took lately, `slots` how many run at once, and `free`
   * how many of those are about to take a call out of the queue.
   */
  push(value: T, pace: { secondsPerCall: number; slots: number; free: number }): void {
    if (this.items.length >= this.limit + pace.free) {
      const seconds = retryAfterSeconds(this.items.length, pace);
      throw new LineshaftError({
        code: "queue_full",
        message: `The engine's queue is full: ${this.items.length} calls wait for ${pace.slots} sequences.`,
        hint: `Send the call again in about ${seconds} s, or add a replica.`,
        retryAfterSeconds: seconds,
      });
    }
    this.items.push(value);
  }

  /** Takes out the value, false when it is not waiting. */
  remove(value: T): boolean {
    const at = this.items.indexOf(value);
    if (at < 0) return false;
    this.items.splice(at, 1);
    return true;
  }

  /** In order of arrival, as they stand now: calls may be removed meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    return [...this.items][Symbol.iterator]();
  }
}

/** Seconds until about half of the waiting calls have been served: at least 1, at most 60. */
export function retryAfterSeconds(waiting: number, pace: { secondsPerCall: number; slots: number }): number {
  const seconds = Math.ceil(((waiting / 2) * pace.secondsPerCall) / Math.max(1, pace.slots));
  return Math.min(60, Math.max(1, seconds));
}
