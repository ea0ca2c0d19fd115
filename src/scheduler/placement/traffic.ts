// What a rule learns of its traffic from the calls that it places: how often they come, how busy they keep prefill, and how
// much of their prompts was found cached. Sums that fade over a minute or so; deterministic, no clock of its own.
import type { PlacementView } from "../types.ts";
import { workTokens } from "./estimate.ts";

/** Prefill is assumed to be at most this busy: beyond it the queue has no steady state. */
const busiest = 0.95;
/** Prompts are assumed to be cached to at most this share, so that an evicted token counts as computed again nine times at most. */
const mostCached = 0.9;
/** Until so much time has been seen, rates are of this span. */
const shortestMs = 1_000;

export class Traffic {
  private readonly memoryMs: number;
  private lastMs = Number.NaN;
  private spanMs = 0;
  private calls = 0;
  private workMs = 0;
  private promptTokens = 0;
  private cachedTokens = 0;

  constructor(memoryMs: number) {
    this.memoryMs = memoryMs;
  }

  /** A call has come. What of it is cached is the best that any candidate has. */
  arrived(view: PlacementView): void {
    const elapsedMs = Number.isNaN(this.lastMs) ? 0 : Math.max(0, view.now - this.lastMs);
    this.lastMs = view.now;
    const keep = Math.exp(-elapsedMs / this.memoryMs);
    let cached = 0;
    for (let i = 0; i < view.count; i++) cached = Math.max(cached, view.matchedTokens[i]!);
    this.spanMs = this.spanMs * keep + elapsedMs;
    this.calls = this.calls * keep + (view.gateways ?? 1);
    this.workMs *= keep;
    this.promptTokens = this.promptTokens * keep + view.call.promptTokens;
    this.cachedTokens = this.cachedTokens * keep + cached;
  }

  /** The call has been placed: its prefill is work of that endpoint. */
  placed(view: PlacementView, index: number): void {
    const cached = view.matchedTokens[index]!;
    const { spec } = view.endpoints[index]!;
    const work = workTokens(spec, Math.max(1, view.call.promptTokens - cached), cached);
    this.workMs += ((view.gateways ?? 1) * work * 1000) / spec.speed.prefillTokensPerSecond;
  }

  /** Arrivals at one of `endpoints` per millisecond, over its idle share: how many wait for each millisecond of more work. */
  laterPerMs(endpoints: number): number {
    const spanMs = Math.max(shortestMs, this.spanMs) * endpoints;
    return this.calls / spanMs / (1 - Math.min(busiest, this.workMs / spanMs));
  }

  /** h / (1 - h): how many tokens are computed again for each evicted token, including those that it evicts in turn. */
  recomputedAgain(): number {
    const cached = Math.min(mostCached, this.cachedTokens / Math.max(1, this.promptTokens));
    return cached / (1 - cached);
  }
}
