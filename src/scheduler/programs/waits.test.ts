import { describe, expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import { OwnWaits, Waits } from "./waits.ts";

/** Where the estimate's steps begin, in ms: 0, 500, and then a third of an octave each. */
const borderMs = (step: number): number => (step === 0 ? 0 : 500 * 2 ** ((step - 1) / 3));

/** Chance that a wait which has lasted `elapsedMs` ends within the next `horizonMs`, by the hazards. */
function returnsWithin(waits: Waits | OwnWaits, elapsedMs: number, horizonMs: number): number {
  let waiting = 1;
  for (let step = 0; borderMs(step) < elapsedMs + horizonMs; step++) {
    const stepMs = borderMs(step + 1) - borderMs(step);
    const fromMs = Math.max(elapsedMs, borderMs(step));
    const toMs = Math.min(elapsedMs + horizonMs, borderMs(step + 1));
    if (toMs > fromMs) waiting *= (1 - waits.hazard(step)) ** ((toMs - fromMs) / stepMs);
  }
  return 1 - waiting;
}

/** A clock for one kind of waits: every wait begins and ends in its turn. */
class Waiting {
  now = 0;
  readonly all: Waits;

  constructor(startMs = 2000) {
    this.all = new Waits(startMs);
  }

  /** So many waits of this length have ended, of all programs or of one. */
  ended(count: number, ms: number, used = 1, own?: OwnWaits): this {
    const waits = Array.from({ length: count }, () => this.all.began(this.now));
    this.now += ms;
    for (const wait of waits) this.all.ended(wait, this.now, used, own);
    return this;
  }

  /** So many waits began this long ago and still last. */
  open(count: number, ms: number): this {
    for (let i = 0; i < count; i++) this.all.began(this.now);
    this.now += ms;
    this.all.advance(this.now);
    return this;
  }
}

describe("waits", () => {
  it("expect the given time at first, and as long again of a wait that has lasted longer", () => {
    const { all } = new Waiting(2000);
    // Half of a Pareto distribution's waits end within twice its scale.
    expect(returnsWithin(all, 0, 2000)).toBeCloseTo(0.5, 1);
    expect(returnsWithin(all, 60_000, 60_000)).toBeCloseTo(0.5, 1);
    expect(all.msPerReturn(60_000) / 60_000).toBeCloseTo(1.1, 0);
  });

  it("learn two lengths, and which of them a wait has that has lasted for some time", () => {
    const { all } = new Waiting().ended(600, 4000).ended(400, 64_000);
    expect(returnsWithin(all, 0, 6000)).toBeCloseTo(0.6, 1);
    expect(returnsWithin(all, 10_000, 40_000)).toBeLessThan(0.05);
    expect(returnsWithin(all, 10_000, 70_000)).toBeGreaterThan(0.95);
    // One that has waited for a minute is nearly there, so keeping it costs less than it did after ten seconds.
    expect(all.msPerReturn(60_000)).toBeLessThan(all.msPerReturn(10_000));
  });

  it("count waits that still last: a kind of which half never end has half of the returns", () => {
    const ended = new Waiting().ended(200, 4000);
    const half = new Waiting().ended(100, 4000).open(100, 3_600_000);
    expect(returnsWithin(ended.all, 0, 8000)).toBeGreaterThan(0.95);
    expect(returnsWithin(half.all, 0, 8000)).toBeCloseTo(0.5, 1);
    // After a minute all that was to return has returned.
    expect(returnsWithin(half.all, 60_000, 600_000)).toBeLessThan(0.05);
    expect(half.all.msPerReturn(60_000)).toBeGreaterThan(10 * ended.all.msPerReturn(60_000));
  });

  it("count a wait that is no longer looked at for as long as it was seen", () => {
    const scene = new Waiting().ended(100, 4000);
    const waits = Array.from({ length: 300 }, () => scene.all.began(scene.now));
    scene.now += 2000;
    scene.all.advance(scene.now);
    for (const wait of waits) scene.all.left(wait);
    // They were seen for two seconds only, so they say nothing of what happens after four.
    expect(returnsWithin(scene.all, 3800, 2000)).toBeGreaterThan(0.9);
    scene.open(300, 60_000);
    expect(returnsWithin(scene.all, 3800, 2000)).toBeLessThan(0.5);
  });

  it("recover a distribution of which a third is cut off at random", () => {
    const random = seededRng(7);
    const all = new Waits(10_000);
    // Exponential waits of 30 s on average, each looked at for an exponential time of 60 s at most.
    const events: { at: number; run: (at: number) => void }[] = [];
    for (let i = 0; i < 4000; i++) {
      const beganMs = i * 1000;
      const lastsMs = -Math.log(1 - random()) * 30_000;
      const seenMs = -Math.log(1 - random()) * 60_000;
      let wait: ReturnType<Waits["began"]> | undefined;
      events.push({ at: beganMs, run: (at) => (wait = all.began(at)) });
      const ends = lastsMs < seenMs;
      events.push({
        at: beganMs + Math.min(lastsMs, seenMs),
        run: (at) => {
          all.advance(at);
          if (ends) all.ended(wait!, at);
          else all.left(wait!);
        },
      });
    }
    for (const { at, run } of events.toSorted((a, b) => a.at - b.at)) run(at);
    for (const seconds of [5, 15, 30, 60, 90]) {
      expect([seconds, returnsWithin(all, 0, seconds * 1000)]).toEqual([
        seconds,
        expect.closeTo(1 - Math.exp(-seconds / 30), 1),
      ]);
    }
    // Exponential waits are memoryless: a return costs their mean, however long the wait has lasted.
    for (const elapsedMs of [0, 10_000, 40_000]) expect(all.msPerReturn(elapsedMs) / 30_000).toBeCloseTo(1, 0);
  });

  it("take waits that begin ahead of time, in any order", () => {
    const all = new Waits(2000);
    const late = all.began(50_000);
    const early = all.began(1000);
    const middle = all.began(20_000);
    all.advance(60_000);
    expect([late.step, middle.step, early.step].every((step, i, steps) => i === 0 || step > steps[i - 1]!)).toBe(true);
    all.ended(early, 60_000);
    all.left(middle);
    all.ended(late, 60_000);
    expect(returnsWithin(all, 0, 100_000)).toBeGreaterThan(0.5);
  });

  it("cost more where less of what was kept is used", () => {
    const whole = new Waiting().ended(200, 60_000, 1);
    const tenth = new Waiting().ended(200, 60_000, 0.1);
    expect(tenth.all.msPerReturn(0)).toBeGreaterThan(5 * whole.all.msPerReturn(0));
  });

  it("cost the rest of its call more for a program that computes", () => {
    const { all } = new Waiting().ended(500, 4000);
    expect(all.msPerReturn(0, 10_000)).toBeGreaterThan(all.msPerReturn(0) + 9000);
  });
});

describe("a program's own waits", () => {
  it("are those of all programs at first, and its own with time", () => {
    const scene = new Waiting().ended(200, 4000);
    const slow = new OwnWaits(scene.all);
    expect(slow.msPerReturn(0)).toBe(scene.all.msPerReturn(0));
    for (let i = 0; i < 60; i++) scene.ended(1, 60_000, 1, slow);
    expect(returnsWithin(slow, 0, 8000)).toBeLessThan(0.4);
    expect(returnsWithin(scene.all, 0, 8000)).toBeGreaterThan(0.7);
  });

  it("one long wait does not speak for all long ones", () => {
    const scene = new Waiting().ended(90, 2000).ended(30, 100_000);
    const own = new OwnWaits(scene.all);
    for (let i = 0; i < 20; i++) scene.ended(1, 2000, 1, own);
    scene.ended(1, 1_000_000, 1, own);
    expect(returnsWithin(own, 10_000, 200_000)).toBeGreaterThan(0.5);
  });

  it("weigh as much as programs differ", () => {
    const weightOf = (lengthMs: (program: number, wait: number) => number): number => {
      const scene = new Waiting();
      const programs = Array.from({ length: 20 }, () => new OwnWaits(scene.all));
      for (let wait = 0; wait < 30; wait++) {
        programs.forEach((own, program) => scene.ended(1, lengthMs(program, wait), 1, own));
      }
      return scene.all.weight;
    };
    const random = seededRng(3);
    const differ = weightOf((program) => (program % 2 === 0 ? 2000 : 60_000));
    const alike = weightOf(() => (random() < 0.5 ? 2000 : 60_000));
    expect(differ).toBeLessThanOrEqual(4);
    expect(alike).toBeGreaterThanOrEqual(64);
  });
});
