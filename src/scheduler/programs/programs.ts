// The programs that are alive: what the runtime says of them, where their KV lies, and what follows from it.
//
//   a tool starts     keep, demote or drop (toolWindow.ts); asked again while it runs
//   a tool ends       what was demoted is prefetched before the next call comes
//   a newer state     of a program at another endpoint supersedes the older one: that makes room (whether it is saved first
//                     is the shell's to say: under one name there may be more than one conversation)
//   a program ends    its KV goes at once, and its sub-agents' with it
//   too many          whole programs are paused at step boundaries (workingSet.ts)
//
// Actions are wishes: an endpoint answers by receipt whether it could honour them, and KV events say what really lies where.
import type { Endpoints } from "../endpoints.ts";
import { programsMax } from "../limits.ts";
import type { Call, Decision, EndpointState, RuntimeFact, SchedulerAction } from "../types.ts";
import { ProgramAdmission, type ProgramGate, type WorkingSetState } from "./admission.ts";
import { type Program, Residence, slower, type WaitKind } from "./program.ts";
import { ProgramTable } from "./table.ts";
import { expectedWaitMs, planTool } from "./toolWindow.ts";
import { OwnWaits, Waits } from "./waits.ts";

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
  /** Programs in a tool call with a question left to ask. */
  private readonly asking = new Set<Program>();
  private readonly residence = new Residence();
  private readonly waits: Record<WaitKind, Waits> = {
    quick: new Waits(expectedWaitMs.quick),
    unknown: new Waits(expectedWaitMs.unknown),
    slow: new Waits(expectedWaitMs.slow),
    approval: new Waits(expectedWaitMs.approval),
  };
  private readonly admission: ProgramAdmission | undefined;

  constructor(endpoints: Endpoints, gate: ProgramGate, options: ProgramsOptions = {}) {
    this.endpoints = endpoints;
    this.gate = gate;
    this.options = options;
    this.programs = new ProgramTable(options.maxPrograms ?? programsMax, (program) => this.forgotten(program));
    const carrier = {
      pause: (program: Program, now: number, reason: string, actions: SchedulerAction[]) =>
        this.pause(program, now, reason, actions),
      resume: (program: Program, now: number, reason: string, actions: SchedulerAction[]) =>
        this.resume(program, now, reason, actions),
    };
    if (options.pauses !== false) this.admission = new ProgramAdmission(endpoints, gate, carrier);
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
    return true;
  }

  /** A call has left the queue without being placed. A program of which nothing else is known was made by it, and goes with it. */
  left(call: Call): void {
    const program = this.of(call);
    if (program === undefined) return;
    program.waiting = Math.max(0, program.waiting - 1);
    if (program.waiting > 0 || program.computed) return;
    program.contextTokens = 0;
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
    program.computed = true;
    program.atBoundary = false;
    program.heldSinceMs = undefined;
    this.programs.active(program, now);
  }

  ended(call: Call, outputTokens: number, now: number): void {
    const program = this.of(call);
    if (program === undefined) return;
    program.calls = Math.max(0, program.calls - 1);
    program.atBoundary = program.calls === 0;
    this.programs.active(program, now);
    if (program.at !== undefined)
      this.residence.move(program, program.at, program.tier, call.promptTokens + outputTokens);
  }

  fact(fact: RuntimeFact, now: number, actions: SchedulerAction[]): void {
    if (fact.type === "run_ended") return this.end(fact.program, actions);
    const own = this.programs.of(fact.program);
    // Tools belong to the call that has asked for them: to that of the deployment which was called last.
    const running = fact.type === "tool_ended" ? own.find(({ tools }) => tools > 0) : undefined;
    const program = running ?? own[0] ?? this.programs.add(fact.program, now);
    if (program === undefined) return;
    program.told = true;
    this.programs.active(program, now);
    if (fact.type === "program") {
      if (fact.parent !== undefined) this.setParent(program.id, fact.parent);
    } else if (fact.type === "tool_started") {
      program.tools++;
      program.kind = program.tools > 1 ? slower(program.kind, fact.kind) : fact.kind;
      if (program.tools === 1) program.toolSinceMs = now;
      this.wait(program);
      this.ask(program, now, actions, true);
    } else if (program.tools > 0) {
      program.tools--;
      if (program.tools > 0) return;
      const { kind, open } = program.wait!;
      this.waits[kind].ended(open, now, 1, this.waitsOf(program, kind));
      program.wait = undefined;
      this.toolsEnded(program, actions);
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
    for (const waits of Object.values(this.waits)) waits.advance(now);
    for (const program of this.asking) if (program.askAgainMs <= now) this.ask(program, now, actions, false);
    const idleMs = this.options.idleMs ?? 3_600_000;
    for (const program of this.programs.values()) {
      // The longest idle stand first, so the first active one ends it.
      if (now - program.activeMs <= idleMs) break;
      if (program.calls === 0 && program.waiting === 0 && program.pausedMs === undefined) this.programs.forget(program);
    }
    this.admission?.tick(this.programs.values(), now, actions);
  }

  /** How much of the KV of each deployment live programs need, and how many wait. */
  get workingSets(): readonly WorkingSetState[] {
    return this.admission?.states ?? [];
  }

  private of({ program, deployment }: Call): Program | undefined {
    return program === undefined ? undefined : this.programs.get(program, deployment);
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
    const tier =
      at.spec.speed.reloadMsPerToken.host !== undefined
        ? "host"
        : at.spec.speed.reloadMsPerToken.disk !== undefined
          ? "disk"
          : undefined;
    const verb = tier === undefined ? "drop" : "demote";
    actions.push({
      type: "kv",
      verb,
      program: program.id,
      endpoint: at.spec.id,
      tokens: program.contextTokens,
      tier,
      reason: "paused",
    });
    this.residence.move(program, verb === "drop" ? undefined : at, tier ?? "device", program.contextTokens);
  }

  /** The program waits for its tools from the start of the first on; a slower tool beside it makes it a wait of the slower kind. */
  private wait(program: Program): void {
    const kind = program.kind ?? "unknown";
    if (program.wait?.kind === kind) return;
    this.stopWaiting(program);
    program.wait = { kind, open: this.waits[kind].began(program.toolSinceMs) };
  }

  /** How the program's wait ends will not be seen. */
  private stopWaiting(program: Program): void {
    if (program.wait !== undefined) this.waits[program.wait.kind].left(program.wait.open);
    program.wait = undefined;
  }

  /** The program's own waits of a kind, beside the waits of all programs. */
  private waitsOf(program: Program, kind: WaitKind): OwnWaits {
    const own = program.waits.get(kind) ?? new OwnWaits(this.waits[kind]);
    program.waits.set(kind, own);
    return own;
  }

  /** Decides the tool window. `first`: the answer is recorded even when it is to keep. */
  private ask(program: Program, now: number, actions: SchedulerAction[], first: boolean): void {
    const { at } = program;
    this.asking.delete(program);
    if (at === undefined || program.tier !== "device" || program.calls > 0 || program.contextTokens === 0) return;
    const fill = this.residence.fillOf(at);
    const elapsedMs = now - program.toolSinceMs;
    const msPerReturn = this.waitsOf(program, program.wait!.kind).msPerReturn(elapsedMs);
    const plan = planTool({
      tokens: program.contextTokens,
      spec: at.spec,
      fill,
      elapsedMs,
      msPerReturn,
    });
    if (plan.againMs !== undefined) {
      program.askAgainMs = now + plan.againMs;
      this.asking.add(program);
      if (!first) return;
    }
    const { verb, tier, reason } = plan;
    actions.push({
      type: "kv",
      verb,
      program: program.id,
      endpoint: at.spec.id,
      tokens: program.contextTokens,
      tier,
      reason,
    });
    if (verb === "demote") this.residence.move(program, at, tier!, program.contextTokens);
    if (verb === "drop") this.residence.move(program, undefined, "device", program.contextTokens);
  }

  private toolsEnded(program: Program, actions: SchedulerAction[]): void {
    this.asking.delete(program);
    const { at, tier } = program;
    if (at === undefined || tier === "device" || program.pausedMs !== undefined) return;
    actions.push({
      type: "kv",
      verb: "prefetch",
      program: program.id,
      endpoint: at.spec.id,
      tokens: program.contextTokens,
      tier,
      reason: "its tool's result has arrived",
    });
    this.residence.move(program, at, "device", program.contextTokens);
  }

  private end(id: string, actions: SchedulerAction[]): void {
    const children = this.children.get(id);
    // First: two programs that name each other as parents must not end each other for ever.
    this.children.delete(id);
    for (const child of children ?? []) this.end(child, actions);
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
    }
  }

  private forgotten(program: Program): void {
    this.residence.move(program, undefined, "device", 0);
    this.asking.delete(program);
    this.stopWaiting(program);
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
