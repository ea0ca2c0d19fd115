// Time as a line over tokens, milliseconds = overhead + tokens x slope, learned by least squares over observations that fade. A
// rate alone would take what every call costs beside its tokens for slowness: a turn that computes 40 tokens in half a second
// does not show how long 4,000 tokens take.
//
// Both are held to what was given by a weight (ridge regression): the overhead more than the slope, so that calls of one length,
// which cannot tell the two apart, are taken to show the slope.

/** Measured milliseconds after which old observations count half. */
const halfLifeMs = 30_000;
/** Weights of what was given, in observations: of the overhead; of the slope, at a prompt of so many tokens. */
const overheadWeight = 4;
const slopeWeight = 0.4;
const slopeTokens = 200;

export class FadingLine {
  private readonly given: { slope: number; overheadMs: number };
  private weight = 0;
  private x = 0;
  private y = 0;
  private xx = 0;
  private xy = 0;

  constructor(tokensPerMs: number, overheadMs: number) {
    this.given = { slope: 1 / tokensPerMs, overheadMs };
  }

  observe(tokens: number, ms: number): void {
    if (tokens < 1 || !(ms > 0)) return;
    const keep = 2 ** (-ms / halfLifeMs);
    this.weight = this.weight * keep + 1;
    this.x = this.x * keep + tokens;
    this.y = this.y * keep + ms;
    this.xx = this.xx * keep + tokens * tokens;
    this.xy = this.xy * keep + tokens * ms;
  }

  /** Tokens a millisecond, above zero, and the milliseconds beside them, not below. */
  get fit(): { perMs: number; overheadMs: number } {
    const { given, x } = this;
    const pull = slopeWeight * slopeTokens ** 2;
    const a = this.weight + overheadWeight;
    const d = this.xx + pull;
    const right = this.y + overheadWeight * given.overheadMs;
    const below = this.xy + pull * given.slope;
    const determinant = a * d - x * x;
    const overheadMs = (right * d - x * below) / determinant;
    const slope = (a * below - x * right) / determinant;
    if (overheadMs >= 0 && slope > 0) return { perMs: 1 / slope, overheadMs };
    // Noise: through the origin, where every term is above zero.
    return { perMs: d / below, overheadMs: 0 };
  }
}
