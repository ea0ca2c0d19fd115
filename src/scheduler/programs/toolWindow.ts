// What to do with a program's KV while a tool runs: keep it on the device, or demote it to a lower tier.
//
// Each choice has a price in milliseconds of device time (after InferCept's wasted memory times time):
//
//   keep    share of the device it fills x milliseconds of keeping for each return (`waits.ts`) x how wanted that room is (nothing
//           below 70 % full)
//   demote  time to read it back, measured per tier
//
// Both are prices of one return, so a state that will probably not be asked for again is expensive to keep. Milliseconds of keeping
// are learned from the waits of the same kind, the program's own beside those of all programs. The longer a wait has lasted the more they
// are, so the question is asked again after 1, 2, 4 and so on seconds, until the answer is to demote.
//
// InferCept's third choice, to drop the state, is not made. An engine gives up what was used longest ago as soon as it needs the room,
// so that a state dropped before is computed again in vain wherever the room was not needed. Where states could only be dropped, agent
// sessions lost 3 to 20 points of goodput by it (docs/simulator.md, "Whole programs that wait").
import { type EndpointSpec, type Tier, tiers } from "../types.ts";

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
  verb: "keep" | "demote";
  tier?: Tier;
  reason: string;
  /** When to ask again, from now; undefined when the answer is final for this tool call. */
  againMs?: number;
  /** The prices, for the record. */
  keepMs: number;
  demoteMs: number;
}

/** How long a tool of a kind is expected to run, before any has been seen. */
export const expectedWaitMs: Record<ToolKind | "unknown", number> = {
  quick: 1_000,
  unknown: 2_000,
  slow: 60_000,
  approval: 3_600_000,
};

const wantedFrom = 0.7;

/** The cheaper of the two now. A tier that is read more slowly than its tokens are computed is none. */
export function planTool(window: ToolWindow): ToolPlan {
  const { tokens, spec, fill, elapsedMs, msPerReturn } = window;
  const wanted = Math.max(0, (fill - wantedFrom) / (1 - wantedFrom));
  const keepMs = wanted === 0 ? 0 : (tokens / Math.max(1, spec.kvCapacityTokens)) * msPerReturn * wanted;
  const { tier, reloadMs } = cheapestTier(spec, tokens);
  const prices = { keepMs, demoteMs: reloadMs };
  const computeMs = (tokens * 1000) / spec.speed.prefillTokensPerSecond;
  if (tier === undefined || reloadMs > computeMs) {
    return { verb: "keep", reason: "no lower tier gives it back faster than computing", ...prices };
  }
  if (keepMs <= reloadMs) {
    const reason = wanted === 0 ? "room to spare" : "waiting costs less than moving";
    return { verb: "keep", reason, againMs: Math.max(1_000, elapsedMs), ...prices };
  }
  return { verb: "demote", tier, reason: `room is wanted; ${tier} gives it back faster than computing`, ...prices };
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
