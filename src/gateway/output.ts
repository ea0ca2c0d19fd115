// Whether an answer is what was asked for. A JSON schema in `response_format` and the arguments of a required tool are
// promises: engines have been seen to break them (vLLM answers `tool_choice: required` with a bare string), so every answer is
// checked, whoever gave it, and a broken one is said to be broken.
//
// Schemas are counted here and compiled in a thread (bounded/), and so is the check of an answer against them: both cost what a
// caller or an engine chooses. An answer that was cut by its token limit or stopped early promises nothing.
import {
  boundedLimits,
  boundedSchema,
  jsonProblem,
  SchemaBoundError,
  schemaDefect,
  valueProblem,
  type Schema,
} from "../bounded/index.ts";
import { GatewayError } from "./errors.ts";
import { limits } from "./limits.ts";

type Json = Record<string, unknown>;

/** What one answer has to be; undefined when nothing was promised. */
export interface OutputCheck {
  /** The organisation whose turn a check is. */
  organisation: string;
  content: Schema | undefined;
  jsonObject: boolean;
  /** Schemas of the tools that may be called, when one must be. */
  tools: Map<string, Schema | undefined> | undefined;
}

/** Reads the promises out of a request. Throws a 400 when a schema is invalid or passes a bound. */
export async function outputCheck(body: Json, organisation: string): Promise<OutputCheck | undefined> {
  const format = body["response_format"] as
    | { type: string; json_schema?: { schema?: Json | boolean } }
    | null
    | undefined;
  const choice = body["tool_choice"] as string | { function: { name: string } } | null | undefined;
  const must = choice === "required" || (typeof choice === "object" && choice !== null);
  const jsonObject = format?.type === "json_object" || format?.type === "json_schema";
  if (!jsonObject && !must) return undefined;
  const reader = new SchemaReader(organisation);
  const schema = format?.type === "json_schema" ? format.json_schema?.schema : undefined;
  const content = schema === undefined ? undefined : await reader.read(schema, "response_format");
  const only = typeof choice === "object" && choice !== null ? choice.function.name : undefined;
  const tools = must ? await toolSchemas(reader, body, only) : undefined;
  return { organisation, content, jsonObject, tools };
}

async function toolSchemas(
  reader: SchemaReader,
  body: Json,
  only: string | undefined,
): Promise<Map<string, Schema | undefined>> {
  const tools = body["tools"] as { function: { name: string; parameters?: Json | null } }[];
  const schemas = new Map<string, Schema | undefined>();
  for (const { function: tool } of tools)
    if (only === undefined || tool.name === only)
      schemas.set(tool.name, tool.parameters ? await reader.read(tool.parameters, "tools") : undefined);
  return schemas;
}

/** Reads the schemas of one request, which have one bound together. */
class SchemaReader {
  readonly #organisation: string;
  #nodes = 0;

  constructor(organisation: string) {
    this.#organisation = organisation;
  }

