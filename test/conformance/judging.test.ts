// The rule by which a run of other people's suites is judged, broken in each way that it can be.
import { expect, test } from "vitest";
import { problemsOf } from "./judging.ts";
import type { Outcome } from "./suites.ts";

const outcome = (id: string, status: Outcome["status"]): Outcome => ({ id, status, why: `${id} is wrong` });

test("a failure without a known reason is a problem, and so is a known one that passes or was not run", () => {
  const known = { mended: "r", gone: "r", left: "r", broken: "r" };
  const outcomes = [
    outcome("fine", "passed"),
    outcome("broken", "failed"),
    outcome("new", "failed"),
    outcome("mended", "passed"),
    outcome("left", "skipped"),
  ];
  const mended = "is known to fail and does not";
  expect(problemsOf({ known }, outcomes)).toEqual({ new: "new is wrong", mended, gone: mended, left: mended });
});

test("a run in which all is as it is known has no problem, and a run of no test has one", () => {
  const outcomes = [outcome("fine", "passed"), outcome("broken", "failed"), outcome("left", "skipped")];
  expect(problemsOf({ known: { broken: "r" } }, outcomes)).toEqual({});
  expect(problemsOf({ known: {} }, [])).toEqual({ suite: "it ran no test" });
});
