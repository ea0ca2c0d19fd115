// What of an answer can be continued, which failures are followed by a continuation, and where two engines' texts meet.
import { describe, expect, test } from "vitest";
import { Memory } from "../bounded/memory.ts";
import { EngineError, type AnswerDelta } from "../engines/index.ts";
import { isBreak, joining, Passed } from "./continuing.ts";
import { limits } from "./limits.ts";

const passed = (...deltas: AnswerDelta[]): string | undefined => {
  const all = new Passed(new Memory(1e9).open());
  for (const delta of deltas) all.add([delta]);
  return all.text;
};

describe("what has passed", () => {
  test("is its text", () => {
    expect(passed({ index: 0 }, { index: 0, text: "a" }, { index: 0, text: " b" })).toBe("a b");
    expect(passed()).toBe("");
    expect(passed({ index: 0, text: "", reasoning: "", toolCalls: [], opaque: [] })).toBe("");
  });

  test.each([
    ["a thought", { reasoning: "hm" }],
    ["a refusal", { refusal: "no" }],
    ["a call of a tool", { toolCalls: [{ index: 0, name: "f" }] }],
    ["what proves a thought", { proof: { origin: "anthropic", signature: "s" } }],
    ["an item of one API", { opaque: [{ shape: "messages", item: {} }] }],
    ["its end", { finish: "stop" }],
    ["another answer", { index: 1, text: "b" }],
  ] as [string, Partial<AnswerDelta>][])("cannot be continued once %s has passed", (_name, of) => {
    expect(passed({ index: 0, text: "a" }, { index: 0, ...of }, { index: 0, text: "c" })).toBeUndefined();
  });

  test("is counted while it is kept, and is given up where it cannot be used or memory is full", () => {
    const memory = new Memory(20);
    const all = new Passed(memory.open());
    all.add([{ index: 0, text: "abcd" }]);
    expect(memory.sum).toBe(8);
    all.add([{ index: 0, reasoning: "hm" }]);
    all.add([{ index: 0, text: "abcd" }]);
    expect([memory.sum, all.text]).toEqual([0, undefined]);
    const long = new Passed(memory.open());
    long.add([{ index: 0, text: "0123456789" }]);
    expect(long.text).toBe("0123456789");
    long.add([{ index: 0, text: "x" }]);
    expect([memory.sum, long.text]).toEqual([0, undefined]);
  });

  test("is bounded", () => {
    const long = "x".repeat(limits.continuedCharactersMost);
    expect(passed({ index: 0, text: long })).toBe(long);
    expect(passed({ index: 0, text: long }, { index: 0, text: "x" })).toBeUndefined();
  });
});

test.each([
  ["engine_unreachable", 502, true],
  ["engine_timeout", 504, true],
  ["engine_error", 500, true],
  ["engine_invalid_answer", 502, true],
  ["engine_busy", 429, true],
  ["engine_quota", 402, false],
  ["engine_auth_failed", 502, false],
  ["content_filter", 400, false],
  ["invalid_request", 400, false],
] as [string, number, boolean][])("a stream that ends with %s is continued: %s %s", (code, status, continued) => {
  expect(isBreak(new EngineError({ code, status, message: "no", hint: "none" }))).toBe(continued);
});

test("an error that is none of an engine's is not continued", () => {
  expect(isBreak(new Error("no"))).toBe(false);
});

describe("where two texts meet", () => {
  test.each([
    ["nothing is left out where the first ended with a word", "", [" world"], " world"],
    ["white space that both have is written once", " ", [" world"], "world"],
    ["a line that the second begins anew", "\n\n", ["\n", "\n- two"], "- two"],
    ["as much of it as both have", "\n", ["\n\nB"], "\nB"],
    ["what differs is kept", " ", ["\nB"], "\nB"],
    ["later white space is kept", " ", ["a", " b"], "a b"],
    ["empty texts change nothing", " ", ["", " b"], "b"],
  ] as [string, string, string[], string][])("%s", (_name, ended, texts, expected) => {
    const join = joining(ended);
    expect(texts.map((text) => join(text)).join("")).toBe(expected);
  });
});
