// Whether the server answers at all. A frozen server (a stopped process, a disk that hangs, a network that drops packets) refuses nothing
// and closes nothing, so whatever waits for it would wait for ever. A bound on every statement cannot tell a frozen server from long
// work; a question on a separate connection can.
//
// While something waits, silence is counted: the time since the server last answered anything. After a moment of silence it is asked
// `select 1`; a living server answers that within milliseconds, however long its other work takes. After `silentMs` it counts as
// unresponsive until it answers again.
//
//   answering -- silentMs without any answer, while something waits --> silent -- an answer to the question --> answering
import { limits } from "./limits.ts";

interface PulseOptions {
  /** Asks the server; resolves when it has answered anything, rejects when it has not. */
  ask(): Promise<void>;
  /** Told of each change. */
  onChange(silent: boolean): void;
  /** Told at every tick while something waits. */
  onTick?(): void;
}

export class Pulse {
  readonly #options: PulseOptions;
  #waiting = 0;
  #silenceMs = 0;
  #silent = false;
  #asking = false;
  #lastTickMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  get silent(): boolean {
    return this.#silent;
  }

  /** Something begins to wait for the server. */
  enter(): void {
    if (this.#waiting++ === 0) this.#silenceMs = 0;
    if (this.#timer || this.#closed) return;
    this.#lastTickMs = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.tick(now - this.#lastTickMs);
      this.#lastTickMs = now;
    }, limits.tickMs).unref();
  }

  leave(): void {
    this.#waiting--;
  }

  /** The server has answered something. */
  answered(): void {
    this.#silenceMs = 0;
    if (!this.#silent) return;
    this.#silent = false;
    this.#options.onChange(false);
  }

  /** Time has passed. Exported for tests, which give it the time. */
  tick(elapsedMs: number): void {
    if (this.#waiting === 0 && !this.#silent) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#options.onTick?.();
    // An event loop that was held, or a machine that slept, has read no answers meanwhile: that time is no silence of the server's.
    this.#silenceMs += Math.min(elapsedMs, 2 * limits.tickMs);
    if (this.#silenceMs >= limits.askAfterMs) this.#ask();
    if (this.#silent || this.#silenceMs < limits.silentMs) return;
    this.#silent = true;
    this.#options.onChange(true);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #ask(): void {
    if (this.#asking) return;
    this.#asking = true;
    this.#options
      .ask()
      .then(
        () => this.answered(),
        () => {},
      )
      .finally(() => (this.#asking = false));
  }
}
