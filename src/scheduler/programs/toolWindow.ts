// What to do with a program's KV while a tool runs: keep it on the device, demote it to a lower tier, or drop it.
//
// Each choice has a price in milliseconds of device time (after InferCept's wasted memory times time):
//
//   keep    share of the device it fills x milliseconds of keeping for each return (`waits.ts`) x how wanted that room is (nothing
//           below 70 % full)
//   demote  time to read it back, measured per tier
//   drop    time to compute it again
//
// All three are prices of one return, so a state that will probably not be asked for again is expensive to keep. Milliseconds of keeping
// are learned from the waits of the same kind, the program's own beside those of all programs. The longer a wait has lasted the more they
// are, so the question is asked again after 1, 2, 4 and so on seconds, until the answer is to demote or to drop.
import { type EndpointSpec, type KvVerb, type Tier, tiers } from "../types.ts";

export type ToolKind = "quick" | "slow" | "approval";

interface ToolWindow {
  /** Tokens of KV that the program has there. */
  tokens: number;
  spec: EndpointSpec;
  /** Tokens that programs hold on the endpoint's device, over its capacity. */
  fill: number;
  /** How long the tool has run. */
  elapsedMs: number;
  /** Milliseconds that KV is kept for each return, by `Waits`. */
  msPerReturn: number;
}

interface ToolPlan {
  verb: Exclude<KvVerb, "prefetch">;
  tier?: Tier;
  reason: string;
  /** When to ask again, from now; undefined when the answer is final for this tool call. */
  againMs?: number;
  /** The prices, for the record. */
  keepMs: number;
  demoteMs: number;
  dropMs: number;
}

/** How long a tool of a kind is expected to run, before any has been seen. */
export const expectedWaitMs: Record<ToolKind | "unknown", number> = {
  quick: 1_000,
  unknown: 2_000,
  slow: 60_000,
  approval: 3_600_000,
};

const wantedFrom = 0.7;

/** The cheapest of the three now. */
export function planTool(window: ToolWindow): ToolPlan {
  const { tokens, spec, fill, elapsedMs, msPerReturn } = window;
  const wanted = Math.max(0, (fill - wantedFrom) / (1 - wantedFrom));
  const keepMs = wanted === 0 ? 0 : (tokens / Math.max(1, spec.kvCapacityTokens)) * msPerReturn * wanted;
  const dropMs = (tokens * 1000) / spec.speed.prefillTokensPerSecond;
  const { tier, reloadMs } = cheapestTier(spec, tokens);
  const prices = { keepMs, demoteMs: reloadMs, dropMs };
  if (keepMs <= reloadMs && keepMs <= dropMs) {
    const reason = wanted === 0 ? "room to spare" : "waiting costs less than moving";
    return { verb: "keep", reason, againMs: Math.max(1_000, elapsedMs), ...prices };
  }
  if (tier !== undefined && reloadMs <= dropMs)
    return { verb: "demote", tier, reason: `room is wanted; ${tier} gives it back faster than computing`, ...prices };
  return { verb: "drop", reason: "room is wanted, and computing again is the cheapest", ...prices };
}

/** The lower tier that is read back fastest. */
function cheapestTier(spec: EndpointSpec, tokens: number): { tier: Tier | undefined; reloadMs: number } {
  let found: { tier: Tier | undefined; reloadMs: number } = { tier: undefined, reloadMs: Number.POSITIVE_INFINITY };
  for (const tier of tiers) {
    const perToken = tier === "device" ? undefined : spec.speed.reloadMsPerToken[tier];
    if (perToken !== undefined && perToken * tokens < found.reloadMs) found = { tier, reloadMs: perToken * tokens };
  }
  return found;
}
