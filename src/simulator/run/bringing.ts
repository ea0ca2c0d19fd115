// States on their way to a call: what the last turn of its conversation left in one replica's own memory is put into the store that
// replicas share, before the call is given to another. As in a gateway over workers that share a folder of parked states: the
// scheduler counts such a state as `remote`, and the worker that has it is told to save it (the verb `share`).
import type { Engine } from "../engine/engine.ts";
import type { Task } from "../engine/task.ts";
import type { Fleet } from "../fleet.ts";
import type { SimCall, Workload } from "../types.ts";

const nowhere = -1;

/** Where the newest state of each conversation is computed. */
export class Homes {
  readonly #at: Int32Array;

  constructor({ threads }: Workload) {
    this.#at = new Int32Array(threads).fill(nowhere);
  }

  /** The replica's number; -1 when it is nowhere. */
  of(call: SimCall): number {
    return this.#at[call.thread]!;
  }

  placed(call: SimCall, slot: number): void {
    this.#at[call.thread] = slot;
  }

  /** A replica's own memory is gone. */
  lost(slot: number): void {
    for (let thread = 0; thread < this.#at.length; thread++) if (this.#at[thread] === slot) this.#at[thread] = nowhere;
  }
}

export class Bringing {
  readonly homes: Homes;
  readonly #fleet: Fleet;
  readonly #engines: readonly Engine[];
  readonly #begun: (call: SimCall, endMs: number) => void;
  /** By call. */
  readonly #under = new Map<number, { task: Task; from: Engine; to: Engine }>();
  /** By replica: when it has written what it was asked for before. */
  readonly #freeMs: Float64Array;

  /** `begun`: the call's state will have been written at a time; `end` is to be called then. */
  constructor(
    workload: Workload,
    fleet: Fleet,
    engines: readonly Engine[],
    begun: (call: SimCall, endMs: number) => void,
  ) {
    this.homes = new Homes(workload);
    this.#fleet = fleet;
    this.#engines = engines;
    this.#begun = begun;
    this.#freeMs = new Float64Array(engines.length);
  }

  /**
   * Gives a task to replica `slot`, when `tokens` of its conversation's state have been put where that one can read them; a replica
   * writes between two steps. `home` is where the next state will lie.
   */
  send(task: Task, slot: number, home: number, tokens: number, nowMs: number): void {
    const { call } = task;
    const before = this.homes.of(call);
    this.homes.placed(call, home);
    const to = this.#engines[slot]!;
    if (tokens === 0 || before < 0) return to.enqueue(task);
    const from = this.#engines[before]!;
    const { saveMsPerToken, tier } = this.#fleet.replicas[before]!.store!;
    const endMs = Math.max(from.boundaryMs(nowMs), this.#freeMs[before]!) + (tier.latencyMs + saveMsPerToken * tokens);
    this.#freeMs[before] = endMs;
    this.#under.set(call.index, { task, from, to });
    this.#begun(call, endMs);
  }

  /** The state is there, as far as it still was where it lay: the task goes to its replica, unless that has died. */
  end(call: number): void {
    const under = this.#under.get(call);
    if (under === undefined) return;
    this.#under.delete(call);
    under.from.cache.share(under.task.call.blocks);
    under.to.enqueue(under.task);
  }

  /** A replica has died, and its own memory with it: the calls that were to go there. */
  lost(slot: number): SimCall[] {
    this.homes.lost(slot);
    const calls: SimCall[] = [];
    for (const [index, { task, to }] of this.#under) {
      if (to !== this.#engines[slot]) continue;
      this.#under.delete(index);
      calls.push(task.call);
    }
    return calls;
  }
}
