// The programs that are alive: what the runtime says of them, where their KV lies, and what follows from it.
//
//   a tool starts     keep or demote (tools.ts)
//   a tool ends       what was demoted is prefetched before the next call comes
//   a newer state     of a program at another endpoint supersedes the older one: that makes room (whether it is saved first
//                     is the shell's to say: under one name there may be more than one conversation)
//   a program ends    its KV goes at once, and its sub-agents' with it
//   too many          whole programs are paused at step boundaries (workingSet.ts)
//
// Actions are wishes: an endpoint answers by receipt whether it could honour them, and KV events say what really lies where.
import type { Endpoints } from "../endpoints.ts";
import { programsMax } from "../limits.ts";
import type { SchedulerAction } from "../actions.ts";
import type { RuntimeFact } from "../events.ts";
import type { ProgramNews } from "../news.ts";
import type { Call, Decision, EndpointState } from "../types.ts";
import { ProgramAdmission, type ProgramGate, type WorkingSetState } from "./admission.ts";
import { ProgramsElsewhere } from "./elsewhere.ts";
import { type Program, Residence } from "./program.ts";
import { ProgramTable } from "./table.ts";
import { type DeploymentNews, Telling } from "./telling.ts";
import { Tools } from "./tools.ts";

export interface ProgramsOptions {
  /** No program is paused: a rival of the gateway, for comparison. */
  pauses?: false;
  /** Programs without a call or a fact for this long are forgotten. */
  idleMs?: number;
  /** Programs that are remembered at once. */
  maxPrograms?: number;
}

export class Programs {
  private readonly endpoints: Endpoints;
  private readonly gate: ProgramGate;
  private readonly options: ProgramsOptions;
  private readonly programs: ProgramTable;
  private readonly children = new Map<string, Set<string>>();
  private readonly residence = new Residence();
  private readonly tools = new Tools(this.residence);
  private readonly elsewhere = new ProgramsElsewhere();
  private readonly admission: ProgramAdmission | undefined;
  /** Absent: no other gateway is told. */
  private readonly telling: Telling | undefined;

  /** @param tells whether other gateways are told of programs, so that `news` must be asked for */
  constructor(endpoints: Endpoints, gate: ProgramGate, options: ProgramsOptions = {}, tells = false) {
    this.endpoints = endpoints;
    this.gate = gate;
    this.options = options;
    this.programs = new ProgramTable(options.maxPrograms ?? programsMax, (program) => this.forgotten(program));
    const carrier = {
      pause: (program: Program, now: number, reason: string, actions: SchedulerAction[]) => {
        this.pause(program, now, reason, actions);
        this.changed(program, now);
      },
      resume: (program: Program, now: number, reason: string, actions: SchedulerAction[]) => {
        this.resume(program, now, reason, actions);
        this.changed(program, now);
      },
      idle: (program: Program, now: number, actions: SchedulerAction[]) =>
        this.resume(program, now, "it is idle", actions),
    };
    if (options.pauses === false) return;
    this.admission = new ProgramAdmission(endpoints, gate, carrier, this.elsewhere);
    if (tells) this.telling = new Telling();
  }

  get size(): number {
    return this.programs.size;
  }

  /** The program of this name in a deployment. */
  get(id: string, deployment: string): Readonly<Program> | undefined {
    return this.programs.get(id, deployment);
  }

  /**
   * A call has been admitted, and its program may have to wait for room. False: too many programs are alive to take in a new one.
   * Afterwards the call is `placed`, or has `left`.
   */
  called(call: Call, now: number, actions: SchedulerAction[]): boolean {
    if (call.program === undefined) return true;
    const program = this.programs.called(call.program, call.deployment, now);
    if (program === undefined) return false;
    this.programs.give(program, call.tenant);
    this.admission?.called(program, call, now, actions);
    program.waiting++;
    if (call.parent !== undefined) this.setParent(program.id, call.parent);
    if (program.contextTokens === 0) program.contextTokens = call.promptTokens + call.outputTokens;
    this.telling?.changed(program);
    return true;
  }

  /** A call has left the queue without being placed. A program of which nothing else is known was made by it, and goes with it. */
  left(call: Call): void {
    const program = this.of(call);
    if (program === undefined) return;
    program.waiting = Math.max(0, program.waiting - 1);
    this.telling?.changed(program);
    if (program.waiting > 0 || program.calls > 0 || program.computed) return;
    program.contextTokens = 0;
    this.admission?.holdsNothing(program);
    if (!program.told && !this.children.has(program.id)) this.programs.forget(program);
  }

