// Whether an answer is what was asked for. A schema that the answer must fit, and a tool that must be called, are promises. Engines break
// them (vLLM answers `tool_choice: required` with a bare string), so every answer is checked, whichever engine gave it, and a broken
// promise is an error.
//
// Schemas are counted here, then compiled in a thread (bounded/), and so is the check of an answer against them, because both cost what
// a caller or an engine chooses. An answer that its token limit cut, or that stopped early, promises nothing.
import { LineshaftError } from "../errors/index.ts";
import {
  boundedLimits,
  boundedSchema,
  jsonProblem,
  SchemaBoundError,
  schemaDefect,
  valueProblem,
  type Schema,
} from "../bounded/index.ts";
import { chatToolName, type EngineChunk, type Tool, type ToolChoice } from "../engines/index.ts";
import { limits } from "./limits.ts";
import type { ModelCall } from "./modelCall.ts";

type Json = Record<string, unknown>;

/** What one answer has to be; undefined when nothing was promised. */
export interface OutputCheck {
  /** The organisation whose turn a check is. */
  organisation: string;
  content: Schema | undefined;
  /** Where the client's body asks for that. */
  formatPath: string;
  jsonObject: boolean;
  /** Schemas of the tools that may be called, when one must be. */
  tools: Map<string, Schema | undefined> | undefined;
}

/** Whether any answer will do: the usual call. */
export const promisesNothing = ({ format, toolChoice }: ModelCall): boolean =>
  format === undefined && (toolChoice === undefined || toolChoice === "auto" || toolChoice === "none");

/** Reads the promises out of a call. Throws a 400 when a schema is invalid or passes a bound. */
export async function outputCheck(asked: ModelCall, organisation: string): Promise<OutputCheck | undefined> {
  const { format, toolChoice, formatPath = "response_format" } = asked;
  const must = toolChoice === "required" || (typeof toolChoice === "object" && isDemand(toolChoice));
  if (!format && !must) return undefined;
  const reader = new SchemaReader(organisation);
  const schema = format?.kind === "schema" ? format.schema : undefined;
  const content = schema === undefined ? undefined : await reader.read(schema, formatPath);
  const only = typeof toolChoice === "object" ? namesIn(toolChoice) : undefined;
  const tools = must ? await toolSchemas(reader, asked.tools, only) : undefined;
  return { organisation, content, formatPath, jsonObject: format !== undefined, tools };
}

type NamedChoice = Exclude<ToolChoice, string>;
const isDemand = (choice: NamedChoice): boolean => !("anyOf" in choice) || choice.required;
const namesIn = (choice: NamedChoice): readonly string[] => ("anyOf" in choice ? choice.anyOf : [choice.name]);

async function toolSchemas(
  reader: SchemaReader,
  tools: readonly Tool[],
  only: readonly string[] | undefined,
): Promise<Map<string, Schema | undefined>> {
  const schemas = new Map<string, Schema | undefined>();
  for (const { opaque, parameters, ...tool } of tools) {
    if (opaque) continue;
    // The model calls a tool by the name that engines are told.
    const name = chatToolName(tool);
    if (only === undefined || only.includes(name))
      schemas.set(name, parameters ? await reader.read(parameters, "tools") : undefined);
  }
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
      new LineshaftError({
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

function boundedOf(schema: Json | boolean, refused: (why: string) => LineshaftError): Schema {
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

/** What one answer of a call has come to, gathered over chunks or read at once. */
export interface AnswerOutput {
  content: string;
  tools: { name: string; arguments: string }[];
  finish: string | undefined;
  refused: boolean;
}

/** Gathers the answers of a stream; `add` takes each chunk. A whole answer is one chunk. */
export class OutputGatherer {
  readonly answers = new Map<number, AnswerOutput>();

  add({ deltas }: Pick<EngineChunk, "deltas">): void {
    for (const delta of deltas) {
      const output = this.#answer(delta.index);
      if (delta.finish !== undefined) output.finish = delta.finish;
      if (delta.text !== undefined) output.content += delta.text;
      if (delta.refusal) output.refused = true;
      for (const call of delta.toolCalls ?? []) {
        if (!(call.index >= 0 && call.index < limits.answerToolCalls))
          throw broken(`it has more than ${limits.answerToolCalls} tool calls`);
        const tool = (output.tools[call.index] ??= { name: "", arguments: "" });
        tool.name += call.name ?? "";
        tool.arguments += call.arguments ?? "";
      }
    }
  }

  #answer(index: number): AnswerOutput {
    const before = this.answers.get(index);
    if (before) return before;
    if (this.answers.size >= limits.answerChoices) throw broken(`it has more than ${limits.answerChoices} choices`);
    const answer: AnswerOutput = { content: "", tools: [], finish: undefined, refused: false };
    this.answers.set(index, answer);
    return answer;
  }
}

/** `checkOutput` of an answer that came whole. */
export async function checkWhole(check: OutputCheck, deltas: EngineChunk["deltas"]): Promise<void> {
  const gatherer = new OutputGatherer();
  gatherer.add({ deltas });
  await checkOutput(check, gatherer.answers.values());
}

/** Throws 502 `output_invalid` when an answer breaks its promise. */
export async function checkOutput(check: OutputCheck, answers: Iterable<AnswerOutput>): Promise<void> {
  for (const answer of answers) {
    if (answer.refused || (answer.finish !== "stop" && answer.finish !== "tool_calls")) continue;
    const calls = answer.tools.filter((call) => call !== undefined);
    if (check.tools) await checkTools(check, check.tools, calls);
    else if (check.jsonObject && calls.length === 0) await checkContent(check, answer.content);
  }
}

async function checkTools(
  { organisation }: OutputCheck,
  schemas: Map<string, Schema | undefined>,
  calls: readonly { name: string; arguments: string }[],
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

async function checkContent(
  { organisation, content: schema, formatPath }: OutputCheck,
  content: string,
): Promise<void> {
  const problem = await checkText(content, schema, organisation);
  if (problem) throw broken(`the answer does not fit \`${formatPath}\`: answer${problem.path} ${problem.message}`);
}

/** What is wrong with a text that has to be JSON, and of a schema where there is one. */
function checkText(text: string, schema: Schema | undefined, organisation: string) {
  return schema ? valueProblem(schema, text, organisation) : jsonProblem(text, organisation);
}

function broken(why: string): LineshaftError {
  return new LineshaftError({
    code: "output_invalid",
    message: `The engine's answer breaks what was asked: ${why}.`,
    hint: "Try again, use a larger model, or one whose engine enforces schemas by grammar. The tokens were used and are billed.",
  });
}