  async read(schema: Json | boolean, param: string): Promise<Schema> {
    const refused = (message: string, cause?: unknown) =>
      new GatewayError({
        status: 400,
        code: "invalid_json_schema",
        message,
        param,
        hint: "Correct the schema, or make it smaller; Lineshaft reads JSON Schema 2020-12, and draft-07 as far as it says the same.",
        cause,
      });
    const bounded = boundedOf(schema, (why) => refused(`The schema in ${param} ${why}. Make it smaller.`));
    this.#nodes += bounded.nodes;
    if (this.#nodes > boundedLimits.requestSchemaNodes)
      throw refused(
        `The schemas of this request have more than ${boundedLimits.requestSchemaNodes} values together. Send fewer tools, or smaller schemas.`,
      );
    const defect = await schemaDefect(bounded, this.#organisation);
    if (defect !== undefined) throw refused(`The schema in ${param} cannot be used: ${defect}. Correct it.`);
    return bounded;
  }
}

/** Schemas of bodies that come again as the same object: an agent's calls. */
const known = new WeakMap<object, Schema>();

function boundedOf(schema: Json | boolean, refused: (why: string) => GatewayError): Schema {
  const before = typeof schema === "object" ? known.get(schema) : undefined;
  if (before) return before;
  try {
    const bounded = boundedSchema(schema);
    if (typeof schema === "object") known.set(schema, bounded);
    return bounded;
  } catch (error) {
    if (error instanceof SchemaBoundError) throw refused(error.message);
    throw error;
  }
}

/** What one choice of an answer has come to, gathered over chunks or read at once. */
export interface ChoiceOutput {
  content: string;
  tools: { name: string; arguments: string }[];
  finish: string | undefined;
  refused: boolean;
}

/** Gathers the choices of a stream; `add` takes each chunk's object. */
export class OutputGatherer {
  /** Of an answer that came whole. */
  static of(whole: Json): Iterable<ChoiceOutput> {
    const gatherer = new OutputGatherer();
    gatherer.add(whole);
    return gatherer.choices.values();
  }

  readonly choices = new Map<number, ChoiceOutput>();

  add(data: Json): void {
    const choices = Array.isArray(data["choices"]) ? (data["choices"] as unknown[]) : [];
    for (const given of choices) {
      if (given === null || typeof given !== "object") continue;
      const choice = given as Json;
      const delta = (choice["delta"] ?? choice["message"]) as Json | undefined;
      const index = typeof choice["index"] === "number" ? choice["index"] : 0;
      let output = this.choices.get(index);
      if (!output && this.choices.size >= limits.answerChoices)
        throw broken(`it has more than ${limits.answerChoices} choices`);
      if (!output) this.choices.set(index, (output = { content: "", tools: [], finish: undefined, refused: false }));
      if (typeof choice["finish_reason"] === "string") output.finish = choice["finish_reason"];
      if (!delta) continue;
      if (typeof delta["content"] === "string") output.content += delta["content"];
      if (typeof delta["refusal"] === "string" && delta["refusal"] !== "") output.refused = true;
      const calls = (delta["tool_calls"] ?? []) as {
        index?: number;
        function?: { name?: string; arguments?: string };
      }[];
      for (const [place, call] of calls.entries()) {
        const index = call.index ?? place;
        if (!(index >= 0 && index < limits.answerToolCalls))
          throw broken(`it has more than ${limits.answerToolCalls} tool calls`);
        const tool = (output.tools[index] ??= { name: "", arguments: "" });
        tool.name += call.function?.name ?? "";
        tool.arguments += call.function?.arguments ?? "";
      }
    }
  }
}

/** Throws 502 `output_invalid` when a choice breaks its promise. */
export async function checkOutput(check: OutputCheck, choices: Iterable<ChoiceOutput>): Promise<void> {
  for (const choice of choices) {
    if (choice.refused || (choice.finish !== "stop" && choice.finish !== "tool_calls")) continue;
    const calls = choice.tools.filter((call) => call !== undefined);
    if (check.tools) await checkTools(check, check.tools, calls);
    else if (check.jsonObject && calls.length === 0) await checkContent(check, choice.content);
  }
}

async function checkTools(
  { organisation }: OutputCheck,
  schemas: Map<string, Schema | undefined>,
  calls: ChoiceOutput["tools"],
): Promise<void> {
  if (calls.length === 0) throw broken("`tool_choice` asked for a tool, yet the model called none");
  for (const call of calls) {
    if (!schemas.has(call.name))
      throw broken(`the model called ${JSON.stringify(call.name.slice(0, 100))}, which is not allowed here`);
    const schema = schemas.get(call.name);
    const problem = await checkText(call.arguments, schema, organisation);
    if (problem)
      throw broken(`the arguments of ${call.name} do not fit its schema: arguments${problem.path} ${problem.message}`);
  }
}

async function checkContent({ organisation, content: schema }: OutputCheck, content: string): Promise<void> {
  const problem = await checkText(content, schema, organisation);
  if (problem) throw broken(`the answer does not fit \`response_format\`: answer${problem.path} ${problem.message}`);
}

/** What is wrong with a text that has to be JSON, and of a schema where there is one. */
function checkText(text: string, schema: Schema | undefined, organisation: string) {
  return schema ? valueProblem(schema, text, organisation) : jsonProblem(text, organisation);
}

function broken(why: string): GatewayError {
  return new GatewayError({
    status: 502,
    code: "output_invalid",
    message: `The engine's answer breaks what was asked: ${why}.`,
    hint: "Try again, use a larger model, or one whose engine enforces schemas by grammar. The tokens were used and are billed.",
  });
}
