// The measured cost of loading a state from a file on this machine: checks, reading and the library's work together. It is learnt from the
// worker's own loads and begins with what was measured once (2,063 tokens of a small model in 12 ms).

/** Milliseconds a token before any restore has been seen. */
const measuredOnce = 0.006;
/** Weight of the newest restore, so that one slow disk access does not turn a plan over. */
const newestWeight = 0.2;
/** For shorter states the time to open the file dominates the time to read it. */
const leastTokens = 64;

export class ReloadPace {
  private average = measuredOnce;
  private seen = false;

  get msPerToken(): number {
    return this.average;
  }

  /** Records the time of a restore; the first measurement replaces the assumed value. */
  note(tokens: number, ms: number): void {
    if (tokens < leastTokens || !Number.isFinite(ms) || ms < 0) return;
    const weight = this.seen ? newestWeight : 1;
    this.average += weight * (ms / tokens - this.average);
    this.seen = true;
  }
}
