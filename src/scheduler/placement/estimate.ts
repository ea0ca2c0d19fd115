// The one estimate of a call's time to first token at an endpoint, shared by the two-tier rule, the queue's promise, and
// every decision's explanation.
//
//   ttft = overhead + prefill waiting there / rate + uncached / rate + reload of lower tiers + wait for a place
//
// Of the prefill that waits, what the head of the line has been given already is taken off.
//
// The wait for a place (a slot and room for its KV) assumes that the calls before it end at a steady rate: all that run now within the
// time of one output. It is zero while there is room, and orders full endpoints by how full they are.
import { firstTokenLeastMs, firstTokenSlack, slowestMsPerToken } from "../limits.ts";
import { type Call, type CandidateNumbers, type EndpointSpec, type EndpointState, tiers } from "../types.ts";

/** Reading a tier back is only credited where it beats computing; this share of a token's computation when the tier is not measured. */
const tierCreditDefault: readonly number[] = [1, 0.75, 0.25, 0.25];

/** Length of prompt at which an endpoint's prefill rate is stated. */
export const ratePromptTokens = 4096;

/**
 * At most this share of the head's prompt counts as computed before its first token has come. It is a protective floor: a prompt that takes
 * longer than expected must not look as if it were done.
 */
const headShare = 0.9;

/** Without attention a token still costs at least this share of a usual one. */
const leastPerToken = 0.5;

/**
 * New tokens behind a context, counted as the tokens of a usual prompt that take as long: attention looks at all that comes
 * before. Where attention is not measured, all tokens count alike.
 */
export function workTokens({ speed }: EndpointSpec, newTokens: number, contextTokens: number): number {
  const { attentionMsPerPair: pairMs } = speed;
  if (pairMs === undefined) return newTokens;
  const beyond = contextTokens + newTokens / 2 - ratePromptTokens / 2;
  const perToken = 1 + (beyond * pairMs * speed.prefillTokensPerSecond) / 1000;
  return newTokens * Math.max(leastPerToken, perToken);
}

/**
 * Milliseconds that attention takes for these new tokens beyond (below zero: short of) what it takes in a usual prompt, for which the
 * endpoint's rate is stated. 0 where attention is not measured.
 */
export function attentionMs({ speed }: EndpointSpec, newTokens: number, contextTokens: number): number {
  return newTokens * (contextTokens + newTokens / 2 - ratePromptTokens / 2) * (speed.attentionMsPerPair ?? 0);
}

/** Uncached prompt tokens that are still to be computed at the endpoint; without `now`, all that wait there. */
export function prefillAhead({ spec, load }: EndpointState, now?: number): number {
  const { headTokens, headSinceMs } = load;
  if (now === undefined || headTokens === undefined || headSinceMs === undefined) return load.prefillTokens;
  const computed = (Math.max(0, now - headSinceMs) * spec.speed.prefillTokensPerSecond) / 1000;
  return Math.max(0, load.prefillTokens - Math.min(computed, headTokens * headShare));
}

/**
 * Milliseconds until the first token of `call` at `endpoint`, with `matched[at..at+4)` tokens cached there by tier. `now`: so
 * that what has been computed since can be taken off.
 */
export function expectedTtftMs(
  call: Call,
  endpoint: EndpointState,
  matched: ArrayLike<number>,
  at: number,
  now?: number,
): number {
  const { spec } = endpoint;
  const { speed } = spec;
  const msPerToken = 1000 / speed.prefillTokensPerSecond;
  let cached = 0;
  let reloadMs = 0;
  for (let tier = 0; tier < 4; tier++) {
    const tokens = matched[at + tier]!;
    if (tokens === 0) continue;
    if (tier === 0) {
      cached += tokens;
      continue;
    }
    const reload = speed.reloadMsPerToken[tiers[tier]!];
    // Unmeasured: the credit that the field starts with (routing.md section 6).
    const perToken = reload ?? (1 - tierCreditDefault[tier]!) * msPerToken;
    if (perToken >= msPerToken) continue;
    cached += tokens;
    reloadMs += tokens * perToken;
  }
  const uncached = Math.max(1, call.promptTokens - cached);
  return (
    speed.overheadMs +
    (prefillAhead(endpoint, now) + workTokens(spec, uncached, cached)) * msPerToken +
    reloadMs +
    placeMs(call, endpoint)
  );
}

/**
 * Milliseconds until the endpoint has a free slot and room for the call's KV. The calls that run end within the time of an output, one
 * after the other, and each gives back its slot and its KV: so a share of the slots, or of the KV in use, is free after the same share of
 * that time.
 */
function placeMs(call: Call, { spec, load }: EndpointState): number {
  const outputMs = (call.outputTokens * 1000) / spec.speed.decodeTokensPerSecond;
  const { guessedCalls = 0 } = load;
  const before = Math.max(0, load.inFlight + guessedCalls - spec.slots + 1);
  const missing = Math.max(0, load.kvTokens + call.promptTokens + call.outputTokens - spec.kvCapacityTokens);
  if (load.inFlight === 0) return 0;
  const inUse = Math.max(1, Math.min(load.kvTokens, spec.kvCapacityTokens));
  return outputMs * Math.max(before / spec.slots, missing / inUse);
}

/**
 * Chance that a place at the endpoint is waited for when it becomes free, if the call is placed there: 0 while slots and KV are
 * mostly free, 1 when either is full. Of a queue with `places` servers that are busy to the share u, an arrival waits with a probability of
 * about u^(sqrt(2 (places + 1)) - 1) (Sakasegawa, Annals of the Institute of Statistical Mathematics 29, 1977).
 */
export function placeWanted(call: Call, { spec, load }: EndpointState): number {
  const places = Math.max(1, Math.min(spec.slots, spec.kvCapacityTokens / (call.promptTokens + call.outputTokens)));
  const used = Math.max(
    (load.inFlight + (load.guessedCalls ?? 0) + 1) / spec.slots,
    (load.kvTokens + call.promptTokens) / Math.max(1, spec.kvCapacityTokens),
  );
  return Math.min(1, used) ** (Math.sqrt(2 * (places + 1)) - 1);
}

/** Share of an endpoint's KV that is spoken for, running and waiting together; above 1 it must queue or evict. */
export function kvLoad(endpoint: EndpointState): number {
  return (endpoint.load.kvTokens + endpoint.load.prefillTokens) / Math.max(1, endpoint.spec.kvCapacityTokens);
}

/**
 * How long a first token may take at an endpoint that works. Where calls have shown its speed: many times what is expected. Where
 * none has, the speed is taken to be that of the slowest machine that serves models at all.
 */
export function firstTokenMostMs(numbers: CandidateNumbers, measured: boolean): number {
  if (measured) return firstTokenLeastMs + firstTokenSlack * numbers.expectedTtftMs;
  return firstTokenLeastMs + (numbers.uncachedTokens + numbers.prefillTokensAhead) * slowestMsPerToken;
}
