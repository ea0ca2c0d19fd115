import { expect, it } from "vitest";
import { patternSearch } from "./patternSearch.ts";

it("finds the minimum of a bent valley", () => {
  const found = patternSearch(
    [
      { name: "a", start: 1, low: 0.01, high: 100 },
      { name: "b", start: 1, low: 0.01, high: 100 },
    ],
    ({ a, b }) => Math.log(a! / 7) ** 2 + Math.log(b! / 0.3) ** 2 + 0.2 * Math.log(a! / 7) * Math.log(b! / 0.3),
  );
  expect(found.values["a"]).toBeCloseTo(7, 0);
  expect(found.values["b"]).toBeCloseTo(0.3, 1);
});
