// Admission of calls: a call is refused at once, with the reason and the time to come back, or admitted with its least time to a first
// token. Also the small questions of room that admission and placing share.
import type { Deployment } from "./deployments.ts";
import { expectedTtftMs } from "./placement/estimate.ts";
import type { ViewBuilder } from "./placement/view.ts";
import { slotsPerReserve } from "./limits.ts";
import type { RefusalCode, SchedulerAction } from "./actions.ts";
import type { Call, EndpointState, PlacementView } from "./types.ts";

/** Least time to first token if the call were placed now (0 when it has no deadline); undefined after a refusal. */
export function admit(
  call: Call,
  deployment: Deployment,
  endpoints: readonly EndpointState[],
  views: ViewBuilder,
  now: number,
  actions: SchedulerAction[],
): number | undefined {
  const open = failsOpen(call, endpoints);
  let takes = (endpoint: EndpointState): boolean => mayAnswer(endpoint, call) && (open || !isAway(endpoint, call));
  // Calls wait for an endpoint that starts; Dispatch bounds how long.
  if (!endpoints.some(takes)) {
    takes = (endpoint) => endpoint.health === "starting" && answers(endpoint, call) && fitsAtAll(endpoint, call);
    if (!endpoints.some(takes)) {
      actions.push(fitsNowhere(call, endpoints));
      return undefined;
    }
  }
  if (!deployment.rate.measured) deployment.rate.assume(prefillTokensPerMs(endpoints));
  if (call.deadlineMs === undefined) return 0;
  const ready = endpoints.filter(takes);
  const view = views.build(call, ready, takes, now);
  const ttftMs = leastTtftMs(view);
  const expectedMs = waitMs(deployment, call, ready.some(isFree)) + ttftMs;
  const lateMs = now + expectedMs - call.deadlineMs;
  if (lateMs <= 0) return ttftMs;
  const message = `Its first token would come in about ${Math.round(expectedMs)} ms, ${Math.round(lateMs)} ms after its deadline.`;
  actions.push(refusal(call, "deadline", message, lateMs));
  return undefined;
}

/**
 * Why no endpoint takes the call: the prompt fits at none that may answer it (`too_long`), or those that could hold it are down, drain or
 * are avoided (`no_endpoint`, so that the call is sent again).
 */
function fitsNowhere(call: Call, endpoints: readonly EndpointState[]): SchedulerAction {
  let largest = 0;
  let fits = false;
  for (const endpoint of endpoints) {
    if (!answers(endpoint, call)) continue;
    largest = Math.max(largest, endpoint.spec.kvCapacityTokens);
    fits ||= fitsAtAll(endpoint, call);
  }
  if (largest > 0 && !fits) {
    return refusal(call, "too_long", `The prompt has ${call.promptTokens} tokens; ${largest} fit.`, 0);
  }
  return refusal(call, "no_endpoint", `No endpoint of ${call.deployment} can take this call.`, 30_000);
}

/** What the deployment's endpoints prefill together, whatever they can hold: calls of all sizes share the queue. */
function prefillTokensPerMs(endpoints: readonly EndpointState[]): number {
  const rates = { ready: 0, starting: 0 };
  for (const { health, spec } of endpoints) {
    if (spec.role === "prefill" || (health !== "ready" && health !== "starting")) continue;
    rates[health] += spec.speed.prefillTokensPerSecond / 1000;
  }
  return rates.ready === 0 ? rates.starting : rates.ready;
}

/** How long a call would wait in the queue before it is placed. */
function waitMs({ queue, rate }: Deployment, call: Call, free: boolean): number {
  const ahead = call.batch === true ? queue : queue.of(call);
  if (free && ahead.size === 0) return 0;
  const own = ahead.waitingOf(call.tenant).tokens;
  return rate.waitMs(own, ahead.waitingTokens, ahead.competing + (own === 0 ? 1 : 0));
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

/**
 * Whether a call that yields may go there: all slots and half of the engine's own line may be taken, so that the engine does not idle when
 * word of what has ended is late. Batch work needs half of the slots free, since people's calls that wait elsewhere are on their way.
 */
function isLeft({ load, spec }: EndpointState, { batch }: Call): boolean {
  return load.inFlight < (batch === true ? spec.slots / 2 : (spec.slots + spec.maxInFlight) / 2);
}

/** Batch work does not wait inside an engine, where a person's call could not pass it, and leaves a part of the slots free. */
function takesBatch({ load, spec }: EndpointState): boolean {
  return load.inFlight < spec.slots - Math.floor(spec.slots / slotsPerReserve);
}

/**
 * Whether the endpoint can ever hold the prompt and one token more. This is the only rule of fit: placing, prefilling elsewhere,
 * deadlines and refusals ask it, and a simulated engine admits what it has let through.
 */
export function fitsAtAll({ spec }: EndpointState, call: Call): boolean {
  return call.promptTokens < spec.kvCapacityTokens;
}

/** Whether the call allows the endpoint: it decodes, and is not avoided. */
function answers({ spec }: EndpointState, call: Call): boolean {
  return spec.role !== "prefill" && !call.avoid?.includes(spec.id);
}

/** Whether the call would be answered there as soon as there is room: the endpoint is ready, and the prompt fits. */
export function mayAnswer(endpoint: EndpointState, call: Call): boolean {
  return endpoint.health === "ready" && answers(endpoint, call) && fitsAtAll(endpoint, call);
}

/** Whether only endpoints that the call should keep away from are left among those that can hold it: then it may go to them. */
export function failsOpen(call: Call, endpoints: readonly EndpointState[]): boolean {
  let away = false;
  for (const endpoint of endpoints) {
    if (!mayAnswer(endpoint, call)) continue;
    if (!isAway(endpoint, call)) return false;
    away = true;
  }
  return away;
}

/** Whether the call goes elsewhere while it can: the endpoint is ejected, or the call's sender has waited there in vain. */
export function isAway({ ejected, doubtedBy }: EndpointState, call: Call): boolean {
  return ejected === true || (doubtedBy !== undefined && doubtedBy === senderOf(call));
}

export const senderOf = ({ sender, tenant }: Call): string => sender ?? tenant;

/** Whether a call begins there without a wait in the engine's own line, where it could neither be refused in time nor pass another call. */
function beginsAtOnce({ load, spec }: EndpointState): boolean {
  return load.inFlight < spec.slots;
}

/** What decides beside the endpoint and the call whether there is room. */
interface Turn {
  /** Ejected endpoints may take the call too. */
  open: boolean;
  /** It is the turn of batch work. */
  due: boolean;
  /** Half of the engine's own line is left to calls that wait at other gateways; where calls with a deadline wait, free slots are too. */
  yields: boolean;
  /** Calls with a deadline wait, here or elsewhere. No call enters an engine's line before them, or it would never become empty for them. */
  timed: boolean;
}

/** Whether the endpoint takes the call now. */
export function hasRoom(endpoint: EndpointState, call: Call, { open, due, yields, timed }: Turn): boolean {
  return (
    mayAnswer(endpoint, call) &&
    (open || !isAway(endpoint, call)) &&
    isFree(endpoint) &&
    (!yields || (!timed && isLeft(endpoint, call))) &&
    (!(timed || call.deadlineMs !== undefined) || beginsAtOnce(endpoint)) &&
    (call.batch !== true || due || takesBatch(endpoint))
  );
}

export function refusal(call: Call, code: RefusalCode, message: string, retryAfterMs: number): SchedulerAction {
  return { type: "refuse", call: call.id, code, message, retryAfterMs: Math.ceil(Math.max(0, retryAfterMs)) };
}
