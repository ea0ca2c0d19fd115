// One simulated run: a workload through a fleet under one placement policy. The policies, their load view and their queue are
// the scheduler's own code, called as the gateway calls it; only engines, network and clock are models.
//
// A call's life here: arrive (by the clock, or when its predecessors have ended) -> wait, if endpoints are full -> place ->
// engine admits -> first token -> end -> successors arrive. With prefill replicas the scheduler's PD plan may send the prompt
// to one of them; its KV is then leased there, pulled over the network, released, and decoded where the policy placed it. A replica that fails loses its calls: those without a first token are placed again, others failed.
import {
  decisionOf,
  Endpoints,
  LoadView,
  numbersOf,
  PdPlanner,
  workTokens,
  type Call,
  type LoadHandle,
  type PlacementView,
  type Policy,
} from "../../scheduler/index.ts";
import { Engine, segmentEnded, wake, type EngineHost } from "../engine/engine.ts";
import { KvCache } from "../engine/kv-cache.ts";
import { newTask, type Task } from "../engine/task.ts";
import { EventQueue } from "../events.ts";
import type { Fleet, Replica } from "../fleet.ts";
import { Random } from "../random.ts";
import type { SimCall, Workload } from "../types.ts";
import { Arrivals } from "./arrivals.ts";
import { endpointSpec } from "./endpoint-spec.ts";
import { createKnowledge, viewTiers, type CacheView } from "./knowledge.ts";
import { Network } from "./network.ts";
import { ProgramKeeper, programTickMs, type ProgramCounts } from "./programs.ts";
import { CallRecords, outcome } from "./records.ts";
import { neverScraped, scrape, type SimulatedEndpoint } from "./scraped.ts";
import { createWaitingRoom, type WaitingRoom } from "./waiting-room.ts";

const arrival = 10;
const pulled = 11;
const failure = 12;
const recovery = 13;
const programTick = 14;
/** Attempts of one call before it is given up. */
const maxAttempts = 5;

export interface SimulationOptions {
  seed?: number;
  /** Forced placements by call index (counterfactuals); calls without an entry follow the policy. */
  forced?: ReadonlyMap<number, number>;
  /** Called now and then with the number of calls that have ended. */
  onProgress?: (ended: number, total: number) => void;
}

