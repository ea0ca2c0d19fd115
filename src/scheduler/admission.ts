// Whether a call is let in at all: refused early and honestly, with what is wrong and when to come back, or let in with the
// least time to its first token. And the small questions of room that admission and placing share.
import { expectedTtftMs } from "./placement/estimate.ts";
import type { ViewBuilder } from "./placement/view.ts";
import type { FairQueue } from "./queue/fairQueue.ts";
import type { ServiceRate } from "./queue/promise.ts";
import type { Call, EndpointState, PlacementView, Policy, RefusalCode, SchedulerAction } from "./types.ts";

/** What calls of one deployment share. */
export interface Deployment {
  queue: FairQueue;
  policy: Policy;
  rate: ServiceRate;
}

/** Least time to first token if the call were placed now (0 when it has no deadline); undefined after a refusal. */
export function admit(
  call: Call,
  deployment: Deployment,
  endpoints: readonly EndpointState[],
  views: ViewBuilder,
  now: number,
  actions: SchedulerAction[],
): number | undefined {
  const all = endpoints.filter((endpoint) => endpoint.spec.role !== "prefill");
  const ready = all.filter((endpoint) => endpoint.health === "ready" && !call.avoid?.includes(endpoint.spec.id));
  if (ready.length === 0) {
    const starting = all.some((endpoint) => endpoint.health === "starting");
    const message = starting
      ? "Its endpoints are still starting."
      : `No endpoint of ${call.deployment} can take this call.`;
    actions.push(refusal(call, "no_endpoint", message, starting ? 5_000 : 30_000));
    return undefined;
  }
  if (!ready.some((endpoint) => fitsAtAll(endpoint, call))) {
    const most = Math.max(...ready.map((endpoint) => endpoint.spec.kvCapacityTokens));
    actions.push(refusal(call, "too_long", `The prompt has ${call.promptTokens} tokens; ${most} fit.`, 0));
    return undefined;
  }
  deployment.rate.assume(ready.reduce((sum, { spec }) => sum + spec.speed.prefillTokensPerSecond / 1000, 0));
  if (call.deadlineMs === undefined) return 0;
  const view = views.build(call, ready, (endpoint) => fitsAtAll(endpoint, call), now);
  const ttftMs = leastTtftMs(view);
  const expectedMs = waitMs(deployment, call, ready.some(isFree)) + ttftMs;
  const lateMs = now + expectedMs - call.deadlineMs;
  if (lateMs <= 0) return ttftMs;
  const message = `Its first token would come in about ${Math.round(expectedMs)} ms, ${Math.round(lateMs)} ms after its deadline.`;
  actions.push(refusal(call, "deadline", message, lateMs));
  return undefined;
}

/** How long a call would wait in the queue before it is placed. */
function waitMs({ queue, rate }: Deployment, call: Call, free: boolean): number {
  if (free && queue.size === 0) return 0;
  const own = queue.waitingOf(call.tenant).tokens;
  return rate.waitMs(own, queue.waitingTokens, queue.competing + (own === 0 ? 1 : 0));
}

function leastTtftMs(view: PlacementView): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < view.count; i++) {
    least = Math.min(least, expectedTtftMs(view.call, view.endpoints[i]!, view.matched, i * 4, view.now));
  }
  return least;
}

/** Uncached prompt and expected output: what a tenant pays in credit when a call is sent. */
export function chargeOf(call: Call, matchedTokens: number): number {
  return Math.max(1, call.promptTokens - Math.max(0, matchedTokens)) + call.outputTokens;
}

export function longestMatch(view: PlacementView): number {
  if (view.count === 0) return -1;
  let longest = 0;
  for (let i = 0; i < view.count; i++) longest = Math.max(longest, view.matchedTokens[i]!);
  return longest;
}

export function isFree(endpoint: EndpointState): boolean {
  return endpoint.load.inFlight < endpoint.spec.maxInFlight;
}

export function fitsAtAll(endpoint: EndpointState, call: Call): boolean {
  return call.promptTokens < endpoint.spec.kvCapacityTokens;
}

export function hasRoom(endpoint: EndpointState, call: Call): boolean {
  return (
    endpoint.health === "ready" &&
    endpoint.spec.role !== "prefill" &&
    isFree(endpoint) &&
    fitsAtAll(endpoint, call) &&
    !call.avoid?.includes(endpoint.spec.id)
  );
}

export function refusal(call: Call, code: RefusalCode, message: string, retryAfterMs: number): SchedulerAction {
  return { type: "refuse", call: call.id, code, message, retryAfterMs: Math.ceil(Math.max(0, retryAfterMs)) };
}
