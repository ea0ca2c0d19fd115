// The scheduler: one deterministic state machine with three verbs. `apply(event)` reports what has happened, `decide(call, now, rng)` asks
// where a call goes, and `tick(now)` lets time pass. Each returns actions, which the caller (the gateway, or the simulator) carries out.
// It does no I/O and has no clock and no randomness of its own: the same events and the same seed give the same actions.
import { isAway, refusal } from "./admission.ts";
import type { DeploymentWaiting } from "./deployments.ts";
import { Dispatch } from "./dispatch.ts";
import type { Truth } from "./placedCalls.ts";
import { Endpoints } from "./endpoints.ts";
import { Expiry } from "./expiry.ts";
import { Outliers } from "./health/outliers.ts";
import type { ClassedQueue } from "./queue/classedQueue.ts";
import type { FairQueueOptions } from "./queue/fairQueue.ts";
import { programTurnMs } from "./limits.ts";
import { Lifecycle } from "./lifecycle.ts";
import { LoadView } from "./load/loadView.ts";
import { Peers } from "./peers.ts";
import { PdPlanner, type PdOptions } from "./pd/plan.ts";
import type { CacheView } from "./placement/caches.ts";
import { defaultPolicy, makePolicy } from "./placement/registry.ts";
import { IndexedCaches } from "./prefix/indexedCaches.ts";
import { PrefixIndex, type PrefixIndexOptions } from "./prefix/prefixIndex.ts";
import type { WorkingSetState } from "./programs/admission.ts";
import { Programs, type ProgramsOptions } from "./programs/programs.ts";
import type { SchedulerAction } from "./actions.ts";
import type { CallUsage, SchedulerEvent } from "./events.ts";
import type { Call, EndpointState, Policy, Rng } from "./types.ts";

export interface SchedulerOptions {
  /** Seeded; used for ties where `decide` is not given its own, and when waiting calls are placed. */
  rng: Rng;
  /** Name among the gateways that share load. */
  gateway?: string;
  /** Placement rule by name, or made per deployment. */
  policy?: string | ((deployment: string) => Policy);
  index?: PrefixIndexOptions;
  /** What is known of the endpoints' caches; the prefix index when absent. */
  caches?: CacheView;
  queue?: FairQueueOptions;
  pd?: PdOptions;
  programs?: ProgramsOptions;
  /** Whether `tick` answers with `share_load`: on when there are other gateways. */
  shareLoad?: boolean;
}

/** What waits, what is placed, and how much is known, at one moment; amounts are tokens, calls or bytes. For metrics and the API. */
export interface SchedulerSnapshot {
  endpoints: EndpointState[];
  waiting: DeploymentWaiting[];
  queued: number;
  queuedTokens: number;
  placed: number;
  openHandles: number;
  splits: number;
  programs: number;
  /** By deployment with live programs: how much of its KV they need, and how many are paused. */
  workingSets: readonly WorkingSetState[];
  index: ReturnType<PrefixIndex["stats"]>;
  truth: Truth;
  /** What it was made with where that differs from the defaults. */
  settings: SchedulerSettings;
}

/** The options that change what is decided. */
type SchedulerSettings = Required<Pick<SchedulerOptions, "queue" | "pd" | "programs">>;

/**
 * Decides for all deployments of one gateway. Deterministic: the same events, times and seed give the same actions. Times are milliseconds
 * on one clock of the caller, and never run backwards.
 *
 * Every call that `decide` has placed must be ended by `call_ended` exactly once, however it went.
 */
export class Scheduler {
  readonly index: PrefixIndex;
  private readonly caches: CacheView;
  readonly load: LoadView;
  readonly endpoints: Endpoints;
  private readonly dispatch: Dispatch;
  readonly programs: Programs;
  private readonly outliers = new Outliers();
  private readonly calls: Lifecycle;
  private readonly peers: Peers;
  private readonly expiry: Expiry;
  private readonly shareLoad: boolean;
  private readonly settings: SchedulerSettings;

