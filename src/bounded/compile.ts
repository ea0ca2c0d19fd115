// Compiling schemas and checking values, as it is done inside a thread (thread.ts). Two drafts, because two kinds of authors are
// served: response formats are checked by draft 7, as OpenAI's clients write them; agents and tools by 2020-12.
//
// `pattern` and `format` are not checked: matching a stranger's regular expression takes as long as its author wants. `uniqueItems` is
// checked in linear time, by the text of each item; ajv compares each with each.
import { Ajv } from "ajv";
import type { ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { limits } from "./limits.ts";

export type Draft = "draft-07" | "2020-12";

/** Why a value does not fit: where (`/items/3`, empty for the value itself), and what is wrong there. */
export interface SchemaProblem {
  path: string;
  message: string;
}

const options = {
  strict: false,
  allErrors: false,
  validateFormats: false,
  logger: false,
  code: { regExp: Object.assign(() => ({ test: () => true }), { code: "() => ({ test: () => true })" }) },
} as const;
const compilers = { "draft-07": new Ajv(options), "2020-12": new Ajv2020(options) };
for (const compiler of Object.values(compilers)) {
  compiler.removeKeyword("uniqueItems");
  compiler.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must not have the same item twice" },
    validate: (wanted: boolean, items: unknown[]) =>
      !wanted || new Set(items.map((item) => JSON.stringify(sorted(item)))).size === items.length,
  });
}

/** A value whose objects have their keys in order: equal values have equal text. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

/** Compiled schemas of this thread, the one used longest ago first. */
const compiled = new Map<string, ValidateFunction>();

/** A validator for a schema's text. Throws what the compiler says of a schema that it cannot read. */
export function compileSchema(text: string, draft: Draft): ValidateFunction {
  const key = `${draft} ${text}`;
  const known = compiled.get(key);
  if (known) {
    compiled.delete(key);
    compiled.set(key, known);
    return known;
  }
  const schema = checkable(JSON.parse(text)) as Record<string, unknown> | boolean;
  const compiler = compilers[draft];
  const validate = compiler.compile(schema);
  // Kept here, not by ajv, whose cache never lets go.
  compiler.removeSchema(schema);
  compiled.set(key, validate);
  for (const oldest of compiled.keys()) {
    if (compiled.size <= limits.compiledSchemas) break;
    compiled.delete(oldest);
  }
  return validate;
}

const notJson: SchemaProblem = { path: "", message: "is not JSON" };

/** Why a value does not fit a schema; undefined when it does. Both are JSON texts. */
export function problemOf(schema: string, draft: Draft, text: string): SchemaProblem | undefined {
  const validate = compileSchema(schema, draft);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return notJson;
  }
  if (validate(value)) return undefined;
  const error = validate.errors![0]!;
  const allowed = (error.params as { allowedValues?: unknown[] }).allowedValues;
  const extra = (error.params as { additionalProperty?: string }).additionalProperty;
  const detail = allowed
    ? `: ${allowed.slice(0, 50).map(String).join(", ")}`
    : extra !== undefined
      ? ` ('${extra}')`
      : "";
  return { path: short(error.instancePath), message: short(`${error.message}${detail}`) };
}

const short = (text: string) =>
  text.length <= limits.messageCharacters ? text : `${text.slice(0, limits.messageCharacters)} and so on`;

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
