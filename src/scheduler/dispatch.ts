// Admission, queueing and placing of calls. Each deployment has one queue. A call leaves it when its turn has come and an endpoint has
// room, and is placed at that moment, by what is known then; what happens to it afterwards is in placedCalls.ts.
import { admit, chargeOf, failsOpen, hasRoom, isFree, longestMatch, refusal } from "./admission.ts";
import { type Deployment, Deployments } from "./deployments.ts";
import type { Endpoints } from "./endpoints.ts";
import type { LoadView } from "./load/loadView.ts";
import { yieldSlackMs } from "./limits.ts";
import { PdPlanner, type PdPlan } from "./pd/plan.ts";
import { byLoad } from "./placement/choose.ts";
import { workTokens } from "./placement/estimate.ts";
import { decisionOf, numbersOf } from "./placement/explain.ts";
import { type Placed, PlacedCalls, predictedTokens } from "./placedCalls.ts";
import type { CacheView } from "./placement/caches.ts";
import { ViewBuilder } from "./placement/view.ts";
import type { FairQueueOptions } from "./queue/fairQueue.ts";
import type { SchedulerAction } from "./actions.ts";
import type { CallUsage } from "./events.ts";
import type { Call, Decision, EndpointState, PlacementView, Policy, Rng } from "./types.ts";

interface DispatchOptions {
  policyOf: (deployment: string) => Policy;
  queue: FairQueueOptions;
  pd: PdPlanner;
  /** Whether more splits may begin. */
  pdFull: () => boolean;
  /** Where the newest state of a call's program lies. */
  homeOf: (call: Call) => EndpointState | undefined;
  /** An admitted call's program enters, or waits in the queue until there is room for it. False: no more programs are taken in. */
  enters: (call: Call, now: number, actions: SchedulerAction[]) => boolean;
  /** Called for every call that has entered and leaves without being placed. */
  onLeft: (call: Call) => void;
  /** Called for every placement, to add the actions that follow from it. */
  onPlaced: (placed: Placed, now: number, actions: SchedulerAction[]) => void;
}

export class Dispatch {
  readonly placed = new PlacedCalls();
  readonly deployments: Deployments;
  private readonly endpoints: Endpoints;
  private readonly caches: CacheView;
  private readonly load: LoadView;
  private readonly options: DispatchOptions;
  private readonly views: ViewBuilder;
  private readonly prefillViews: ViewBuilder;
  private rng: Rng;

  constructor(endpoints: Endpoints, caches: CacheView, load: LoadView, rng: Rng, options: DispatchOptions) {
    this.endpoints = endpoints;
    this.caches = caches;
    this.load = load;
    this.rng = rng;
    this.options = options;
    this.deployments = new Deployments(endpoints, options);
    this.views = new ViewBuilder(caches, load);
    this.prefillViews = new ViewBuilder(caches);
  }

  /** Whether the call waits or has been placed. */
  knows(call: Call): boolean {
    return (
      this.placed.get(call.id) !== undefined || this.deployments.get(call.deployment)?.queue.get(call.id) !== undefined
    );
  }