  placed(call: Call, at: EndpointState, decision: Decision, now: number, actions: SchedulerAction[]): void {
    const program = this.of(call);
    if (program === undefined) return;
    const { at: before, lastPause } = program;
    const waitedMs =
      lastPause === undefined ? 0 : lastPause.untilMs - Math.max(lastPause.fromMs, now - decision.queuedMs);
    if (waitedMs > 0) decision.pausedMs = waitedMs;
    // Parallel calls of a program are branches: a state is superseded only while no other call computes on it.
    if (before !== undefined && before !== at && program.calls === 0 && before.health !== "down") {
      actions.push({
        type: "kv",
        verb: "drop",
        program: program.id,
        endpoint: before.spec.id,
        call: call.id,
        tokens: program.contextTokens,
        reason: `superseded: its newer state is computed at ${decision.chosen.endpoint}`,
      });
    }
    this.residence.move(program, at, "device", call.promptTokens);
    program.waiting = Math.max(0, program.waiting - 1);
    program.calls++;
    program.atBoundary = false;
    program.heldSinceMs = undefined;
    this.programs.active(program, now);
    this.changed(program, now);
  }

  /** A placed call has ended. `computed`: its prompt may lie in the endpoint's KV, which a call that failed before its first token leaves none of. */
  ended(call: Call, outputTokens: number, computed: boolean, now: number): void {
    const program = this.of(call);
    if (program === undefined) return;
    program.calls = Math.max(0, program.calls - 1);
    program.atBoundary = program.calls === 0;
    program.computed ||= computed;
    this.programs.active(program, now);
    this.changed(program, now);
    if (program.computed && program.at !== undefined)
      this.residence.move(program, program.at, program.tier, call.promptTokens + outputTokens);
    // A program whose calls have all failed holds nothing. It stays known, so that the next attempt need not enter again.
    if (program.computed || program.calls > 0) return;
    this.residence.move(program, undefined, "device", 0);
    this.admission?.holdsNothing(program);
  }

  fact(fact: RuntimeFact, now: number, actions: SchedulerAction[]): void {
    if (fact.type === "run_ended") return this.end(fact.program, now, actions);
    const own = this.programs.of(fact.program);
    // Tools belong to the call that has asked for them: to that of the deployment which was called last.
    const running = fact.type === "tool_ended" ? own.find(({ tools }) => tools > 0) : undefined;
    const program = running ?? own[0] ?? this.programs.add(fact.program, now);
    if (program === undefined) return;
    program.told = true;
    this.programs.active(program, now);
    this.changed(program, now);
    if (fact.type === "tool_started") {
      this.tools.started(program, fact.kind, now, actions);
    } else if (program.tools > 0) {
      this.tools.ended(program, now, actions);
    }
  }

  /** An endpoint has left, or its cache is empty: no program's KV lies there any more. */
  lost(endpoint: EndpointState): void {
    for (const program of this.programs.values())
      if (program.at === endpoint) this.residence.move(program, undefined, "device", program.contextTokens);
    this.residence.forget(endpoint);
  }

  /** An endpoint has joined again. With the same epoch its cache is as it was; otherwise no program's KV lies there any more. */
  replaced(before: EndpointState, after: EndpointState): void {
    if (after.spec.epoch === undefined || after.spec.epoch !== before.spec.epoch) return this.lost(before);
    for (const program of this.programs.values())
      if (program.at === before) this.residence.move(program, after, program.tier, program.contextTokens);
    this.residence.forget(before);
  }

  tick(now: number, actions: SchedulerAction[]): void {
    this.tools.tick(now, actions);
    const idleMs = this.options.idleMs ?? 3_600_000;
    for (const program of this.programs.values()) {
      // The longest idle stand first, so the first active one ends it.
      if (now - program.activeMs <= idleMs) break;
      if (program.calls === 0 && program.waiting === 0 && program.pausedMs === undefined) this.programs.forget(program);
    }
    this.admission?.tick(this.programs.values(), now, actions);
  }

  /** What other gateways are to be told of programs, as much as one message holds. */
  news(now: number): DeploymentNews[] {
    return this.telling?.take(this.programs.values(), now) ?? [];
  }

