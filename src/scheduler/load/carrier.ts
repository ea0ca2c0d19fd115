// How gateways tell each other their load changes. The scheduler only makes and takes messages; a carrier moves them. It
// may delay, repeat and lose: messages carry sequence numbers, and a total follows every few deltas.
import type { LoadMessage } from "../types.ts";

export interface Carrier {
  publish(message: LoadMessage): void;
  /** Calls `hear` with every message, own ones included or not. Answers how to stop. */
  subscribe(hear: (message: LoadMessage) => void): () => void;
}

/**
 * A carrier inside one process, moved by hand: messages wait until `deliver(now)` finds them older than `delayMs`. What
 * gateways of one process and the simulator use; between processes Postgres carries them.
 */
export class MemoryCarrier implements Carrier {
  private readonly delayMs: number;
  private readonly listeners = new Set<(message: LoadMessage) => void>();
  private waiting: LoadMessage[] = [];

  constructor(delayMs = 0) {
    this.delayMs = delayMs;
  }

  publish(message: LoadMessage): void {
    this.waiting.push(message);
  }

  subscribe(hear: (message: LoadMessage) => void): () => void {
    this.listeners.add(hear);
    return () => this.listeners.delete(hear);
  }

  deliver(now: number): void {
    const due = this.waiting.filter((message) => message.atMs + this.delayMs <= now);
    this.waiting = this.waiting.filter((message) => message.atMs + this.delayMs > now);
    for (const message of due) for (const hear of this.listeners) hear(message);
  }
}
