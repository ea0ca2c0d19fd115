// Admission of programs to the KV of each deployment: carries out what workingSet.ts plans, and decides at the door.
//
// A program enters with the first call after it was idle for `programLiveMs`. While the KV has no room for it and its tenant's part is
// used up, the call waits in the queue and nothing of it is computed: a prompt that is computed first and paused afterwards would have
// evicted others for nothing. Calls without a program never wait here.
//
// Gateways that share endpoints share their KV: each counts the live programs of all against it (elsewhere.ts).
import type { Endpoints } from "../endpoints.ts";
import { admitEveryMs, programPauseMs, programTurnMs, resumeBelowShare } from "../limits.ts";
import type { SchedulerAction } from "../actions.ts";
import type { Call, EndpointState } from "../types.ts";
import type { ProgramsElsewhere } from "./elsewhere.ts";
import { isLive, type Program } from "./program.ts";
import { planWorkingSet } from "./workingSet.ts";

interface WaitingCall {
  call: Call;
  sinceMs: number;
}

/** The queue, as admission uses it. */
export interface ProgramGate {
  pause(deployment: string, tenant: string, program: string): void;
  resume(deployment: string, tenant: string, program: string): void;
  /** A deployment's calls that wait, by program. */
  waiting(deployment: string): Map<string, WaitingCall[]>;
  /** Takes a call out of the queue and refuses it. */
  refuse(call: Call, message: string, actions: SchedulerAction[]): void;
}

/** How much of a deployment's KV live programs need. */
export interface WorkingSetState {
  deployment: string;
  /** Share of the KV of all tiers that live programs need which are not paused. */
  load: number;
  live: number;
  paused: number;
  /** Paused programs with calls that wait. */
  waiting: number;
}

/** What the last plan has left for programs that come before the next. Without a plan no program was live: all is left. */
interface Door {
  room: number;
  queues: ReadonlySet<string>;
  /** What those that have come since have taken of the room. */
  taken: Map<Program, number>;
}

/** A deployment's live programs, and its calls that wait, by program. */
interface Group {
  members: Map<string, Program>;
  waiting: Map<string, WaitingCall[]>;
}

/** What follows from a plan is done by the caller, which knows where the programs' KV lies. */
interface Carrier {
  pause(program: Program, now: number, reason: string, actions: SchedulerAction[]): void;
  resume(program: Program, now: number, reason: string, actions: SchedulerAction[]): void;
  /** The pause ends because the program is no longer live here, which other gateways need not know. */
  idle(program: Program, now: number, actions: SchedulerAction[]): void;
}

export class ProgramAdmission {
  private readonly endpoints: Endpoints;
  private readonly gate: ProgramGate;
  private readonly carrier: Carrier;
  private readonly doors = new Map<string, Door>();
  private readonly elsewhere: ProgramsElsewhere;
  private looked: WorkingSetState[] = [];
  private plannedMs = Number.NEGATIVE_INFINITY;

  constructor(endpoints: Endpoints, gate: ProgramGate, carrier: Carrier, elsewhere: ProgramsElsewhere) {
    this.endpoints = endpoints;
    this.gate = gate;
    this.carrier = carrier;
    this.elsewhere = elsewhere;
  }

  /** Every deployment with live programs, as of the last look. */
  get states(): readonly WorkingSetState[] {
    return this.looked;
  }

  /** A program's call has come: the program enters, or is paused until there is room. */
  called(program: Program, call: Call, now: number, actions: SchedulerAction[]): void {
    if (program.pausedMs !== undefined || (program.admitted && isLive(program, now))) return;
    program.admitted = true;
    const elsewhere = this.elsewhere.stateOf(call.deployment, program.key, now);
    // What is alive elsewhere has been counted.
    if (elsewhere === "running") return;
    if (elsewhere === "paused") return this.carrier.pause(program, now, "another gateway has paused it", actions);
    const tokens = Math.max(program.contextTokens, call.promptTokens + call.outputTokens);
    let door = this.doors.get(call.deployment);
    const isFirst = door === undefined;
    if (door === undefined) {
      const capacity = capacityOf(this.endpoints.ofDeployment(call.deployment));
      if (capacity === 0) return;
      door = { room: resumeBelowShare * capacity, queues: new Set(), taken: new Map() };
      this.doors.set(call.deployment, door);
    }
    // The first goes on, however large it is.
    if (isFirst || (tokens <= door.room && !door.queues.has(call.tenant))) {
      door.room -= tokens;
      door.taken.set(program, tokens);
    } else this.carrier.pause(program, now, `the KV of ${call.deployment} has no room for it now`, actions);
  }

  /** None of the program's calls has left anything in the KV: the room that it took at the door is free again. */
  holdsNothing(program: Program): void {
    const door = this.doors.get(program.deployment!);
    const tokens = door?.taken.get(program);
    if (tokens === undefined) return;
    door!.room += tokens;
    door!.taken.delete(program);
  }

  /** A program of so many tokens has entered at another gateway. */
  entered(deployment: string, tokens: number): void {
    const door = this.doors.get(deployment);
    if (door !== undefined) door.room -= tokens;
  }

