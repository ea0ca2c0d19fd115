// Calls at endpoints, from their placement to their end: the load that each of them holds, and how right its predicted match was.
import type { Prefilling } from "./endpoints.ts";
import type { LoadHandle } from "./load/handle.ts";
import { workTokens } from "./placement/estimate.ts";
import type { Call, Decision, EndpointState } from "./types.ts";

/** A call at an endpoint. */
export interface Placed {
  call: Call;
  decision: Decision;
  endpoint: EndpointState;
  handle: LoadHandle;
  /** Set when another endpoint prefills. */
  prefill?: { endpoint: EndpointState; handle: LoadHandle };
  /** Its part in the busy period of the endpoint that computes its prompt. */
  prefilling?: Prefilling | undefined;
  /** Tokens charged to its tenant so far. */
  charged: number;
  prefilled: boolean;
  /** Its prediction was compared with the cached tokens that the engine reported. */
  compared: boolean;
}

/** Predicted against reported cached tokens, summed: how right the knowledge of caches is. */
export interface Truth {
  calls: number;
  predictedTokens: number;
  reportedTokens: number;
  /** Sum of the absolute differences per call. */
  gapTokens: number;
}

/** What of the prompt was expected to be cached where it is computed. */
export function predictedTokens({ decision }: Placed): number {
  return (decision.prefill ?? decision.chosen).matchedTokens;
}

export class PlacedCalls {
  readonly truth: Truth = { calls: 0, predictedTokens: 0, reportedTokens: 0, gapTokens: 0 };
  private readonly calls = new Map<string, Placed>();

  get size(): number {
    return this.calls.size;
  }

  get(call: string): Placed | undefined {
    return this.calls.get(call);
  }

  add(placed: Placed): void {
    this.calls.set(placed.call.id, placed);
  }

  /** The call has its first token. */
  prefilled(call: string, cachedTokens: number | undefined, now: number): void {
    const placed = this.calls.get(call);
    if (placed === undefined || placed.prefilled) return;
    placed.prefilled = true;
    placed.handle.prefilled(now);
    placed.prefill?.handle.close();
    if (cachedTokens !== undefined) this.compare(placed, cachedTokens);
  }

  /** The split is given up: the decode endpoint computes the prompt itself. */
  recompute(call: string, now: number): void {
    const placed = this.calls.get(call);
    if (placed === undefined) return;
    placed.prefill?.handle.close();
    const { uncachedTokens, matchedTokens } = placed.decision.chosen;
    placed.handle.prefillsHere(workTokens(placed.endpoint.spec, uncachedTokens, matchedTokens), now);
  }

  /** The prefill leg has computed the prompt; its KV stays until the decoder has pulled it. */
  prefillComputed(call: string, now: number): void {
    this.calls.get(call)?.prefill?.handle.prefilled(now);
  }

  /** The prefill leg's load is over. */
  prefillReleased(call: string): void {
    this.calls.get(call)?.prefill?.handle.close();
  }

  /** Forgets the calls whose handles the janitor has closed, since no end was reported, and returns them. */
  sweep(): Placed[] {
    const lost = [...this.calls.values()].filter(({ handle }) => !handle.isOpen);
    for (const { call, prefill } of lost) {
      prefill?.handle.close();
      this.calls.delete(call.id);
    }
    return lost;
  }

  /** Calls placed at an endpoint that leaves, and which must be ended. */
  at(endpoint: string): Placed[] {
    return [...this.calls.values()].filter(
      (placed) => placed.endpoint.spec.id === endpoint || placed.prefill?.endpoint.spec.id === endpoint,
    );
  }

  private compare(placed: Placed, reported: number): void {
    if (placed.compared) return;
    placed.compared = true;
    const predicted = predictedTokens(placed);
    this.truth.calls++;
    this.truth.predictedTokens += predicted;
    this.truth.reportedTokens += reported;
    this.truth.gapTokens += Math.abs(predicted - reported);
  }

  /** Takes out a call that has ended, and takes back its load. `cachedTokens`: undefined where the engine does not report it. */
  end(call: string, cachedTokens: number | undefined): Placed | undefined {
    const placed = this.calls.get(call);
    if (placed === undefined) return undefined;
    this.calls.delete(call);
    placed.handle.close();
    placed.prefill?.handle.close();
    if (cachedTokens !== undefined) this.compare(placed, cachedTokens);
    return placed;
  }
}
