// Time as a line over tokens, milliseconds = overhead + tokens x slope, by least squares over observations that fade. A rate alone
// would take what every call costs beside its tokens for slowness: a turn that computes 40 tokens in half a second does not show how long
// 4,000 tokens take.

/** Measured milliseconds after which old observations count half. */
const halfLifeMs = 30_000;
/**
 * Weights of what was given, in observations: of the overhead, and of the slope at a prompt of so many tokens (ridge regression). The
 * overhead is held more than the slope, so that calls of one length, which cannot tell the two apart, are taken to show the slope. Both keep the
 * fit defined while few calls are known, and are small, so that one long prompt shows more of the slope than what was given.
 */
const overheadWeight = 4;
const slopeWeight = 0.4;
const slopeTokens = 200;

/** A line: milliseconds beside the tokens, and for each token. */
export interface Line {
  overheadMs: number;
  msPerToken: number;
}

/** Sums of observations, each of `tokens` that took `ms`, that fade while time is measured. */
export class FadingSums {
  count = 0;
  private x = 0;
  private y = 0;
  private xx = 0;
  private xy = 0;
  private yy = 0;

  observe(tokens: number, ms: number): void {
    const keep = 2 ** (-ms / halfLifeMs);
    this.count = this.count * keep + 1;
    this.x = this.x * keep + tokens;
    this.y = this.y * keep + ms;
    this.xx = this.xx * keep + tokens * tokens;
    this.xy = this.xy * keep + tokens * ms;
    this.yy = this.yy * keep + ms * ms;
  }

  /** Adds other observations, as if each of them had taken its time divided by `ratio`. */
  add(other: FadingSums, ratio: number): void {
    this.count += other.count;
    this.x += other.x;
    this.y += other.y / ratio;
    this.xx += other.xx;
    this.xy += other.xy / ratio;
    this.yy += other.yy / ratio ** 2;
  }

  /**
   * The line of least squares, held to the one that was given. Slope above zero, overhead not below. `withOverhead`: false for lines
   * through the origin.
   */
  fit(given: Line, withOverhead: boolean): Line {
    const pull = slopeWeight * slopeTokens ** 2;
    const a = this.count + overheadWeight;
    const d = this.xx + pull;
    const right = this.y + overheadWeight * given.overheadMs;
    const below = this.xy + pull * given.msPerToken;
    const determinant = a * d - this.x * this.x;
    const overheadMs = (right * d - this.x * below) / determinant;
    const msPerToken = (a * below - this.x * right) / determinant;
    if (withOverhead && overheadMs >= 0 && msPerToken > 0) return { overheadMs, msPerToken };
    // Also where noise would make one of them negative: through the origin, where every term is above zero.
    return { overheadMs: 0, msPerToken: below / d };
  }

  /**
   * How these observations stand to a line: `ratio` times its milliseconds explain them best, `squares` is the sum of what they are
   * off by then, squared, and `weight` the sum of the line's milliseconds, squared.
   */
  against({ overheadMs, msPerToken }: Line): { ratio: number; squares: number; weight: number } {
    const weight = this.count * overheadMs ** 2 + 2 * overheadMs * msPerToken * this.x + msPerToken ** 2 * this.xx;
    if (!(weight > 0)) return { ratio: 1, squares: 0, weight: 0 };
    const product = overheadMs * this.y + msPerToken * this.xy;
    return { ratio: product / weight, squares: Math.max(0, this.yy - product ** 2 / weight), weight };
  }
}
