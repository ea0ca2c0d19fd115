// The scheduler: one deterministic state machine. `apply(event)` tells it what has happened, `decide(call, now, rng)` asks
// it where a call goes, `tick(now)` lets time pass; each answers with actions for the shell (the gateway, or the simulator)
// to carry out. It does no I/O and has no clock and no randomness of its own: same events, same seed, same actions.
import { Dispatch, type Truth } from "./dispatch.ts";
import { Endpoints } from "./endpoints.ts";
import type { FairQueue, FairQueueOptions } from "./queue/fairQueue.ts";
import { LoadView } from "./load/loadView.ts";
import { PdPlanner, type PdOptions } from "./pd/plan.ts";
import { makePolicy } from "./placement/registry.ts";
import { PrefixIndex, type PrefixIndexOptions } from "./prefix/prefixIndex.ts";
import type { Call, EndpointState, Policy, Rng, SchedulerAction, SchedulerEvent } from "./types.ts";

export interface SchedulerOptions {
  /** Seeded; used for ties where `decide` is not given its own, and when waiting calls are placed. */
  rng: Rng;
  /** Name among the gateways that share load. */
  gateway?: string;
  /** Placement rule by name, or made per deployment. */
  policy?: string | ((deployment: string) => Policy);
  index?: PrefixIndexOptions;
  queue?: FairQueueOptions;
  pd?: PdOptions;
  /** Whether `tick` answers with `share_load`: on when there are other gateways. */
  shareLoad?: boolean;
}

export interface SchedulerSnapshot {
  endpoints: EndpointState[];
  queued: number;
  queuedTokens: number;
  placed: number;
  openHandles: number;
  index: ReturnType<PrefixIndex["stats"]>;
  truth: Truth;
}

export class Scheduler {
  readonly index: PrefixIndex;
  readonly load: LoadView;
  readonly endpoints: Endpoints;
  private readonly dispatch: Dispatch;
  private readonly shareLoad: boolean;

  constructor(options: SchedulerOptions) {
    const policy = options.policy ?? "two-tier";
    this.index = new PrefixIndex(options.index);
    this.load = new LoadView(options.gateway ?? "gateway");
    this.endpoints = new Endpoints(this.load);
    this.shareLoad = options.shareLoad ?? false;
    this.dispatch = new Dispatch(this.endpoints, this.index, this.load, options.rng, {
      policyOf: typeof policy === "string" ? () => makePolicy(policy) : policy,
      queue: options.queue ?? {},
      pd: new PdPlanner(options.pd),
    });
  }

  /** Where a call goes: `place`, `queued` or `refuse` for it, and perhaps actions for others. */
  decide(call: Call, now: number, rng?: Rng): SchedulerAction[] {
    return this.dispatch.decide(call, now, rng);
  }

  /** Something has happened. */
  apply(event: SchedulerEvent): SchedulerAction[] {
    const actions: SchedulerAction[] = [];
    const now = event.at;
    switch (event.type) {
      case "endpoint_joined": {
        const { spec } = event;
        const state = this.endpoints.join(spec, event.health ?? "ready");
        this.index.join(state.slot, spec.space, spec.blockTokens, spec.epoch);
        this.dispatch.drain(spec.deployment, now, actions);
        break;
      }
      case "endpoint_health":
        for (const state of this.endpoints.ranks(event.endpoint, event.rank)) {
          state.health = event.health;
          if (event.health === "ready") this.dispatch.drain(state.spec.deployment, now, actions);
        }
        break;
      case "endpoint_speed":
        for (const { spec } of this.endpoints.ranks(event.endpoint, event.rank)) {
          spec.speed = { ...spec.speed, ...event.speed };
        }
        break;
      case "endpoint_left":
        for (const placed of this.dispatch.at(event.endpoint)) {
          this.dispatch.ended(placed.call.id, undefined, now, actions);
        }
        for (const state of this.endpoints.ranks(event.endpoint)) {
          this.index.leave(state.slot);
          this.endpoints.leave(state);
        }
        break;
      case "kv": {
        const state = this.endpoints.get(event.endpoint, event.rank);
        if (state === undefined) break;
        const { outcome } = this.index.apply(state.slot, event.event);
        if (outcome === "gap" || outcome === "epoch") {
          actions.push({ type: "replay_kv", endpoint: event.endpoint, rank: event.rank, reason: outcome });
        }
        break;
      }
      case "kv_gap": {
        const state = this.endpoints.get(event.endpoint, event.rank);
        if (state === undefined) break;
        this.index.gap(state.slot);
        actions.push({ type: "replay_kv", endpoint: event.endpoint, rank: event.rank, reason: "gap" });
        break;
      }
      case "call_prefilled":
        this.dispatch.prefilled(event.call, event.cachedTokens, now);
        break;
      case "call_progress":
        this.dispatch.progress(event.call, event.outputTokens, now);
        break;
      case "call_ended":
        this.dispatch.ended(event.call, event.usage, now, actions);
        break;
      case "call_withdrawn":
        this.dispatch.withdraw(event.call);
        break;
      case "peer_load":
        this.load.receive(event.message, now);
        this.dispatch.drainAll(now, actions);
        break;
      case "peer_gone":
        this.load.forgetPeer(event.gateway);
        this.dispatch.drainAll(now, actions);
        break;
      case "fact":
      case "pd":
        break;
    }
    return actions;
  }

  /** Time has come to `now`: expires, cleans up, shares load. Call it every 100 ms or so. */
  tick(now: number): SchedulerAction[] {
    const actions: SchedulerAction[] = [];
    if (this.load.janitor(now) > 0) this.dispatch.sweep();
    this.dispatch.expire(now, actions);
    this.dispatch.drainAll(now, actions);
    const message = this.shareLoad ? this.load.message(now, true) : undefined;
    if (message !== undefined) actions.push({ type: "share_load", message });
    return actions;
  }

  queueOf(deployment: string): FairQueue {
    return this.dispatch.queueOf(deployment);
  }

  snapshot(): SchedulerSnapshot {
    const queues = this.dispatch.queues();
    return {
      endpoints: this.endpoints.all(),
      queued: queues.reduce((sum, queue) => sum + queue.size, 0),
      queuedTokens: queues.reduce((sum, queue) => sum + queue.waitingTokens, 0),
      placed: this.dispatch.placedCalls,
      openHandles: this.load.openHandles,
      index: this.index.stats(),
      truth: this.dispatch.truth,
    };
  }
}