  /** Another gateway has told of programs in a deployment; `atMs`: when its message was sent. */
  hear(
    gateway: string,
    deployment: string,
    news: readonly ProgramNews[],
    atMs: number,
    now: number,
    actions: SchedulerAction[],
  ): void {
    for (const word of news) {
      const tokens = this.elsewhere.hear(gateway, deployment, word, atMs);
      const name = this.telling?.nameOf(word.program);
      const own = name === undefined ? undefined : this.programs.get(name, deployment);
      if (own === undefined) {
        this.admission?.entered(deployment, tokens);
        continue;
      }
      const adopts = this.elsewhere.adopts(own, word, atMs, now);
      if (adopts === "forget") this.programs.forget(own);
      if (adopts === "pause") this.pause(own, now, "another gateway has paused it", actions);
      if (adopts === "resume") this.resume(own, now, "it goes on at another gateway", actions);
      // All gateways take it for the same change, and none tells it to the one that has made it.
      if (adopts !== undefined) own.changedMs = atMs - word.changedMs;
    }
  }

  /** How much of the KV of each deployment live programs need, and how many wait. */
  get workingSets(): readonly WorkingSetState[] {
    return this.admission?.states ?? [];
  }

  private of({ program, deployment }: Call): Program | undefined {
    return program === undefined ? undefined : this.programs.get(program, deployment);
  }

  /** It is another one than a moment before, and other gateways are to know. */
  private changed(program: Program, now: number): void {
    program.changedMs = now;
    this.telling?.changed(program);
  }

  private resume(program: Program, now: number, reason: string, actions: SchedulerAction[]): void {
    program.lastPause = { fromMs: program.pausedMs!, untilMs: now };
    program.pausedMs = undefined;
    this.gate.resume(program.deployment!, program.tenant, program.id);
    actions.push({ type: "resume_program", program: program.id, reason });
  }

  private pause(program: Program, now: number, reason: string, actions: SchedulerAction[]): void {
    program.pausedMs = now;
    program.heldSinceMs ??= now;
    this.gate.pause(program.deployment!, program.tenant, program.id);
    actions.push({ type: "pause_program", program: program.id, reason });
    const { at } = program;
    if (at === undefined || program.tier !== "device") return;
    // Where there is no lower tier the engine gives the state up when it needs the room.
    const tier = (["host", "disk"] as const).find((lower) => at.spec.speed.reloadMsPerToken[lower] !== undefined);
    if (tier === undefined) return;
    actions.push({
      type: "kv",
      verb: "demote",
      program: program.id,
      endpoint: at.spec.id,
      tokens: program.contextTokens,
      tier,
      reason: "paused",
    });
    this.residence.move(program, at, tier, program.contextTokens);
  }

  private end(id: string, now: number, actions: SchedulerAction[]): void {
    const children = this.children.get(id);
    // First: two programs that name each other as parents must not end each other for ever.
    this.children.delete(id);
    for (const child of children ?? []) this.end(child, now, actions);
    for (const program of this.programs.of(id)) {
      if (program.at !== undefined) {
        actions.push({
          type: "kv",
          verb: "drop",
          program: id,
          endpoint: program.at.spec.id,
          tokens: program.contextTokens,
          reason: "its run has ended",
        });
      }
      this.programs.forget(program);
      program.changedMs = now;
      this.telling?.ended(program);
      if (program.deployment !== undefined) this.elsewhere.ended(program.deployment, program.key, now);
    }
  }

  private forgotten(program: Program): void {
    this.telling?.forgotten(program);
    this.residence.move(program, undefined, "device", 0);
    this.tools.left(program);
    if (program.pausedMs !== undefined) this.gate.resume(program.deployment!, program.tenant, program.id);
    program.pausedMs = undefined;
    if (this.programs.of(program.id).length > 0) return;
    if (program.parent !== undefined) this.removeChild(program.parent, program.id);
    this.children.delete(program.id);
  }

  private setParent(id: string, parent: string): void {
    const own = this.programs.of(id);
    const before = own[0]?.parent;
    if (before === parent || parent === id) return;
    if (before !== undefined) this.removeChild(before, id);
    const parentsStart = this.programs.of(parent)[0]?.startedMs;
    for (const program of own) {
      program.parent = parent;
      // A sub-agent is as old as its parent, so that it is not the first to be paused while its parent waits for it.
      program.startedMs = Math.min(program.startedMs, parentsStart ?? program.startedMs);
    }
    const siblings = this.children.get(parent) ?? new Set();
    siblings.add(id);
    this.children.set(parent, siblings);
  }

  private removeChild(parent: string, id: string): void {
    const siblings = this.children.get(parent);
    siblings?.delete(id);
    if (siblings?.size === 0) this.children.delete(parent);
  }
}
