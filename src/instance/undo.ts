// What a start has made is undone in reverse order, within one time for all of it: a database, an engine or a client that does not
// answer must not keep a stop from its end. What was not settled in that time is settled by the next start.
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../telemetry/index.ts";

/** From the signal to the end of the last process. The parts below add up to less. */
export const stopMs = 5_000;
/** Calls and runs under way may end by themselves for this long; then they are cancelled and settled. */
export const settleGraceMs = 1_000;
/** All settling together, the grace included. */
export const settleMs = 1_800;
/** Children that do not end in this time after they were asked to are killed. */
export const childStopMs = 2_200;
/** A stop that hangs all the same is ended by force: children killed, the process ended. */
export const forceMs = 4_600;

export class Undo {
  readonly #stack: AsyncDisposableStack;
  readonly #log: Logger;
  readonly #sleep: (ms: number) => Promise<unknown>;
  readonly #now: () => number;
  #deadlineMs: number | undefined;

  constructor(
    stack: AsyncDisposableStack,
    log: Logger,
    time: { now: () => number; sleep: (ms: number) => Promise<unknown> } = {
      now: () => performance.now(),
      sleep: (ms) => sleep(ms, undefined, { ref: false }),
    },
  ) {
    this.#stack = stack;
    this.#log = log;
    this.#now = time.now;
    this.#sleep = time.sleep;
  }

  /**
   * Has `work` done at the stop. Never fails, and is waited for only as long as is left of `settleMs`. `unsettled` says in words what is
   * left for the next start after that; undefined: nothing.
   */
  add(what: string, work: () => Promise<unknown>, unsettled: () => string | undefined = () => undefined): void {
    this.#stack.defer(async () => {
      this.#deadlineMs ??= this.#now() + settleMs;
      const done = work().then(
        () => true,
        (error: Error) => {
          this.#log.warn({ what, err: error.message }, "could not be settled; the next start settles it");
          return true;
        },
      );
      const left = this.#sleep(Math.max(0, this.#deadlineMs - this.#now())).then(() => false);
      const isInTime = await Promise.race([done, left]);
      const rest = unsettled();
      if (!isInTime) this.#log.warn({ what, left: rest }, "was not settled in time; the next start settles it");
      else if (rest !== undefined) this.#log.warn({ what, left: rest }, "is not settled; the next start settles it");
    });
  }
}
