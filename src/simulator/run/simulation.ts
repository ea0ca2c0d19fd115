// One simulated run: a workload through a fleet under one placement policy. The policies, their load view and their queue are
// the scheduler's own code, called as the gateway calls it; only engines, network and clock are models.
//
// A call's life here: arrive (by the clock, or when its predecessors have ended) -> wait, if endpoints are full -> place ->
// engine admits -> first token -> end -> successors arrive. With prefill replicas the scheduler's PD plan may send the prompt
// to one of them; its KV is then leased there, pulled over the network, released, and decoded where the policy placed it. A
// replica that fails loses its calls: those without a first token are placed again, others failed. Pools may grow and shrink
// meanwhile (`scaling.ts`). Where replicas share a store, a conversation's state may have to be put there first (`bringing.ts`).
import { numbersOf, PdPlanner, workTokens, type Call, type Policy } from "../../scheduler/index.ts";
import { Engine, segmentEnded, wake, type EngineHost } from "../engine/engine.ts";
import { newTask, type Task } from "../engine/task.ts";
import { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import { Random } from "../random.ts";
import type { SimCall, Workload } from "../types.ts";
import { Arrivals } from "./arrivals.ts";
import { Bringing } from "./bringing.ts";
import { Candidates } from "./candidates.ts";
import type { CacheView } from "./knowledge.ts";
import * as kind from "./kinds.ts";
import { Legs } from "./legs.ts";
import { ProgramKeeper, programTickMs } from "./programs.ts";
import { CallRecords, outcome } from "./records.ts";
import { Progress } from "./progress.ts";
import { Requests } from "./requests.ts";
import type { SimulationOptions, SimulationResult } from "./result.ts";
import { FleetScaler } from "./scaling.ts";
import type { SimulatedEndpoint } from "./scraped.ts";
import { Transfers } from "./transfers.ts";
import { createWaitingRoom, type WaitingRoom } from "./waiting-room.ts";
import { createWorld, type World } from "./world.ts";

/** Attempts of one call before it is given up. */
const maxAttempts = 5;

export type { SimulationOptions, SimulationResult } from "./result.ts";

/** Simulates the workload and returns what happened to every call. Deterministic in its arguments. */
export function simulate(
  workload: Workload,
  fleet: Fleet,
  policy: Policy,
  options: SimulationOptions = {},
): SimulationResult {
  return new Simulation(workload, fleet, policy, options).run();
}

class Simulation implements EngineHost {
  readonly #workload: Workload;
  readonly #fleet: Fleet;
  readonly #policy: Policy;
  readonly #options: SimulationOptions;
  readonly #queue = new EventQueue();
  readonly #records: CallRecords;
  readonly #world: World;
  readonly #engines: Engine[];
  readonly #endpoints: SimulatedEndpoint[];
  readonly #legs: Legs;
  readonly #requests: Requests;
  readonly #candidates: Candidates;
  readonly #pd: PdPlanner;
  readonly #cacheView: CacheView;
  readonly #rng: () => number;
  readonly #routerMs: number;
  readonly #routerRng: () => number;
  readonly #waitingRoom: WaitingRoom;
  readonly #programs: ProgramKeeper | undefined;
  readonly #scaler: FleetScaler | undefined;
  readonly #transfers: Transfers;
  readonly #arrivals: Arrivals;
  /** Only where a store takes what one replica has for another. */
  readonly #bringing: Bringing | undefined;

  readonly #progress: Progress;
  #ended = 0;
  #decisions = 0;
  #lastEndMs = 0;

  constructor(workload: Workload, fleet: Fleet, policy: Policy, options: SimulationOptions) {
    this.#workload = workload;
    this.#fleet = fleet;
    this.#policy = policy;
    this.#options = options;
    this.#records = new CallRecords(workload.calls.length);
    this.#progress = new Progress(workload.calls.length, options.onProgress);
    this.#rng = Random.stream(options.seed ?? 1, "placement").next;
    this.#routerMs = fleet.routerMsPerEndpoint * fleet.replicas.length;
    this.#routerRng = Random.stream(options.seed ?? 1, "router").next;
    const world = (this.#world = createWorld(workload, fleet, this.#queue, this));
    this.#cacheView = world.cacheView;
    this.#engines = world.engines;
    this.#endpoints = world.endpoints;
    this.#legs = new Legs(world.loads, workload.calls.length);
    this.#requests = new Requests(workload);
    if (fleet.scaled.length > 0) this.#scaler = this.#createScaler();
    if (fleet.stores.some(({ writes }) => writes === "evicted"))
      this.#bringing = new Bringing(workload, fleet, this.#engines, ({ index }, endMs) =>
        this.#queue.schedule(endMs, kind.brought, index),
      );
    this.#candidates = new Candidates(world, fleet, this.#bringing?.homes);
    this.#pd = new PdPlanner({
      minUncachedTokens: fleet.splitFromUncachedTokens,
      kvBytesPerToken: fleet.replicas[0]!.profile.kvBytesPerToken,
    });
    this.#waitingRoom = createWaitingRoom(fleet.programs ? "fair" : fleet.queue, workload.calls);
    if (fleet.programs) this.#programs = new ProgramKeeper(workload, world.registry, this.#engines, this.#waitingRoom);
    this.#transfers = new Transfers(fleet.replicas.length);
    this.#arrivals = new Arrivals(workload);
  }

  run(): SimulationResult {
    const queue = this.#queue;
    for (const [i, fault] of this.#fleet.failures.entries())
      queue.schedule(fault.atMs, kind.failure, fault.endpoint, i);
    this.#scheduleRoot();
    if (this.#programs !== undefined) queue.schedule(programTickMs, kind.programTick, 0);
    if (this.#scaler !== undefined) queue.schedule(this.#scaler.everyMs, kind.scaleTick, 0);
    while (queue.pop()) {
      switch (queue.kind) {
        case segmentEnded:
          this.#engines[queue.target]!.onSegmentEnded(queue.payload);
          break;
        case wake:
          this.#engines[queue.target]!.onWake();
          break;
        case kind.arrival:
          if (queue.payload === 1) this.#scheduleRoot();
          this.#arrive(this.#workload.calls[queue.target]!);
          break;
        case kind.routed:
          this.#route(this.#workload.calls[queue.target]!);
          break;
        case kind.pulled:
          this.#kvPulled(queue.target);
          break;
        case kind.brought:
          this.#bringing!.end(queue.target);
          break;
        case kind.failure:
          this.#fail(queue.target, queue.payload);
          break;
        case kind.recovery:
          this.#recover(queue.target);
          break;
        case kind.programTick:
          this.#programs!.tick(queue.nowMs);
          this.#drainWaitingRoom();
          if (this.#ended < this.#records.count) queue.schedule(queue.nowMs + programTickMs, kind.programTick, 0);
          break;
        case kind.scaleTick:
          this.#scaler!.tick(queue.nowMs);
          if (this.#ended < this.#records.count) queue.schedule(queue.nowMs + this.#scaler!.everyMs, kind.scaleTick, 0);
          break;
        case kind.replicaStarted:
          this.#scaler!.started(queue.target);
          break;
      }
    }
    this.#progress.finish(this.#ended);
    return {
      workload: this.#workload,
      fleet: this.#fleet,
      policy: this.#policy.name,
      seed: this.#options.seed ?? 1,
      records: this.#records,
      engines: this.#engines,
      stores: this.#world.stores,
      spanMs: this.#lastEndMs,
      events: queue.scheduled,
      decisions: this.#decisions,
      ...(this.#programs === undefined ? {} : { programs: this.#programs.counts }),
      ...(this.#scaler === undefined ? {} : { scaling: this.#scaler.finish(this.#lastEndMs) }),
    };
  }

  #createScaler(): FleetScaler {
    return new FleetScaler(this.#fleet, this.#endpoints, this.#engines, {
      startsAt: (slot, atMs) => this.#queue.schedule(atMs, kind.replicaStarted, slot),
      changed: () => {
        this.#candidates.refresh();
        this.#drainWaitingRoom();
      },
      stopped: (slot) => {
        this.#cacheView.cleared(slot);
        this.#bringing?.lost(slot);
        this.#programs?.lost(this.#endpoints[slot]!);
      },
    });
  }

  #scheduleRoot(): void {
    const root = this.#arrivals.nextRoot();
    if (root === undefined) return;
    this.#queue.schedule(Math.max(this.#queue.nowMs, root.delayMs), kind.arrival, root.index, 1);
  }

  #arrive(call: SimCall): void {
    const nowMs = this.#queue.nowMs;
    this.#records.sentMs[call.index] = nowMs;
    if (this.#routerMs === 0) this.#route(call);
    else this.#queue.schedule(nowMs + 2 * this.#routerMs * this.#routerRng(), kind.routed, call.index);
  }

  #route(call: SimCall): void {
    const nowMs = this.#queue.nowMs;
    if (this.#programs === undefined) {
      this.#placeOrWait(call);
      return;
    }
    // With programs every call passes the queue: its program may be paused.
    const request = this.#requests.describe(call);
    this.#programs.arrived(call, request, nowMs);
    this.#waitingRoom.add(call, request, nowMs);
    this.#drainWaitingRoom();
  }

  #placeOrWait(call: SimCall): void {
    const waits = this.#waitingRoom.size > 0 || !this.#candidates.haveRoom;
    if (!waits) this.#place(call);
    else if (!this.#waitingRoom.add(call, this.#requests.describe(call), this.#queue.nowMs)) {
      this.#end(call, outcome.refused, this.#queue.nowMs);
    }
  }

  #place(call: SimCall): void {
    const nowMs = this.#queue.nowMs;
    const records = this.#records;
    if (++records.attempts[call.index]! > maxAttempts) {
      this.#end(call, outcome.failed, nowMs);
      return;
    }
    const candidates = this.#candidates.withRoom(call);
    const request = this.#requests.describe(call);
    const index = this.#choose(call, request, candidates);
    const endpoint = candidates[index]!;
    const matched = this.#candidates.view.matchedTokens[index]!;
    const broughtTokens = this.#candidates.broughtTokens[index]!;
    const { view } = this.#candidates;
    this.#programs?.placed(call, request, view, index, this.#policy.name, nowMs - records.sentMs[call.index]!);
    const prefiller =
      this.#candidates.prefillers.length === 0 ? undefined : this.#choosePrefiller(call, request, endpoint, index);
    records.placedMs[call.index] = nowMs;
    records.decodeEndpoint[call.index] = endpoint.slot;
    const uncached = prefiller === undefined ? workTokens(endpoint.spec, call.promptTokens - matched, matched) : 0;
    this.#legs.open(call.index, endpoint, uncached, call.promptTokens, nowMs);
    this.#scaler?.placed(
      (prefiller?.state ?? endpoint).slot,
      call.promptTokens - (prefiller?.matchedTokens ?? matched),
    );
    if (prefiller === undefined) {
      this.#cacheView.placed(endpoint.slot, call, nowMs);
      records.endpoint[call.index] = endpoint.slot;
      this.#send(newTask(call, "both", call.index), endpoint.slot, endpoint.slot, broughtTokens);
      return;
    }
    const { state, matchedTokens } = prefiller;
    const ahead = workTokens(state.spec, call.promptTokens - matchedTokens, matchedTokens);
    this.#cacheView.placed(state.slot, call, nowMs);
    records.endpoint[call.index] = state.slot;
    this.#legs.openPrefill(call.index, state, ahead, call.promptTokens, nowMs);
    this.#send(newTask(call, "prefill", call.index), state.slot, endpoint.slot, broughtTokens);
  }

  /** Gives a task to its replica, where it must with its conversation's state; `home` is where the next one will lie. */
  #send(task: Task, slot: number, home: number, broughtTokens: number): void {
    if (this.#bringing === undefined) this.#engines[slot]!.enqueue(task);
    else this.#bringing.send(task, slot, home, broughtTokens, this.#queue.nowMs);
  }

  /** Asks the policy, or obeys what a counterfactual forces. Answers the index among the candidates. */
  #choose(call: SimCall, request: Call, candidates: SimulatedEndpoint[]): number {
    this.#candidates.look(call, request, candidates, this.#queue.nowMs, true);
    const choice = this.#policy.choose(this.#candidates.view, this.#rng);
    this.#decisions++;
    this.#records.runnerUp[call.index] = choice.runnerUp < 0 ? -1 : candidates[choice.runnerUp]!.slot;
    const forced = this.#options.forced?.get(call.index);
    if (forced === undefined) return choice.index;
    const index = candidates.findIndex((endpoint) => endpoint.slot === forced);
    return index < 0 ? choice.index : index;
  }

  /** The decode endpoint is chosen; the scheduler's plan says whether, and where, the prompt is prefilled elsewhere. */
  #choosePrefiller(call: SimCall, request: Call, decoder: SimulatedEndpoint, index: number) {
    if (!this.#pd.wants(request, decoder, numbersOf(this.#candidates.view, index, 0))) return undefined;
    const candidates = this.#candidates.prefillers.filter((endpoint) =>
      this.#pd.canPrefill(endpoint, decoder, request),
    );
    this.#candidates.look(call, request, candidates, this.#queue.nowMs);
    const chosen = this.#pd.choose(this.#candidates.view, decoder, this.#rng);
    if (chosen < 0) return undefined;
    return { state: candidates[chosen]!, matchedTokens: this.#candidates.view.matchedTokens[chosen]! };
  }

  admitted(_engine: Engine, task: Task, nowMs: number): void {
    const records = this.#records;
    const index = task.call.index;
    if (task.leg === "decode") return;
    records.admittedMs[index] = nowMs;
    records.cachedTokens[index] = task.cachedTokens;
    records.loadedTokens[index] = task.loadedTokens;
  }

  prefilled(engine: Engine, task: Task, nowMs: number): void {
    const { call } = task;
    this.#records.firstMs[call.index] = nowMs + engine.profile.callOverheadMs;
    this.#scaler?.firstToken(engine.id, nowMs - this.#records.sentMs[call.index]!);
    this.#legs.prefilled(call.index, nowMs);
    this.#programs?.prefilled(call);
    if (task.leg !== "prefill") return;
    // What is lent to the decoder lies in the store for everybody else too.
    engine.cache.share(call.blocks);
    if (call.outputTokens <= 1) {
      engine.endLease(task);
      this.#finish(call, nowMs);
      return;
    }
    const decoder = this.#engines[this.#records.decodeEndpoint[call.index]!]!;
    this.#queue.schedule(this.#transfers.begin(task, engine, decoder, nowMs), kind.pulled, call.index);
  }

  #kvPulled(index: number): void {
    const call = this.#transfers.end(index);
    if (call === undefined) return; // a replica died meanwhile
    this.#legs.pulled(index, this.#queue.nowMs);
    this.#engines[this.#records.decodeEndpoint[index]!]!.enqueue(newTask(call, "decode", index));
  }

  finished(_engine: Engine, task: Task, nowMs: number): void {
    this.#finish(task.call, nowMs);
  }

  refused(_engine: Engine, task: Task, nowMs: number): void {
    this.#end(task.call, outcome.refused, nowMs);
  }

  #finish(call: SimCall, nowMs: number): void {
    this.#requests.finished(call.outputTokens);
    const decodeMs = nowMs - this.#records.firstMs[call.index]!;
    const slot = this.#records.decodeEndpoint[call.index]!;
    this.#scaler?.ended(slot, call.outputTokens, decodeMs / Math.max(1, call.outputTokens - 1));
    this.#end(call, outcome.done, nowMs);
  }

  #end(call: SimCall, how: number, nowMs: number): void {
    const { index } = call;
    this.#records.outcome[index] = how;
    const overheadMs = this.#engines[Math.max(0, this.#records.endpoint[index]!)]!.profile.callOverheadMs;
    const endMs = how === outcome.done ? nowMs + overheadMs : nowMs;
    this.#records.endMs[index] = endMs;
    this.#lastEndMs = Math.max(this.#lastEndMs, endMs);
    this.#legs.close(index);
    this.#ended++;
    this.#programs?.ended(call, this.#requests.describe(call), nowMs);
    this.#arrivals.ended(index, (next) => {
      this.#queue.schedule(endMs + next.delayMs, kind.arrival, next.index, 0);
    });
    this.#drainWaitingRoom();
    this.#progress.ended(this.#ended);
  }

  #drainWaitingRoom(): void {
    while (this.#waitingRoom.size > 0 && this.#candidates.haveRoom) {
      const call = this.#waitingRoom.take((waiting) => this.#candidates.bestMatch(waiting, this.#queue.nowMs));
      if (call === undefined) return;
      this.#place(call);
    }
  }

  #fail(endpoint: number, fault: number): void {
    const nowMs = this.#queue.nowMs;
    const state = this.#endpoints[endpoint]!;
    if (state.health === "down") return;
    state.health = "down";
    this.#candidates.refresh();
    const engine = this.#engines[endpoint]!;
    const lost = new Set(engine.fail().map((task) => task.call));
    for (const call of this.#transfers.lost(engine)) lost.add(call);
    for (const call of this.#bringing?.lost(endpoint) ?? []) lost.add(call);
    this.#cacheView.cleared(endpoint);
    this.#programs?.lost(state);
    const { downMs } = this.#fleet.failures[fault]!;
    const startUpMs = engine.profile.startUpMs;
    this.#queue.schedule(nowMs + (downMs ?? startUpMs), kind.recovery, endpoint);
    for (const call of lost) {
      this.#legs.close(call.index);
      if (this.#records.firstMs[call.index]! > 0) this.#end(call, outcome.failed, nowMs);
      else this.#placeOrWait(call);
    }
  }

  #recover(endpoint: number): void {
    this.#endpoints[endpoint]!.health = "ready";
    this.#candidates.refresh();
    this.#drainWaitingRoom();
  }
}