/** A finished run, ready to be summarised. */
export interface SimulationResult {
  readonly workload: Workload;
  readonly fleet: Fleet;
  readonly policy: string;
  readonly seed: number;
  readonly records: CallRecords;
  readonly engines: readonly Engine[];
  /** Virtual time from the first arrival's zero to the last end. */
  readonly spanMs: number;
  readonly events: number;
  readonly decisions: number;
  /** What the scheduler's program plans did, where the fleet asks for them. */
  readonly programs?: ProgramCounts;
}

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
  readonly #engines: Engine[];
  readonly #endpoints: SimulatedEndpoint[];
  readonly #loads = new LoadView("simulator");
  readonly #handles: (LoadHandle | undefined)[];
  /** Load of prefill legs; #handles then holds the decode leg's. */
  readonly #prefillHandles: (LoadHandle | undefined)[];
  readonly #pd: PdPlanner;
  readonly #cacheView: CacheView;
  readonly #rng: () => number;
  readonly #waitingRoom: WaitingRoom;
  readonly #programs: ProgramKeeper | undefined;
  /** First thread seen of each program: the parent of its others. */
  readonly #mainThread: Int32Array;
  readonly #network: Network;
  /** Tasks on their way over the network, by call. */
  readonly #pulling = new Map<number, { task: Task; from: Engine }>();

  readonly #arrivals: Arrivals;

  /** Candidates, rebuilt when health changes: who may take a call (decode it), and who may prefill for others. */
  #takers: SimulatedEndpoint[] = [];
  #prefillers: SimulatedEndpoint[] = [];
  readonly #view: { -readonly [K in keyof PlacementView]: PlacementView[K] };
  #outputSum = 0;
  #ended = 0;
  #decisions = 0;
  #progressAt = 0;
  #lastEndMs = 0;

  constructor(workload: Workload, fleet: Fleet, policy: Policy, options: SimulationOptions) {
    this.#workload = workload;
    this.#fleet = fleet;
    this.#policy = policy;
    this.#options = options;
    this.#records = new CallRecords(workload.calls.length);
    this.#rng = Random.stream(options.seed ?? 1, "placement").next;
    const count = fleet.replicas.length;
    const knowledge = createKnowledge(
      fleet.knowledge,
      count,
      workload.blockCount,
      workload.blockTokens,
      () => this.#queue.nowMs,
    );
    const caches = fleet.replicas.map((replica, i) => createCache(workload, replica, knowledge.listener(i)));
    this.#cacheView = knowledge.connect(caches);
    this.#engines = fleet.replicas.map((r, i) => new Engine(i, r.profile, caches[i]!, this.#queue, this));
    const endpoints = new Endpoints(this.#loads);
    this.#endpoints = fleet.replicas.map((replica) => {
      const spec = endpointSpec(replica, workload.blockTokens, fleet.maxInFlightPerEndpoint);
      return Object.assign(endpoints.join(spec, "ready"), { scraped: neverScraped() });
    });
    this.#handles = Array.from({ length: workload.calls.length });
    this.#prefillHandles = Array.from({ length: workload.calls.length });
    this.#pd = new PdPlanner({
      minUncachedTokens: fleet.splitFromUncachedTokens,
      kvBytesPerToken: fleet.replicas[0]!.profile.kvBytesPerToken,
    });
    this.#waitingRoom = createWaitingRoom(fleet.programs ? "fair" : fleet.queue, workload.calls);
    if (fleet.programs) this.#programs = new ProgramKeeper(workload, endpoints, this.#engines, this.#waitingRoom);
    this.#mainThread = new Int32Array(workload.programs).fill(-1);
    this.#network = new Network(count);
    this.#arrivals = new Arrivals(workload);
    this.#view = {
      call: undefined as never,
      now: 0,
      count: 0,
      endpoints: this.#endpoints,
      matched: new Float64Array(count * viewTiers),
      matchedTokens: new Float64Array(count),
      expectedTokens: new Float64Array(count),
      residentTokens: new Float64Array(count),
    };
    this.#refreshCandidates();
  }

  run(): SimulationResult {
    const queue = this.#queue;
    for (const [i, fault] of this.#fleet.failures.entries()) queue.schedule(fault.atMs, failure, fault.endpoint, i);
    this.#scheduleRoot();
    if (this.#programs !== undefined) queue.schedule(programTickMs, programTick, 0);
    while (queue.pop()) {
      switch (queue.kind) {
        case segmentEnded:
          this.#engines[queue.target]!.onSegmentEnded(queue.payload);
          break;
        case wake:
          this.#engines[queue.target]!.onWake();
          break;
        case arrival:
          if (queue.payload === 1) this.#scheduleRoot();
          this.#arrive(this.#workload.calls[queue.target]!);
          break;
        case pulled:
          this.#kvPulled(queue.target);
          break;
        case failure:
          this.#fail(queue.target, queue.payload);
          break;
        case recovery:
          this.#recover(queue.target);
          break;
        case programTick:
          this.#programs!.tick(queue.nowMs);
          this.#drainWaitingRoom();
          if (this.#ended < this.#records.count) queue.schedule(queue.nowMs + programTickMs, programTick, 0);
          break;
      }
    }
    this.#options.onProgress?.(this.#ended, this.#records.count);
    return {
      workload: this.#workload,
      fleet: this.#fleet,
      policy: this.#policy.name,
      seed: this.#options.seed ?? 1,
      records: this.#records,
      engines: this.#engines,
      spanMs: this.#lastEndMs,
      events: queue.scheduled,
      decisions: this.#decisions,
      ...(this.#programs === undefined ? {} : { programs: this.#programs.counts }),
    };
  }

  #scheduleRoot(): void {
    const root = this.#arrivals.nextRoot();
    if (root === undefined) return;
    this.#queue.schedule(Math.max(this.#queue.nowMs, root.delayMs), arrival, root.index, 1);
  }

  #arrive(call: SimCall): void {
    const nowMs = this.#queue.nowMs;
    this.#records.sentMs[call.index] = nowMs;
    if (this.#programs === undefined) {
      this.#placeOrWait(call);
      return;
    }
    // With programs every call passes the queue: its program may be paused.
    const request = this.#describe(call);
    this.#programs.arrived(call, request, nowMs);
    this.#waitingRoom.add(call, request, nowMs);
    this.#drainWaitingRoom();
  }

  #placeOrWait(call: SimCall): void {
    const waits = this.#waitingRoom.size > 0 || !this.#hasSlot();
    if (!waits) this.#place(call);
    else if (!this.#waitingRoom.add(call, this.#describe(call), this.#queue.nowMs)) {
      this.#end(call, outcome.refused, this.#queue.nowMs);
    }
  }

  /** Does any candidate have room for another call? Without a bound on calls in flight, always. */
  #hasSlot(): boolean {
    const limit = this.#fleet.maxInFlightPerEndpoint;
    if (limit === undefined) return this.#takers.length > 0;
    return this.#takers.some((endpoint) => endpoint.load.inFlight < limit);
  }

  #place(call: SimCall): void {
    const nowMs = this.#queue.nowMs;
    const records = this.#records;
    if (++records.attempts[call.index]! > maxAttempts) {
      this.#end(call, outcome.failed, nowMs);
      return;
    }
    const limit = this.#fleet.maxInFlightPerEndpoint;
    let candidates = this.#takers;
    if (limit !== undefined) candidates = candidates.filter((endpoint) => endpoint.load.inFlight < limit);
    const request = this.#describe(call);
    const index = this.#choose(call, request, candidates);
    const endpoint = candidates[index]!;
    const matched = this.#view.matchedTokens[index]!;
    if (this.#programs !== undefined) {
      const choice = { index, runnerUp: -1, cost: 0, runnerUpCost: 0, ties: 1, reason: "placed" };
      const decision = decisionOf(this.#view, choice, this.#policy.name, nowMs - records.sentMs[call.index]!);
      this.#programs.placed(call, request, endpoint, decision, nowMs);
    }
    const prefiller = this.#prefillers.length === 0 ? undefined : this.#choosePrefiller(call, request, endpoint, index);
    records.placedMs[call.index] = nowMs;
    records.decodeEndpoint[call.index] = endpoint.slot;
    const uncached = prefiller === undefined ? workTokens(endpoint.spec, call.promptTokens - matched, matched) : 0;
    this.#handles[call.index] = this.#loads.open(endpoint.spec.id, 0, uncached, call.promptTokens, nowMs);
    if (prefiller === undefined) {
      this.#cacheView.placed(endpoint.slot, call, nowMs);
      records.endpoint[call.index] = endpoint.slot;
      this.#engines[endpoint.slot]!.enqueue(newTask(call, "both", call.index));
      return;
    }
    const { state, matchedTokens } = prefiller;
    const ahead = workTokens(state.spec, call.promptTokens - matchedTokens, matchedTokens);
    this.#cacheView.placed(state.slot, call, nowMs);
    records.endpoint[call.index] = state.slot;
    this.#prefillHandles[call.index] = this.#loads.open(state.spec.id, 0, ahead, call.promptTokens, nowMs);
    this.#engines[state.slot]!.enqueue(newTask(call, "prefill", call.index));
  }

  /** Asks the policy, or obeys what a counterfactual forces. Answers the index among the candidates. */
  #choose(call: SimCall, request: Call, candidates: SimulatedEndpoint[]): number {
    this.#look(call, request, candidates);
    const choice = this.#policy.choose(this.#view, this.#rng);
    this.#decisions++;
    this.#records.runnerUp[call.index] = choice.runnerUp < 0 ? -1 : candidates[choice.runnerUp]!.slot;
    const forced = this.#options.forced?.get(call.index);
    if (forced === undefined) return choice.index;
    const index = candidates.findIndex((endpoint) => endpoint.slot === forced);
    return index < 0 ? choice.index : index;
  }

  /** Fills the view that policies look at. */
  #look(call: SimCall, request: Call, candidates: SimulatedEndpoint[]): void {
    const { scrapeMs } = this.#fleet;
    const view = this.#view;
    view.call = request;
    view.now = this.#queue.nowMs;
    view.count = candidates.length;
    view.endpoints = candidates;
    for (let i = 0; i < candidates.length; i++) {
      const { slot } = candidates[i]!;
      if (scrapeMs !== undefined) scrape(candidates[i]!.scraped, this.#engines[slot]!, view.now, scrapeMs);
      view.matchedTokens[i] = this.#cacheView.match(slot, call, view.matched, i * viewTiers, view.now);
      view.residentTokens![i] = this.#cacheView.residentTokens(slot);
    }
  }

  /** The decode endpoint is chosen; the scheduler's plan says whether, and where, the prompt is prefilled elsewhere. */
  #choosePrefiller(call: SimCall, request: Call, decoder: SimulatedEndpoint, index: number) {
    if (!this.#pd.wants(request, decoder, numbersOf(this.#view, index, 0))) return undefined;
    const candidates = this.#prefillers.filter((endpoint) => this.#pd.canPrefill(endpoint, decoder, request));
    this.#look(call, request, candidates);
    const chosen = this.#pd.choose(this.#view, decoder, this.#rng);
    if (chosen < 0) return undefined;
    return { state: candidates[chosen]!, matchedTokens: this.#view.matchedTokens[chosen]! };
  }

  /** The scheduler's picture of a call: sizes as known before it ran, the output as the mean of those that have ended. */
  #describe(call: SimCall): Call {
    let main = this.#mainThread[call.program]!;
    if (main < 0) this.#mainThread[call.program] = main = call.thread;
    return {
      id: String(call.index),
      tenant: String(call.tenant),
      // For the scheduler a sub-agent is a program of its own below its parent.
      program: String(call.thread),
      ...(main === call.thread ? {} : { parent: String(main) }),
      affinity: String(call.program),
      deployment: "simulated",
      promptTokens: call.promptTokens,
      outputTokens: this.#ended > 0 ? Math.round(this.#outputSum / this.#ended) : 256,
      prompt: [],
    };
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
    (this.#prefillHandles[call.index] ?? this.#handles[call.index])?.prefilled(nowMs);
    if (task.leg !== "prefill") return;
    if (call.outputTokens <= 1) {
      engine.endLease(task);
      this.#finish(call, nowMs);
      return;
    }
    const decoder = this.#engines[this.#records.decodeEndpoint[call.index]!]!;
    this.#pulling.set(call.index, { task, from: engine });
    this.#queue.schedule(this.#network.transferEndMs(engine, decoder, call, nowMs), pulled, call.index);
  }

  #kvPulled(index: number): void {
    const transfer = this.#pulling.get(index);
    if (transfer === undefined) return; // a replica died meanwhile
    this.#pulling.delete(index);
    const { call } = transfer.task;
    transfer.from.endLease(transfer.task);
    this.#prefillHandles[index]?.close();
    this.#prefillHandles[index] = undefined;
    this.#handles[index]?.prefilled(this.#queue.nowMs);
    this.#engines[this.#records.decodeEndpoint[index]!]!.enqueue(newTask(call, "decode", index));
  }

  finished(_engine: Engine, task: Task, nowMs: number): void {
    this.#finish(task.call, nowMs);
  }

  refused(_engine: Engine, task: Task, nowMs: number): void {
    this.#end(task.call, outcome.refused, nowMs);
  }

  #finish(call: SimCall, nowMs: number): void {
    this.#outputSum += call.outputTokens;
    this.#end(call, outcome.done, nowMs);
  }

  #end(call: SimCall, how: number, nowMs: number): void {
    const { index } = call;
    this.#records.outcome[index] = how;
    const overheadMs = this.#engines[Math.max(0, this.#records.endpoint[index]!)]!.profile.callOverheadMs;
    const endMs = how === outcome.done ? nowMs + overheadMs : nowMs;
    this.#records.endMs[index] = endMs;
    this.#lastEndMs = Math.max(this.#lastEndMs, endMs);
    this.#closeHandles(index);
    this.#ended++;
    this.#programs?.ended(call, this.#describe(call), nowMs);
    this.#arrivals.ended(index, (next) => {
      this.#queue.schedule(endMs + next.delayMs, arrival, next.index, 0);
    });
    this.#drainWaitingRoom();
    if (this.#options.onProgress !== undefined && this.#ended >= this.#progressAt) {
      this.#progressAt = this.#ended + Math.max(1, Math.floor(this.#records.count / 100));
      this.#options.onProgress(this.#ended, this.#records.count);
    }
  }

  #closeHandles(index: number): void {
    this.#handles[index]?.close();
    this.#handles[index] = undefined;
    this.#prefillHandles[index]?.close();
    this.#prefillHandles[index] = undefined;
  }

  #drainWaitingRoom(): void {
    while (this.#waitingRoom.size > 0 && this.#hasSlot()) {
      const call = this.#waitingRoom.take((waiting) => this.#bestMatch(waiting));
      if (call === undefined) return;
      this.#place(call);
    }
  }

  #bestMatch(call: SimCall): number {
    let best = 0;
    for (const { slot } of this.#takers) {
      best = Math.max(best, this.#cacheView.match(slot, call, this.#view.matched, 0, this.#queue.nowMs));
    }
    return best;
  }

  #fail(endpoint: number, fault: number): void {
    const nowMs = this.#queue.nowMs;
    const state = this.#endpoints[endpoint]!;
    if (state.health === "down") return;
    state.health = "down";
    this.#refreshCandidates();
    const engine = this.#engines[endpoint]!;
    const lost = new Set(engine.fail().map((task) => task.call));
    for (const [index, transfer] of this.#pulling) {
      if (transfer.from !== engine && this.#records.decodeEndpoint[index] !== endpoint) continue;
      transfer.from.endLease(transfer.task);
      this.#pulling.delete(index);
      lost.add(transfer.task.call);
    }
    this.#cacheView.cleared(endpoint);
    this.#programs?.lost(state);
    const { downMs } = this.#fleet.failures[fault]!;
    const startUpMs = engine.profile.startUpMs;
    this.#queue.schedule(nowMs + (downMs ?? startUpMs), recovery, endpoint);
    for (const call of lost) {
      this.#closeHandles(call.index);
      if (this.#records.firstMs[call.index]! > 0) this.#end(call, outcome.failed, nowMs);
      else this.#placeOrWait(call);
    }
  }

  #recover(endpoint: number): void {
    this.#endpoints[endpoint]!.health = "ready";
    this.#refreshCandidates();
    this.#drainWaitingRoom();
  }

  #refreshCandidates(): void {
    const ready = this.#endpoints.filter((endpoint) => endpoint.health === "ready");
    this.#prefillers = ready.filter((endpoint) => endpoint.spec.role === "prefill");
    this.#takers = ready.filter((endpoint) => endpoint.spec.role !== "prefill");
  }
}

function createCache(
  workload: Workload,
  replica: Replica,
  listener: ReturnType<ReturnType<typeof createKnowledge>["listener"]>,
) {
  const sizes = {
    deviceTokens: replica.profile.kvCapacityTokens,
    blockTokens: workload.blockTokens,
    lowerTokens: replica.profile.tiers.map((tier) => tier.capacityTokens),
  };
  return new KvCache(workload.blockCount, sizes, listener);
}
