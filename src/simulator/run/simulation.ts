// One simulated run: a workload through a fleet under one placement policy. The policies, their load view and their queue are
// the scheduler's own code, called as the gateway calls it; only engines, network and clock are models.
//
// A call's life here: arrive (by the clock, or when its predecessors have ended) -> place -> engine admits -> first token ->
// end -> successors arrive. With prefill and decode replicas it is prefilled in one place, its KV pulled over the network,
// and decoded in another. A replica that fails loses its calls: those without a first token are placed again, others failed.
import { LoadView, type LoadHandle } from "../../scheduler/load/loadView.ts";
import type {
  Call,
  EndpointHealth,
  EndpointSpec,
  EndpointState,
  PlacementView,
  Policy,
} from "../../scheduler/types.ts";
import { Engine, segmentEnded, wake, type EngineHost } from "../engine/engine.ts";
import { KvCache } from "../engine/kv-cache.ts";
import { newTask, type Task } from "../engine/task.ts";
import { EventQueue } from "../events.ts";
import type { Fleet, Replica } from "../fleet.ts";
import { Random } from "../random.ts";
import { SimulatorError, type SimCall, type Workload } from "../types.ts";
import { endpointSpec } from "./endpoint-spec.ts";
import { createKnowledge, viewTiers, type CacheView } from "./knowledge.ts";
import { CallRecords, outcome } from "./records.ts";
import { WaitingRoom } from "./waiting-room.ts";

const arrival = 10;
const pulled = 11;
const failure = 12;
const recovery = 13;
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

/** Calls that are sent when the last of their common predecessors has ended. */
interface Barrier {
  missing: number;
  readonly calls: SimCall[];
}

/** What an engine's own metrics said when they were last scraped. Rivals that score by scraped metrics read this. */
export interface ScrapedMetrics {
  atMs: number;
  waiting: number;
  running: number;
  /** Share of device KV held by running calls. */
  kvUsage: number;
}

/** An endpoint of a simulation: what the scheduler sees, and the engine's scraped metrics beside it. */
export interface SimulatedEndpoint extends EndpointState {
  readonly scraped: ScrapedMetrics;
}

class MutableEndpoint implements SimulatedEndpoint {
  readonly scraped: ScrapedMetrics = { atMs: -Infinity, waiting: 0, running: 0, kvUsage: 0 };
  readonly slot: number;
  readonly spec: EndpointSpec;
  readonly load: EndpointState["load"];
  health: EndpointHealth = "ready";
  constructor(slot: number, spec: EndpointSpec, load: EndpointState["load"]) {
    this.slot = slot;
    this.spec = spec;
    this.load = load;
  }
}

class Simulation implements EngineHost {
  readonly #workload: Workload;
  readonly #fleet: Fleet;
  readonly #policy: Policy;
  readonly #options: SimulationOptions;
  readonly #queue = new EventQueue();
  readonly #records: CallRecords;
  readonly #engines: Engine[];
  readonly #endpoints: MutableEndpoint[];
  readonly #loads = new LoadView("simulator");
  readonly #handles: (LoadHandle | undefined)[];
  readonly #decodeHandles: (LoadHandle | undefined)[];
  readonly #cacheView: CacheView;
  readonly #rng: () => number;
  readonly #waitingRoom: WaitingRoom;
  readonly #linkFreeMs: Float64Array;
  /** Tasks on their way over the network, by call. */
  readonly #pulling = new Map<number, { task: Task; from: Engine }>();

  /** Calls that start by the clock, in order, and those that wait for predecessors. */
  readonly #roots: SimCall[];
  #nextRoot = 0;
  /** Barriers by predecessor. Calls that share one `after` array share one barrier: a stage of a thousand calls costs one. */
  readonly #barriers: (Barrier[] | undefined)[];

