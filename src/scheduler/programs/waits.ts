// How waits end: learned from waits of one kind, those that still last included, and what that lets expect of a wait that has lasted for
// some time already. Agents' waits are far from memoryless: half of all tools end within nine seconds, a tool that has run for a minute
// will probably run for minutes more, and a conversation that has been idle for hours has probably ended.
//
// The estimate is a life table (Kaplan and Meier 1958; the actuarial form, since time is in steps): for each step, how many waits reached
// it, and how many ended in it. Their quotient is the hazard, the chance that a wait which has reached the step ends there. A wait that
// never ends counts in every step that it reaches, so the chance of a return falls with idleness as it should. Counting only waits that
// have ended would let every wait come back sooner or later. Steps are a third of an octave wide. Memory is one record for each open wait
// and five numbers for each step.
//
// Before anything is seen, a wait is expected to last as long again as it has lasted, and at its start for a given time. This prior is a
// Pareto distribution of exponent 1, and counts as one wait that reached every step.

const stepsPerOctave = 3;
const firstMs = 500;
/** 72 steps of a third of an octave, after a first one that holds everything below half a second: up to 97 days. */
const steps = 72;
/** Chance that a wait ends within one step under the prior. */
const priorHazard = 1 - 2 ** (-1 / stepsPerOctave);
/** Borders between steps in ms: step `k` is from `bordersMs[k]` to `bordersMs[k + 1]`. */
const bordersMs = Float64Array.from({ length: steps + 1 }, (_, step) =>
  step === 0 ? 0 : firstMs * 2 ** ((step - 1) / stepsPerOctave),
);
/** The waits of all programs count as one of these numbers of a program's own waits. Which one predicts best is measured. */
const weights = [1, 4, 16, 64, 256] as const;
/** What is left of a distribution below this share is not looked at. */
const negligible = 1e-6;

/** A wait that still lasts. */
export interface OpenWait {
  readonly sinceMs: number;
  step: number;
  before: OpenWait | undefined;
  after: OpenWait | undefined;
}

/** Hazard and use by step, for one distribution of waits. */
interface Hazards {
  /** Chance that a wait which has reached this step ends in it. */
  hazard(step: number): number;
  /** Share of what was kept for waits that ended in this step that was then asked for, 0 to 1. */
  useOf(step: number): number;
}

/** What may be expected of a wait, by the distribution that a subclass has learned. */
abstract class Outlook implements Hazards {
  abstract hazard(step: number): number;
  abstract useOf(step: number): number;

  /**
   * Milliseconds that a state must be kept for each return that this brings, over the horizon for which that is least: the expected time
   * until the return or the horizon, over the chance of a return before the horizon. Its inverse is the Gittins index of a state that is
   * kept at a price per millisecond (Gittins 1979). A wait that will end soon costs little, one that has probably been given up much.
   * Infinity after the last step, 97 days.
   * @param elapsedMs how long the wait has lasted
   * @param aheadMs how long it still takes until the wait begins, for a program that computes
   */
  msPerReturn(elapsedMs: number, aheadMs = 0): number {
    let best = Number.POSITIVE_INFINITY;
    let timeMs = aheadMs;
    let asked = 0;
    // Share of such waits that reaches the step.
    let waiting = 1;
    for (let step = stepOf(elapsedMs); step < steps - 1 && waiting > negligible; step++) {
      const stepMs = bordersMs[step + 1]! - bordersMs[step]!;
      const aheadInStepMs = Math.min(stepMs, bordersMs[step + 1]! - elapsedMs);
      const ended = waiting * (1 - (1 - this.hazard(step)) ** (aheadInStepMs / stepMs));
      timeMs += (waiting - ended / 2) * aheadInStepMs;
      asked += ended * this.useOf(step);
      if (asked > 0) best = Math.min(best, timeMs / asked);
      waiting -= ended;
    }
    return best;
  }
}

/** The waits of one kind of all programs. Times in ms. */
export class Waits extends Outlook {
  private readonly startStep: number;
  /** By step: waits that reached it, that ended in it, what of these was used, and those that are in it now. */
  private readonly reachedIn = new Float64Array(steps);
  private readonly endedIn = new Float64Array(steps);
  private readonly usedIn = new Float64Array(steps);
  private readonly openIn = new Float64Array(steps);
  /** By step, the open waits in it, linked in the order of their start. */
  private readonly first: (OpenWait | undefined)[] = Array.from({ length: steps });
  private readonly last: (OpenWait | undefined)[] = Array.from({ length: steps });
  /** By entry of `weights`: the logarithm of how likely it made the waits that were seen. */
  private readonly evidence = new Float64Array(weights.length);
  /** Entry of `weights` that would have predicted best so far. */
  private best = Math.floor(weights.length / 2);

  /** @param startMs how long a wait of this kind is expected to last before any has been seen */
  constructor(startMs: number) {
    super();
    this.startStep = stepOf(startMs / 2);
  }

  /** A wait begins at `sinceMs`, which may lie ahead. The answer goes to `ended` or `left`, once. */
  began(sinceMs: number): OpenWait {
    const wait: OpenWait = { sinceMs, step: 0, before: undefined, after: undefined };
    this.link(wait);
    return wait;
  }

