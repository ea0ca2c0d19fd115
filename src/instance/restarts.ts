// When a process that crashed is started again: after a pause that doubles with each crash in a row, and not any more when it crashes
// too often, because then every start does harm and an operator must find the cause.

/** Pause before the first restart. */
export const restartFloorMs = 500;
/** Longest pause. */
export const restartCeilingMs = 30_000;
/** A life that served this long is healthy: the next crash begins again at the floor. */
export const healthyAfterMs = 60_000;
/** So many crashes within `windowMs` end it. */
export const crashesMost = 10;
export const windowMs = 10 * 60_000;

export class Restarts {
  readonly #crashes: number[] = [];
  #inARow = 0;

  /** A life has crashed, `servedMs` after it was ready. Answers the pause before the next, or undefined to give up. */
  crashed(nowMs: number, servedMs: number): number | undefined {
    this.#crashes.push(nowMs);
    while (this.#crashes[0]! < nowMs - windowMs) this.#crashes.shift();
    if (this.#crashes.length > crashesMost) return undefined;
    this.#inARow = servedMs >= healthyAfterMs ? 1 : this.#inARow + 1;
    return Math.min(restartCeilingMs, restartFloorMs * 2 ** (this.#inARow - 1));
  }
}
