// Calls that have waited in vain: beyond their deadline, or for an endpoint that does not come back. They are refused, each with the reason
// and the time to come back.
import { mayAnswer, refusal } from "./admission.ts";
import type { SchedulerAction } from "./actions.ts";
import type { Deployment, Deployments } from "./deployments.ts";
import type { Endpoints } from "./endpoints.ts";
import { stalledMostMs, stallsEveryMs } from "./limits.ts";
import type { Call, EndpointState } from "./types.ts";

export class Expiry {
  private readonly endpoints: Endpoints;
  private readonly deployments: Deployments;
  private readonly onLeft: (call: Call) => void;
  private stallsSeenMs = Number.NEGATIVE_INFINITY;

  /** @param onLeft called for every call that is refused here */
  constructor(endpoints: Endpoints, deployments: Deployments, onLeft: (call: Call) => void) {
    this.endpoints = endpoints;
    this.deployments = deployments;
    this.onLeft = onLeft;
  }

  /** Refuses calls that have waited beyond their deadline, and calls that no endpoint could answer for too long. */
  tick(now: number, actions: SchedulerAction[]): void {
    const looks = now - this.stallsSeenMs >= stallsEveryMs;
    if (looks) this.stallsSeenMs = now;
    for (const [name, deployment] of this.deployments.entries()) {
      if (looks) this.refuseStalled(name, deployment, now, actions);
      for (const late of deployment.queue.expire(now)) {
        this.onLeft(late.call);
        const waitMs = deployment.rate.waitMs(late.tokens, deployment.queue.waitingTokens, deployment.queue.competing);
        const message = `Its turn did not come before its deadline; it waited ${Math.round(now - late.sinceMs)} ms.`;
        actions.push(refusal(late.call, "deadline", message, waitMs));
      }
    }
  }

  /** Refuses calls that no ready endpoint may answer for too long: each is judged by itself, because each may avoid others. */
  private refuseStalled(name: string, deployment: Deployment, now: number, actions: SchedulerAction[]): void {
    const { queue } = deployment;
    if (queue.size === 0 || !deployment.changed) return;
    deployment.changed = false;
    const endpoints = this.endpoints.ofDeployment(name);
    const roomiest = roomiestOf(endpoints);
    for (const waiting of [...queue.all()]) {
      const { call } = waiting;
      const anywhere = call.avoid === undefined || call.avoid.length === 0;
      const candidates = anywhere ? roomiest : endpoints;
      if (candidates.some((endpoint) => mayAnswer(endpoint, call))) {
        waiting.stalledMs = undefined;
        continue;
      }
      deployment.changed = true;
      waiting.stalledMs ??= now;
      const stalledMs = now - waiting.stalledMs;
      if (stalledMs < stalledMostMs) continue;
      queue.withdraw(call.id);
      this.onLeft(call);
      const message = `No endpoint that may answer this call has come back within ${Math.round(stalledMs / 1000)} s.`;
      actions.push(refusal(call, "no_endpoint", message, 30_000));
    }
  }
}

/**
 * Of the endpoints that answer calls now, the one with most KV; none where none answers. A call that avoids no endpoint may be answered
 * somewhere if it may be answered there, so that thousands of waiting calls are not each compared with every endpoint.
 */
function roomiestOf(endpoints: readonly EndpointState[]): EndpointState[] {
  let roomiest: EndpointState | undefined;
  for (const endpoint of endpoints) {
    if (endpoint.health !== "ready" || endpoint.spec.role === "prefill") continue;
    if (roomiest === undefined || endpoint.spec.kvCapacityTokens > roomiest.spec.kvCapacityTokens) roomiest = endpoint;
  }
  return roomiest === undefined ? [] : [roomiest];
}
