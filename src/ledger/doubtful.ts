// Holds that may or may not have been taken: the connection ended while the database worked on them. Their callers were
// refused, so whatever stands of them must end. They are ended as soon as the database answers; when this process ends before, its
// lock is free and the sweep of another settles them in full.
import { isRowRefused } from "../store/index.ts";
import { doubtfulAgainMs, doubtfulBatch } from "./limits.ts";
import type { HoldRequest } from "./types.ts";

export class Doubtful {
  readonly #end: (requests: HoldRequest[]) => Promise<void>;
  readonly #waiting: HoldRequest[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `end` leaves no hold behind of the attempts that it is given, and none that could still come; it may be tried again. */
  constructor(end: (requests: HoldRequest[]) => Promise<void>) {
    this.#end = end;
  }

  add(requests: HoldRequest[]): void {
    this.#waiting.push(...requests);
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#closed || this.#timer || this.#waiting.length === 0) return;
    this.#timer = setTimeout(() => {
      void this.#work().finally(() => {
        this.#timer = undefined;
        this.#schedule();
      });
    }, doubtfulAgainMs).unref();
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#closed) {
      const batch = this.#waiting.slice(0, doubtfulBatch);
      if (!(await this.#endAll(batch))) return;
      this.#waiting.splice(0, batch.length);
    }
  }

  /** False when the database is away. What it refuses is ended alone, and left to the sweep when it is refused alone too. */
  async #endAll(batch: HoldRequest[]): Promise<boolean> {
    try {
      await this.#end(batch);
      return true;
    } catch (error) {
      if (!isRowRefused(error)) return false;
      if (batch.length === 1) return true;
      for (const request of batch) if (!(await this.#endAll([request]))) return false;
      return true;
    }
  }
}
