// The link over which KV comes up from a replica's lower tiers and from a store that it shares: one transfer at a time, and only
// where it is sooner there than computed again.
import type { KvCache } from "./kvCache.ts";
import type { EngineProfile, KvTierProfile } from "./profile.ts";

export class TierLink {
  readonly #profile: EngineProfile;
  /** Nearest first; a shared store is the last. */
  readonly #tiers: readonly KvTierProfile[];
  #freeMs = 0;

  constructor(profile: EngineProfile, shared: KvTierProfile | undefined) {
    this.#profile = profile;
    this.#tiers = shared === undefined ? profile.tiers : [...profile.tiers, shared];
  }

  /** Is there anything to read from? */
  get reads(): boolean {
    return this.#tiers.length > 0;
  }

  /**
   * Books blocks `[from, to)` and answers when they are up; undefined: computing them again is faster. Those on the device cost
   * nothing, but where it keeps whole conversations: there they are another's, and are copied through the nearest tier.
   */
  bringUp(cache: KvCache, blocks: Int32Array, from: number, to: number, nowMs: number): number | undefined {
    const { step, tiers, keeps } = this.#profile;
    const nearest = keeps === "conversations" ? 0 : -1;
    let ms = 0;
    let latencyMs = 0;
    let shared = 0;
    for (let i = from; i < to; i++) {
      const below = Math.max(nearest, cache.tierOf(blocks[i]!) - 2);
      const tier = this.#tiers[below];
      if (tier === undefined) continue;
      ms += cache.blockTokens * tier.msPerToken;
      latencyMs = Math.max(latencyMs, tier.latencyMs);
      if (below === tiers.length) shared++;
    }
    const endMs = Math.max(nowMs, this.#freeMs) + (ms + latencyMs);
    const computeMs = step.tokenMs * (to - from) * cache.blockTokens + step.baseMs;
    if (endMs - nowMs > computeMs) return undefined;
    this.#freeMs = endMs;
    if (shared > 0) cache.store!.fetched(blocks, to, shared * cache.blockTokens);
    return endMs;
  }
}
