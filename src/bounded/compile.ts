// The one set-up of Ajv: schemas are compiled and values are checked here, in one dialect (dialect.ts), for every boundary. It runs inside
// a thread (thread.ts), because a schema's author chooses what compiling it costs.
//
// `pattern` and `format` are annotations: matching a caller's regular expression takes as long as its author wants. `uniqueItems` is
// checked in linear time, by the text of each item, because ajv compares each item with each.
import type { ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { LRUCache } from "lru-cache";
import { inDialect } from "./dialect.ts";
import { limits } from "./limits.ts";

/** Why a value does not fit: where (`/items/3`, empty for the value itself), and what is wrong there. */
export interface SchemaProblem {
  path: string;
  message: string;
}

const compiler = new Ajv2020({
  strict: false,
  allErrors: false,
  validateFormats: false,
  logger: false,
  code: { regExp: Object.assign(() => ({ test: () => true }), { code: "() => ({ test: () => true })" }) },
});
compiler.removeKeyword("uniqueItems");
compiler.addKeyword({
  keyword: "uniqueItems",
  type: "array",
  schemaType: "boolean",
  error: { message: "must not have the same item twice" },
  validate: (wanted: boolean, items: unknown[]) =>
    !wanted || new Set(items.map((item) => JSON.stringify(sorted(item)))).size === items.length,
});

/** A value whose objects have their keys in order: equal values have equal text. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

/** Compiled schemas of this thread, by their text. */
const compiled = new LRUCache<string, ValidateFunction>({ max: limits.compiledSchemas });

/** A validator for a schema's JSON text. Throws an Error with the compiler's message for a schema that it cannot read. */
export function compileSchema(text: string): ValidateFunction {
  const known = compiled.get(text);
  if (known) return known;
  const schema = inDialect(JSON.parse(text)) as Record<string, unknown> | boolean;
  const validate = compiler.compile(schema);
  // Cached here, because ajv's own cache never evicts.
  compiler.removeSchema(schema);
  compiled.set(text, validate);
  return validate;
}

/** Why a value does not fit a schema; undefined when it does. Both are JSON texts. */
export function problemOf(schema: string, text: string): SchemaProblem | undefined {
  const validate = compileSchema(schema);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { path: "", message: "is not JSON" };
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
