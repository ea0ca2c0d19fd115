import { expect, test } from "vitest";
import { partsOf } from "./usage.ts";

const at = (text: string) => Date.parse(text);

test.each([
  ["one day, whole", "2026-11-03T00:00:00Z", "2026-11-04T00:00:00Z", "2026-11-03", "2026-11-04", []],
  [
    "inside a day",
    "2026-11-03T01:00:00Z",
    "2026-11-03T02:00:00Z",
    "2026-11-04",
    "2026-11-04",
    [["2026-11-03T01:00:00Z", "2026-11-03T02:00:00Z"]],
  ],
  [
    "over a midnight",
    "2026-11-03T23:00:00Z",
    "2026-11-04T01:00:00Z",
    "2026-11-04",
    "2026-11-04",
    [["2026-11-03T23:00:00Z", "2026-11-04T01:00:00Z"]],
  ],
  [
    "with both ends inside days",
    "2026-11-03T23:00:00Z",
    "2026-11-06T01:00:00Z",
    "2026-11-04",
    "2026-11-06",
    [
      ["2026-11-03T23:00:00Z", "2026-11-04T00:00:00Z"],
      ["2026-11-06T00:00:00Z", "2026-11-06T01:00:00Z"],
    ],
  ],
  ["empty", "2026-11-03T01:00:00Z", "2026-11-03T01:00:00Z", "2026-11-04", "2026-11-04", []],
  ["backwards", "2026-11-05T01:00:00Z", "2026-11-03T01:00:00Z", "2026-11-06", "2026-11-06", []],
])("a period that is %s is divided into whole days and edges", (_, from, to, first, last, edges) => {
  expect(partsOf(at(from), at(to))).toEqual({
    first: at(`${first}T00:00:00Z`),
    last: at(`${last}T00:00:00Z`),
    edges: edges.map(([since, until]) => ({ from: at(since!), to: at(until!) })),
  });
});

test("a period without an end takes all days from its first whole one on", () => {
  expect(partsOf(at("2026-11-03T12:00:00Z"), undefined)).toEqual({
    first: at("2026-11-04T00:00:00Z"),
    last: undefined,
    edges: [{ from: at("2026-11-03T12:00:00Z"), to: at("2026-11-04T00:00:00Z") }],
  });
});
