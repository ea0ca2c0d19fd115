// Through which moment a spool is complete: every attempt that counts before it is settled, and all of that is posted. The moment is noted
// together with the end of what is written then, and is said once the records up to there are posted.
import type { SpoolPlace, TrailFile } from "../../store/index.ts";

export class Completeness {
  #noted: { place: SpoolPlace; atMs: number } | undefined;
  #saidMs = -Infinity;

  /** Notes the moment, where none is noted. To be called before the end of the file is read: what is written later counts later. */
  note(place: () => SpoolPlace, openSinceMs: () => number): void {
    this.#noted ??= { place: place(), atMs: openSinceMs() };
  }

  /** The moment, where everything up to it stands in what is posted of the file. */
  at(file: TrailFile, number: number): Date | undefined {
    const noted = this.#noted;
    if (!noted || noted.place.spool !== file.spool || noted.place.number > number) return undefined;
    return new Date(noted.atMs);
  }

  /** The database was told. */
  said(): void {
    this.#noted = undefined;
    this.#saidMs = performance.now();
  }

  /** Milliseconds since the database was told. */
  get sinceMs(): number {
    return performance.now() - this.#saidMs;
  }

  /** What was noted of a file may never be reached: what was not synced in it has moved to the next one. */
  nextFile(): void {
    this.#noted = undefined;
  }
}