  /** A new call: refused, placed at once, or queued. Other calls may be placed with it. */
  decide(call: Call, now: number, rng: Rng = this.rng): SchedulerAction[] {
    this.rng = rng;
    const actions: SchedulerAction[] = [];
    // A name without endpoints must not cost memory.
    if (
      this.deployments.get(call.deployment) === undefined &&
      this.endpoints.ofDeployment(call.deployment).length === 0
    ) {
      return [refusal(call, "no_endpoint", `There is no endpoint of ${call.deployment}.`, 30_000)];
    }
    const deployment = this.deployments.of(call.deployment);
    const ttftMs = admit(call, deployment, this.endpoints.ofDeployment(call.deployment), this.views, now, actions);
    if (ttftMs === undefined) return actions;
    if (!this.options.enters(call, now, actions)) {
      const message = "More programs are alive than can be remembered.";
      return [...actions, refusal(call, "program_limit", message, 60_000)];
    }
    if (this.placeAtOnce(deployment, call, now, actions)) return actions;
    const pushed = deployment.queue.push(call, now, ttftMs);
    if (!pushed.queued) {
      this.options.onLeft(call);
      const waitMs = deployment.rate.waitMs(
        deployment.queue.waitingOf(call.tenant).tokens,
        deployment.queue.waitingTokens,
        deployment.queue.competing,
      );
      actions.push(refusal(call, "queue_full", "The queue is full with calls of this tenant.", waitMs / 2));
      return actions;
    }
    if (pushed.dropped !== undefined) {
      this.options.onLeft(pushed.dropped.call);
      const waitMs = deployment.rate.waitMs(deployment.queue.waitingTokens, deployment.queue.waitingTokens, 1);
      actions.push(
        refusal(pushed.dropped.call, "queue_full", "The queue is full and this tenant has most of it.", waitMs),
      );
    }
    this.drain(call.deployment, now, actions);
    if (!pushed.waiting.gone) {
      const own = deployment.queue.waitingOf(call.tenant);
      const expectedMs = deployment.rate.waitMs(own.tokens, deployment.queue.waitingTokens, deployment.queue.competing);
      actions.push({ type: "queued", call: call.id, position: own.calls, expectedMs });
    }
    return actions;
  }

  /** Places a call that need not wait. False when it has to: others wait, its program is paused, or there is no room. */
  private placeAtOnce(deployment: Deployment, call: Call, now: number, actions: SchedulerAction[]): boolean {
    const { queue } = deployment;
    const endpoints = this.endpoints.ofDeployment(call.deployment);
    if (!queue.mayPass(call) || !endpoints.some(takesCalls)) return false;
    const open = failsOpen(call, endpoints);
    const home = this.options.homeOf(call);
    const turn = { open, due: false, yields: false, timed: false };
    const view = this.views.build(call, endpoints, (at) => hasRoom(at, call, turn), now, home);
    if (view.count === 0) return false;
    const charged = chargeOf(call, longestMatch(view));
    queue.pass(call, charged);
    this.place(deployment, view, call, 0, charged, actions);
    return true;
  }

  /** Places what can be placed. */
  drain(name: string, now: number, actions: SchedulerAction[]): void {
    const deployment = this.deployments.of(name);
    const { queue } = deployment;
    const endpoints = this.endpoints.ofDeployment(name);
    let viewed: PlacementView | undefined;
    // As they were before the call was taken, since taking it ends the turn of batch work and charges its tenant.
    let due = false;
    const yielding = new Map<Call, boolean>();
    const yields = (call: Call): boolean => {
      let known = yielding.get(call);
      if (known === undefined) {
        known = queue.yields(call, deployment.rate.perMs * yieldSlackMs);
        yielding.set(call, known);
      }
      return known;
    };
    const viewOf = (call: Call): PlacementView => {
      if (viewed?.call !== call) {
        const turn = { open: failsOpen(call, endpoints), due, yields: yields(call), timed: queue.hasDeadlines };
        viewed = this.views.build(call, endpoints, (at) => hasRoom(at, call, turn), now, this.options.homeOf(call));
      }
      return viewed;
    };
    while (queue.size > 0 && endpoints.some(takesCalls)) {
      due = queue.batchIsDue;
      const taken = queue.take((call) => longestMatch(viewOf(call)), chargeOf);
      if (taken === undefined) return;
      const view = viewOf(taken.call);
      this.place(deployment, view, taken.call, now - taken.sinceMs, chargeOf(taken.call, longestMatch(view)), actions);
      viewed = undefined;
      yielding.clear();
    }
  }

  drainAll(now: number, actions: SchedulerAction[]): void {
    for (const [name, deployment] of this.deployments.entries())
      if (deployment.queue.size > 0) this.drain(name, now, actions);
  }

