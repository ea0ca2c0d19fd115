// The gateway's knowledge of caches: the prefix index, asked for the blocks of a call's prompt.
import type { CacheColumns, CacheView } from "../placement/caches.ts";
import type { Call, EndpointSpec, EndpointState } from "../types.ts";
import type { PrefixIndex } from "./prefixIndex.ts";

export class IndexedCaches implements CacheView {
  private readonly index: PrefixIndex;

  constructor(index: PrefixIndex) {
    this.index = index;
  }

  reset(slot: number, spec: EndpointSpec | undefined): void {
    if (spec === undefined) this.index.leave(slot);
    else this.index.join(slot, spec.space, spec.blockTokens, spec.epoch);
  }

  look(view: CacheColumns, home: EndpointState | undefined): number {
    const { endpoints, count, call } = view;
    for (let i = 0; i < count; i++) view.residentTokens[i] = this.index.residentTokens(endpoints[i]!.slot);
    let held = 0;
    for (const prompt of call.prompt) {
      if (prompt.blocks === 0) continue;
      this.index.match(prompt, view.now);
      for (let i = 0; i < count; i++) {
        if (endpoints[i]!.spec.space === prompt.space) this.fill(view, i, prompt.blockTokens);
      }
      if (home !== undefined && home.spec.space === prompt.space)
        held = this.index.confirmed.total[home.slot]! * prompt.blockTokens;
    }
    return held;
  }

  placed(endpoint: EndpointState, call: Call, now: number): void {
    const { slot, spec } = endpoint;
    for (const prompt of call.prompt) {
      if (prompt.space === spec.space) this.index.expect(slot, prompt, now, spec.knowledge === "events");
    }
  }

  /** Copies the index's last match of a slot into row `i`, in tokens, and never the whole prompt: an engine computes the last token. */
  private fill(view: CacheColumns, i: number, blockTokens: number): void {
    const { confirmed, predicted } = this.index;
    const { slot } = view.endpoints[i]!;
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
