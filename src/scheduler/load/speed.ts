// How fast an endpoint really is, learned from calls that have ended: of prompts a line (line.ts), of outputs and reloads tokens over
// milliseconds, all fading, so that a long call weighs more than a short one and last week's batch sizes do not count. What was
// never seen keeps its given value.
import { FadingLine } from "./line.ts";
import type { CallTimings, CallUsage, EndpointSpeed, Tier } from "../types.ts";

/** A rate that was given counts like this much measured time. */
const givenMs = 2_000;
/** Measured time after which old measurements count half. */
const halfLifeMs = 30_000;
/** A reload of fewer tokens shows overheads rather than a rate. */
const leastTokens = 32;
/** An output of fewer tokens shows overheads rather than a rate. */
const leastOutput = 8;

class Rate {
  private tokens: number;
  private ms: number;

  constructor(tokensPerMs: number) {
    this.tokens = tokensPerMs * givenMs;
    this.ms = givenMs;
  }

  observe(tokens: number, ms: number, least: number = leastTokens): void {
    if (tokens < least || !(ms > 0)) return;
    const keep = 2 ** (-ms / halfLifeMs);
    this.tokens = this.tokens * keep + tokens;
    this.ms = this.ms * keep + ms;
  }

  get perMs(): number {
    return this.tokens / this.ms;
  }
}

export class SpeedMeter {
  private readonly prefill: FadingLine;
  private readonly decode: Rate;
  private readonly reload = new Map<Tier, Rate>();

  constructor(given: EndpointSpeed) {
    this.prefill = new FadingLine(given.prefillTokensPerSecond / 1000, given.overheadMs);
    this.decode = new Rate(given.decodeTokensPerSecond / 1000);
    for (const [tier, ms] of Object.entries(given.reloadMsPerToken)) {
      if (ms > 0) this.reload.set(tier as Tier, new Rate(1 / ms));
    }
  }

  /**
   * Learns from one call. Parts that the engine does not report teach nothing. `aheadTokens`: what waited there when it came, and
   * was computed before or beside it in the same time.
   */
  observe(usage: CallUsage, timings: CallTimings, aheadTokens = 0): void {
    const { prefillMs, decodeMs, restoreMs, restoredTokens, restoredFrom } = timings;
    if (prefillMs !== undefined) this.prefill.observe(usage.promptTokens - usage.cachedTokens + aheadTokens, prefillMs);
    if (decodeMs !== undefined) this.decode.observe(usage.outputTokens - 1, decodeMs, leastOutput);
    if (restoreMs === undefined || restoredFrom === undefined || restoredFrom === "device") return;
    const tokens = restoredTokens ?? usage.cachedTokens;
    const rate = this.reload.get(restoredFrom);
    // The first reading of a tier is taken as it is, since no rate was given.
    if (rate !== undefined) rate.observe(tokens, restoreMs);
    else if (tokens >= leastTokens && restoreMs > 0) this.reload.set(restoredFrom, new Rate(tokens / restoreMs));
  }

  get speed(): EndpointSpeed {
    const reloadMsPerToken: EndpointSpeed["reloadMsPerToken"] = {};
    for (const [tier, rate] of this.reload) reloadMsPerToken[tier] = 1 / rate.perMs;
    const { perMs, overheadMs } = this.prefill.fit;
    return {
      prefillTokensPerSecond: perMs * 1000,
      decodeTokensPerSecond: this.decode.perMs * 1000,
      reloadMsPerToken,
      overheadMs,
    };
  }
}
