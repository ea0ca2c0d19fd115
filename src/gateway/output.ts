// Whether an answer is what was asked for. A JSON schema in `response_format` and the arguments of a required tool are
// promises: engines have been seen to break them (vLLM answers `tool_choice: required` with a bare string), so every answer is
// checked, whoever gave it, and a broken one is said to be broken.
//
// An answer that was cut by its token limit or stopped early promises nothing. `pattern` and `format` are not checked here:
// a caller's regular expression could stop the whole process.
import { Ajv } from "ajv";
import type { ValidateFunction } from "ajv";
import { GatewayError } from "./errors.ts";
import { limits } from "./limits.ts";

type Json = Record<string, unknown>;

const ajv = new Ajv({
  strict: false,
  allErrors: false,
  validateFormats: false,
  logger: false,
  addUsedSchema: false,
  // A pattern is read as "anything": matching it takes as long as its author wants.
  code: { regExp: Object.assign(() => ({ test: () => true }), { code: "() => ({ test: () => true })" }) },
});
const compiled = new Map<string, { validate: ValidateFunction; schema: Json | boolean }>();

/** What one answer has to be; undefined when nothing was promised. */
export interface OutputCheck {
  content: ValidateFunction | undefined;
  jsonObject: boolean;
  /** Validators of the tools that may be called, when one must be. */
  tools: Map<string, ValidateFunction | undefined> | undefined;
}

/** Reads the promises out of a request. Throws a 400 when a schema is none. */
export function outputCheck(body: Json): OutputCheck | undefined {
  const format = body["response_format"] as
    | { type: string; json_schema?: { schema?: Json | boolean } }
    | null
    | undefined;
  const schema = format?.type === "json_schema" ? format.json_schema?.schema : undefined;
  const content = schema === undefined ? undefined : compile(schema, "response_format");
  const jsonObject = format?.type === "json_object" || format?.type === "json_schema";
  const choice = body["tool_choice"] as string | { function: { name: string } } | null | undefined;
  const must = choice === "required" || (typeof choice === "object" && choice !== null);
  const tools = must ? toolValidators(body, typeof choice === "object" ? choice.function.name : undefined) : undefined;
  return jsonObject || tools ? { content, jsonObject, tools } : undefined;
}

function toolValidators(body: Json, only: string | undefined): Map<string, ValidateFunction | undefined> {
  const tools = body["tools"] as { function: { name: string; parameters?: Json | null } }[];
  return new Map(
    tools
      .filter((tool) => only === undefined || tool.function.name === only)
      .map((tool) => {
        const parameters = tool.function.parameters;
        return [tool.function.name, parameters ? compile(parameters, "tools") : undefined];
      }),
  );
}

function compile(schema: Json | boolean, param: string): ValidateFunction {
  const text = JSON.stringify(schema);
  const known = compiled.get(text);
  if (known) {
    compiled.delete(text);
    compiled.set(text, known);
    return known.validate;
  }
  const refused = (message: string, cause?: unknown) =>
    new GatewayError({
      status: 400,
      code: "invalid_json_schema",
      message,
      param,
      hint: "Correct the schema; Lineshaft checks answers by JSON Schema draft 7.",
      cause,
    });
  if (text.length > limits.schemaBytes)
    throw refused(`The schema in ${param} is longer than ${limits.schemaBytes} bytes.`);
  try {
    const checked = checkable(schema) as Json | boolean;
    const validate = ajv.compile(checked);
    compiled.set(text, { validate, schema: checked });
    for (const [oldest, entry] of compiled) {
      if (compiled.size <= limits.compiledSchemas) break;
      compiled.delete(oldest);
      ajv.removeSchema(entry.schema);
    }
    return validate;
  } catch (error) {
    throw refused(`The schema in ${param} cannot be used: ${(error as Error).message}`, error);
  }
}

/**
 * A copy without what cannot be checked here: `$schema` would have to be loaded, an `$id` could clash with another caller's,
 * and `patternProperties` needs the patterns (with it goes `additionalProperties`, which means those left over).
 */
function checkable(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(checkable);
  if (schema === null || typeof schema !== "object") return schema;
  const patterns = "patternProperties" in schema && typeof schema.patternProperties === "object";
  const kept = Object.entries(schema).filter(
    ([name, value]) =>
      !((name === "$schema" || name === "$id") && typeof value === "string") &&
      !(patterns && (name === "patternProperties" || name === "additionalProperties")),
  );
  return Object.fromEntries(kept.map(([name, value]) => [name, literal.has(name) ? value : checkable(value)]));
}

/** Keywords whose value is data, not schema. */
const literal = new Set(["const", "enum", "default", "examples", "required"]);

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
    for (const choice of (data["choices"] ?? []) as Json[]) {
      const delta = (choice["delta"] ?? choice["message"]) as Json | undefined;
      const index = typeof choice["index"] === "number" ? choice["index"] : 0;
      let output = this.choices.get(index);
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
        const tool = (output.tools[call.index ?? place] ??= { name: "", arguments: "" });
        tool.name += call.function?.name ?? "";
        tool.arguments += call.function?.arguments ?? "";
      }
    }
  }
}

/** Throws 502 `output_invalid` when a choice breaks its promise. */
export function checkOutput(check: OutputCheck, choices: Iterable<ChoiceOutput>): void {
  for (const choice of choices) {
    if (choice.refused || (choice.finish !== "stop" && choice.finish !== "tool_calls")) continue;
    const calls = choice.tools.filter((call) => call !== undefined);
    if (check.tools) checkTools(check.tools, calls);
    else if (check.jsonObject && calls.length === 0) checkContent(check, choice.content);
  }
}

function checkTools(validators: Map<string, ValidateFunction | undefined>, calls: ChoiceOutput["tools"]): void {
  if (calls.length === 0) throw broken("`tool_choice` asked for a tool, yet the model called none");
  for (const call of calls) {
    if (!validators.has(call.name))
      throw broken(`the model called ${JSON.stringify(call.name)}, which is not allowed here`);
    const value = parse(call.arguments);
    if (value === undefined) throw broken(`the arguments of ${call.name} are not JSON`);
    const validate = validators.get(call.name);
    if (validate && !validate(value))
      throw broken(
        `the arguments of ${call.name} do not fit its schema: ${ajv.errorsText(validate.errors, { dataVar: "arguments" })}`,
      );
  }
}

function checkContent(check: OutputCheck, content: string): void {
  const value = parse(content);
  if (value === undefined) throw broken("`response_format` asked for JSON, yet the answer is none");
  if (check.content && !check.content(value))
    throw broken(
      `the answer does not fit the schema in \`response_format\`: ${ajv.errorsText(check.content.errors, { dataVar: "answer" })}`,
    );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function broken(why: string): GatewayError {
  return new GatewayError({
    status: 502,
    code: "output_invalid",
    message: `The engine's answer breaks what was asked: ${why}.`,
    hint: "Try again, use a larger model, or one whose engine enforces schemas by grammar. The tokens were used and are billed.",
  });
}
