// When calls are sent: by the clock, or when their predecessors have ended. Calls that wait for the same predecessors share one
// barrier, so that a stage of a thousand calls behind a stage of a thousand costs one and not a million.
import type { SimCall, Workload } from "../types.ts";

interface Barrier {
  missing: number;
  readonly calls: SimCall[];
}

export class Arrivals {
  readonly #roots: SimCall[] = [];
  #nextRoot = 0;
  readonly #barriers: (Barrier[] | undefined)[];

  constructor(workload: Workload) {
    this.#barriers = Array.from({ length: workload.calls.length });
    const known = new Map<readonly number[], Barrier>();
    for (const call of workload.calls) {
      if (call.after.length === 0) {
        this.#roots.push(call);
        continue;
      }
      let barrier = known.get(call.after);
      if (barrier === undefined) {
        known.set(call.after, (barrier = { missing: call.after.length, calls: [] }));
        for (const before of call.after) (this.#barriers[before] ??= []).push(barrier);
      }
      barrier.calls.push(call);
    }
    this.#roots.sort((a, b) => a.delayMs - b.delayMs || a.index - b.index);
  }

  /** The next call that arrives by the clock, in order of time; undefined when all have been sent. */
  nextRoot(): SimCall | undefined {
    return this.#roots[this.#nextRoot++];
  }

  /** A call has ended: `send` is called for every call that waited for it as the last of its predecessors. */
  ended(index: number, send: (call: SimCall) => void): void {
    for (const barrier of this.#barriers[index] ?? []) {
      if (--barrier.missing > 0) continue;
      for (const call of barrier.calls) send(call);
    }
  }
}
