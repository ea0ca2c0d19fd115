// The scheduler's view of programs inside a simulation: it is told what a runtime would tell it (a tool has started, its result is
// here, a run has ended), and what it wishes of an endpoint's KV is carried out on the modelled caches. Prefetching needs no
// carrying out: a result and the next call come at the same moment here, and the engine loads what lies below at once.
//
// A state that a newer one supersedes elsewhere is given up as a gateway does it: when the newer one exists, and to a lower tier or
// a shared store where there is one. Without any it goes at once.
import {
  type Call,
  decisionOf,
  type Endpoints,
  type EndpointState,
  type PlacementView,
  type ProgramGate,
  Programs,
  type SchedulerAction,
} from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";
import type { SimCall, Workload } from "../types.ts";

/** How often a gateway lets the scheduler's time pass; 1 s is fine enough for tools. */
export const programTickMs = 1000;

/** What was done, for reports. */
export interface ProgramCounts {
  demotedBlocks: number;
  droppedBlocks: number;
  pauses: number;
}

export class ProgramKeeper {
  readonly counts: ProgramCounts = { demotedBlocks: 0, droppedBlocks: 0, pauses: 0 };
  readonly #programs: Programs;
  readonly #endpoints: Endpoints;
  readonly #engines: readonly Engine[];
  readonly #latest: (SimCall | undefined)[];
  /** By call that is under way: the older state that its own will supersede, and where. */
  readonly #superseded = new Map<number, { older: SimCall; slot: number }>();

  constructor(workload: Workload, endpoints: Endpoints, engines: readonly Engine[], gate: ProgramGate) {
    this.#programs = new Programs(endpoints, gate);
    this.#endpoints = endpoints;
    this.#engines = engines;
    this.#latest = Array.from({ length: workload.threads });
  }

  /** A call has come; if its thread waited for a tool, the result is here. */
  arrived(call: SimCall, request: Call, nowMs: number): void {
    const before = this.#latest[call.thread];
    const actions: SchedulerAction[] = [];
    if (before?.then === "tool") {
      this.#programs.fact({ type: "tool_ended", program: request.program!, tool: "tool" }, nowMs, actions);
    }
    this.#programs.called(request, nowMs);
    this.#carryOut(actions);
  }

  /** The call goes to candidate `index` of the view, after `queuedMs`. */
  placed(call: SimCall, request: Call, view: PlacementView, index: number, policy: string, queuedMs: number): void {
    const at = view.endpoints[index]!;
    const nowMs = view.now;
    const choice = { index, runnerUp: -1, cost: 0, runnerUpCost: 0, ties: 1, reason: "placed" };
    const decision = decisionOf(view, choice, policy, queuedMs);
    const actions: SchedulerAction[] = [];
    this.#programs.placed(request, at, decision, nowMs, actions);
    const older = this.#latest[call.thread];
    for (const action of actions) {
      const slot = action.type === "kv" ? this.#endpoints.get(action.endpoint)?.slot : undefined;
      if (slot === undefined || older === undefined || !this.#hasBelow(slot)) this.#carryOut([action]);
      else this.#superseded.set(call.index, { older, slot });
    }
    this.#latest[call.thread] = call;
  }

  /** The call has its first token: what its state supersedes makes room. */
  prefilled(call: SimCall): void {
    const superseded = this.#superseded.get(call.index);
    if (superseded === undefined) return;
    this.#superseded.delete(call.index);
    this.#act("demote", superseded.older, superseded.slot);
  }

  /** A call has ended, and with it what the runtime knows: a tool runs now, a person reads, or the thread is over. */
  ended(call: SimCall, request: Call, nowMs: number): void {
    const program = request.program!;
    const actions: SchedulerAction[] = [];
    this.#superseded.delete(call.index);
    this.#programs.ended(request, call.outputTokens, nowMs);
    if (call.then === "tool") this.#programs.fact({ type: "tool_started", program, tool: "tool" }, nowMs, actions);
    this.#carryOut(actions);
    if (call.then === "end") this.#end(program, nowMs);
  }

  lost(endpoint: EndpointState): void {
    this.#programs.lost(endpoint);
  }

  tick(nowMs: number): void {
    const actions: SchedulerAction[] = [];
    this.#programs.tick(nowMs, actions);
    this.#carryOut(actions);
  }

  #carryOut(actions: readonly SchedulerAction[]): void {
    for (const action of actions) {
      if (action.type === "pause_program") this.counts.pauses++;
      if (action.type !== "kv") continue;
      const call = this.#latest[Number(action.program)];
      const slot = this.#endpoints.get(action.endpoint)?.slot;
      if (call === undefined || slot === undefined) continue;
      // Only the end of a run gives up what others could still read.
      const drops = action.verb === "drop" && this.#engines[slot]!.cache.store === undefined;
      if (action.verb === "demote" || action.verb === "drop") this.#act(drops ? "drop" : "demote", call, slot);
    }
  }

  /** A run is over: its KV goes wherever it lies, but for what others share of it. */
  #end(program: string, nowMs: number): void {
    const actions: SchedulerAction[] = [];
    this.#programs.fact({ type: "run_ended", program }, nowMs, actions);
    for (const action of actions) {
      if (action.type !== "kv") continue;
      const call = this.#latest[Number(action.program)];
      const slot = this.#endpoints.get(action.endpoint)?.slot;
      if (call !== undefined && slot !== undefined) this.#act("drop", call, slot);
    }
  }

  #act(verb: "demote" | "drop", call: SimCall, slot: number): void {
    const { cache, kept } = this.#engines[slot]!;
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

  #hasBelow(slot: number): boolean {
    const { cache, profile } = this.#engines[slot]!;
    return cache.store !== undefined || profile.tiers.length > 0;
  }
}
