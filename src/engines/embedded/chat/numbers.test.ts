import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numberGrammar, type NumberBounds } from "./numbers.ts";
import { CannotExpress } from "./errors.ts";
import { derive, matches, readGrammar, seeded } from "./testing/gbnf.ts";
import { runs } from "../../../../test/setup/runs.ts";

const within = (value: number, bounds: NumberBounds): boolean =>
  value >= (bounds.min ?? -Infinity) &&
  value <= (bounds.max ?? Infinity) &&
  value > (bounds.exclusiveMin ?? -Infinity) &&
  value < (bounds.exclusiveMax ?? Infinity) &&
  (!bounds.integer || Number.isInteger(value));

const bound = fc.oneof(
  fc.integer({ min: -1200, max: 1200 }),
  fc.integer(),
  fc.integer({ min: -99_999, max: 99_999 }).map((value) => value / 1000),
  fc.constantFrom(0, 1, 9, 10, 99, 100, -1, -10, 0.1, 0.999, -0.5, 1e15, -1e15, 1e-7),
);
const bounds: fc.Arbitrary<NumberBounds> = fc.record(
  { min: bound, max: bound, exclusiveMin: bound, exclusiveMax: bound, integer: fc.boolean() },
  { requiredKeys: ["integer"] },
);

describe("number grammars", () => {
  it("write only numbers within the bounds, and every usual one", () => {
    const sample = fc.oneof(
      fc.integer({ min: -1500, max: 1500 }),
      fc.integer(),
      fc.integer({ min: -99_999, max: 99_999 }).map((value) => value / 100),
    );
    fc.assert(
      fc.property(bounds, fc.array(sample, { minLength: 20, maxLength: 20 }), fc.integer(), (given, samples, seed) => {
        const body = numberGrammar(given);
        const ends = [given.min, given.max, given.exclusiveMin, given.exclusiveMax].filter((end) => end !== undefined);
        const near = ends.flatMap((end) => [
          end,
          end + 1,
          end - 1,
          Math.round((end + 0.01) * 1000) / 1000,
          Math.round((end - 0.01) * 1000) / 1000,
        ]);
        const candidates = [...samples, ...near].filter((value) => !String(value).includes("e"));
        if (body === undefined) {
          for (const value of candidates) expect(within(value, given), String(value)).toBe(false);
          return;
        }
        const grammar = readGrammar(`root ::= ${body}\n`);
        const random = seeded(seed);
        for (let count = 0; count < 30; count++) {
          const text = derive(grammar, random);
          expect(within(Number(text), given), text).toBe(true);
          expect(text).not.toMatch(/^-?0\d/);
        }
        for (const value of candidates) {
          if (Object.is(value, -0)) continue;
          expect(matches(grammar, String(value)), String(value)).toBe(within(value, given));
        }
      }),
      { numRuns: runs(400), seed: 4 },
    );
  });

  it("do not let rounding carry a text onto an exclusive bound", () => {
    const grammar = readGrammar(`root ::= ${numberGrammar({ exclusiveMin: 5, exclusiveMax: 10, integer: false })!}\n`);
    expect(matches(grammar, "9.99999999999999")).toBe(true);
    expect(matches(grammar, "9.9999999999999999999")).toBe(false);
    expect(matches(grammar, "5.0000000000000000001")).toBe(false);
  });

  it("end: no number has more than a few dozen digits", () => {
    const random = seeded(1);
    for (const given of [
      { integer: true },
      { integer: false },
      { integer: false, exclusiveMin: 0 },
      { integer: true, min: 3 },
    ]) {
      const grammar = readGrammar(`root ::= ${numberGrammar(given)!}\n`);
      for (let count = 0; count < 200; count++) expect(derive(grammar, random).length).toBeLessThan(42);
    }
  });

  it("say what they cannot do", () => {
    expect(() => numberGrammar({ min: 1e17, integer: true })).toThrow(CannotExpress);
    expect(() => numberGrammar({ exclusiveMax: 0.1 + 0.2, integer: false })).toThrow(CannotExpress);
    expect(numberGrammar({ min: 3, max: 2, integer: true })).toBeUndefined();
    expect(numberGrammar({ min: 0.2, max: 0.8, integer: true })).toBeUndefined();
  });
});
