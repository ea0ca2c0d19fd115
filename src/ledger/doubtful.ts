// Holds whose outcome is unknown, because the connection ended while the database worked on the statement. Their callers were refused,
// so a hold that was taken all the same must end. It is ended as soon as the database answers. When this process ends first, its lock
// is free and another process settles the hold in full (sweep.ts).
import { isRowRefused } from "../store/index.ts";
import { doubtfulAgainMs, doubtfulBatch } from "./limits.ts";
import type { HoldRequest } from "./types.ts";

export class Doubtful {
  readonly #end: (requests: HoldRequest[]) => Promise<void>;
  readonly #waiting: HoldRequest[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `end` ends the holds of the attempts that it is given, and makes a statement that arrives later fail. It may be repeated. */
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

  /** False when the database is away. A batch that it refuses is tried hold by hold; a hold that it refuses alone is left to the sweep. */
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
