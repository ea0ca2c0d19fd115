// What the scheduler knows of the endpoints' caches, behind one interface. The gateway's view is the prefix index, which engines'
// events and own placements fill (prefix/indexedCaches.ts). The simulator plugs in views of its own, so that routers can be
// modelled that see caches exactly, late, by a guess, or not at all.
import type { Call, EndpointSpec, EndpointState, PlacementView } from "../types.ts";

/** The columns of a placement view that knowledge of caches fills; the other columns are set already. */
export interface CacheColumns extends PlacementView {
  residentTokens: Float64Array;
}

/**
 * Knowledge of the endpoints' caches: which leading tokens of a prompt each holds, in which tier. Slots number endpoint ranks, and are used
 * again after an endpoint has left. Implemented by `IndexedCaches` and by the simulator's views.
 */
export interface CacheView {
  /** The endpoint rank in this slot begins with an empty cache, or has left (`spec` is undefined). */
  reset(slot: number, spec: EndpointSpec | undefined): void;
  /**
   * Fills `matched`, `matchedTokens`, `expectedTokens` and `residentTokens` for the candidates of the view; the first three hold zeros.
   * Returns the tokens of the prompt that are known for certain to lie at `home`, 0 without one.
   */
  look(view: CacheColumns, home: EndpointState | undefined): number;
  /** The call was sent to the endpoint, which will therefore hold its prompt. */
  placed(endpoint: EndpointState, call: Call, now: number): void;
}
