// How long waits of a kind still last, learned from those that have ended: a histogram in steps of a third of an octave, and
// the median of what is left of the waits that have already lasted as long. Agents' tools are far from memoryless: half of
// them end within nine seconds, and a tool that has run for a minute will probably run for minutes more.
//
// Until enough have been seen, a wait is expected to last as long again as it has lasted, at first a given time.
//
// Programs differ: the tools of one are quick, those of another are slow. `new Waits(all)` learns the waits of one program beside the
// waits of all: in each step, the chance that a wait ends there is estimated from the program's own waits as far as it has waited that
// long, and from all waits otherwise (a hazard with a beta prior). Mixing whole histograms instead would let a single long wait of the
// program stand for all long waits.

/** Steps per doubling; the first step holds everything below half a second. */
const stepsPerOctave = 3;
const firstMs = 500;
/** 72 steps of a third of an octave: up to 97 days. */
const steps = 72;
/** Waits that must have lasted as long as this one for a median to mean something. */
const enough = 8;
/** The waits of all programs count as this many of a program's own. */
const sharedWeight = 8;

/** A histogram of ended waits, in steps of a third of an octave, and what it lets expect of a wait that goes on. Times in ms. */
export class Waits {
  private readonly all: Waits | undefined;
  private readonly ended = new Float64Array(steps);
  /** Of those, what was still of use afterwards. */
  private readonly used = new Float64Array(steps);

  /** @param all the waits of this kind of all programs; what these waits learn is added there too */
  constructor(all?: Waits) {
    this.all = all;
  }

  /**
   * A wait has ended after `ms`.
   * @param used share of what was kept for it that it then asked for, 0 to 1: after long waits agents often begin anew
   */
  add(ms: number, used = 1): void {
    const step = stepOf(ms);
    this.ended[step]! += 1;
    this.used[step]! += used;
    this.all?.add(ms, used);
  }

  /**
   * Milliseconds after which half of what waits, and has waited `elapsedMs`, will have been asked for (the median, where all
   * is of use). `startMs`: what is assumed at first.
   */
  remainingMs(elapsedMs: number, startMs: number): number {
    const all = this.all ?? this;
    const now = stepOf(elapsedMs);
    let longer = 0;
    let ownLonger = 0;
    for (let step = now; step < steps; step++) {
      longer += all.ended[step]!;
      ownLonger += this.ended[step]!;
    }
    if (longer < enough) return Math.max(startMs, elapsedMs);
    let waiting = 1;
    let asked = 0;
    let step = now;
    for (; step < steps - 1; step++) {
      const ended = all.ended[step]!;
      if (ended > 0) {
        const own = this.ended[step]!;
        const chance = (own + (sharedWeight * ended) / longer) / (ownLonger + sharedWeight);
        const used = (this.used[step]! + (sharedWeight * all.used[step]!) / ended) / (own + sharedWeight);
        asked += waiting * chance * used;
        waiting *= 1 - chance;
        longer -= ended;
        ownLonger -= own;
      }
      // Sums of shares are not exact: half is half but for the last digits.
      if (asked >= 0.5 - 1e-9) break;
    }
    return Math.max(firstMs, firstMs * 2 ** ((step - 0.5) / stepsPerOctave) - elapsedMs);
  }
}

function stepOf(ms: number): number {
  if (ms < firstMs) return 0;
  return Math.min(steps - 1, 1 + Math.floor(Math.log2(ms / firstMs) * stepsPerOctave));
}