  /** Candidates by purpose, rebuilt when health changes: who may take a whole call or its prefill, and who may decode. */
  #takers: MutableEndpoint[] = [];
  #prefillers: MutableEndpoint[] = [];
  #decoders: MutableEndpoint[] = [];
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
    this.#endpoints = fleet.replicas.map((replica, slot) => {
      const spec = endpointSpec(replica, workload.blockTokens, fleet.maxInFlightPerEndpoint);
      return new MutableEndpoint(slot, spec, this.#loads.of(spec.id, 0));
    });
    this.#handles = Array.from({ length: workload.calls.length });
    this.#decodeHandles = Array.from({ length: workload.calls.length });
    this.#waitingRoom = new WaitingRoom(workload, fleet.queue);
    this.#linkFreeMs = new Float64Array(count);
    this.#barriers = Array.from({ length: workload.calls.length });
    this.#roots = [];
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
    this.#view = {
      call: undefined as never,
      now: 0,
      count: 0,
      endpoints: this.#endpoints,
      matched: new Float64Array(count * viewTiers),
      matchedTokens: new Float64Array(count),
      expectedTokens: new Float64Array(count),
    };
    this.#refreshCandidates();
  }

  run(): SimulationResult {
    const queue = this.#queue;
    for (const [i, fault] of this.#fleet.failures.entries()) queue.schedule(fault.atMs, failure, fault.endpoint, i);
    this.#scheduleRoot();
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
    };
  }

  #scheduleRoot(): void {
    const root = this.#roots[this.#nextRoot];
    if (root === undefined) return;
    this.#nextRoot++;
    this.#queue.schedule(Math.max(this.#queue.nowMs, root.delayMs), arrival, root.index, 1);
  }

  #arrive(call: SimCall): void {
    this.#records.sentMs[call.index] = this.#queue.nowMs;
    if (this.#waitingRoom.size > 0 || !this.#hasSlot()) this.#waitingRoom.add(call);
    else this.#place(call);
  }

  /** Does any candidate have room for another call? Without a bound on calls in flight, always. */
  #hasSlot(): boolean {
    const limit = this.#fleet.maxInFlightPerEndpoint;
    if (this.#takers.length === 0 && this.#prefillers.length === 0) return false;
    if (limit === undefined) return true;
    return [...this.#takers, ...this.#prefillers].some((endpoint) => endpoint.load.inFlight < limit);
  }

  #place(call: SimCall): void {
    const nowMs = this.#queue.nowMs;
    const records = this.#records;
    if (++records.attempts[call.index]! > maxAttempts) {
      this.#end(call, outcome.failed, nowMs);
      return;
    }
    const request = this.#describe(call);
    let candidates = this.#prefillers.length > 0 ? this.#prefillers : this.#takers;
    const decoder = this.#prefillers.length > 0 ? this.#chooseDecoder(call, request) : undefined;
    let leg: "both" | "prefill" = decoder === undefined ? "both" : "prefill";
    if (decoder !== undefined && this.#staysWhole(call, decoder)) {
      candidates = [decoder];
      leg = "both";
    }
    const limit = this.#fleet.maxInFlightPerEndpoint;
    if (limit !== undefined) candidates = candidates.filter((endpoint) => endpoint.load.inFlight < limit);
    const index = this.#choose(call, request, candidates);
    const endpoint = candidates[index]!;
    const uncached = call.promptTokens - this.#view.matchedTokens[index]!;
    records.placedMs[call.index] = nowMs;
    records.endpoint[call.index] = endpoint.slot;
    this.#handles[call.index] = this.#loads.open(endpoint.spec.id, 0, uncached, call.promptTokens, nowMs);
    this.#cacheView.placed(endpoint.slot, call, nowMs);
    if (leg === "prefill" && decoder !== undefined) {
      records.decodeEndpoint[call.index] = decoder.slot;
      // Reserved: the decoder is charged with the call's KV from now on, so that a burst does not choose it again and again.
      this.#decodeHandles[call.index] = this.#loads.open(decoder.spec.id, 0, 0, call.promptTokens, nowMs);
    } else {
      records.decodeEndpoint[call.index] = endpoint.slot;
    }
    this.#engines[endpoint.slot]!.enqueue(newTask(call, leg, call.index));
  }

  /** Asks the policy, or obeys what a counterfactual forces. Answers the index among the candidates. */
  #choose(call: SimCall, request: Call, candidates: MutableEndpoint[]): number {
    const view = this.#view;
    const scrapeMs = this.#fleet.scrapeMs;
    view.call = request;
    view.now = this.#queue.nowMs;
    view.count = candidates.length;
    view.endpoints = candidates;
    for (let i = 0; i < candidates.length; i++) {
      const slot = candidates[i]!.slot;
      if (scrapeMs !== undefined) this.#scrape(candidates[i]!, scrapeMs);
      view.matchedTokens[i] = this.#cacheView.match(slot, call, view.matched, i * viewTiers, view.now);
    }
    const choice = this.#policy.choose(view, this.#rng);
    this.#decisions++;
    this.#records.runnerUp[call.index] = choice.runnerUp < 0 ? -1 : candidates[choice.runnerUp]!.slot;
    const forced = this.#options.forced?.get(call.index);
    if (forced === undefined) return choice.index;
    const index = candidates.findIndex((endpoint) => endpoint.slot === forced);
    return index < 0 ? choice.index : index;
  }

  /** Reads the engine's metrics anew if the last reading is older than the scrape interval. */
  #scrape(endpoint: MutableEndpoint, everyMs: number): void {
    const nowMs = this.#queue.nowMs;
    if (nowMs - endpoint.scraped.atMs < everyMs) return;
    const engine = this.#engines[endpoint.slot]!;
    endpoint.scraped.atMs = nowMs;
    endpoint.scraped.waiting = engine.waiting;
    endpoint.scraped.running = engine.inside - engine.waiting;
    endpoint.scraped.kvUsage = 1 - engine.cache.availableTokens / engine.cache.deviceTokens;
  }

  /** The scheduler's picture of a call: sizes as known before it ran, the output as the mean of those that have ended. */
  #describe(call: SimCall): Call {
    return {
      id: String(call.index),
      tenant: String(call.tenant),
      program: String(call.program),
      affinity: String(call.program),
      deployment: "simulated",
      promptTokens: call.promptTokens,
      outputTokens: this.#ended > 0 ? Math.round(this.#outputSum / this.#ended) : 256,
      prompt: [],
    };
  }

  /** The decode replica first, by the least KV that is spoken for; ties to the first. */
  #chooseDecoder(_call: SimCall, _request: Call): MutableEndpoint | undefined {
    let best: MutableEndpoint | undefined;
    for (const endpoint of this.#decoders) {
      if (best === undefined || endpoint.load.kvTokens < best.load.kvTokens) best = endpoint;
    }
    return best;
  }

  /** Little to compute: not worth a transfer. */
  #staysWhole(call: SimCall, decoder: MutableEndpoint): boolean {
    const matched = this.#cacheView.match(decoder.slot, call, this.#view.matched, 0, this.#queue.nowMs);
    return call.promptTokens - matched < this.#fleet.splitFromUncachedTokens;
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
    this.#handles[call.index]?.prefilled(nowMs);
    if (task.leg !== "prefill") return;
    if (call.outputTokens <= 1) {
      engine.endLease(task);
      this.#finish(call, nowMs);
      return;
    }
    const decoder = this.#engines[this.#records.decodeEndpoint[call.index]!]!;
    this.#pulling.set(call.index, { task, from: engine });
    this.#queue.schedule(this.#transferEndMs(engine, decoder, call, nowMs), pulled, call.index);
  }

  /** The transfer takes the slower of the two replicas' links; a replica's link carries one call at a time. */
  #transferEndMs(from: Engine, to: Engine, call: SimCall, nowMs: number): number {
    const source = from.profile.network;
    const target = to.profile.network;
    if (source === undefined || target === undefined) {
      throw new SimulatorError(
        "profile_without_network",
        `Profile ${(source === undefined ? from : to).profile.name} says nothing about its network, which prefill and decode apart need.`,
        'Add "network": {"gigabytesPerSecond": ..., "latencyMs": ...} to the profile.',
      );
    }
    const held = to.cache.matchDevice(call.blocks) * to.cache.blockTokens;
    const bytes = Math.max(0, call.promptTokens - held) * from.profile.kvBytesPerToken;
    const bandwidth = Math.min(source.gigabytesPerSecond, target.gigabytesPerSecond);
    const startMs = Math.max(nowMs, this.#linkFreeMs[from.id]!, this.#linkFreeMs[to.id]!);
    const endMs = startMs + Math.max(source.latencyMs, target.latencyMs) + bytes / (bandwidth * 1e6);
    this.#linkFreeMs[from.id] = endMs;
    this.#linkFreeMs[to.id] = endMs;
    return endMs;
  }

  #kvPulled(index: number): void {
    const transfer = this.#pulling.get(index);
    if (transfer === undefined) return; // a replica died meanwhile
    this.#pulling.delete(index);
    const { call } = transfer.task;
    transfer.from.endLease(transfer.task);
    this.#handles[index]?.close();
    this.#handles[index] = this.#decodeHandles[index];
    this.#handles[index]?.prefilled(this.#queue.nowMs);
    this.#decodeHandles[index] = undefined;
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
    for (const barrier of this.#barriers[index] ?? []) {
      if (--barrier.missing > 0) continue;
      for (const next of barrier.calls) this.#queue.schedule(endMs + next.delayMs, arrival, next.index, 0);
    }
    this.#drainWaitingRoom();
    if (this.#options.onProgress !== undefined && this.#ended >= this.#progressAt) {
      this.#progressAt = this.#ended + Math.max(1, Math.floor(this.#records.count / 100));
      this.#options.onProgress(this.#ended, this.#records.count);
    }
  }

  #closeHandles(index: number): void {
    this.#handles[index]?.close();
    this.#handles[index] = undefined;
    this.#decodeHandles[index]?.close();
    this.#decodeHandles[index] = undefined;
  }

  #drainWaitingRoom(): void {
    while (this.#waitingRoom.size > 0 && this.#hasSlot()) this.#place(this.#waitingRoom.take()!);
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
    const { downMs } = this.#fleet.failures[fault]!;
    const startUpMs = engine.profile.startUpMs;
    this.#queue.schedule(nowMs + (downMs ?? startUpMs), recovery, endpoint);
    for (const call of lost) {
      this.#closeHandles(call.index);
      if (this.#records.firstMs[call.index]! > 0) this.#end(call, outcome.failed, nowMs);
      else if (this.#hasSlot()) this.#place(call);
      else this.#waitingRoom.add(call);
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
    this.#decoders = ready.filter((endpoint) => endpoint.spec.role !== "prefill");
    // With no prefill replica left, decode replicas do whole calls; with no decode replica left nothing can be served.
    if (this.#decoders.length === 0) this.#prefillers = [];
    this.#takers = this.#decoders;
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
