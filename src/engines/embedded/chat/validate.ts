// Validation of finished values by ajv over the schema as the caller gave it (draft-07's forms are first rewritten into
// 2020-12's). Patterns run on our own automata, in linear time: a caller's pattern never meets a backtracking matcher.
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormatsModule from "ajv-formats";
import { SchemaError } from "./errors.ts";
import { patternTest } from "./strings.ts";

const addFormats = addFormatsModule as unknown as (ajv: Ajv2020) => void;

// ajv keeps patterns apart by their text.
const linearPattern = Object.assign((source: string) => ({ test: patternTest(source), toString: () => source }), {
  code: "new RegExp",
});

/** A validator for the schema: null, or a sentence that says what is wrong and where. Throws SchemaError when ajv cannot read it. */
export function compileValidator(schema: unknown): (value: unknown) => string | null {
  const ajv = new Ajv2020({
    strict: false,
    allErrors: false,
    logger: false,
    validateSchema: false,
    code: { regExp: linearPattern },
  });
  addFormats(ajv);
  for (const version of ["1", "3", "4", "5"]) {
    ajv.addFormat(
      `uuid${version}`,
      new RegExp(`^[0-9a-f]{8}-[0-9a-f]{4}-${version}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, "i"),
    );
  }
  let check: ReturnType<Ajv2020["compile"]>;
  try {
    check = ajv.compile(modern(schema) as object);
  } catch (error) {
    throw new SchemaError("schema", "#", `it cannot be validated: ${(error as Error).message}.`);
  }
  return (value) => {
    if (check(value)) return null;
    const error = check.errors![0]!;
    const extra =
      error.params && "additionalProperty" in error.params
        ? ` (\`${String(error.params["additionalProperty"])}\`)`
        : "";
    return `${error.instancePath || "the value"} ${error.message ?? "is not valid"}${extra}`;
  };
}

const schemaMaps = new Set(["properties", "$defs", "definitions", "patternProperties", "dependentSchemas"]);
const schemaLists = new Set(["allOf", "anyOf", "oneOf", "prefixItems"]);
const schemas = new Set([
  "items",
  "additionalItems",
  "additionalProperties",
  "propertyNames",
  "not",
  "if",
  "then",
  "else",
  "contains",
  "unevaluatedItems",
  "unevaluatedProperties",
]);
const ajvKnowsNot = new Set(["$schema", "$id", "$anchor", "$dynamicAnchor", "nullable", "discriminator"]);

/** 2020-12's form of a schema: tuples as prefixItems, OpenAPI's nullable as a type, no ids that would move references. */
function modern(schema: unknown): unknown {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return schema;
  const given = schema as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (ajvKnowsNot.has(key)) continue;
    if (key === "items" && Array.isArray(value)) result["prefixItems"] = value.map(modern);
    else if (key === "additionalItems") {
      if (Array.isArray(given["items"])) result["items"] = modern(value);
    } else if (schemaMaps.has(key) && typeof value === "object" && value !== null) {
      result[key] = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, modern(member)]));
    } else if (schemaLists.has(key) && Array.isArray(value)) result[key] = value.map(modern);
    else result[key] = schemas.has(key) ? modern(value) : value;
  }
  if (given["nullable"] === true && given["type"] !== undefined)
    result["type"] = [...new Set([given["type"], "null"].flat())];
  return result;
}
