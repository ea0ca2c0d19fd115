// Calls that other gateways have placed and that are not known here yet. Gateways see the same endpoints with the same old loads. If each
// took the lowest cost, all of them would take the same few endpoints until word has come.
//
// What has changed since peers' word was sent follows from known quantities: their rate of calls, the age of their word, and how long their
// calls last by Little's law. Of the calls that were told, some have ended. New ones have come. All gateways reason alike, so new calls go
// where the cost is lowest by what peers know, one after the other, and each raises the cost of its endpoint; peers do not know this
// gateway's newest calls either. This call is one of the new ones. Its place among them is not known, so it is drawn. The calls before
// it are counted, and then the lowest cost is taken. So gateways mix their choices as much as costs are worth it: an endpoint that is
// better by more than what the unseen calls add is always taken, and without unseen calls nothing is drawn. Dahlin's interpretation of stale
// load (IEEE TPDS 11, 2000) is the same idea for the length of a queue.
//
// Only calls that load alone places count, and only endpoints that hold as much of the prompt are drawn among. Where a call finds its prefix,
// it goes there.
import type { Choice, EndpointLoad, EndpointState, PlacementView, Rng } from "../types.ts";
import { lowest, second } from "./choose.ts";
import type { PeersTraffic } from "./traffic.ts";

/** Unseen calls are counted in portions: at least so many, because a part of a call is a chance of one. */
const portionsLeast = 16;
/** At most so many, which bounds the time of a decision. */
const portionsMost = 64;

/** What peers' word does not say yet. */
interface Unseen {
  /** Calls that have come since and still run, and the prefill of each when it came. */
  calls: number;
  tokens: number;
  /** Share of the calls that were told, and have ended since. */
  ended: number;
  ageMs: number;
}

/** What has changed at peers by calls that load alone places; undefined where there are none. */
export function unseenCalls(
  { peersAgeMs: ageMs = 0, endpoints, count }: PlacementView,
  { callsPerMs, tokensPerCall, byLoad }: PeersTraffic,
): Unseen | undefined {
  let running = 0;
  for (let i = 0; i < count; i++) running += endpoints[i]!.load.peersInFlight ?? 0;
  if (running <= 0) return undefined;
  // A call lasts running / callsPerMs. As many end in `ageMs` as if ends were memoryless, and as many come.
  const ended = 1 - Math.exp((-ageMs * callsPerMs) / running);
  const calls = byLoad * running * ended;
  return calls > 0 ? { calls, tokens: tokensPerCall, ended, ageMs } : undefined;
}

/**
 * The choice after a drawn part of the unseen calls has been placed. `choice`: the one without them; `cost`: of a candidate with a load.
 */
export function afterUnseen(
  view: PlacementView,
  costs: Float64Array,
  choice: Choice,
  unseen: Unseen,
  slack: number,
  rng: Rng,
  cost: (i: number, endpoint: EndpointState) => number,
): Choice {
  const { count, matched, matchedTokens, endpoints, call } = view;
  // A state that must be brought first is none of the equals.
  const brings = (i: number): boolean => matched[i * 4 + 3]! > 0;
  if (brings(choice.index)) return choice;
  const held = matchedTokens[choice.index]!;
  const placed = new Float64Array(count);
  const costWith = (i: number, now: EndpointLoad): number => {
    const endpoint = endpoints[i]!;
    const prefillTokens = now.prefillTokens + placed[i]! * tokensLeft(unseen, endpoint);
    const kvTokens = now.kvTokens + placed[i]! * call.promptTokens;
    const inFlight = now.inFlight + placed[i]!;
    return cost(i, { ...endpoint, load: { ...now, prefillTokens, kvTokens, inFlight } });
  };
  const now = endpoints.map((endpoint) => aged(endpoint, unseen));
  const told = now.map(withoutNew);
  const raised = new Float64Array(count).fill(Number.NaN);
  for (let i = 0; i < count; i++) if (matchedTokens[i]! >= held && !brings(i)) raised[i] = costWith(i, told[i]!);
  const portions = Math.min(portionsMost, Math.max(portionsLeast, Math.ceil(unseen.calls)));
  const before = Math.floor(rng() * (portions + 1));
  // Among endpoints of one cost the order is drawn too.
  const first = Math.floor(rng() * count);
  for (let n = 0; n < before; n++) {
    const i = least(raised, first);
    placed[i]! += unseen.calls / portions;
    raised[i] = costWith(i, told[i]!);
  }
  for (let i = 0; i < count; i++) if (!Number.isNaN(raised[i]!)) raised[i] = costWith(i, now[i]!);
  const { index, ties } = lowest(raised, count, slack, rng, choice.reason);
  const runnerUp = second(costs, count, index);
  return { ...choice, index, ties, cost: costs[index]!, runnerUp, runnerUpCost: costs[runnerUp]! };
}

/** A load without what has ended and been computed of peers' calls since they were told, and without guesses of what peers do. */
function aged({ load, spec }: EndpointState, { ended, ageMs }: Unseen): EndpointLoad {
  const { peersInFlight = 0, peersPrefill = 0, guessedPrefill = 0, guessedKv = 0, inFlight } = load;
  const gone = peersInFlight * ended;
  const kvTokens = Math.max(0, load.kvTokens - guessedKv) * (inFlight > 0 ? 1 - gone / inFlight : 1);
  const computed = Math.min(Math.max(0, peersPrefill), (ageMs * spec.speed.prefillTokensPerSecond) / 1000);
  const prefillTokens = Math.max(0, load.prefillTokens - guessedPrefill - computed);
  return { ...load, prefillTokens, kvTokens, inFlight: inFlight - gone, guessedCalls: 0 };
}

/** A load as peers know it: without this gateway's newest calls. */
function withoutNew(load: EndpointLoad): EndpointLoad {
  const { newCalls = 0, newPrefill = 0, newKv = 0 } = load;
  return {
    ...load,
    prefillTokens: Math.max(0, load.prefillTokens - newPrefill),
    kvTokens: Math.max(0, load.kvTokens - newKv),
    inFlight: Math.max(0, load.inFlight - newCalls),
  };
}

/** Index of the lowest cost, the first from `first` on, round the end. */
function least(costs: Float64Array, first: number): number {
  let found = -1;
  for (let n = 0; n < costs.length; n++) {
    const i = (first + n) % costs.length;
    if (!Number.isNaN(costs[i]!) && (found < 0 || costs[i]! < costs[found]!)) found = i;
  }
  return found;
}

/** Prefill that is left on average of a prompt that came at any time of the last `ageMs`. */
function tokensLeft({ tokens, ageMs }: Unseen, { spec }: EndpointState): number {
  const computed = (ageMs * spec.speed.prefillTokensPerSecond) / 1000;
  return computed < tokens ? tokens - computed / 2 : (tokens * tokens) / (2 * computed);
}
