// Serving the only competitor at once costs no bookkeeping, and must leave the same credits behind as waiting for a moment would.
import fc from "fast-check";
import { expect, it } from "vitest";
import { CreditRing } from "./credit.ts";
import { runs } from "../../../test/setup/runs.ts";

const weights: Record<string, number> = { a: 1, b: 2, c: 0.5 };

it("serving one that is alone is the same as entering, being charged and leaving", () => {
  const step = fc.record({
    key: fc.constantFrom("a", "b", "c"),
    cost: fc.integer({ min: 1, max: 500 }),
    /** Corrected afterwards by so much, as when an answer is shorter than expected. */
    settled: fc.integer({ min: -200, max: 200 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 300 }), (steps, quantum) => {
      const [waits, alone] = [new CreditRing<string>(quantum), new CreditRing<string>(quantum)];
      for (const { key, cost, settled } of steps) {
        waits.enter(key, key, weights[key]);
        expect(waits.candidates(4)).toEqual([key]);
        waits.charge(key, cost);
        waits.leave(key);
        alone.serveAlone(key, cost, weights[key]);
        for (const ring of [waits, alone]) ring.charge(key, settled);
      }
      // What they owe shows when they compete: the same credits, and the same order of service.
      for (const key of Object.keys(weights)) for (const ring of [waits, alone]) ring.enter(key, key, weights[key]);
      for (let turn = 0; turn < 30; turn++) {
        const [expected, found] = [waits.candidates(1)[0]!, alone.candidates(1)[0]!];
        expect(found).toBe(expected);
        for (const key of Object.keys(weights)) expect(alone.credit(key)).toBeCloseTo(waits.credit(key), 6);
        for (const ring of [waits, alone]) {
          ring.charge(expected, 100);
          ring.rotate(expected);
        }
      }
    }),
    { numRuns: runs(300) },
  );
});
