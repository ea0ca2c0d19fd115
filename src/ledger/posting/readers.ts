// Those that wait until a place of a spool is posted: readers of records, and the end of a process.
import type { SpoolPlace } from "../../store/index.ts";

interface Waiting {
  place: SpoolPlace;
  resolve(): void;
  reject(error: unknown): void;
  /** It goes on waiting while the database is away. */
  patient: boolean;
}

export class Readers {
  #waiting: Waiting[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  wait(place: SpoolPlace, patient: boolean): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push({ place, resolve, reject, patient }));
  }

  /** Resolves those whose place is there. */
  answer(isThere: (place: SpoolPlace) => boolean): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ place }) => !isThere(place));
    for (const { place, resolve } of waiting) if (isThere(place)) resolve();
  }

  rejectImpatient(error: unknown): void {
    this.#reject((waiting) => (waiting.patient ? undefined : error));
  }

  /** Rejects all; those that are patient learn the cause itself. */
  rejectAll(error: unknown, cause = error): void {
    this.#reject(({ patient }) => (patient ? cause : error));
  }

  #reject(errorOf: (waiting: Waiting) => unknown): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => errorOf(one) === undefined);
    for (const one of waiting) {
      const error = errorOf(one);
      if (error !== undefined) one.reject(error);
    }
  }
}
