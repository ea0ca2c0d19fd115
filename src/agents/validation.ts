// JSON Schema checks of what comes from outside a run: its input, a model's arguments and answers.
//
// `pattern` and `format` are not checked: a stranger's regular expression could stop the whole process. A tool's server checks
// its own arguments anyway, and a decision's shape is enforced while it is generated.
import { Ajv2020 } from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv";

const ajv = new Ajv2020({
  strict: false,
  allErrors: false,
  validateFormats: false,
  logger: false,
  addUsedSchema: false,
  code: { regExp: Object.assign(() => ({ test: () => true }), { code: "() => ({ test: () => true })" }) },
});

/** Compiled validators by schema object: schemas of a version live as long as the version is held in memory. */
const compiled = new WeakMap<object, ValidateFunction>();

/** Why a value does not fit a schema, in one line; undefined when it does. Throws when the schema itself is wrong. */
export function schemaProblem(schema: Record<string, unknown>, value: unknown): string | undefined {
  let validate = compiled.get(schema);
  if (!validate) {
    // `$id` and `$schema` are left out: an id may be seen twice, and drafts differ in words we do not rely on.
    const { $id: _id, $schema: _schema, ...rest } = schema;
    validate = ajv.compile(rest);
    // Kept by us, not by ajv, whose cache never lets go.
    ajv.removeSchema(rest);
    compiled.set(schema, validate);
  }
  if (validate(value)) return undefined;
  const error = validate.errors![0]!;
  const allowed = (error.params as { allowedValues?: unknown[] }).allowedValues;
  const extra = (error.params as { additionalProperty?: string }).additionalProperty;
  const detail = allowed ? `: ${allowed.map(String).join(", ")}` : extra ? ` ('${extra}')` : "";
  return `${error.instancePath.slice(1).replaceAll("/", ".") || "it"} ${error.message}${detail}`;
}

/** Why a JSON schema cannot be used; undefined when it can. */
export function schemaDefect(schema: Record<string, unknown>): string | undefined {
  try {
    schemaProblem(schema, null);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
