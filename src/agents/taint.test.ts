// The analysis as a table: which evidence a model's words have reached, and by which way.
import { describe, expect, test } from "vitest";
import { ManifestError } from "../fleet/manifest.ts";
import { checkManifest } from "./manifest.ts";
import { evidenceTaint } from "./taint.ts";

const verifier = { id: "v", version: "1", file: "v.js" };
const allow = {
  read: { effect: false },
  echo: { effect: false },
  act: { effect: true },
  order: { effect: true, lookup: "find" },
  buy: { effect: true, accepts_key: true },
};
const tools = [{ server: "plant", url: "http://127.0.0.1:1/mcp", allow }];

function problemsOf(fields: Record<string, unknown>): string[] {
  try {
    checkManifest({ kind: "Agent", name: "a", instructions: "Be brief.", tools, ...fields });
    return [];
  } catch (error) {
    return (error as ManifestError).problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const look = { id: "look", tool: "read", with: { machine: "${input.machine}" } };
const judge = { id: "judge", decide: "Report: ${steps.look.output}" };
const sold = (steps: object[], evidence: object) =>
  problemsOf({ steps, outcome: { contract: "c", verifier, price: "1", evidence } });

describe("evidence is taken", () => {
  test.each<[string, object[], object]>([
    ["of a tool that was told the input only", [look, judge], { seen: "${steps.look.output}", asked: "${input}" }],
    [
      "of a tool before the decision, although the same tool is called after it",
      [look, judge, { id: "again", tool: "read", with: { machine: "${steps.judge.output}" } }],
      { seen: "${steps.look.output}" },
    ],
    [
      "of an effect with a lookup, whatever it was told",
      [look, judge, { id: "do", tool: "order", with: { mode: "${steps.judge.output}" } }],
      { kept: "${steps.do.output.number}" },
    ],
    [
      "of an effect without a lookup that was told the input only",
      [look, judge, { id: "do", tool: "act", with: { machine: "${input.machine}", run: "${run.id}" } }],
      { done: "${steps.do.output}" },
    ],
    [
      "of a tool that was told what another one read",
      [look, judge, { id: "next", tool: "echo", with: { text: "${steps.look.output.report}" } }],
      { next: "${steps.next.output}" },
    ],
  ])("%s", (_what, steps, evidence) => expect(sold(steps, evidence)).toEqual([]));
});

describe("evidence is refused with the way of the words", () => {
  test.each<[string, object[], object, string]>([
    [
      "of a tool that repeats the decision",
      [look, judge, { id: "say", tool: "echo", with: { text: "${steps.judge.output.reason}" } }],
      { said: "${steps.say.output.text}" },
      "outcome.evidence: ${steps.say.output.text} carries a model's words: decision 'judge' → argument 'text' of step 'say' (echo) → evidence.",
    ],
    [
      "of a tool that is told the decision inside other text, deep in its arguments",
      [look, judge, { id: "say", tool: "echo", with: { a: { b: [1, { c: "It is ${steps.judge.output} now." }] } } }],
      { deep: { in: ["${steps.say.output}"] } },
      "argument 'a' of step 'say' (echo)",
    ],
    [
      "through several tools",
      [
        look,
        judge,
        { id: "one", tool: "echo", with: { text: "${steps.judge.output}" } },
        { id: "two", tool: "read", with: { machine: "${steps.one.output.text}" } },
        { id: "three", tool: "act", with: { x: "${steps.two.output}" } },
      ],
      { end: "${steps.three.output}" },
      "decision 'judge' → argument 'text' of step 'one' (echo) → argument 'machine' of step 'two' (read) → argument 'x' of step 'three' (act) → evidence",
    ],
    [
      "through an effect with a lookup into a tool that repeats it",
      [
        look,
        judge,
        { id: "do", tool: "order", with: { reason: "${steps.judge.output}" } },
        { id: "say", tool: "echo", with: { text: "${steps.do.output.reason}" } },
      ],
      { said: "${steps.say.output}" },
      "argument 'reason' of step 'do' (order) → argument 'text' of step 'say' (echo)",
    ],
    [
      "of an effect that knows keys but has no lookup",
      [look, judge, { id: "do", tool: "buy", with: { what: "${steps.judge.output}" } }],
      { bought: "${steps.do.output}" },
      "make 'buy' an effect with a 'lookup'",
    ],
    [
      "through a second decision",
      [
        look,
        judge,
        { id: "more", decide: "Why?" },
        { id: "say", tool: "echo", with: { text: "${steps.more.output}" } },
      ],
      { said: "${steps.say.output}" },
      "decision 'more'",
    ],
  ])("%s", (_what, steps, evidence, problem) => {
    const problems = sold(steps, evidence);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
    expect(problems[0]).toContain("Name a tool whose arguments come from the input, or make");
  });

  test("a model's own words are refused as before", () => {
    expect(sold([look, judge], { said: "${steps.judge.output}" })[0]).toContain("is not the output of a tool step");
  });
});

test("of a version of before, an effect's own answer is what the verifier saw", () => {
  const manifest = checkManifest({
    kind: "Agent",
    name: "a",
    instructions: "Be brief.",
    tools,
    steps: [look, judge, { id: "do", tool: "order", with: { mode: "${steps.judge.output}" } }],
    outcome: { contract: "c", verifier, price: "1", evidence: { kept: "${steps.do.output}" } },
  });
  expect([...evidenceTaint(manifest)]).toEqual([]);
  expect([...evidenceTaint(manifest, false)][0]).toContain("argument 'mode' of step 'do' (order) → evidence");
  const { steps: _steps, ...loop } = manifest;
  expect([...evidenceTaint({ ...loop, outcome: { ...loop.outcome!, evidence: {} } }, false)]).toHaveLength(1);
});

describe("without steps the model writes every argument", () => {
  const outcome = { contract: "c", verifier, price: "1", evidence: { asked: "${input}" } };

  test("so a contract needs an effect with a lookup", () => {
    expect(problemsOf({ outcome })).toEqual([]);
    const echoes = [{ server: "plant", url: "http://127.0.0.1:1/mcp", allow: { read: allow.read, buy: allow.buy } }];
    const [problem] = problemsOf({ tools: echoes, outcome });
    expect(problem).toMatch(/outcome\.evidence: would hold a model's words only: .* Give an effect its 'lookup'/);
  });

  test("and an agent without a contract may have any tools", () => {
    expect(problemsOf({})).toEqual([]);
  });
});
