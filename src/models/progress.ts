// Turns counts of bytes into progress for people: amount, speed, time left.
import type { Progress } from "./types.ts";

/** Time between two reports; more would only flicker. */
const reportEveryMs = 200;

export class ProgressMeter {
  readonly #what: string;
  readonly #report: (progress: Progress) => void;
  readonly #now: () => number;
  #totalBytes: number | undefined;
  #startBytes = 0;
  #doneBytes = 0;
  #startedAt: number;
  #reportedAt = -Infinity;

  constructor(
    what: string,
    report: (progress: Progress) => void,
    now: () => number = performance.now.bind(performance),
  ) {
    this.#what = what;
    this.#report = report;
    this.#now = now;
    this.#startedAt = now();
  }

  /** `alreadyBytes` were there before and do not count as speed. */
  begin(totalBytes: number | undefined, alreadyBytes = 0): void {
    this.#totalBytes = totalBytes;
    this.#startBytes = alreadyBytes;
    this.#doneBytes = alreadyBytes;
    this.#startedAt = this.#now();
    this.#tell(true);
  }

  add(bytes: number): void {
    this.#doneBytes += bytes;
    this.#tell(this.#doneBytes === this.#totalBytes);
  }

  #tell(always: boolean): void {
    const now = this.#now();
    if (!always && now - this.#reportedAt < reportEveryMs) return;
    this.#reportedAt = now;
    const seconds = (now - this.#startedAt) / 1000;
    const speed = seconds > 0 ? (this.#doneBytes - this.#startBytes) / seconds : 0;
    this.#report({
      what: this.#what,
      doneBytes: this.#doneBytes,
      ...(this.#totalBytes !== undefined && { totalBytes: this.#totalBytes }),
      ...(speed > 0 && { bytesPerSecond: speed }),
      ...(speed > 0 && this.#totalBytes !== undefined && { secondsLeft: (this.#totalBytes - this.#doneBytes) / speed }),
    });
  }
}