  /** Pauses and resumes so that the working set fits, deployment by deployment, once in `admitEveryMs`. */
  tick(programs: Iterable<Program>, now: number, actions: SchedulerAction[]): void {
    if (now - this.plannedMs < admitEveryMs) return;
    this.plannedMs = now;
    this.doors.clear();
    this.looked = [];
    for (const [deployment, { members, waiting }] of this.groupsOf(programs, now, actions)) {
      const capacity = capacityOf(this.endpoints.ofDeployment(deployment));
      if (capacity === 0) continue;
      const plan = planWorkingSet(this.elsewhere.withOthers(deployment, members, now), capacity, now);
      const share = `${Math.round(plan.load * 100)} % of the KV that ${deployment} has`;
      for (const id of plan.pause) {
        const program = members.get(id);
        if (program === undefined || program.calls > 0) continue;
        this.carrier.pause(program, now, `live programs need ${share} without it`, actions);
      }
      for (const { id, forced } of plan.resume) {
        const program = members.get(id);
        if (program === undefined) continue;
        if (forced) program.immuneUntilMs = now + programTurnMs;
        const reason = forced ? "it has waited as long as any may" : `it fits: live programs need ${share}`;
        this.carrier.resume(program, now, reason, actions);
      }
      for (const id of plan.overdue) {
        const program = members.get(id);
        if (program !== undefined) this.refuseCalls(program, waiting.get(id) ?? [], now, actions);
      }
      this.doors.set(deployment, { room: plan.room, queues: plan.queues, taken: new Map() });
      const paused = [...members.values()].filter(({ pausedMs }) => pausedMs !== undefined);
      this.looked.push({
        deployment,
        load: plan.load,
        live: members.size,
        paused: paused.length,
        waiting: paused.filter((program) => program.waiting > 0).length,
      });
    }
  }

  /** Live programs by deployment. A paused program that is no longer live leaves: it enters again with its next call. */
  private groupsOf(programs: Iterable<Program>, now: number, actions: SchedulerAction[]): Map<string, Group> {
    const groups = new Map<string, Group>();
    for (const program of programs) {
      const { id, deployment } = program;
      if (deployment === undefined) continue;
      let group = groups.get(deployment);
      if (group === undefined) {
        groups.set(deployment, (group = this.groupOf(deployment)));
      }
      const calls = group.waiting.get(id) ?? [];
      program.waiting = calls.length;
      program.waitsSinceMs = calls.length === 0 ? undefined : firstOf(calls, program);
      if (isLive(program, now)) group.members.set(id, program);
      else if (program.pausedMs !== undefined) this.carrier.idle(program, now, actions);
    }
    for (const deployment of this.elsewhere.deployments())
      if (!groups.has(deployment)) groups.set(deployment, this.groupOf(deployment));
    const others = new Set(this.elsewhere.deployments());
    for (const [deployment, { members }] of groups)
      if (members.size === 0 && !others.has(deployment)) groups.delete(deployment);
    return groups;
  }

  private groupOf(deployment: string): Group {
    return { members: new Map(), waiting: this.gate.waiting(deployment) };
  }

  private refuseCalls(program: Program, calls: readonly WaitingCall[], now: number, actions: SchedulerAction[]): void {
    for (const { call, sinceMs } of calls) {
      const waitedMs = now - heldFrom(program, sinceMs);
      if (waitedMs < programPauseMs) continue;
      const waited = Math.round(waitedMs / 1000);
      const message = `Its program has waited ${waited} s for room in the KV of ${call.deployment}, and its tenant's part is in use by its other programs.`;
      this.gate.refuse(call, message, actions);
    }
  }
}

/** Since when the first of a program's calls waits for the end of the program's pause. */
function firstOf(calls: readonly WaitingCall[], program: Program): number {
  let first = Number.POSITIVE_INFINITY;
  for (const { sinceMs } of calls) first = Math.min(first, sinceMs);
  return heldFrom(program, first);
}

/** A call waits for the pause from when it came, or from the pause on where it had waited for its turn before. */
function heldFrom({ heldSinceMs }: Program, sinceMs: number): number {
  return Math.max(sinceMs, heldSinceMs ?? sinceMs);
}

/**
 * Tokens of KV that the endpoints that serve have: each its own, and what lies below the device of a pool's once. An endpoint that only
 * prefills keeps no program's KV: it hands it to the one that decodes.
 */
function capacityOf(endpoints: Iterable<EndpointState>): number {
  let tokens = 0;
  const pools = new Map<string, number>();
  for (const { spec, health } of endpoints) {
    if (health !== "ready" || spec.role === "prefill") continue;
    const below = spec.totalKvCapacityTokens - spec.kvCapacityTokens;
    tokens += spec.kvCapacityTokens;
    if (spec.pool === undefined) tokens += below;
    else pools.set(spec.pool, Math.max(below, pools.get(spec.pool) ?? 0));
  }
  for (const below of pools.values()) tokens += below;
  return tokens;
}
