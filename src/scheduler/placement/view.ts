// Builds what a policy sees: the candidates of a call with their matches, in arrays that are kept between decisions.
import type { PrefixIndex } from "../prefix/prefixIndex.ts";
import type { Call, EndpointState, PlacementView } from "../types.ts";

export class ViewBuilder {
  private readonly index: PrefixIndex;
  private readonly candidates: EndpointState[] = [];
  private readonly view: PlacementView & { residentTokens: Float64Array };
  private readonly gateways: () => number;

  /** `gateways`: how many place calls on these endpoints, this one included. */
  constructor(index: PrefixIndex, gateways: () => number = () => 1) {
    this.index = index;
    this.gateways = gateways;
    this.view = {
      call: undefined as unknown as Call,
      now: 0,
      count: 0,
      endpoints: this.candidates,
      matched: new Float64Array(64),
      matchedTokens: new Float64Array(16),
      expectedTokens: new Float64Array(16),
      residentTokens: new Float64Array(16),
      gateways: 1,
    };
  }

  /**
   * The view of `call` among those `endpoints` that `fits` lets in; valid until the next one. `count` may be 0. `home`: where its
   * program's newest state lies; endpoints of its pool can have what they lack of it brought to them.
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
    view.count = count;
    view.gateways = this.gateways();
    for (let i = 0; i < count; i++) view.residentTokens[i] = this.index.residentTokens(candidates[i]!.slot);
    view.matched.fill(0, 0, count * 4);
    view.matchedTokens.fill(0, 0, count);
    view.expectedTokens.fill(0, 0, count);
    for (const prompt of call.prompt) {
      if (prompt.blocks === 0) continue;
      this.index.match(prompt, now);
      for (let i = 0; i < count; i++) {
        if (candidates[i]!.spec.space === prompt.space) this.fill(i, candidates[i]!.slot, prompt.blockTokens);
      }
      if (home?.spec.pool !== undefined && home.spec.space === prompt.space) this.reach(home, prompt.blockTokens);
    }
    return view;
  }

  /** What `home` holds of the prompt and another endpoint of its pool does not, is remote to that one. */
  private reach(home: EndpointState, blockTokens: number): void {
    const { view, candidates } = this;
    const held = this.index.confirmed.total[home.slot]! * blockTokens;
    const most = Math.min(held, view.call.promptTokens - 1);
    for (let i = 0; i < view.count; i++) {
      const more = most - view.matchedTokens[i]!;
      if (candidates[i] === home || candidates[i]!.spec.pool !== home.spec.pool || more <= 0) continue;
      view.matched[i * 4 + 3]! += more;
      view.matchedTokens[i]! += more;
    }
  }

  /** Copies the index's last match of a slot into row `i`, in tokens, never the whole prompt. */
  private fill(i: number, slot: number, blockTokens: number): void {
    const { confirmed, predicted } = this.index;
    const { view } = this;
    const known = confirmed.total[slot]!;
    const blocks = Math.max(known, predicted.total[slot]!);
    if (blocks === 0) return;
    const most = view.call.promptTokens - 1;
    let total = 0;
    for (let tier = 0; tier < 4; tier++) {
      const more = tier === 0 ? blocks - known : 0;
      const tokens = Math.min(most - total, (confirmed.blocks[slot * 4 + tier]! + more) * blockTokens);
      view.matched[i * 4 + tier] = tokens;
      total += tokens;
    }
    view.matchedTokens[i] = total;
    view.expectedTokens[i] = Math.max(0, total - known * blockTokens);
  }
}