  /**
   * The call has ended: its load is taken back, its tenant is charged what it used, and waiting calls get its room. Where the engine does not
   * report cached tokens the predicted match is taken, as it was when the call was placed.
   */
  ended(call: string, usage: CallUsage | undefined, now: number, actions: SchedulerAction[]): void {
    const placed = this.placed.end(call, usage?.cachedTokens);
    if (placed === undefined) return;
    if (usage !== undefined) {
      const cached = usage.cachedTokens ?? predictedTokens(placed);
      const used = Math.max(0, usage.promptTokens - cached) + usage.outputTokens;
      this.deployments.of(placed.call.deployment).queue.settle(placed.call, used - placed.charged);
    }
    this.drain(placed.call.deployment, now, actions);
  }

  withdraw(call: string): boolean {
    for (const queue of this.deployments.queues()) {
      const waiting = queue.withdraw(call);
      if (waiting === undefined) continue;
      this.options.onLeft(waiting.call);
      return true;
    }
    return false;
  }

  /** Places a call whose turn it is, by the rule; `charged`: what the queue has charged for it. */
  private place(
    deployment: Deployment,
    view: PlacementView,
    call: Call,
    queuedMs: number,
    charged: number,
    actions: SchedulerAction[],
  ): void {
    const choice = deployment.policy.choose(view, this.rng);
    const decision = decisionOf(view, choice, deployment.policy.name, queuedMs);
    const endpoint = view.endpoints[choice.index]!;
    const now = view.now;
    const uncached = decision.chosen.uncachedTokens;
    const home = this.options.homeOf(call);
    const brought = decision.chosen.matchedByTier.remote;
    if (brought > 0 && home?.spec.pool !== undefined && home !== endpoint) {
      decision.bring = { endpoint: home.spec.id, tokens: brought };
    }
    const plan = this.planPrefill(call, endpoint, decision, now);
    const { chosen } = decision;
    const { id, rank } = endpoint.spec;
    const prefillHere = plan === undefined ? workTokens(endpoint.spec, uncached, chosen.matchedTokens) : 0;
    const handle = this.load.open(id, rank, prefillHere, call.promptTokens, now, byLoad(view, choice));
    const placed: Placed = {
      call,
      decision,
      endpoint,
      handle,
      charged: uncached + call.outputTokens,
      prefilled: false,
      compared: false,
    };
    if (plan !== undefined) {
      decision.prefill = plan.numbers;
      const { spec } = plan.endpoint;
      const work = workTokens(spec, plan.numbers.uncachedTokens, plan.numbers.matchedTokens);
      const prefill = this.load.open(spec.id, spec.rank, work, call.promptTokens, now);
      placed.prefill = { endpoint: plan.endpoint, handle: prefill };
    }
    this.placed.add(placed);
    this.caches.placed(endpoint, call, now);
    if (plan !== undefined) this.caches.placed(plan.endpoint, call, now);
    // The queue charged by the longest match of all endpoints; the rule may have chosen another endpoint.
    deployment.queue.settle(call, placed.charged - charged);
    deployment.rate.served(placed.charged, now, deployment.queue.size > 0);
    actions.push({ type: "place", call: call.id, decision });
    this.options.onPlaced(placed, now, actions);
  }

  private planPrefill(call: Call, decode: EndpointState, decision: Decision, now: number): PdPlan | undefined {
    const all = this.endpoints.ofDeployment(call.deployment);
    if (this.options.pdFull() || !this.options.pd.wants(call, decode, decision.chosen)) return undefined;
    const view = this.prefillViews.build(
      call,
      all,
      (endpoint) => this.options.pd.canPrefill(endpoint, decode, call),
      now,
    );
    const index = this.options.pd.choose(view, decode, this.rng);
    if (index < 0) return undefined;
    return { endpoint: view.endpoints[index]!, numbers: numbersOf(view, index, this.options.pd.costOf(index)) };
  }
}

/** Whether the endpoint takes a call now, as far as the endpoint is concerned. */
function takesCalls(endpoint: EndpointState): boolean {
  return endpoint.health === "ready" && isFree(endpoint);
}
