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
import type { Call, Choice, EndpointLoad, EndpointSpec, EndpointState, PlacementView, Rng } from "../types.ts";
import { Costs, lowest, second } from "./choose.ts";
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

/** Choices after a drawn part of the unseen calls has been placed. Its arrays are kept between decisions. */
export class AfterUnseen {
  private readonly placed = new Costs();
  private readonly raised = new Costs();
  private readonly altered = new Altered();

  /**
   * `choice`: the one without unseen calls; `cost`: of a candidate, in the state that is passed. That state is valid during the call of `cost`
   * alone.
   */
  choose(
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
    const placed = this.placed.of(count).fill(0, 0, count);
    // What is infinite is not drawn among.
    const raised = this.raised.of(count).fill(Number.POSITIVE_INFINITY, 0, count);
    const costNow = (i: number, own: boolean): number =>
      cost(i, this.altered.of(endpoints[i]!, call, unseen, placed[i]!, own));
    for (let i = 0; i < count; i++) if (matchedTokens[i]! >= held && !brings(i)) raised[i] = costNow(i, false);
    const portions = Math.min(portionsMost, Math.max(portionsLeast, Math.ceil(unseen.calls)));
    const before = Math.floor(rng() * (portions + 1));
    // Among endpoints of one cost the order is drawn too.
    const first = Math.floor(rng() * count);
    for (let n = 0; n < before; n++) {
      const i = least(raised, count, first);
      placed[i]! += unseen.calls / portions;
      raised[i] = costNow(i, false);
    }
    for (let i = 0; i < count; i++) {
      if (raised[i]! < Number.POSITIVE_INFINITY && hasNew(endpoints[i]!)) raised[i] = costNow(i, true);
    }
    const { index, ties } = lowest(raised, count, slack, rng, choice.reason);
    const runnerUp = second(costs, count, index);
    return { ...choice, index, ties, cost: costs[index]!, runnerUp, runnerUpCost: costs[runnerUp]! };
  }
}

/**
 * An endpoint with another load: without what has ended and been computed of peers' calls since they were told, without guesses of what peers
 * do, and with unseen calls. One object for all of them, since a decision asks for thousands.
 */
class Altered {
  private readonly load: EndpointLoad = { prefillTokens: 0, kvTokens: 0, inFlight: 0, prefilling: 0, guessedCalls: 0 };
  private readonly state: { -readonly [key in keyof EndpointState]: EndpointState[key] } = {
    slot: 0,
    spec: undefined as unknown as EndpointState["spec"],
    load: this.load,
    health: "ready",
  };

  /** `placed`: unseen calls that have gone there. `own`: with this gateway's newest calls, of which peers do not know. */
  of(endpoint: EndpointState, call: Call, unseen: Unseen, placed: number, own: boolean): EndpointState {
    const { ended, ageMs } = unseen;
    const { load, spec, slot, health } = endpoint;
    const { peersInFlight = 0, peersPrefill = 0, guessedPrefill = 0, guessedKv = 0, inFlight } = load;
    const gone = peersInFlight * ended;
    let kvTokens = Math.max(0, load.kvTokens - guessedKv) * (inFlight > 0 ? 1 - gone / inFlight : 1);
    const computed = Math.min(Math.max(0, peersPrefill), (ageMs * spec.speed.prefillTokensPerSecond) / 1000);
    let prefillTokens = Math.max(0, load.prefillTokens - guessedPrefill - computed);
    let running = inFlight - gone;
    if (!own) {
      const { newCalls = 0, newPrefill = 0, newKv = 0 } = load;
      prefillTokens = Math.max(0, prefillTokens - newPrefill);
      kvTokens = Math.max(0, kvTokens - newKv);
      running = Math.max(0, running - newCalls);
    }
    this.load.prefillTokens = prefillTokens + placed * tokensLeft(unseen, spec);
    this.load.kvTokens = kvTokens + placed * call.promptTokens;
    this.load.inFlight = running + placed;
    this.load.prefilling = load.prefilling;
    this.load.headTokens = load.headTokens;
    this.load.headSinceMs = load.headSinceMs;
    this.load.peersPlaced = load.peersPlaced;
    this.load.peersPlacedTokens = load.peersPlacedTokens;
    this.state.slot = slot;
    this.state.spec = spec;
    this.state.health = health;
    return this.state;
  }
}

/** Whether peers do not know all of this gateway's calls there. */
function hasNew({ load: { newCalls = 0, newPrefill = 0, newKv = 0 } }: EndpointState): boolean {
  return newCalls > 0 || newPrefill > 0 || newKv > 0;
}

/** Index of the lowest of `costs[0..count)`, the first from `first` on, round the end. */
function least(costs: Float64Array, count: number, first: number): number {
  let found = first;
  for (let i = first + 1; i < count; i++) if (costs[i]! < costs[found]!) found = i;
  for (let i = 0; i < first; i++) if (costs[i]! < costs[found]!) found = i;
  return found;
}

/** Prefill that is left on average of a prompt that came at any time of the last `ageMs`. */
function tokensLeft({ tokens, ageMs }: Unseen, { speed }: EndpointSpec): number {
  const computed = (ageMs * speed.prefillTokensPerSecond) / 1000;
  return computed < tokens ? tokens - computed / 2 : (tokens * tokens) / (2 * computed);
}
