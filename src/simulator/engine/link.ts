// The link over which KV comes up from a replica's lower tiers: one transfer at a time, and only where it is sooner there than
// computed again.
import type { KvCache } from "./kv-cache.ts";
import type { EngineProfile } from "./profile.ts";

export class TierLink {
  #freeMs = 0;

  /** Books blocks `[from, to)` and answers when they are up; undefined: computing them again is faster. */
  bringUp(
    profile: EngineProfile,
    cache: KvCache,
    blocks: Int32Array,
    from: number,
    to: number,
    nowMs: number,
  ): number | undefined {
    const endMs = Math.max(nowMs, this.#freeMs) + loadMs(profile, cache, blocks, from, to);
    const computeMs = profile.step.tokenMs * (to - from) * cache.blockTokens + profile.step.baseMs;
    if (endMs - nowMs > computeMs) return undefined;
    this.#freeMs = endMs;
    return endMs;
  }
}

function loadMs(profile: EngineProfile, cache: KvCache, blocks: Int32Array, from: number, to: number): number {
  let ms = 0;
  let latencyMs = 0;
  for (let i = from; i < to; i++) {
    const tier = profile.tiers[cache.tierOf(blocks[i]!) - 2];
    if (tier === undefined) continue;
    ms += cache.blockTokens * tier.msPerToken;
    latencyMs = Math.max(latencyMs, tier.latencyMs);
  }
  return ms + latencyMs;
}
