// The fields of an agent's manifest, as a schema. What no single field can say (manifest.ts) is checked after it.
import { z } from "zod";
import { limits } from "./limits.ts";

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

/** The JSON schema that editors check manifests with. */
export function manifestJsonSchema(): Record<string, unknown> {
  return {
    ...(z.toJSONSchema(manifestSchema, { io: "input", target: "draft-7" }) as Record<string, unknown>),
    title: "Lineshaft agent",
    description: "Manifest of an agent (kind: Agent), published with `lineshaft deploy DIR`.",
  };
}