  constructor(options: SchedulerOptions) {
    const policy = options.policy ?? defaultPolicy;
    this.index = new PrefixIndex(options.index);
    this.caches = options.caches ?? new IndexedCaches(this.index);
    this.load = new LoadView(options.gateway ?? "gateway");
    this.endpoints = new Endpoints(this.load);
    this.shareLoad = options.shareLoad ?? false;
    const { queue = {}, pd = {}, programs = {} } = options;
    this.settings = { queue, pd, programs };
    const planner = new PdPlanner(pd);
    const gate = {
      pause: (deployment: string, tenant: string, program: string) => this.queueOf(deployment).pause(tenant, program),
      resume: (deployment: string, tenant: string, program: string) => this.queueOf(deployment).resume(tenant, program),
      waiting: (deployment: string) => this.dispatch.deployments.waitingPrograms(deployment),
      refuse: (call: Call, message: string, actions: SchedulerAction[]) => {
        if (this.dispatch.withdraw(call.id)) actions.push(refusal(call, "program_limit", message, programTurnMs));
      },
    };
    this.programs = new Programs(this.endpoints, gate, programs, this.shareLoad);
    this.dispatch = new Dispatch(this.endpoints, this.caches, this.load, options.rng, {
      policyOf: typeof policy === "string" ? () => makePolicy(policy) : policy,
      queue,
      pd: planner,
      pdFull: () => this.calls.pd.full,
      homeOf: (call) => {
        const home = call.program === undefined ? undefined : this.programs.get(call.program, call.deployment)?.at;
        return home?.health === "ready" && !isAway(home, call) ? home : undefined;
      },
      enters: (call, now, actions) => this.programs.called(call, now, actions),
      onLeft: (call) => this.programs.left(call),
      onPlaced: (placed, now, actions) => this.calls.placed(placed, now, actions),
    });
    const { endpoints, load, programs: known, dispatch, outliers } = this;
    this.calls = new Lifecycle({ endpoints, dispatch, programs: known, outliers, planner });
    this.peers = new Peers({ endpoints, load, deployments: dispatch.deployments, programs: known });
    this.expiry = new Expiry(endpoints, dispatch.deployments, (call) => known.left(call));
  }

  /**
   * Where a call goes: `place`, `queued` or `refuse` for it, and perhaps actions for others. Throws RangeError when a call of
   * this id is waiting or placed already: an attempt that failed must be ended before the next one is asked for.
   */
  decide(call: Call, now: number, rng?: Rng): SchedulerAction[] {
    if (this.dispatch.knows(call)) throw new RangeError(`call ${call.id} is under way already`);
    return this.dispatch.decide(call, now, rng);
  }

  /** Takes in what has happened, and returns the actions that follow. */
  apply(event: SchedulerEvent): SchedulerAction[] {
    const actions: SchedulerAction[] = [];
    const now = event.at;
    switch (event.type) {
      case "endpoint_joined": {
        const { spec } = event;
        const replaced = this.endpoints.get(spec.id, spec.rank);
        if (replaced !== undefined) this.outliers.left(replaced, actions);
        const state = this.endpoints.join(spec, event.health ?? "ready");
        if (replaced !== undefined) this.programs.replaced(replaced, state);
        this.caches.reset(state.slot, spec);
        this.dispatch.deployments.endpointsChanged(spec.deployment);
        this.dispatch.drain(spec.deployment, now, actions);
        break;
      }
      case "endpoint_health":
        for (const state of this.endpoints.ranks(event.endpoint, event.rank)) {
          state.health = event.health;
          this.dispatch.deployments.endpointsChanged(state.spec.deployment);
          if (event.health === "ready") this.dispatch.drain(state.spec.deployment, now, actions);
        }
        break;
      case "endpoint_outcome": {
        const state = this.endpoints.get(event.endpoint);
        const placed = this.dispatch.placed.get(event.call);
        if (state === undefined || placed === undefined) break;
        this.outliers.outcome(state, event.outcome, placed, now, actions);
        if (state.ejected !== true) this.dispatch.drain(state.spec.deployment, now, actions);
        break;
      }
      case "endpoint_left":
        this.endpointLeft(event.endpoint, now, actions);
        break;
      case "kv": {
        const state = this.endpoints.get(event.endpoint, event.rank);
        if (state === undefined) break;
        const { outcome } = this.index.apply(state.slot, event.event);
        if (outcome === "epoch") this.programs.lost(state);
        if (outcome === "gap" || outcome === "epoch") {
          actions.push({ type: "replay_kv", endpoint: event.endpoint, rank: event.rank, reason: outcome });
        }
        break;
      }
      case "call_prefilled":
        this.calls.prefilled(event.call, event.cachedTokens, now);
        break;
      case "call_ended":
        this.calls.ended(event, now, actions);
        break;
      case "call_withdrawn":
        this.dispatch.withdraw(event.call);
        break;
      case "peer_load":
        this.peers.hear(event.message, now, actions);
        this.dispatch.drainAll(now, actions);
        break;
      case "fact":
        this.programs.fact(event.fact, now, actions);
        this.dispatch.drainAll(now, actions);
        break;
      case "pd":
        this.calls.split(event.call, event.event, now, actions);
        break;
    }
    return actions;
  }