  /**
   * The wait has ended.
   * @param used share of what was kept for it that was then asked for, 0 to 1: after long waits agents often begin anew
   * @param own the waits of the program that has waited; they learn it too
   */
  ended(wait: OpenWait, now: number, used = 1, own?: OwnWaits): void {
    this.advance(now);
    this.unlink(wait);
    if (own !== undefined) {
      own.weigh(wait.step, weights, this.evidence);
      for (let i = 0; i < weights.length; i++) if (this.evidence[i]! > this.evidence[this.best]!) this.best = i;
      own.add(wait.step, used);
    }
    this.endedIn[wait.step]! += 1;
    this.usedIn[wait.step]! += used;
  }

  /** The wait is no longer looked at: how it ends will not be seen. It counts in the steps that it has reached. */
  left(wait: OpenWait): void {
    this.unlink(wait);
  }

  /** Open waits move on to the steps that they have reached. To be called often: what is expected follows from what it has counted. */
  advance(now: number): void {
    for (let step = 0; step < steps - 1; step++) {
      const lasts = bordersMs[step + 1]!;
      for (let wait = this.first[step]; wait !== undefined && now - wait.sinceMs >= lasts; wait = this.first[step]) {
        this.unlink(wait);
        wait.step = step + 1;
        this.link(wait);
      }
    }
  }

  /** As how many of a program's own waits those of all programs count. */
  get weight(): number {
    return weights[this.best]!;
  }

  hazard(step: number): number {
    const ended = this.endedIn[step]!;
    // Waits that are in the step now have passed half of it on average.
    const atRisk = Math.max(ended, this.reachedIn[step]! - this.openIn[step]! / 2);
    return (ended + (step < this.startStep ? 0 : priorHazard)) / (atRisk + 1);
  }

  useOf(step: number): number {
    return (this.usedIn[step]! + 1) / (this.endedIn[step]! + 1);
  }

  /** The wait is in its step from now on. It usually is the youngest there: only waits that begin ahead of time come out of turn. */
  private link(wait: OpenWait): void {
    const { step } = wait;
    let before = this.last[step];
    while (before !== undefined && before.sinceMs > wait.sinceMs) before = before.before;
    const after = before === undefined ? this.first[step] : before.after;
    wait.before = before;
    wait.after = after;
    if (before === undefined) this.first[step] = wait;
    else before.after = wait;
    if (after === undefined) this.last[step] = wait;
    else after.before = wait;
    this.reachedIn[step]! += 1;
    this.openIn[step]! += 1;
  }

  private unlink(wait: OpenWait): void {
    const { step, before, after } = wait;
    if (before === undefined) this.first[step] = after;
    else before.after = after;
    if (after === undefined) this.last[step] = before;
    else after.before = before;
    this.openIn[step]! -= 1;
  }
}

/**
 * The waits of one kind of one program, beside the waits of all programs: the tools of one program are quick, those of another are slow.
 * In each step the hazard is estimated from the program's own waits as far as it has waited that long, and from all waits otherwise (a beta
 * prior). Mixing whole histograms instead would let a single long wait of the program stand for all long waits.
 */
export class OwnWaits extends Outlook {
  private readonly all: Waits;
  /** By step, one after the other: waits that reached it, that ended in it, and what of these was used (0.9 KB). */
  private readonly seen = new Float32Array(3 * steps);

  constructor(all: Waits) {
    super();
    this.all = all;
  }

  hazard(step: number): number {
    return this.hazardBy(step, this.all.weight);
  }

  useOf(step: number): number {
    const { weight } = this.all;
    return (this.seen[2 * steps + step]! + weight * this.all.useOf(step)) / (this.seen[steps + step]! + weight);
  }

  /** A wait of the program has ended in this step. */
  add(step: number, used: number): void {
    for (let reached = 0; reached <= step; reached++) this.seen[reached]! += 1;
    this.seen[steps + step]! += 1;
    this.seen[2 * steps + step]! += used;
  }

  /** Adds to `evidence`, by weight, the logarithm of the chance that the program's next wait ends in `step`. */
  weigh(step: number, by: readonly number[], evidence: Float64Array): void {
    // A program's first wait is predicted by those of all programs, with any weight.
    if (this.seen[0] === 0) return;
    for (let i = 0; i < by.length; i++) {
      let chance = this.hazardBy(step, by[i]!);
      for (let earlier = 0; earlier < step; earlier++) chance *= 1 - this.hazardBy(earlier, by[i]!);
      evidence[i]! += Math.log(Math.max(Number.MIN_VALUE, chance));
    }
  }

  private hazardBy(step: number, weight: number): number {
    return (this.seen[steps + step]! + weight * this.all.hazard(step)) / (this.seen[step]! + weight);
  }
}

/** The step that a wait of this length is in. */
function stepOf(ms: number): number {
  if (ms < firstMs) return 0;
  const step = Math.min(steps - 1, 1 + Math.floor(Math.log2(ms / firstMs) * stepsPerOctave));
  // At a border the logarithm may be off by its last digit.
  if (ms < bordersMs[step]!) return step - 1;
  return step < steps - 1 && ms >= bordersMs[step + 1]! ? step + 1 : step;
}
