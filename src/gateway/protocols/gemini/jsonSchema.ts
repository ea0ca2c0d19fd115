// Gemini's own dialect of schemas (a part of OpenAPI's: upper-case types, `nullable`, numbers as texts) as JSON Schema. Clients send it in
// `parameters` and `responseSchema`, and Gemini CLI also in `responseJsonSchema`. A schema that is JSON Schema already stays as it is.
type Json = Record<string, unknown>;

const types = new Set(["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"]);
/** Bounds that the dialect writes as texts, because they have 64 bits. */
const counts = new Set(["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"]);
/** What JSON Schema has no word for: an order of members for the model to write them in. */
const unknown = new Set(["propertyOrdering", "nullable"]);

export function jsonSchemaOf(schema: Json): Json {
  const read: Json = {};
  for (const [name, value] of Object.entries(schema)) {
    if (unknown.has(name)) continue;
    read[name] = memberOf(name, value);
  }
  if (schema["format"] === "enum") delete read["format"];
  if (schema["nullable"] === true && typeof read["type"] === "string") {
    read["type"] = [read["type"], "null"];
    if (Array.isArray(read["enum"])) read["enum"] = [...(read["enum"] as unknown[]), null];
  }
  return read;
}

function memberOf(name: string, value: unknown): unknown {
  if (name === "type") return typeOf(value);
  if (counts.has(name) && typeof value === "string" && /^\d{1,15}$/.test(value)) return Number(value);
  if (name === "properties" || name === "$defs" || name === "definitions" || name === "patternProperties")
    return isObject(value)
      ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, isObject(one) ? jsonSchemaOf(one) : one]))
      : value;
  if (name === "anyOf" || name === "oneOf" || name === "allOf" || name === "prefixItems")
    return Array.isArray(value) ? value.map((one: unknown) => (isObject(one) ? jsonSchemaOf(one) : one)) : value;
  if (name === "items" || name === "additionalProperties" || name === "not")
    return isObject(value) ? jsonSchemaOf(value) : value;
  return value;
}

const typeOf = (type: unknown): unknown =>
  Array.isArray(type) ? type.map(typeOf) : typeof type === "string" && types.has(type) ? type.toLowerCase() : type;

const isObject = (value: unknown): value is Json =>
  value !== null && typeof value === "object" && !Array.isArray(value);
