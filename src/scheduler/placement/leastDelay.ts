// Lineshaft's rule: a call goes where the waiting that it causes, its own and that of all other calls together, is least. All parts are
// milliseconds, so that no weights have to be tuned by hand.
//
//   own      its expected time to first token: what waits there, what it must compute, what is read back from lower tiers
//   later    calls yet to come wait behind it: rate of arrivals / (1 - busy share) x (own work x work waiting + own work^2 / 2),
//            the exact cost of adding work to a queue that is served in order (Hyytia et al., EJOR 2012)
//   streams  calls that decode there stand still while its prompt is computed, and every token of theirs and of its own
//            takes longer by the KV that is read for the others
//   evicted  where the cache is full, what it writes pushes out as much, of which what is asked for again must be computed
//            again, and pushes out in turn: h + h^2 + ... = h / (1 - h) times the work, h being the share of prompts found cached
//
// Why not a gate: a threshold on load (the shape of SGLang's router and of `two-tier`) leaves a cache for a difference that
// costs nothing, and every call that leaves computes its prompt again and evicts another's. Measured in docs/simulator.md.
//
// What it must know of the traffic it learns from the calls that it places; several gateways multiply by their number.
import type { EndpointState, PlacementView, Policy } from "../types.ts";
import { Costs, lowest } from "./choose.ts";
import { expectedTtftMs, prefillAhead, workTokens } from "./estimate.ts";
import { Traffic } from "./traffic.ts";

interface LeastDelayOptions {
  /**
   * What a millisecond between tokens counts against one before the first: an answer is read slower than it is written, so
   * that most of the former is not noticed.
   */
  streamWeight?: number;
  /** Cache is full from this share of its capacity on. */
  fullShare?: number;
  /** Sums this close (share of the least) are equal and drawn among; at least `slackMs`. */
  slackShare?: number;
  slackMs?: number;
  /** Time over which the traffic is remembered. */
  memoryMs?: number;
}

/** Parts of a candidate's cost, in milliseconds. */
interface Parts {
  ownMs: number;
  laterMs: number;
  streamsMs: number;
  evictedMs: number;
}

export function leastDelay(options: LeastDelayOptions = {}): Policy {
  const { streamWeight = 0.4, fullShare = 0.98, slackShare = 0.02, slackMs = 1, memoryMs = 60_000 } = options;
  const scratch = new Costs();
  const traffic = new Traffic(memoryMs);
  const parts: Parts = { ownMs: 0, laterMs: 0, streamsMs: 0, evictedMs: 0 };

  /** Fills `parts` for candidate `i` and answers their sum. `later` and `again` are the traffic's two multipliers. */
  function costOf(view: PlacementView, i: number, later: number, again: number): number {
    const { call } = view;
    const endpoint = view.endpoints[i]!;
    const { spec, load } = endpoint;
    const msPerToken = 1000 / spec.speed.prefillTokensPerSecond;
    const uncached = Math.max(1, call.promptTokens - view.matchedTokens[i]!);
    const work = workTokens(spec, uncached, view.matchedTokens[i]!) * msPerToken;
    const behind = work * prefillAhead(endpoint, view.now) * msPerToken + (work * work) / 2;
    const stalled = Math.max(0, load.inFlight - load.prefilling) * work;
    const recomputed = again === 0 ? 0 : again * evictedShare(view, i, uncached, endpoint, fullShare);
    parts.ownMs = expectedTtftMs(call, endpoint, view.matched, i * 4, view.now);
    parts.laterMs = later * behind;
    parts.streamsMs = streamWeight * (stalled + slowedMs(view, endpoint));
    parts.evictedMs = recomputed * (work + later * behind + streamWeight * stalled);
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
      const later = traffic.laterPerMs(view.count);
      const again = traffic.recomputedAgain();
      const costs = scratch.of(view.count);
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i < view.count; i++) {
        costs[i] = costOf(view, i, later, again);
        if (costs[i]! < best) best = costs[i]!;
      }
      const slack = Math.max(slackMs, best * slackShare);
      // Between equals no state is moved: a candidate that needs a state brought first loses the draw.
      for (let i = 0; i < view.count; i++) if (view.matched[i * 4 + 3]! > 0) costs[i]! += slack;
      const choice = lowest(costs, view.count, slack, rng, "least_delay");
      costOf(view, choice.index, later, again);
      choice.terms = { ...parts };
      traffic.placed(view, choice.index);
      return choice;
    },
  };
}

/** Share of `uncached` new tokens that must push others out; all of them where it is not known how full the cache is. */
function evictedShare(
  view: PlacementView,
  i: number,
  uncached: number,
  { spec, load }: EndpointState,
  fullShare: number,
): number {
  const resident = view.residentTokens?.[i] ?? Number.NaN;
  if (Number.isNaN(resident)) return 1;
  // What runs there will write half of its output on average until it ends.
  const toCome = (load.inFlight * view.call.outputTokens) / 2;
  const beyond = resident + toCome + uncached - spec.totalKvCapacityTokens * fullShare;
  return Math.min(1, Math.max(0, beyond / uncached));
}

/**
 * Milliseconds by which the call's own output and those that run beside it take longer, over the call's output. A step is
 * bound by what it reads; a device's memory is about half weights, half KV, so full KV takes as long as the weights alone.
 */
function slowedMs({ call }: PlacementView, { spec, load }: EndpointState): number {
  const stepMs = 1000 / spec.speed.decodeTokensPerSecond;
  const mine = call.promptTokens + call.outputTokens / 2;
  return (call.outputTokens * stepMs * (load.kvTokens + load.inFlight * mine)) / Math.max(1, spec.kvCapacityTokens);
}
