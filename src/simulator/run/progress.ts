// Reports how far a run is, about a hundred times in all.

export class Progress {
  readonly #total: number;
  readonly #tell: ((ended: number, total: number) => void) | undefined;
  #nextAt = 0;

  constructor(total: number, tell: ((ended: number, total: number) => void) | undefined) {
    this.#total = total;
    this.#tell = tell;
  }

  ended(calls: number): void {
    if (this.#tell === undefined || calls < this.#nextAt) return;
    this.#nextAt = calls + Math.max(1, Math.floor(this.#total / 100));
    this.#tell(calls, this.#total);
  }

  finish(calls: number): void {
    this.#tell?.(calls, this.#total);
  }
}
