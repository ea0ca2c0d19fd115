// The manifest: what an agent is, written by a person in YAML and checked here before anything is stored (DESIGN section 7).
//
// Two forms, one interpreter. With `steps` the agent is a small fixed program: call this tool, decide by the model, cause that
// effect; a model of a hundred million parameters can drive it, because each decision is one answer in a given shape. Without
// `steps` the model itself chooses among the tools, turn by turn, until it answers.
import { z } from "zod";
import { boundedManifest, problemsOf, readManifest, type Problem, type ReadManifest } from "../fleet/manifest.ts";
import { AgentManifestError, manifestHint } from "./errors.ts";
import { limits } from "./limits.ts";
import { ReferenceError, referencesIn, type Reference } from "./references.ts";
import { evidenceTaint } from "./taint.ts";

const agentName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be lower-case letters, digits and dashes, at most 63 of them");
const stepId = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,39}$/, "must begin with a lower-case letter; letters, digits and _ follow, at most 40");
const toolName = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, "must be a tool's name: letters, digits, '_', '.' and '-'");
const money = z.string().regex(/^\d{1,9}(\.\d{1,9})?$/, 'must be an amount in quotes, such as "0.05"');
const jsonSchema = z.record(z.string(), z.unknown()).describe("JSON Schema");

const tool = z.strictObject({
  effect: z
    .boolean()
    .describe("True when a call changes something outside: it then has its own entry in the effects ledger"),
  decision: z
    .enum(["agent-autonomous", "user-authorized", "human-only"])
    .default("agent-autonomous")
    .describe("Who may decide to call it"),
  lookup: toolName
    .optional()
    .describe(
      "Tool of the same server that answers {found, result} for {effect_key}; asked before an effect is tried again",
    ),
  accepts_key: z
    .boolean()
    .default(false)
    .describe('The tool itself recognises a repetition by the effect key in _meta["lineshaft/effect-key"]'),
  seconds: z
    .number()
    .int()
    .min(1)
    .max(limits.mostToolSeconds)
    .default(limits.toolSeconds)
    .describe("Time for one call"),
  slow: z
    .boolean()
    .default(false)
    .describe("Usually takes longer than a few seconds: the engine may free the KV meanwhile"),
});

const toolServer = z.strictObject({
  server: agentName.describe("Name of the MCP server within this manifest"),
  url: z.url({ protocol: /^https?$/ }).describe("Streamable HTTP address of the MCP server"),
  secret: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
    .optional()
    .describe(
      "Secret of the project that is sent as bearer token, where its hosts cover the url: lineshaft secrets set",
    ),
  allow: z.record(toolName, tool).describe("Tools that may be called; all others do not exist for this agent"),
});

const step = z
  .strictObject({
    id: stepId,
    tool: toolName.optional().describe("Calls this tool"),
    with: z.record(z.string(), z.unknown()).optional().describe("Arguments of the tool; may hold references"),
    decide: z
      .string()
      .min(1)
      .optional()
      .describe("Asks the model with this text; the answer has the shape of `output`"),
    wait: z.number().int().min(1).max(limits.mostSeconds).optional().describe("Pauses for this many seconds"),
  })
  .refine((value) => [value.tool, value.decide, value.wait].filter((kind) => kind !== undefined).length === 1, {
    message: "must have exactly one of 'tool', 'decide' and 'wait'",
  })
  .refine((value) => value.with === undefined || value.tool !== undefined, { message: "'with' belongs to 'tool'" });

const outcome = z.strictObject({
  contract: agentName.describe("Name of the agreed definition of a result"),
  verifier: z.strictObject({
    id: agentName,
    version: z.string().min(1).max(40),
    file: z
      .string()
      .regex(/^[A-Za-z0-9_.-]+\.js$/, "must be the name of a .js file beside the manifest")
      .describe("JavaScript module whose default export judges the evidence: {verdict, reason}"),
  }),
  evidence: z
    .record(z.string(), z.unknown())
    .describe(
      "What the verifier sees: references to the input and to outputs of tools that no model's words have reached; of an effect with a lookup, what the lookup says",
    ),
  attested: z
    .enum(["refuse", "accept"])
    .default("refuse")
    .describe(
      "When an effect of the run is known by a person's word alone: refuse fails the outcome, accept lets the verifier judge",
    ),
  price: money.describe("Charged once for a run whose outcome passed"),
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .optional()
    .describe("The organisation's, when left out"),
});

export const manifestSchema = z.strictObject({
  kind: z.literal("Agent"),
  name: agentName,
  description: z.string().max(1000).optional(),
  model: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe("As callers write it; the instance's embedded model when left out"),
  instructions: z.string().min(1).describe("System prompt; with the examples it is the stable prefix of every call"),
  examples: z
    .array(z.strictObject({ input: z.string().min(1), output: z.unknown() }))
    .max(64)
    .default([])
    .describe("Few-shot examples: what the model is asked, and the right answer"),
  input: jsonSchema.optional().describe("Shape of a run's input"),
  output: jsonSchema.optional().describe("Shape of the model's decision, enforced while it is generated"),
  generation: z
    .strictObject({
      temperature: z.number().min(0).max(2).default(0),
      max_tokens: z.number().int().min(1).max(100_000).default(512),
      seed: z.number().int().optional(),
    })
    .prefault({}),
  tools: z.array(toolServer).max(16).default([]),
  steps: z
    .array(step)
    .min(1)
    .max(200)
    .optional()
    .describe("A fixed program; without it the model chooses among the tools"),
  result: z.unknown().optional().describe("Output of the run, with references; the last step's output when left out"),
  limits: z
    .strictObject({
      steps: z.number().int().min(1).max(limits.mostSteps).default(limits.steps),
      tokens: z.number().int().min(1).optional().describe("Prompt and output tokens of all calls of a run"),
      money: money.optional().describe("What the calls of one run may cost"),
      seconds: z.number().int().min(1).max(limits.mostSeconds).default(limits.seconds),
    })
    .prefault({}),
  budget: z
    .strictObject({ limit: money, period: z.enum(["total", "month", "day"]).default("month") })
    .optional()
    .describe("What all runs of the agent may cost in a period"),
  outcome: outcome.optional(),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestTool = z.infer<typeof tool>;
export type ManifestStep = z.infer<typeof step>;

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
  if (!parsed.success) throw new AgentManifestError(problemsOf(parsed.error, source.lineOf), source.file);
  const problems = [...crossChecks(parsed.data)].map(([path, message]): Problem => ({
    path: path.map(String).join("."),
    ...(source.lineOf && { line: source.lineOf(path) }),
    message,
  }));
  if (problems.length > 0) throw new AgentManifestError(problems, source.file);
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
    if (!(error instanceof ReferenceError)) throw error;
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

/** The JSON schema that editors check manifests with. */
export function manifestJsonSchema(): Record<string, unknown> {
  return {
    ...(z.toJSONSchema(manifestSchema, { io: "input", target: "draft-7" }) as Record<string, unknown>),
    title: "Lineshaft agent",
    description: "Manifest of an agent (kind: Agent), published with `lineshaft deploy DIR`.",
  };
}
