// How fast an endpoint really is, learned from its calls: prefill from busy periods (busyPeriods.ts), decoding from outputs, reloads from
// what engines report of them. Endpoints that should be equally fast learn together (equals.ts). What was never seen keeps its given value,
// and what is learned fades, so that a long call weighs more than a short one and last week's batch sizes do not count.
import type { CallTimings, CallUsage } from "../events.ts";
import type { EndpointSpeed, Tier } from "../types.ts";
import { BusyPeriods } from "./busyPeriods.ts";
import { Equals } from "./equals.ts";
import { FadingSums, type Line } from "./line.ts";

/** A reload of fewer tokens shows overheads rather than a rate. */
const leastTokens = 32;
/** An output of fewer tokens shows overheads rather than a rate. */
const leastOutput = 8;

/** The speeds of endpoints that should be equally fast. */
export class EqualSpeeds {
  readonly prefill: Equals<SpeedMeter>;
  readonly decode: Equals<SpeedMeter>;

  constructor({ prefillTokensPerSecond, overheadMs, decodeTokensPerSecond }: EndpointSpeed) {
    this.prefill = new Equals<SpeedMeter>({ overheadMs, msPerToken: 1000 / prefillTokensPerSecond }, true);
    this.decode = new Equals<SpeedMeter>({ overheadMs: 0, msPerToken: 1000 / decodeTokensPerSecond }, false);
  }
}

/** The speed of one endpoint. */
export class SpeedMeter {
  /** Its prefill, period by period. */
  readonly busy: BusyPeriods;
  private readonly equals: EqualSpeeds;
  private readonly reload = new Map<Tier, { given: Line; sums: FadingSums }>();

  /** `reloadMsPerToken`: what is known of its tiers. */
  constructor(equals: EqualSpeeds, reloadMsPerToken: EndpointSpeed["reloadMsPerToken"]) {
    this.equals = equals;
    equals.prefill.join(this);
    equals.decode.join(this);
    this.busy = new BusyPeriods((tokens, ms) => equals.prefill.observe(this, tokens, ms));
    for (const [tier, ms] of Object.entries(reloadMsPerToken)) {
      if (ms > 0) this.reload.set(tier as Tier, lineOf(ms));
    }
  }

  /** Its endpoint has left. */
  leave(): void {
    this.equals.prefill.leave(this);
    this.equals.decode.leave(this);
  }

  /** Learns from a call's output and from what was read back for it. Parts that the engine does not report teach nothing. */
  observe(usage: CallUsage, { decodeMs, restoreMs, restoredTokens, restoredFrom }: CallTimings): void {
    if (decodeMs !== undefined && usage.outputTokens > leastOutput)
      this.equals.decode.observe(this, usage.outputTokens - 1, decodeMs);
    if (restoreMs === undefined || restoredFrom === undefined || restoredFrom === "device") return;
    const tokens = restoredTokens ?? usage.cachedTokens;
    if (tokens === undefined || tokens < leastTokens || !(restoreMs > 0)) return;
    // The first reading of a tier is taken as it is where no rate was given.
    const known = this.reload.get(restoredFrom) ?? lineOf(restoreMs / tokens);
    known.sums.observe(tokens, restoreMs);
    this.reload.set(restoredFrom, known);
  }

  /** Whether calls of its own have shown how fast it prefills. */
  get measured(): boolean {
    return this.equals.prefill.measured(this);
  }

  /** Whether calls of its own have shown anything that it shares with its equals. */
  get seen(): boolean {
    return this.measured || this.equals.decode.measured(this);
  }

  /** What is known now, all but attention, which is not measured. */
  get speed(): EndpointSpeed {
    const reloadMsPerToken: EndpointSpeed["reloadMsPerToken"] = {};
    for (const [tier, { given, sums }] of this.reload) reloadMsPerToken[tier] = sums.fit(given, false).msPerToken;
    const { overheadMs, msPerToken } = this.equals.prefill.of(this);
    return {
      prefillTokensPerSecond: 1000 / msPerToken,
      decodeTokensPerSecond: 1000 / this.equals.decode.of(this).msPerToken,
      reloadMsPerToken,
      overheadMs,
    };
  }
}

function lineOf(msPerToken: number): { given: Line; sums: FadingSums } {
  return { given: { overheadMs: 0, msPerToken }, sums: new FadingSums() };
}
