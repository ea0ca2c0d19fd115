// The share of calls that may be hedged, in a sliding window.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HedgeWindow } from "./hedge.ts";

/** Counts so many calls, and hedges each that may be. Answers which were. */
function hedged(window: HedgeWindow, calls: number, share: number): number[] {
  const numbers: number[] = [];
  for (let call = 0; call < calls; call++) {
    const number = window.begun();
    if (!window.allows(share)) continue;
    window.hedged(number);
    numbers.push(number);
  }
  return numbers;
}

describe("the share of hedged calls", () => {
  test.each([
    [0.5, 8, [1, 3, 5, 7]],
    [0.25, 12, [3, 7, 11]],
    [1, 3, [0, 1, 2]],
    [0.05, 19, []],
    [0, 100, []],
  ] as [number, number, number[]][])("%s of %i calls are %j", (share, calls, expected) => {
    expect(hedged(new HedgeWindow(), calls, share)).toEqual(expected);
  });

  test("is of the newest calls alone", () => {
    const window = new HedgeWindow(4);
    expect(hedged(window, 4, 0.25)).toEqual([3]);
    // The hedged call leaves the window with the fourth further one.
    expect(hedged(window, 8, 0.25)).toEqual([7, 11]);
  });

  test("a call that has left the window takes nothing of it", () => {
    const window = new HedgeWindow(2);
    const old = window.begun();
    window.begun();
    window.begun();
    window.hedged(old);
    expect(window.allows(0.5)).toBe(true);
  });

  test("is never passed, whatever the order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 20 }),
        (slow, share, size) => {
          const window = new HedgeWindow(size);
          const hedges: number[] = [];
          for (const isSlow of slow) {
            const number = window.begun();
            if (!isSlow || !window.allows(share)) continue;
            window.hedged(number);
            hedges.push(number);
            const inWindow = hedges.filter((one) => one > number - size).length;
            expect(inWindow).toBeLessThanOrEqual(share * Math.min(number + 1, size));
          }
        },
      ),
    );
  });
});
