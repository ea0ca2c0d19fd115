// The manifest: what an agent is, written by a person in YAML and checked here before anything is stored (DESIGN section 7).
//
// Two forms, one interpreter. With `steps` the agent is a small fixed program: call this tool, decide by the model, cause that
// effect; a model of a hundred million parameters can drive it, because each decision is one answer in a given shape. Without
// `steps` the model itself chooses among the tools, turn by turn, until it answers.
import { boundedManifest, problemsOf, readManifest, type Problem, type ReadManifest } from "../fleet/manifest.ts";
import { agentManifestError, manifestHint } from "./errors.ts";
import { limits } from "./limits.ts";
import { manifestSchema, type Manifest } from "./manifestSchema.ts";
import { UnresolvedError, referencesIn, type Reference } from "./references.ts";
import { evidenceTaint } from "./taint.ts";

/** Parses and checks a manifest from YAML text. Throws ManifestError with every problem, its path and its line. */
export async function parseManifest(text: string, file = "agent.yaml", organisation?: string): Promise<Manifest> {
  const { value, lineOf } = await readManifest(text, { file, hint: manifestHint, organisation });
  return checkManifest(value, { file, lineOf });
}

/** Checks a manifest that is an object already; `lineOf` says where a path stands in its text. */
export function checkManifest(
  value: unknown,
  source: { file?: string; lineOf?: ReadManifest["lineOf"] } = {},
): Manifest {
  const parsed = manifestSchema.safeParse(
    boundedManifest(value, { file: source.file ?? "agent.yaml", hint: manifestHint }),
  );
  if (!parsed.success) throw agentManifestError(problemsOf(parsed.error, source.lineOf), source.file);
  const problems = [...crossChecks(parsed.data)].map(([path, message]): Problem => ({
    path: path.map(String).join("."),
    ...(source.lineOf && { line: source.lineOf(path) }),
    message,
  }));
  if (problems.length > 0) throw agentManifestError(problems, source.file);
  return parsed.data;
}

/** What no single field can say: names that must exist, references that must lead somewhere, what is not there yet. */
function* crossChecks(manifest: Manifest): Generator<[PropertyKey[], string]> {
  const tools = new Set<string>();
  for (const [index, server] of manifest.tools.entries()) {
    for (const [name, tool] of Object.entries(server.allow)) {
      const path = ["tools", index, "allow", name];
      if (tools.has(name)) yield [path, `is allowed twice; a tool's name must be unique within an agent`];
      tools.add(name);
      if (tool.decision !== "agent-autonomous")
        yield [
          [...path, "decision"],
          `'${tool.decision}' needs approvals, which this version does not have; use agent-autonomous`,
        ];
      if (!tool.effect && (tool.lookup || tool.accepts_key))
        yield [path, "'lookup' and 'accepts_key' are for tools with 'effect: true'"];
    }
  }
  if (tools.size > limits.tools) yield [["tools"], `holds ${tools.size} tools, at most ${limits.tools} are allowed`];
  const stepDefects = [...stepChecks(manifest, tools)];
  yield* stepDefects;
  if (manifest.outcome) {
    if ("attested" in manifest.outcome.evidence)
      yield [["outcome", "evidence", "attested"], "is the name under which a person's word on an effect is shown"];
    const defects = [...referenceChecks(manifest.outcome.evidence, ["outcome", "evidence"], toolSteps(manifest), true)];
    yield* defects;
    // Which words reach what can be told of references that lead somewhere.
    if (defects.length === 0 && stepDefects.length === 0)
      for (const taint of evidenceTaint(manifest)) yield [["outcome", "evidence"], taint];
  }
  for (const [index, example] of manifest.examples.entries())
    if (manifest.output && (example.output === null || typeof example.output !== "object"))
      yield [["examples", index, "output"], "must have the shape of 'output'"];
}

function toolSteps(manifest: Manifest): Set<string> {
  return new Set(manifest.steps?.filter((step) => step.tool !== undefined).map((step) => step.id));
}

function* stepChecks(manifest: Manifest, tools: Set<string>): Generator<[PropertyKey[], string]> {
  const before = new Set<string>();
  for (const [index, step] of (manifest.steps ?? []).entries()) {
    const path = ["steps", index];
    if (before.has(step.id)) yield [[...path, "id"], `'${step.id}' is the id of an earlier step`];
    if (step.tool !== undefined && !tools.has(step.tool))
      yield [[...path, "tool"], `'${step.tool}' is not among the allowed tools (${[...tools].join(", ") || "none"})`];
    if (step.decide !== undefined) yield* referenceChecks(step.decide, [...path, "decide"], before);
    if (step.with !== undefined) yield* referenceChecks(step.with, [...path, "with"], before);
    before.add(step.id);
  }
  if (manifest.result !== undefined) {
    if (!manifest.steps)
      yield [["result"], "is for agents with 'steps'; without them the model's answer is the result"];
    else yield* referenceChecks(manifest.result, ["result"], before);
  }
}

function* referenceChecks(
  template: unknown,
  path: PropertyKey[],
  known: Set<string>,
  toolsOnly = false,
): Generator<[PropertyKey[], string]> {
  let references: Reference[];
  try {
    references = referencesIn(template);
  } catch (error) {
    if (!(error instanceof UnresolvedError)) throw error;
    yield [path, error.message];
    return;
  }
  for (const { text, step } of references)
    if (step !== undefined && !known.has(step))
      yield [
        path,
        toolsOnly
          ? `\${${text}} is not the output of a tool step: a verifier never sees a model's words`
          : `\${${text}} names no earlier step`,
      ];
}
