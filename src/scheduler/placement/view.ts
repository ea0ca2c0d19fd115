// Builds what a policy sees: the candidates of a call with their matches, in arrays that are kept between decisions.
import type { Call, EndpointState, PlacementView } from "../types.ts";
import type { CacheColumns, CacheView } from "./caches.ts";

/** What is known of other gateways. */
interface Peers {
  peersAgeMs(now: number): number;
}

export class ViewBuilder {
  private readonly caches: CacheView;
  private readonly peers: Peers | undefined;
  private readonly candidates: EndpointState[] = [];
  private readonly view: CacheColumns;

  constructor(caches: CacheView, peers?: Peers) {
    this.caches = caches;
    this.peers = peers;
    this.view = {
      call: undefined as unknown as Call,
      now: 0,
      peersAgeMs: 0,
      count: 0,
      endpoints: this.candidates,
      matched: new Float64Array(64),
      matchedTokens: new Float64Array(16),
      expectedTokens: new Float64Array(16),
      residentTokens: new Float64Array(16),
    };
  }

  /**
   * The view of `call` among those `endpoints` that `fits` admits; valid until the next one is built. `count` may be 0. `home`: where the
   * newest state of the call's program lies; endpoints of its pool can have what they lack of that state brought to them.
   */
  build(
    call: Call,
    endpoints: readonly EndpointState[],
    fits: (endpoint: EndpointState) => boolean,
    now: number,
    home?: EndpointState,
  ): PlacementView {
    const { view, candidates } = this;
    let count = 0;
    for (const endpoint of endpoints) if (fits(endpoint)) candidates[count++] = endpoint;
    candidates.length = count;
    if (view.matchedTokens.length < count) {
      view.matched = new Float64Array(count * 8);
      view.matchedTokens = new Float64Array(count * 2);
      view.expectedTokens = new Float64Array(count * 2);
      view.residentTokens = new Float64Array(count * 2);
    }
    view.call = call;
    view.now = now;
    view.peersAgeMs = this.peers?.peersAgeMs(now) ?? 0;
    view.count = count;
    view.matched.fill(0, 0, count * 4);
    view.matchedTokens.fill(0, 0, count);
    view.expectedTokens.fill(0, 0, count);
    const shared = home?.spec.pool === undefined ? undefined : home;
    const held = this.caches.look(view, shared);
    if (shared !== undefined && held > 0) this.reach(shared, held);
    return view;
  }

  /** What `home` holds of the prompt and another endpoint of its pool does not, is `remote` to that endpoint. */
  private reach(home: EndpointState, held: number): void {
    const { view, candidates } = this;
    const most = Math.min(held, view.call.promptTokens - 1);
    for (let i = 0; i < view.count; i++) {
      const more = most - view.matchedTokens[i]!;
      if (candidates[i] === home || candidates[i]!.spec.pool !== home.spec.pool || more <= 0) continue;
      view.matched[i * 4 + 3]! += more;
      view.matchedTokens[i]! += more;
    }
  }
}
