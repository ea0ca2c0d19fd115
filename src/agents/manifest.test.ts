import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ManifestError } from "../fleet/manifest.ts";
import { parseManifest } from "./manifest.ts";
import { manifestJsonSchema } from "./manifestSchema.ts";
import { exampleFolder } from "./testing/states.ts";

const example = readFileSync(new URL("agent.yaml", exampleFolder), "utf8");
const lineOf = (text: string) => example.split("\n").findIndex((line) => line.includes(text)) + 1;

test("the example is a manifest", async () => {
  expect(await parseManifest(example)).toMatchObject({
    kind: "Agent",
    name: "maintenance-inspector",
    limits: { steps: 10 },
  });
});

/** What is changed in the example, and what is said about it, with the line where it stands. */
test.each<[string, string, string, string, string]>([
  [
    "a field that is not known",
    "max_tokens: 160",
    "max_tokns: 160",
    "generation",
    "generation.max_tokns: is not a field of a manifest here",
  ],
  ["a wrong kind", "kind: Agent", "kind: Agnt", "kind:", 'kind: expected "Agent"'],
  ["money as a number", 'price: "0.05"', "price: 0.05", "price:", "outcome.price: expected string, received number"],
  [
    "a tool that is not allowed",
    "tool: read_machine",
    "tool: read_machin",
    "tool: read_machine",
    "steps.0.tool: 'read_machin' is not among the allowed tools (read_machine, open_work_order)",
  ],
  [
    "a reference to a later step",
    '"${input.machine}", bare',
    '"${steps.order.output}", bare',
    'bare: "${input',
    "steps.0.with: ${steps.order.output} names no earlier step",
  ],
  [
    "a model's words as evidence",
    "${steps.readings.output.readings}",
    "${steps.decision.output}",
    "evidence:",
    "outcome.evidence: ${steps.decision.output} is not the output of a tool step: a verifier never sees a model's words",
  ],
  [
    "code in a reference",
    '"${input.machine}", bare',
    '"${input.machine + 1}", bare',
    'bare: "${input',
    "is not a reference",
  ],
  [
    "a decision class without approvals",
    "read_machine: { effect: false }",
    "read_machine: { effect: false, decision: human-only }",
    "read_machine: {",
    "needs approvals",
  ],
  [
    "a lookup of what is no effect",
    "read_machine: { effect: false }",
    "read_machine: { effect: false, lookup: x }",
    "read_machine: {",
    "are for tools with 'effect: true'",
  ],
  [
    "two kinds in one step",
    "tool: read_machine",
    "tool: read_machine\n    wait: 3",
    "id: readings",
    "exactly one of 'tool', 'decide' and 'wait'",
  ],
  ["a URL that is none", "http://127.0.0.1:4077/mcp", "ftp://plant", "url:", "tools.0.url"],
  ["too many seconds", "seconds: 600", "seconds: 99999999", "limits: {", "limits.seconds"],
])("%s", async (_what, from, to, near, message) => {
  expect(example).toContain(from);
  const error = await failureOf(example.replace(from, () => to));
  expect(error.message).toContain(message);
  expect(error.problems[0]!.line).toBe(lineOf(near));
});

test("YAML that cannot be read names its line", async () => {
  expect((await failureOf("kind: Agent\nname: [a")).problems[0]!.line).toBe(2);
  expect((await failureOf("kind: Agent\nkind: Agent")).message).toMatch(/unique/);
});

test("all problems are said at once", async () => {
  const { problems } = await failureOf("kind: Agent\nname: Not A Name\nextra: 1");
  expect(problems.map(({ path }) => path).toSorted()).toEqual(["extra", "instructions", "name"]);
});

test("aliases do not multiply", async () => {
  await expect(parseManifest("kind: Agent\na: &a [x]\nb: [*a, *a]")).rejects.toThrow(ManifestError);
});

test("docs/schemas/agent.json is what the code says (scripts/writeSchemas.ts writes it)", () => {
  const written = readFileSync(new URL("../../docs/schemas/agent.json", import.meta.url), "utf8");
  expect(JSON.parse(written)).toEqual(JSON.parse(JSON.stringify(manifestJsonSchema())));
});

async function failureOf(text: string): Promise<ManifestError> {
  try {
    await parseManifest(text);
  } catch (error) {
    if (error instanceof ManifestError) return error;
    throw error;
  }
  throw new Error("It was accepted.");
}
