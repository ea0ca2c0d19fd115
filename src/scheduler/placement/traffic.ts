// What a rule learns of its traffic from the calls that it places, and from those that other gateways have placed by their messages of load:
// how often calls come to each endpoint and how busy their prompts keep it, and how much of the prompts was found cached. All sums fade, so
// that they describe the last minute or so. Deterministic, without a clock of its own.
//
// Peers tell their calls and their prefill by endpoint. To take each own call for those of all gateways instead was tried: of a few
// calls a minute with prompts of unlike lengths, how busy an endpoint is is a poor guess, and the cost of waiting is steep where it is busy.
//
// Sums of endpoints are kept multiplied by `scale`, which grows while time passes. So all of them fade together, and a decision among
// 1,000 endpoints touches one number.
import { busyMost, cachedMost, trafficLeastMs, trafficMemoryMs } from "../limits.ts";
import type { EndpointState, PlacementView } from "../types.ts";
import { workTokens } from "./estimate.ts";

/** At this scale the sums are divided by it, before it leaves the range of numbers. */
const largestScale = 1e100;

/** What peers place: calls a millisecond, prefill of a call, and the share of calls that load alone places. */
export interface PeersTraffic {
  callsPerMs: number;
  tokensPerCall: number;
  byLoad: number;
}

export class Traffic {
  private lastMs = Number.NaN;
  private spanMs = 0;
  private scale = 1;
  private calls = new Float64Array(16);
  private workMs = new Float64Array(16);
  /** What peers had placed when it was looked at last. */
  private peersPlaced = new Float64Array(16);
  private peersTokens = new Float64Array(16);
  private promptTokens = 0;
  private cachedTokens = 0;
  /** Of all endpoints: what peers have placed, and own placements with those that load alone decided. Kept like those by endpoint. */
  private readonly sums = { peersCalls: 0, peersTokens: 0, placed: 0, byLoad: 0 };

  /** A call has come. What of it is cached is the best that any candidate has. */
  arrived(view: PlacementView): void {
    const elapsedMs = Number.isNaN(this.lastMs) ? 0 : Math.max(0, view.now - this.lastMs);
    this.lastMs = view.now;
    const fade = Math.exp(-elapsedMs / trafficMemoryMs);
    let cached = 0;
    for (let i = 0; i < view.count; i++) cached = Math.max(cached, view.matchedTokens[i]!);
    this.spanMs = this.spanMs * fade + elapsedMs;
    this.promptTokens = this.promptTokens * fade + view.call.promptTokens;
    this.cachedTokens = this.cachedTokens * fade + cached;
    this.scale /= fade;
    if (this.scale > largestScale) this.rescale();
  }

  /** The call has been placed: its prefill is work of that endpoint. `byLoad`: load alone decided. */
  placed(view: PlacementView, index: number, byLoad: boolean): void {
    this.sums.placed += this.scale;
    if (byLoad) this.sums.byLoad += this.scale;
    const cached = view.matchedTokens[index]!;
    const endpoint = view.endpoints[index]!;
    const { spec, slot } = endpoint;
    const work = workTokens(spec, Math.max(1, view.call.promptTokens - cached), cached);
    if (slot >= this.calls.length) this.grow(slot);
    this.add(endpoint, 1, work);
  }

  /** What peers place, with the share of own placements that load alone decided: peers have the same traffic. */
  peers(): PeersTraffic {
    const { peersCalls, peersTokens, placed, byLoad } = this.sums;
    return {
      callsPerMs: peersCalls / (this.scale * Math.max(trafficLeastMs, this.spanMs)),
      tokensPerCall: peersCalls === 0 ? 0 : peersTokens / peersCalls,
      byLoad: placed === 0 ? 0 : byLoad / placed,
    };
  }

  /**
   * Arrivals a millisecond at the endpoint, over its idle share: how many calls wait a millisecond longer for each millisecond of work that
   * it has to do first.
   */
  laterPerMs(endpoint: EndpointState): number {
    const { slot } = endpoint;
    this.hear(endpoint);
    if (slot >= this.calls.length) return 0;
    const spanMs = this.scale * Math.max(trafficLeastMs, this.spanMs);
    return this.calls[slot]! / spanMs / (1 - Math.min(busyMost, this.workMs[slot]! / spanMs));
  }

  /** h / (1 - h): how many tokens are computed again for each evicted token, including those that it evicts in turn. */
  recomputedAgain(): number {
    const cached = Math.min(cachedMost, this.cachedTokens / Math.max(1, this.promptTokens));
    return cached / (1 - cached);
  }

  /** Takes in what peers have placed there since it was looked at last. */
  private hear(endpoint: EndpointState): void {
    const { slot, load } = endpoint;
    const { peersPlaced = 0, peersPlacedTokens = 0 } = load;
    if (peersPlaced === (this.peersPlaced[slot] ?? 0)) return;
    if (slot >= this.calls.length) this.grow(slot);
    const [calls, tokens] = [peersPlaced - this.peersPlaced[slot]!, peersPlacedTokens - this.peersTokens[slot]!];
    this.peersPlaced[slot] = peersPlaced;
    this.peersTokens[slot] = peersPlacedTokens;
    // Below what it was: another endpoint stands in this slot now.
    if (calls <= 0 || tokens < 0) return;
    this.add(endpoint, calls, tokens);
    this.sums.peersCalls += this.scale * calls;
    this.sums.peersTokens += this.scale * tokens;
  }

  private add({ slot, spec }: EndpointState, calls: number, tokens: number): void {
    this.calls[slot]! += this.scale * calls;
    this.workMs[slot]! += (this.scale * tokens * 1000) / spec.speed.prefillTokensPerSecond;
  }

  private grow(slot: number): void {
    const grown = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const larger = new Float64Array((slot + 1) * 2);
      larger.set(old);
      return larger;
    };
    this.calls = grown(this.calls);
    this.workMs = grown(this.workMs);
    this.peersPlaced = grown(this.peersPlaced);
    this.peersTokens = grown(this.peersTokens);
  }

  private rescale(): void {
    for (const sums of [this.calls, this.workMs])
      for (let slot = 0; slot < sums.length; slot++) sums[slot]! /= this.scale;
    for (const sum of ["peersCalls", "peersTokens", "placed", "byLoad"] as const) this.sums[sum] /= this.scale;
    this.scale = 1;
  }
}
