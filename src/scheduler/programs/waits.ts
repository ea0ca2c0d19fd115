// How long waits of a kind still last, learned from those that have ended: a histogram in steps of a third of an octave, and
// the median of what is left of the waits that have already lasted as long. Agents' tools are far from memoryless: half of
// them end within nine seconds, and one that has run for a minute will probably run for minutes more.
//
// Until enough have been seen, a wait is expected to last as long again as it has lasted, at first a given time.

/** Steps per doubling; the first step holds everything below half a second. */
const stepsPerOctave = 3;
const firstMs = 500;
/** 72 steps of a third of an octave: up to 97 days. */
const steps = 72;
/** Waits that must have lasted as long as this one for a median to mean something. */
const enough = 8;

export class Waits {
  private readonly ended = new Float64Array(steps);

  /** A wait has ended after `ms`. */
  add(ms: number): void {
    this.ended[stepOf(ms)]! += 1;
  }

  /** Milliseconds that a wait which has lasted `elapsedMs` will last on, by the median; `startMs`: what is assumed at first. */
  remainingMs(elapsedMs: number, startMs: number): number {
    const now = stepOf(elapsedMs);
    let longer = 0;
    for (let step = now; step < steps; step++) longer += this.ended[step]!;
    if (longer < enough) return Math.max(startMs, elapsedMs);
    let passed = 0;
    let step = now;
    while (step < steps - 1 && (passed += this.ended[step]!) * 2 < longer) step++;
    return Math.max(firstMs, firstMs * 2 ** ((step - 0.5) / stepsPerOctave) - elapsedMs);
  }
}

function stepOf(ms: number): number {
  if (ms < firstMs) return 0;
  return Math.min(steps - 1, 1 + Math.floor(Math.log2(ms / firstMs) * stepsPerOctave));
}
