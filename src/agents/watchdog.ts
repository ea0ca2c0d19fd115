// Two small loops: one that ends what a person stopped elsewhere, one that finds runs which lie still.
import type { Logger } from "../telemetry/index.ts";

/** Calls `work` again and again, `pauseMs` after it has ended, until closed. A failure is logged once until it has passed. */
export class Loop {
  readonly #name: string;
  readonly #pauseMs: number;
  readonly #work: () => Promise<void>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #failing = false;
  #closed = false;

  constructor(name: string, pauseMs: number, work: () => Promise<void>, log: Logger) {
    this.#name = name;
    this.#pauseMs = pauseMs;
    this.#work = work;
    this.#log = log;
  }

  start(): void {
    this.#schedule();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#once().finally(() => this.#schedule());
    }, this.#pauseMs).unref();
  }

  async #once(): Promise<void> {
    try {
      await this.#work();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing && !this.#closed) this.#log.warn({ loop: this.#name }, (error as Error).message);
      this.#failing = true;
    }
  }
}
