// Lineshaft's rule: a call goes where the waiting for first tokens that it causes, its own and that of all other calls, is least. All parts
// are milliseconds of that waiting, so that none needs a weight.
//
//   own      its own time to first token: the wait for a place, the prefill before it, its own prefill, what is read from lower tiers
//   later    calls that come to this endpoint later wait behind it. In a queue that is served in order, with calls arriving at rate
//            l and the server busy to the share r, work w behind work u adds l / (1 - r) x (w u + w^2 / 2) to the sum of all waits
//            (Hyytia, Penttinen, Aalto, EJOR 2012). l and r are this endpoint's own, as they were in the last minute.
//   streams  while its prompt is computed, the calls that decode there stand still and keep their places for longer. That makes
//            a call wait exactly where places are short, so a stream's delay counts by the chance that its place is waited for.
//   evicted  where the cache is full, each token that it writes pushes one out. A cached token is found h / (1 - h) times before it
//            goes, h being the share of prompts found cached, and must be computed again as often if it goes early. So the other parts
//            of that work are added for it. For a place that holds a copy already nothing is written.
//
// Why each endpoint's own l and r: endpoints that hold a prefix many calls share get more calls than the others. With the fleet's mean
// their queues look cheaper than they are, and no second copy is made while others stand idle. With their own rates the cost of
// queueing rises until a copy elsewhere is cheaper, and falls again when the copy takes its part of the calls.
//
// What was tried and is worse, on the grid of bench/simulator/policies.ts: a threshold on load (the shape of SGLang's router and of
// `two-tier`), which leaves a cache for a difference that makes no call wait; the fleet's mean of waiting work in place of the endpoint's own,
// as if later calls could always go elsewhere; and a fixed weight for delays of streams, which is too high where places
// are free (time to first token) and too low where KV is full (hits). Measured in docs/simulator.md.
//
// Several gateways that see the same costs would all take the same endpoint. What peers have placed without word of it is therefore counted
// first (`unseen.ts`).
//
// What it must know of the traffic it learns from the calls that it places, and from what other gateways tell of theirs (`traffic.ts`).
import { fullShare, slackLeastMs, slackShare } from "../limits.ts";
import type { EndpointState, PlacementView, Policy } from "../types.ts";
import { byLoad, Costs, lowest } from "./choose.ts";
import { expectedTtftMs, placeWanted, prefillAhead, workTokens } from "./estimate.ts";
import { Traffic } from "./traffic.ts";
import { AfterUnseen, unseenCalls } from "./unseen.ts";

/** Parts of a candidate's cost, in milliseconds. */
interface Parts {
  ownMs: number;
  laterMs: number;
  streamsMs: number;
  evictedMs: number;
}

/** A little more than the slack, so that what lies there is no equal. */
const beyondSlack = 1.001;

/**
 * The least-delay rule, the default of every deployment. Costs are milliseconds of waiting for first tokens, summed over all calls; the
 * terms of a choice are the parts of the chosen candidate's cost.
 */
export function leastDelay(): Policy {
  const scratch = new Costs();
  const traffic = new Traffic();
  const afterUnseen = new AfterUnseen();
  const parts: Parts = { ownMs: 0, laterMs: 0, streamsMs: 0, evictedMs: 0 };

  /**
   * Fills `parts` for candidate `i` and returns their sum. `again`: times that an evicted token is computed again. `endpoint`: the candidate,
   * or what it becomes with more load.
   */
  function costOf(view: PlacementView, i: number, again: number, endpoint = view.endpoints[i]!): number {
    const { call } = view;
    const { spec, load } = endpoint;
    const msPerToken = 1000 / spec.speed.prefillTokensPerSecond;
    const uncached = Math.max(1, call.promptTokens - view.matchedTokens[i]!);
    const work = workTokens(spec, uncached, view.matchedTokens[i]!) * msPerToken;
    const behind = work * prefillAhead(endpoint, view.now) * msPerToken + (work * work) / 2;
    const stalled = Math.max(0, load.inFlight - load.prefilling) * work;
    parts.ownMs = expectedTtftMs(call, endpoint, view.matched, i * 4, view.now);
    parts.laterMs = traffic.laterPerMs(endpoint) * behind;
    parts.streamsMs = stalled === 0 ? 0 : placeWanted(call, endpoint) * stalled;
    const recomputed = again === 0 ? 0 : again * evictedShare(view, i, uncached, endpoint);
    parts.evictedMs = recomputed * (work + parts.laterMs + parts.streamsMs);
    return parts.ownMs + parts.laterMs + parts.streamsMs + parts.evictedMs;
  }

  return {
    name: "least-delay",
    card: {
      goodFor: "agents and chats with shared prefixes, mixed lengths, unlike chips, loads from idle to beyond capacity",
      badAt: "a fleet whose prefill rates are unknown: all of its parts are times",
      needs: "prefill and decode rate per endpoint; KV events, else predictions; load in tokens",
      source:
        "size- and state-aware dispatching (Hyytia, Penttinen, Aalto, EJOR 2012), with KV cache, batches and eviction",
    },
    choose(view, rng) {
      traffic.arrived(view);
      const again = traffic.recomputedAgain();
      const costs = scratch.of(view.count);
      let best = Number.POSITIVE_INFINITY;
      let bestInPlace = Number.POSITIVE_INFINITY;
      for (let i = 0; i < view.count; i++) {
        costs[i] = costOf(view, i, again);
        if (costs[i]! < best) best = costs[i]!;
        if (!(view.matched[i * 4 + 3]! > 0) && costs[i]! < bestInPlace) bestInPlace = costs[i]!;
      }
      const slack = Math.max(slackLeastMs, best * slackShare);
      // Between equals no state is moved: a candidate that needs a state brought first is none of the equals, and is chosen only where it is
      // better than each of them.
      for (let i = 0; i < view.count; i++)
        if (view.matched[i * 4 + 3]! > 0 && costs[i]! >= bestInPlace - 2 * slack)
          costs[i] = Math.max(costs[i]!, bestInPlace + beyondSlack * slack);
      let choice = lowest(costs, view.count, slack, rng, "least_delay");
      const alone = byLoad(view, choice);
      const unseen = alone ? unseenCalls(view, traffic.peers()) : undefined;
      if (unseen !== undefined) {
        choice = afterUnseen.choose(view, costs, choice, unseen, slack, rng, (i, endpoint) =>
          costOf(view, i, again, endpoint),
        );
      }
      costOf(view, choice.index, again);
      choice.terms = { ...parts };
      traffic.placed(view, choice.index, alone);
      return choice;
    },
  };
}

/** Share of `uncached` new tokens that must push others out; all of them where it is not known how full the cache is. */
function evictedShare(view: PlacementView, i: number, uncached: number, { spec, load }: EndpointState): number {
  const resident = view.residentTokens?.[i] ?? Number.NaN;
  if (Number.isNaN(resident)) return 1;
  // What runs there will write half of its output on average until it ends.
  const toCome = (load.inFlight * view.call.outputTokens) / 2;
  const beyond = resident + toCome + uncached - spec.totalKvCapacityTokens * fullShare;
  return Math.min(1, Math.max(0, beyond / uncached));
}
