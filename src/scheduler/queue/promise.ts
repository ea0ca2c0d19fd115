// How long a call would wait: what refusals for a deadline and their time to retry are based on.
//
// The rate is what the deployment really served lately while calls were waiting (tokens charged per millisecond,
// exponentially weighted over about ten seconds). A tenant's own backlog drains at its share of that rate; no call
// waits longer than the whole backlog takes.

const halfLifeMs = 5_000;

export class ServiceRate {
  private tokensPerMs: number;
  private weightMs = 0;
  private lastMs: number | undefined;
  private pending = 0;

  /** `initial`: tokens per millisecond to assume before anything was measured (the endpoints' prefill rates). */
  constructor(initial: number) {
    this.tokensPerMs = initial;
  }

  /** `tokens` were sent to an endpoint. `waiting`: whether calls are left waiting, so that the rate is the fleet's, not demand's. */
  served(tokens: number, now: number, waiting: boolean): void {
    this.pending += tokens;
    const last = this.lastMs;
    if (last === undefined || !waiting) {
      this.lastMs = now;
      this.pending = 0;
      return;
    }
    const passed = now - last;
    if (passed <= 0) return;
    const keep = 2 ** (-passed / halfLifeMs);
    const weight = this.weightMs * keep + passed;
    this.tokensPerMs = (this.tokensPerMs * this.weightMs * keep + this.pending) / weight;
    this.weightMs = weight;
    this.lastMs = now;
    this.pending = 0;
  }

  /** Whether anything was measured, so that nothing needs to be assumed. */
  get measured(): boolean {
    return this.weightMs > 0;
  }

  /** Takes a rate as given until one is measured. */
  assume(tokensPerMs: number): void {
    if (!this.measured) this.tokensPerMs = tokensPerMs;
  }

  get perMs(): number {
    return this.tokensPerMs;
  }

  /** Milliseconds until a tenant with `own` tokens waiting, one of `competing`, has been served, of `all` tokens waiting. */
  waitMs(own: number, all: number, competing: number): number {
    return Math.min(all, own * Math.max(1, competing)) / Math.max(1e-6, this.tokensPerMs);
  }
}
