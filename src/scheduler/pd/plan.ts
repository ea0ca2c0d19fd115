// When to prefill elsewhere, and where. The decode endpoint is chosen first, like any endpoint (its cache may make the
// question moot); then the prompt is split off when it is long and mostly not cached there, and a prefill endpoint near it
// would be sooner done.
import { fitsAtAll, isFree } from "../admission.ts";
import { decodeLocalTokensDefault } from "../limits.ts";
import { Costs, lowest } from "../placement/choose.ts";
import { expectedTtftMs } from "../placement/estimate.ts";
import type { Call, CandidateNumbers, EndpointState, PlacementView, Rng } from "../types.ts";

export interface PdOptions {
  /** A prompt with fewer uncached tokens is prefilled where it decodes. */
  minUncachedTokens?: number;
  /** A prompt of which a smaller share is uncached is prefilled where it decodes. */
  minUncachedShare?: number;
  /**
   * Up to this many uncached tokens an endpoint that only decodes computes itself: a short rest behind a long cached
   * prefix costs it less than a transfer costs both.
   */
  decodeLocalTokens?: number;
  /** Bytes of KV per token and bytes per millisecond between two endpoints, by how near they are. */
  kvBytesPerToken?: number;
  bytesPerMs?: { node: number; superNode: number; far: number };
}

export interface PdPlan {
  endpoint: EndpointState;
  numbers: CandidateNumbers;
}

export class PdPlanner {
  private readonly options: Required<PdOptions>;
  private readonly costs = new Costs();

  constructor(options: PdOptions = {}) {
    this.options = {
      minUncachedTokens: options.minUncachedTokens ?? 2048,
      minUncachedShare: options.minUncachedShare ?? 0.7,
      decodeLocalTokens: options.decodeLocalTokens ?? decodeLocalTokensDefault,
      kvBytesPerToken: options.kvBytesPerToken ?? 160_000,
      // 200 GB/s within a node, 50 in a super-node, 2 beyond.
      bytesPerMs: options.bytesPerMs ?? { node: 200e6, superNode: 50e6, far: 2e6 },
    };
  }

  /** Whether the call's prefill should leave its decode endpoint. An endpoint that only decodes keeps no more than `decodeLocalTokens`. */
  wants(call: Call, decode: EndpointState, chosen: CandidateNumbers): boolean {
    if (chosen.uncachedTokens <= 1) return false;
    if (decode.spec.role === "decode") return chosen.uncachedTokens > this.options.decodeLocalTokens;
    const share = chosen.uncachedTokens / Math.max(1, call.promptTokens);
    return chosen.uncachedTokens >= this.options.minUncachedTokens && share >= this.options.minUncachedShare;
  }

  canPrefill(endpoint: EndpointState, decode: EndpointState, call: Call): boolean {
    return (
      endpoint !== decode &&
      endpoint.spec.role === "prefill" &&
      endpoint.health === "ready" &&
      endpoint.ejected !== true &&
      isFree(endpoint) &&
      fitsAtAll(endpoint, call) &&
      endpoint.spec.space === decode.spec.space &&
      !call.avoid?.includes(endpoint.spec.id)
    );
  }

  /** Index of the prefill endpoint by least time to a transferred prompt; -1 without candidates, or when staying is faster. */
  choose(view: PlacementView, decode: EndpointState, rng: Rng): number {
    if (view.count === 0) return -1;
    const costs = this.costs.of(view.count);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < view.count; i++) {
      const endpoint = view.endpoints[i]!;
      costs[i] =
        expectedTtftMs(view.call, endpoint, view.matched, i * 4, view.now) +
        this.transferMs(endpoint, decode, view.call.promptTokens);
      best = Math.min(best, costs[i]!);
    }
    if (decode.spec.role === "both" && best > expectedTtftMs(view.call, decode, noMatch, 0, view.now)) return -1;
    return lowest(costs, view.count, best * 0.02, rng, "least_transfer").index;
  }

  /** Cost of a candidate of the last `choose`, in milliseconds. */
  costOf(index: number): number {
    return this.costs.values[index]!;
  }

  /** Milliseconds to bring a prompt's KV from one endpoint to the other. */
  transferMs(from: EndpointState, to: EndpointState, tokens: number): number {
    const { bytesPerMs, kvBytesPerToken } = this.options;
    const a = from.spec.topology;
    const b = to.spec.topology;
    const near = (x: string | undefined, y: string | undefined): boolean => x !== undefined && x === y;
    const speed = near(a.node, b.node)
      ? bytesPerMs.node
      : near(a.superNode, b.superNode)
        ? bytesPerMs.superNode
        : bytesPerMs.far;
    return (tokens * kvBytesPerToken) / speed;
  }
}

const noMatch = new Float64Array(4);
