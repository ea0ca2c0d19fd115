// Which file of a spool has the hold of an attempt that is not settled yet. Such a file stays: if the process dies, its replay needs the
// hold. Memory is bounded by the attempts that are under way.
import type { WrittenRecord } from "./records.ts";

export class OpenAttempts {
  readonly #files = new Map<string, number>();
  /** Open attempts of each file. */
  readonly #counts = new Map<number, number>();
  /** The newest record that was noted: records are read again after a failure. */
  #file = 0;
  #number = 0;

  /** Notes a record of the file with that place in the trail. */
  note(record: WrittenRecord, file: number, number: number): void {
    if (file < this.#file || (file === this.#file && number <= this.#number)) return;
    this.#file = file;
    this.#number = number;
    if (record.k === "hold" && !this.#files.has(record.attempt)) {
      this.#files.set(record.attempt, file);
      this.#counts.set(file, (this.#counts.get(file) ?? 0) + 1);
    }
    if (record.k === "settle") this.#settled(record.item.attempt);
  }

  /** The oldest file with an open attempt; Infinity where there is none. */
  oldest(): number {
    let oldest = Infinity;
    for (const file of this.#counts.keys()) oldest = Math.min(oldest, file);
    return oldest;
  }

  #settled(attempt: string): void {
    const file = this.#files.get(attempt);
    if (file === undefined) return;
    this.#files.delete(attempt);
    const left = this.#counts.get(file)! - 1;
    if (left === 0) this.#counts.delete(file);
    else this.#counts.set(file, left);
  }
}
