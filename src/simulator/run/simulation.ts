// One simulated run: a workload through a fleet. The production scheduler decides everything that it decides in the gateway, by `apply`,
// `decide` and `tick` (shell.ts); here are the clock, arrivals, engines, failures and the records.
//
// A call's life: it arrives by the clock, or when its predecessors have ended; the scheduler queues, places or refuses it; an engine
// admits it; it has a first token; it ends, and its successors arrive. A replica that fails loses its calls: those without a first token
// are tried again elsewhere, as the gateway does, and the others have failed. Pools may grow and shrink meanwhile (scaling.ts).
import { attemptsMost, type Decision, type Policy, tickMs } from "../../scheduler/index.ts";
import { segmentEnded, wake } from "../engine/engine.ts";
import type { EngineHost } from "../engine/host.ts";
import type { Task } from "../engine/task.ts";
import { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import { Random } from "../random.ts";
import { type SimCall, SimulatorError, type Workload } from "../types.ts";
import { Arrivals } from "./arrivals.ts";
import type { Attempt } from "./attempt.ts";
import { forcing } from "./forced.ts";
import * as kind from "./kinds.ts";
import { CallRecords, outcome, refusalNumber } from "./records.ts";
import { Progress } from "./progress.ts";
import { Requests } from "./requests.ts";
import type { SimulationOptions, SimulationResult } from "./result.ts";
import { FleetScaler } from "./scaling.ts";
import { Shell } from "./shell.ts";
import { createWorld, type World } from "./world.ts";

export type { SimulationResult } from "./result.ts";

/**
 * Simulates a workload on a fleet and returns what happened to every call. Deterministic in its arguments.
 *
 * @param policy the placement rule, or what makes a fresh one for each deployment (departments have one each) and each gateway; rules keep
 *   state, so that an instance must not be used for two runs
 * @throws SimulatorError `profile_without_network`, `tenant_without_department`, `policy_shared`
 */
export function simulate(
  workload: Workload,
  fleet: Fleet,
  policy: Policy | (() => Policy),
  options: SimulationOptions = {},
): SimulationResult {
  return new Simulation(workload, fleet, policy, options).run();
}

class Simulation implements EngineHost {
  readonly #workload: Workload;
  readonly #fleet: Fleet;
  readonly #policyName: string;
  readonly #options: SimulationOptions;
  readonly #queue = new EventQueue();
  readonly #records: CallRecords;
  readonly #world: World;
  readonly #shell: Shell;
  readonly #requests: Requests;
  readonly #routerMs: number;
  readonly #routerRng: () => number;
  readonly #scaler: FleetScaler | undefined;
  readonly #arrivals: Arrivals;
  readonly #progress: Progress;
  /** By call that has failed somewhere: the endpoints where. */
  readonly #tried = new Map<number, Set<string>>();
  readonly #dead: boolean[];
  #ended = 0;
  #decisions = 0;
  #lastEndMs = 0;

  constructor(workload: Workload, fleet: Fleet, policy: Policy | (() => Policy), options: SimulationOptions) {
    this.#workload = workload;
    this.#fleet = fleet;
    this.#options = options;
    this.#records = new CallRecords(workload.calls.length);
    this.#progress = new Progress(workload.calls.length, options.onProgress);
    this.#routerMs = fleet.routerMsPerEndpoint * fleet.replicas.length;
    this.#routerRng = Random.stream(options.seed ?? 1, "router").next;
    this.#requests = new Requests(workload, fleet);
    if (fleet.gateways.count > 1 && typeof policy !== "function") {
      throw new SimulatorError(
        "policy_shared",
        `The fleet has ${fleet.gateways.count} gateways, and one instance of the rule ${policy.name} cannot decide for all of them.`,
        "Give a function that makes the rule.",
      );
    }
    const make = typeof policy === "function" ? policy : () => policy;
    const { forced } = options;
    const policyOf = forced === undefined ? make : () => forcing(make(), forced, fleet);
    this.#policyName = make().name;
    const seed = options.seed ?? 1;
    const rngOf = (gateway: number) => Random.stream(seed, gateway === 0 ? "placement" : `placement ${gateway}`).next;
    this.#world = createWorld(workload, fleet, policyOf, rngOf, this.#queue, this);
    const { engines } = this.#world;
    options.onEngines?.(new Map(fleet.replicas.map(({ id }, number) => [id, engines[number]!])));
    this.#shell = new Shell(this.#world, workload, fleet, this.#queue, seed, {
      placed: (attempt, decision) => this.#placed(attempt, decision),
      refused: ({ sim }, code) => {
        this.#records.refusal[sim.index] = refusalNumber(code);
        this.#end(sim, outcome.refused);
      },
      lost: (attempt) => this.#lost(attempt),
    });
    this.#dead = fleet.replicas.map(() => false);
    this.#arrivals = new Arrivals(workload);
    if (fleet.scaled.length > 0) this.#scaler = this.#createScaler();
    for (let replica = 0; replica < fleet.replicas.length; replica++)
      if (this.#scaler === undefined || this.#scaler.holds(replica)) this.#shell.join(replica);
  }

  run(): SimulationResult {
    const queue = this.#queue;
    for (const [i, fault] of this.#fleet.failures.entries())
      queue.schedule(fault.atMs, kind.failure, fault.endpoint, i);
    this.#scheduleRoot();
    const { count } = this.#fleet.gateways;
    // Gateways started at different times: their ticks are spread over the interval.
    for (let gateway = 0; gateway < count; gateway++)
      queue.schedule(tickMs * (1 + gateway / count), kind.tick, gateway);
    if (this.#scaler !== undefined) queue.schedule(this.#scaler.everyMs, kind.scaleTick, 0);
    while (this.#ended < this.#records.count && queue.pop()) this.#happen();
    this.#progress.finish(this.#ended);
    return {
      workload: this.#workload,
      fleet: this.#fleet,
      policy: this.#policyName,
      seed: this.#options.seed ?? 1,
      records: this.#records,
      engines: this.#world.engines,
      stores: this.#world.stores,
      spanMs: this.#lastEndMs,
      events: queue.scheduled,
      decisions: this.#decisions,
      programs: this.#shell.hints.counts,
      ...(this.#scaler === undefined ? {} : { scaling: this.#scaler.finish(this.#lastEndMs) }),
    };
  }

  /** The event that was just taken out of the queue. */
  #happen(): void {
    const queue = this.#queue;
    const { engines } = this.#world;
    switch (queue.kind) {
      case segmentEnded:
        engines[queue.target]!.onSegmentEnded(queue.payload);
        break;
      case wake:
        engines[queue.target]!.onWake();
        break;
      case kind.arrival:
        if (queue.payload === 1) this.#scheduleRoot();
        this.#arrive(this.#workload.calls[queue.target]!);
        break;
      case kind.routed:
        this.#route(this.#workload.calls[queue.target]!);
        break;
      case kind.pulled:
        this.#shell.pulled(queue.target, queue.payload);
        break;
      case kind.brought:
        this.#shell.brought(queue.target, queue.payload);
        break;
      case kind.failure:
        this.#fail(queue.target, queue.payload);
        break;
      case kind.recovery:
        this.#recover(queue.target);
        break;
      case kind.tick:
        this.#shell.tick(queue.target);
        queue.schedule(queue.nowMs + tickMs, kind.tick, queue.target);
        break;
      case kind.late:
        this.#late(queue.target, queue.payload);
        break;
      case kind.news:
        this.#shell.heard(queue.target, queue.payload);
        break;
      case kind.scaleTick:
        this.#scaler!.tick(queue.nowMs);
        queue.schedule(queue.nowMs + this.#scaler!.everyMs, kind.scaleTick, 0);
        break;
      case kind.replicaStarted:
        this.#scaler!.started(queue.target);
        break;
    }
  }

  #createScaler(): FleetScaler {
    const { replicas } = this.#fleet;
    return new FleetScaler(this.#fleet, this.#world.engines, {
      loadOf: (replica) => this.#shell.loadOf(replica),
      startsAt: (replica, atMs) => this.#queue.schedule(atMs, kind.replicaStarted, replica),
      joined: (replica) => this.#shell.join(replica),
      drains: (replica, draining) =>
        this.#shell.tellAll({
          at: this.#queue.nowMs,
          type: "endpoint_health",
          endpoint: replicas[replica]!.id,
          health: draining ? "draining" : "ready",
        }),
      left: (replica) =>
        this.#shell.tellAll({ at: this.#queue.nowMs, type: "endpoint_left", endpoint: replicas[replica]!.id }),
    });
  }

  #scheduleRoot(): void {
    const root = this.#arrivals.nextRoot();
    if (root === undefined) return;
    this.#queue.schedule(Math.max(this.#queue.nowMs, root.delayMs), kind.arrival, root.index, 1);
  }

  #arrive(call: SimCall): void {
    const { nowMs } = this.#queue;
    this.#records.sentMs[call.index] = nowMs;
    if (this.#routerMs === 0) this.#route(call);
    else this.#queue.schedule(nowMs + 2 * this.#routerMs * this.#routerRng(), kind.routed, call.index);
  }

  #route(call: SimCall): void {
    if (this.#fleet.programs) this.#shell.resumed(call);
    this.#ask(call);
  }

  #ask(call: SimCall): void {
    const records = this.#records;
    if (++records.attempts[call.index]! > attemptsMost) return this.#end(call, outcome.failed);
    const tried = this.#tried.get(call.index);
    const avoid = tried === undefined ? undefined : [...tried];
    const attempt = this.#requests.attempt(call, records.attempts[call.index]!, records.sentMs[call.index]!, avoid);
    this.#shell.ask(attempt);
  }

  #placed({ sim, number, decoder, prefiller, deadlineMs }: Attempt, { chosen, prefill, runnerUp }: Decision): void {
    const records = this.#records;
    const { index } = sim;
    this.#decisions++;
    if (deadlineMs !== undefined)
      this.#queue.schedule(Math.max(this.#queue.nowMs, deadlineMs), kind.late, index, number);
    records.placedMs[index] = this.#queue.nowMs;
    records.decodeEndpoint[index] = decoder;
    records.endpoint[index] = prefiller < 0 ? decoder : prefiller;
    records.runnerUp[index] = runnerUp === undefined ? -1 : this.#shell.numberOf(runnerUp.endpoint);
    const { matchedTokens } = prefill ?? chosen;
    this.#scaler?.placed(records.endpoint[index]!, sim.promptTokens - matchedTokens);
  }

  admitted(_engine: number, task: Task, nowMs: number): void {
    const attempt = this.#shell.attemptOf(task);
    if (attempt === undefined) return;
    // The decoder has all of the KV: the next step gives the client its first token.
    if (task.leg === "decode") return this.#shell.answers(attempt);
    const { index } = task.call;
    this.#records.admittedMs[index] = nowMs;
    this.#records.cachedTokens[index] = task.cachedTokens;
    this.#records.loadedTokens[index] = task.loadedTokens;
  }

  prefilled(engine: number, task: Task, nowMs: number): void {
    const attempt = this.#shell.attemptOf(task);
    if (attempt === undefined) return this.#shell.dropLeg(engine, task);
    const { index } = task.call;
    this.#records.firstMs[index] = nowMs + this.#world.engines[engine]!.profile.callOverheadMs;
    this.#scaler?.firstToken(engine, nowMs - this.#records.sentMs[index]!);
    if (task.leg === "prefill") this.#shell.computed(attempt, task);
    else this.#shell.answers(attempt);
  }

  finished(_engine: number, task: Task, nowMs: number): void {
    const attempt = this.#shell.attemptOf(task);
    if (attempt === undefined) return;
    const { call } = task;
    this.#requests.answered(call);
    const decodeMs = nowMs - this.#records.firstMs[call.index]!;
    this.#scaler?.ended(attempt.decoder, call.outputTokens, decodeMs / Math.max(1, call.outputTokens - 1));
    this.#end(call, outcome.done);
    const { placedMs, firstMs, endMs, cachedTokens } = this.#records;
    const { index } = call;
    this.#shell.done(attempt, cachedTokens[index]!, {
      prefillMs: firstMs[index]! - placedMs[index]!,
      decodeMs: endMs[index]! - firstMs[index]!,
    });
    if (this.#fleet.programs) this.#shell.paused(attempt);
  }

  /** The call is over: its successors arrive in their time. */
  #end({ index }: SimCall, how: number): void {
    const { nowMs } = this.#queue;
    this.#records.outcome[index] = how;
    const overheadMs = this.#world.engines[Math.max(0, this.#records.endpoint[index]!)]!.profile.callOverheadMs;
    const endMs = how === outcome.done ? nowMs + overheadMs : nowMs;
    this.#records.endMs[index] = endMs;
    this.#lastEndMs = Math.max(this.#lastEndMs, endMs);
    this.#ended++;
    this.#tried.delete(index);
    this.#arrivals.ended(index, (next) => {
      this.#queue.schedule(endMs + next.delayMs, kind.arrival, next.index, 0);
    });
    this.#progress.ended(this.#ended);
  }

  /** The deadline of an attempt that was placed: without a first token the call is stopped and refused, as in the gateway. */
  #late(call: number, number: number): void {
    const attempt = this.#shell.late(call, number);
    if (attempt === undefined) return;
    this.#records.firstMs[call] = Number.NaN;
    this.#records.refusal[call] = refusalNumber("deadline");
    this.#end(attempt.sim, outcome.refused);
  }

  /** An attempt's decoder has died: without a first token the call is tried again where it has not been tried yet. */
  #lost(attempt: Attempt): void {
    const { sim, decoder, answering } = attempt;
    const { index } = sim;
    if (answering) this.#end(sim, outcome.failed);
    this.#shell.failed(attempt);
    if (answering) return;
    this.#records.firstMs[index] = Number.NaN;
    const tried = this.#tried.get(index) ?? new Set();
    this.#tried.set(index, tried.add(this.#fleet.replicas[decoder]!.id));
    // As the gateway does with workers that are restarted: when all have been tried, the first that is back is tried again.
    if (tried.size >= this.#fleet.replicas.filter(({ role }) => role !== "prefill").length) tried.clear();
    this.#ask(sim);
  }

  #fail(replica: number, fault: number): void {
    const { nowMs } = this.#queue;
    if (this.#dead[replica] || this.#scaler?.holds(replica) === false) return;
    this.#dead[replica] = true;
    const engine = this.#world.engines[replica]!;
    const lost = this.#shell.died(replica, engine.fail());
    const { downMs } = this.#fleet.failures[fault]!;
    this.#queue.schedule(nowMs + (downMs ?? engine.profile.startUpMs), kind.recovery, replica);
    for (const attempt of lost) this.#lost(attempt);
  }

  #recover(replica: number): void {
    this.#dead[replica] = false;
    if (this.#scaler?.holds(replica) !== false) this.#shell.join(replica);
  }
}
