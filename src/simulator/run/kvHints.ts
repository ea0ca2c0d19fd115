// Carries out the scheduler's `kv` actions on the modelled caches, as the gateway's hints do at real engines. `keep` and `prefetch` have no
// effect: here a tool's result and the next call come at the same moment, and the engine loads at once what lies in a lower tier.
//
// Only engines that accept hints act on them: engines that keep whole conversations, as the embedded engine does, and all engines of a
// fleet with `programs`. vLLM and SGLang as they are accept none.
//
// A state that a newer one supersedes elsewhere is given up when the newer one has a first token, and is demoted to a lower tier or a
// shared store where there is one: what siblings share of it must stay readable.
import type { SchedulerAction } from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";
import type { SimCall, Workload } from "../types.ts";
import type { Attempt } from "./attempt.ts";
import { programNumber } from "./requests.ts";

type KvAction = Extract<SchedulerAction, { type: "kv" }>;

/** What was done, for reports. */
export interface ProgramCounts {
  demotedBlocks: number;
  droppedBlocks: number;
  /** Programs paused, counted at each pause. */
  pauses: number;
}

interface Superseded {
  older: SimCall;
  replica: number;
}

export class KvHints {
  readonly counts: ProgramCounts = { demotedBlocks: 0, droppedBlocks: 0, pauses: 0 };
  readonly #engines: readonly Engine[];
  /** By replica: whether its engine accepts hints. */
  readonly #takes: readonly boolean[];
  /** Number of the scheduler's program that a call belongs to. */
  readonly #programOf: (call: SimCall) => number;
  /** By program: the call whose prompt is its newest state, and the call before that. */
  readonly #latest: (SimCall | undefined)[];
  readonly #older: (SimCall | undefined)[];
  /** By attempt under way: the older state that its own will supersede. */
  readonly #superseded = new Map<Attempt, Superseded>();

  /** `runtime`: an agent runtime tells of every thread, and every engine accepts hints. */
  constructor({ programs, threads }: Workload, engines: readonly Engine[], runtime: boolean) {
    this.#engines = engines;
    this.#takes = engines.map(({ kept }) => runtime || kept !== undefined);
    this.#programOf = (call) => programNumber(call, runtime);
    this.#latest = Array.from({ length: runtime ? threads : programs });
    this.#older = Array.from({ length: runtime ? threads : programs });
  }

  /** The call before `call` in its program; undefined for a first call. */
  before(call: SimCall): SimCall | undefined {
    return this.#latest[this.#programOf(call)];
  }

  /** The call was given to a replica: its prompt is its program's newest state. */
  placed(call: SimCall): void {
    const program = this.#programOf(call);
    const before = this.#latest[program];
    // Another attempt of the same call supersedes what the first attempt was to supersede.
    if (before === call) return;
    this.#older[program] = before;
    this.#latest[program] = call;
  }

  /** A `kv` action for a program's KV at a replica. `attempt`: its new state supersedes that KV. */
  wish(action: KvAction, replica: number, attempt: Attempt | undefined): void {
    const { verb } = action;
    if (!this.#takes[replica] || (verb !== "demote" && verb !== "drop")) return;
    const program = Number(action.program);
    if (attempt !== undefined) {
      const older = this.#older[program];
      if (older !== undefined) this.#superseded.set(attempt, { older, replica });
      return;
    }
    const call = this.#latest[program];
    if (call === undefined) return;
    // Only the end of a run gives up what others could still read in a shared store.
    const drops = verb === "drop" && this.#engines[replica]!.cache.store === undefined;
    this.#act(drops ? "drop" : "demote", call, replica);
  }

  /** The attempt has a first token: what its state supersedes makes room. */
  prefilled(attempt: Attempt): void {
    const superseded = this.#superseded.get(attempt);
    if (superseded === undefined) return;
    this.#superseded.delete(attempt);
    this.#act("demote", superseded.older, superseded.replica);
  }

  ended(attempt: Attempt): void {
    this.#superseded.delete(attempt);
  }

  /** A run is over: its KV is dropped in all tiers, except what other conversations share of it. */
  runEnded(action: KvAction, replica: number): void {
    const call = this.#latest[Number(action.program)];
    if (call !== undefined) this.#act("drop", call, replica);
  }

  #act(verb: "demote" | "drop", call: SimCall, replica: number): void {
    const { cache, kept } = this.#engines[replica]!;
    const { blocks, outputBlocks } = call;
    if (kept !== undefined) {
      const moved = kept.demote(call);
      if (verb === "demote") {
        this.counts.demotedBlocks += moved;
        return;
      }
    }
    for (const part of outputBlocks === undefined ? [blocks] : [blocks, outputBlocks]) {
      if (verb === "demote") this.counts.demotedBlocks += cache.demote(part);
      else this.counts.droppedBlocks += cache.drop(part);
    }
    if (verb === "drop" && cache.store !== undefined) {
      if (outputBlocks !== undefined) this.counts.droppedBlocks += cache.store.drop(outputBlocks);
      this.counts.droppedBlocks += cache.store.drop(blocks);
    }
  }
}
