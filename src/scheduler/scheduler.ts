// The scheduler: one deterministic state machine with three verbs. `apply(event)` reports what has happened, `decide(call, now, rng)` asks
// where a call goes, and `tick(now)` lets time pass. Each returns actions, which the caller (the gateway, or the simulator) carries out.
// It does no I/O and has no clock and no randomness of its own: the same events and the same seed give the same actions.
import { isAway, refusal } from "./admission.ts";
import { type DeploymentWaiting, Dispatch } from "./dispatch.ts";
import type { Placed, Truth } from "./placedCalls.ts";
import { Endpoints } from "./endpoints.ts";
import { Outliers } from "./health/outliers.ts";
import type { ClassedQueue } from "./queue/classedQueue.ts";
import type { FairQueueOptions } from "./queue/fairQueue.ts";
import { peerAliveMs, programTurnMs } from "./limits.ts";
import { LoadView } from "./load/loadView.ts";
import { PdCalls } from "./pd/calls.ts";
import { PdPlanner, type PdOptions } from "./pd/plan.ts";
import type { CacheView } from "./placement/caches.ts";
import { defaultPolicy, makePolicy } from "./placement/registry.ts";
import { IndexedCaches } from "./prefix/indexedCaches.ts";
import { PrefixIndex, type PrefixIndexOptions } from "./prefix/prefixIndex.ts";
import type { WorkingSetState } from "./programs/admission.ts";
import { Programs, type ProgramsOptions } from "./programs/programs.ts";
import type {
  Call,
  CallTimings,
  CallUsage,
  EndpointState,
  LoadMessage,
  PdEvent,
  Policy,
  Rng,
  SchedulerAction,
  SchedulerEvent,
} from "./types.ts";

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
  private readonly pd = new PdCalls();
  private readonly outliers = new Outliers();
  private readonly planner: PdPlanner;
  private readonly shareLoad: boolean;
  private readonly settings: SchedulerSettings;
  private sharedMs = Number.NEGATIVE_INFINITY;
  /** Whether the last message said that calls wait. */
  private toldWaiting = false;

  constructor(options: SchedulerOptions) {
    const policy = options.policy ?? defaultPolicy;
    this.index = new PrefixIndex(options.index);
    this.caches = options.caches ?? new IndexedCaches(this.index);
    this.load = new LoadView(options.gateway ?? "gateway");
    this.endpoints = new Endpoints(this.load);
    this.shareLoad = options.shareLoad ?? false;
    const { queue = {}, pd = {}, programs = {} } = options;
    this.settings = { queue, pd, programs };
    this.planner = new PdPlanner(pd);
    const gate = {
      pause: (deployment: string, tenant: string, program: string) => this.queueOf(deployment).pause(tenant, program),
      resume: (deployment: string, tenant: string, program: string) => this.queueOf(deployment).resume(tenant, program),
      waiting: (deployment: string) => this.dispatch.waitingPrograms(deployment),
      refuse: (call: Call, message: string, actions: SchedulerAction[]) => {
        if (this.dispatch.withdraw(call.id)) actions.push(refusal(call, "program_limit", message, programTurnMs));
      },
    };
    this.programs = new Programs(this.endpoints, gate, programs, this.shareLoad);
    this.dispatch = new Dispatch(this.endpoints, this.caches, this.load, options.rng, {
      policyOf: typeof policy === "string" ? () => makePolicy(policy) : policy,
      queue,
      pd: this.planner,
      pdFull: () => this.pd.full,
      homeOf: (call) => {
        const home = call.program === undefined ? undefined : this.programs.get(call.program, call.deployment)?.at;
        return home?.health === "ready" && !isAway(home, call) ? home : undefined;
      },
      enters: (call, now, actions) => this.programs.called(call, now, actions),
      onLeft: (call) => this.programs.left(call),
      onPlaced: (placed, now, actions) => this.placed(placed, now, actions),
    });
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
        this.dispatch.endpointsChanged(spec.deployment);
        this.dispatch.drain(spec.deployment, now, actions);
        break;
      }
      case "endpoint_health":
        for (const state of this.endpoints.ranks(event.endpoint, event.rank)) {
          state.health = event.health;
          this.dispatch.endpointsChanged(state.spec.deployment);
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
        this.dispatch.placed.prefilled(event.call, event.cachedTokens, now);
        this.computed(event.call, now);
        break;
      case "call_ended":
        this.callEnded(event, now, actions);
        break;
      case "call_withdrawn":
        this.dispatch.withdraw(event.call);
        break;
      case "peer_load":
        this.load.receive(event.message, now);
        if (event.message.gateway !== this.load.gateway) this.hear(event.message, now, actions);
        this.dispatch.drainAll(now, actions);
        break;
      case "fact":
        this.programs.fact(event.fact, now, actions);
        this.dispatch.drainAll(now, actions);
        break;
      case "pd":
        this.split(event.call, event.event, now, actions);
        break;
    }
    return actions;
  }

  /** Lets time pass until `now`: expires deadlines and leases, plans programs, shares load. To be called about every 100 ms. */
  tick(now: number): SchedulerAction[] {
    const actions: SchedulerAction[] = [];
    if (this.load.janitor(now) > 0) {
      for (const lost of this.dispatch.placed.sweep()) this.learn(lost, undefined, undefined, now);
    }
    this.outliers.tick(now, actions);
    this.dispatch.expire(now, actions);
    for (const call of this.pd.expired(now)) this.split(call, { type: "tick", now }, now, actions);
    this.programs.tick(now, actions);
    this.dispatch.drainAll(now, actions);
    if (this.shareLoad) this.share(now, actions);
    return actions;
  }

  /** Sends peers what has changed, and at intervals that this gateway is alive. */
  private share(now: number, actions: SchedulerAction[]): void {
    const queues = this.dispatch.news(now);
    // That nothing waits any more is told at once too.
    const waiting = queues.length > 0 || this.toldWaiting;
    const programs = this.programs.news(now).map((news) => {
      const endpoints = this.endpoints.ofDeployment(news.deployment).map(({ spec }) => spec.id);
      return { endpoints, programs: news.programs };
    });
    const message = this.load.message(now, waiting || programs.length > 0 || now - this.sharedMs >= peerAliveMs);
    if (message === undefined) return;
    this.sharedMs = now;
    this.toldWaiting = queues.length > 0;
    actions.push({ type: "share_load", message: { ...message, queues, ...(programs.length > 0 && { programs }) } });
  }

  /** What another gateway says of its queues and programs. A deployment is known by an endpoint that both have. */
  private hear({ gateway, atMs, queues, programs }: LoadMessage, now: number, actions: SchedulerAction[]): void {
    if (queues !== undefined) this.dispatch.hear(gateway, queues, now);
    for (const { endpoints, programs: told } of programs ?? []) {
      for (const endpoint of endpoints) {
        const deployment = this.endpoints.ranks(endpoint)[0]?.spec.deployment;
        if (deployment === undefined) continue;
        this.programs.hear(gateway, deployment, told, atMs, now, actions);
        break;
      }
    }
  }

  /**
   * Usage as it must be billed. In a PD call the decode engine reports transferred tokens as cached, so the bill takes the prefill leg's
   * count.
   */
  billed(call: string, usage: CallUsage): CallUsage {
    return this.pd.billed(call, usage);
  }

  /** From the next placement on a deployment's calls are placed by this rule. Throws RangeError for an unknown rule. */
  setPolicy(deployment: string, policy: string): void {
    this.dispatch.setPolicy(deployment, makePolicy(policy));
  }

  queueOf(deployment: string): ClassedQueue {
    return this.dispatch.queueOf(deployment);
  }

  snapshot(): SchedulerSnapshot {
    const queues = this.dispatch.queues();
    return {
      endpoints: this.endpoints.all(),
      waiting: this.dispatch.waiting(),
      queued: queues.reduce((sum, queue) => sum + queue.size, 0),
      queuedTokens: queues.reduce((sum, queue) => sum + queue.waitingTokens, 0),
      placed: this.dispatch.placed.size,
      openHandles: this.load.openHandles,
      splits: this.pd.size,
      programs: this.programs.size,
      workingSets: this.programs.workingSets,
      index: this.index.stats(),
      truth: this.dispatch.placed.truth,
      settings: this.settings,
    };
  }

  private placed(placed: Placed, now: number, actions: SchedulerAction[]): void {
    const { call, endpoint, prefill, decision } = placed;
    const fresh = call.program === undefined || this.programs.get(call.program, call.deployment)?.at === undefined;
    this.programs.placed(call, endpoint, decision, now, actions);
    this.outliers.placed(endpoint, call.id);
    const at = prefill?.endpoint ?? endpoint;
    placed.prefilling = this.endpoints.prefills(at, call, decision.prefill ?? decision.chosen, fresh, now);
    if (prefill === undefined) return;
    this.outliers.placed(prefill.endpoint, call.id);
    // A decoder reports whole blocks; the rest of the prompt it computes itself.
    const whole = Math.floor((call.promptTokens - 1) / endpoint.spec.blockTokens) * endpoint.spec.blockTokens;
    const transferMs = this.planner.transferMs(prefill.endpoint, endpoint, call.promptTokens);
    actions.push(...this.pd.begin(call.id, prefill.endpoint.spec.id, endpoint.spec.id, whole, transferMs));
  }

  /** Advances a PD call's state machine, and the loads of its legs with it. */
  private split(call: string, event: PdEvent, now: number, actions: SchedulerAction[]): void {
    if (event.type === "prefill_done") {
      this.dispatch.placed.prefillComputed(call, now);
      this.computed(call, now);
    }
    for (const action of this.pd.apply(call, event, now)) {
      actions.push(action);
      if (action.type === "pd_recompute") this.dispatch.placed.recompute(call, now);
      if (action.type === "pd_release") this.dispatch.placed.prefillReleased(call);
      if (action.type === "pd_abort" && action.leg === "prefill") this.dispatch.placed.prefillReleased(call);
    }
  }

  private callEnded(event: SchedulerEvent & { type: "call_ended" }, now: number, actions: SchedulerAction[]): void {
    const { call, reason } = event;
    const how: PdEvent =
      reason === "done"
        ? { type: "decode_done" }
        : reason === "failed"
          ? { type: "decode_failed", retryable: true }
          : { type: "client_gone" };
    this.split(call, how, now, actions);
    const usage = event.usage === undefined ? undefined : this.billed(call, event.usage);
    const known = this.dispatch.placed.get(call);
    if (known !== undefined) this.outliers.ended(known.endpoint, call);
    if (known?.prefill !== undefined) this.outliers.ended(known.prefill.endpoint, call);
    // It had not been placed yet: it leaves the queue.
    if (known === undefined) this.dispatch.withdraw(call);
    if (known !== undefined) this.learn(known, usage, event.timings, now);
    if (known !== undefined) {
      const computed = reason !== "failed" || known.prefilled;
      this.programs.ended(known.call, usage?.outputTokens ?? 0, computed, now);
    }
    this.dispatch.ended(call, usage, now, actions);
  }

  private computed(call: string, now: number): void {
    const prefilling = this.dispatch.placed.get(call)?.prefilling;
    if (prefilling !== undefined) this.endpoints.prefilled(prefilling, now);
  }

  /** Learns the speeds of the endpoints that served a call. In a PD call one endpoint shows its prefill rate, the other its decode rate. */
  private learn(
    { call, endpoint, prefill, prefilling }: Placed,
    usage: CallUsage | undefined,
    timings: CallTimings | undefined,
    now: number,
  ): void {
    const whole = prefill === undefined || this.pd.get(call.id)?.state === "released";
    if (prefilling !== undefined) this.endpoints.showed(prefilling, whole ? usage : undefined, timings ?? {}, now);
    if (!whole || usage === undefined || timings === undefined) return;
    this.endpoints.served(endpoint, usage, prefill === undefined ? timings : { decodeMs: timings.decodeMs });
  }

  /** An endpoint has left: its calls fail, its legs of PD calls are lost, and no KV lies there any more. */
  private endpointLeft(endpoint: string, now: number, actions: SchedulerAction[]): void {
    const states = this.endpoints.ranks(endpoint);
    for (const state of states) state.health = "down";
    for (const placed of this.dispatch.placed.at(endpoint)) {
      const { id } = placed.call;
      if (placed.endpoint.spec.id === endpoint) {
        this.callEnded({ type: "call_ended", call: id, reason: "failed", at: now }, now, actions);
      } else if (this.pd.get(id)?.state === "reserved") {
        this.split(id, { type: "prefill_failed", retryable: true }, now, actions);
      } else {
        this.split(id, { type: "pulled", tokens: 0 }, now, actions);
      }
    }
    for (const state of states) {
      this.programs.lost(state);
      this.outliers.left(state, actions);
      this.caches.reset(state.slot, undefined);
      this.endpoints.leave(state);
      this.dispatch.endpointsChanged(state.spec.deployment);
    }
  }
}
