import { expect, test } from "vitest";
import { referencesIn, resolve } from "./references.ts";

const scope = {
  input: { machine: "M-1", list: [1, 2], nothing: null },
  run: { id: "run_1" },
  steps: { readings: { report: "Hot.", values: { rpm: 1300 } } },
};

test.each([
  ["text without references", "plain", "plain"],
  ["one reference is the value itself", "${input.list}", [1, 2]],
  ["null is a value", "${input.nothing}", null],
  ["the whole input", "${input}", scope.input],
  ["the run's id", "${run.id}", "run_1"],
  ["a step's output, deep", "${steps.readings.output.values.rpm}", 1300],
  [
    "inside text, strings as they are",
    "Machine ${input.machine}: ${steps.readings.output.report}",
    "Machine M-1: Hot.",
  ],
  ["inside text, everything else as JSON", "list ${input.list}", "list [1,2]"],
  ["escaped", "$${input.machine}", "${input.machine}"],
  ["an item of a list", "${input.list.1}", 2],
  ["objects and lists, to any depth", { a: ["${input.machine}", { b: "${run.id}" }] }, { a: ["M-1", { b: "run_1" }] }],
  ["what is no text stays", { n: 1, t: true, z: null }, { n: 1, t: true, z: null }],
])("%s", (_what, template, expected) => {
  expect(resolve(template, scope)).toEqual(expected);
});

test.each([
  ["${input.absent}", /no 'absent'/],
  ["${steps.absent.output}", /leads nowhere/],
  ["${steps.readings.output.values.rpm.more}", /no 'more'/],
  ["${input.constructor}", /no 'constructor'/],
  ["${input.machine.length}", /no 'length'/],
  ["${process.env}", /not a reference/],
  ["${1 + 1}", /not a reference/],
  ["${steps.readings.report}", /not a reference/],
  ["${}", /not a reference/],
])("%s leads nowhere", (template, message) => {
  expect(() => resolve(template, scope)).toThrow(message);
});

test("names the steps that a value refers to", () => {
  expect(
    referencesIn({ a: "${steps.x.output} ${input}", b: ["${steps.y.output.z}", "$${steps.no.output}"] }).map(
      ({ step }) => step,
    ),
  ).toEqual(["x", undefined, "y"]);
});