  /** Lets time pass until `now`: expires deadlines and leases, plans programs, shares load. To be called about every 100 ms. */
  tick(now: number): SchedulerAction[] {
    const actions: SchedulerAction[] = [];
    if (this.load.janitor(now) > 0) {
      for (const lost of this.dispatch.placed.sweep()) this.calls.learn(lost, undefined, undefined, now);
    }
    this.outliers.tick(now, actions);
    this.expiry.tick(now, actions);
    for (const call of this.calls.pd.expired(now)) this.calls.split(call, { type: "tick", now }, now, actions);
    this.programs.tick(now, actions);
    this.dispatch.drainAll(now, actions);
    if (this.shareLoad) this.peers.share(now, actions);
    return actions;
  }

  /**
   * Usage as it must be billed. In a PD call the decode engine reports transferred tokens as cached, so the bill takes the prefill leg's
   * count.
   */
  billed(call: string, usage: CallUsage): CallUsage {
    return this.calls.pd.billed(call, usage);
  }

  /** From the next placement on a deployment's calls are placed by this rule. Throws RangeError for an unknown rule. */
  setPolicy(deployment: string, policy: string): void {
    this.dispatch.deployments.of(deployment).policy = makePolicy(policy);
  }

  queueOf(deployment: string): ClassedQueue {
    return this.dispatch.deployments.of(deployment).queue;
  }

  snapshot(): SchedulerSnapshot {
    const queues = this.dispatch.deployments.queues();
    return {
      endpoints: this.endpoints.all(),
      waiting: this.dispatch.deployments.waiting(),
      queued: queues.reduce((sum, queue) => sum + queue.size, 0),
      queuedTokens: queues.reduce((sum, queue) => sum + queue.waitingTokens, 0),
      placed: this.dispatch.placed.size,
      openHandles: this.load.openHandles,
      splits: this.calls.pd.size,
      programs: this.programs.size,
      workingSets: this.programs.workingSets,
      index: this.index.stats(),
      truth: this.dispatch.placed.truth,
      settings: this.settings,
    };
  }

  /** An endpoint has left: its calls fail, its legs of PD calls are lost, and no KV lies there any more. */
  private endpointLeft(endpoint: string, now: number, actions: SchedulerAction[]): void {
    const states = this.endpoints.ranks(endpoint);
    for (const state of states) state.health = "down";
    this.calls.endpointLeft(endpoint, now, actions);
    for (const state of states) {
      this.programs.lost(state);
      this.outliers.left(state, actions);
      this.caches.reset(state.slot, undefined);
      this.endpoints.leave(state);
      this.dispatch.deployments.endpointsChanged(state.spec.deployment);
    }
  }
}
