// The constraint of each JSON Schema keyword, as a narrowing of a Flat (flat.ts). The table lists the supported keywords: JSON Schema
// 2020-12, draft-07's forms, and the OpenAPI additions that generators emit.
import { schemaRefused } from "./errors.ts";
import { child, commonValues, refuse, type Flat, type Kind, type Node } from "./flat.ts";
import { formatPatterns, annotationFormats, integerFormats } from "./formats.ts";

/** Returns the flat narrowed by the keyword's value. `schema` is the object in which the keyword stands. */
export type Keyword = (flat: Flat, value: unknown, node: Node, schema: Record<string, unknown>) => Flat;

const annotation: Keyword = (flat) => flat;

const unsupported =
  (keyword: string, sentence: string): Keyword =>
  (flat, _value, node) => {
    refuse(node, keyword, sentence);
    return flat;
  };

const implying = (flat: Flat, kind: Kind): ReadonlySet<Kind> => new Set([...flat.implied, kind]);

function numberOf(value: unknown, keyword: string, node: Node): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw schemaRefused(keyword, node.path, "it must be a number.");
}

function countOf(value: unknown, keyword: string, node: Node): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw schemaRefused(keyword, node.path, "it must be a whole number, not negative.");
}

function recordOf(value: unknown, keyword: string, node: Node): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw schemaRefused(keyword, node.path, "it must be an object.");
}

const type: Keyword = (flat, value, node, schema) => {
  const names: unknown[] = Array.isArray(value) ? value : [value];
  const kinds = new Set<Kind>();
  for (const name of names) {
    if (name === "integer") kinds.add("number");
    else if (["null", "boolean", "number", "string", "array", "object"].includes(name as string))
      kinds.add(name as Kind);
    else throw schemaRefused("type", node.path, `\`${String(name)}\` is not a JSON type.`);
  }
  if (schema["nullable"] === true) kinds.add("null");
  return {
    ...flat,
    kinds: new Set([...kinds].filter((kind) => flat.kinds?.has(kind) ?? true)),
    integer: flat.integer || (names.includes("integer") && !names.includes("number")),
  };
};

const bound =
  (keyword: string, field: "min" | "max" | "exclusiveMin" | "exclusiveMax"): Keyword =>
  (flat, value, node) => {
    if (typeof value === "boolean")
      throw schemaRefused(
        keyword,
        node.path,
        "give the bound itself as a number (the draft-04 form is not supported).",
      );
    const given = numberOf(value, keyword, node);
    const known = flat[field];
    const stricter = field === "min" || field === "exclusiveMin" ? Math.max : Math.min;
    return {
      ...flat,
      implied: implying(flat, "number"),
      [field]: known === undefined ? given : stricter(known, given),
    };
  };

const count =
  (
    keyword: "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties",
    kind: Kind,
  ): Keyword =>
  (flat, value, node) => {
    const stricter = keyword.startsWith("min") ? Math.max : Math.min;
    return {
      ...flat,
      implied: implying(flat, kind),
      [keyword]: stricter(flat[keyword], countOf(value, keyword, node)),
    };
  };

const multipleOf: Keyword = (flat, value, node) => {
  if (value === 1) return { ...flat, implied: implying(flat, "number"), integer: true };
  refuse(node, "multipleOf", "only multipleOf 1 can be enforced; ask for an integer count of units instead.");
  return flat;
};

const pattern: Keyword = (flat, value, node) => {
  if (typeof value !== "string") throw schemaRefused("pattern", node.path, "it must be a string.");
  return {
    ...flat,
    implied: implying(flat, "string"),
    patterns: [...flat.patterns, { source: value, path: node.path }],
  };
};

const format: Keyword = (flat, value, node, schema) => {
  if (typeof value !== "string") throw schemaRefused("format", node.path, "it must be a string.");
  const range = Object.hasOwn(integerFormats, value) ? integerFormats[value] : undefined;
  if (range) {
    const min = Math.max(flat.min ?? -Infinity, range[0]);
    return { ...flat, min, max: Math.min(flat.max ?? Infinity, range[1]), integer: true };
  }
  if (annotationFormats.has(value)) return flat;
  if (Object.hasOwn(formatPatterns, value)) {
    return { ...flat, implied: implying(flat, "string"), formats: [...flat.formats, { name: value, path: node.path }] };
  }
  // Some generators use their own format names with a pattern beside them; then the pattern is enforced.
  if (!("pattern" in schema)) {
    refuse(
      node,
      "format",
      `the format \`${value}\` cannot be enforced; use a pattern, or one of ${Object.keys(formatPatterns).join(", ")}.`,
    );
  }
  return flat;
};

/**
 * Values of one `enum`. Sampling looks at every one that is still possible for every token: five tokens out of 5,000 values took 11 s of
 * the worker, out of 1,000 values 1.7 s, out of 200 0.15 s more than without, and the worker's other calls wait meanwhile.
 */
const maxEnumValues = 500;

const values: Keyword = (flat, value, node) => {
  if (!Array.isArray(value)) throw schemaRefused("enum", node.path, "it must be a list of values.");
  if (value.length > maxEnumValues) {
    const advice = "shorten it, or ask for a string and check it yourself.";
    throw schemaRefused("enum", node.path, `it has more than ${maxEnumValues} values; ${advice}`);
  }
  return { ...flat, values: commonValues(flat.values, value) };
};

const items: Keyword = (flat, value, node, schema) => {
  const tuple = schema["prefixItems"] ?? (Array.isArray(value) ? value : undefined);
  if (tuple !== undefined && !Array.isArray(tuple))
    throw schemaRefused("prefixItems", node.path, "it must be a list of schemas.");
  if (Array.isArray(value) && "prefixItems" in schema)
    throw schemaRefused(
      "items",
      node.path,
      "a list of items beside prefixItems says the same twice; keep prefixItems.",
    );
  const key = Array.isArray(value) ? "items" : "prefixItems";
  const prefix = ((tuple ?? []) as unknown[]).map((schema, index) => child(node, schema, key, index));
  const restKey = Array.isArray(value) ? "additionalItems" : "items";
  const rest = Array.isArray(value) ? schema["additionalItems"] : schema["items"];
  const array = { prefix, items: rest === undefined ? undefined : child(node, rest, restKey) };
  return { ...flat, implied: implying(flat, "array"), arrays: [...flat.arrays, array] };
};

const members: Keyword = (flat, _value, node, schema) => {
  const listed = schema["properties"] === undefined ? {} : recordOf(schema["properties"], "properties", node);
  const properties = new Map(
    Object.entries(listed).map(([key, value]) => [key, child(node, value, "properties", key)]),
  );
  const rest = schema["additionalProperties"];
  const additional = rest === undefined ? undefined : child(node, rest, "additionalProperties");
  return { ...flat, implied: implying(flat, "object"), objects: [...flat.objects, { properties, additional }] };
};

const required: Keyword = (flat, value, node) => {
  if (!Array.isArray(value) || !value.every((key) => typeof key === "string")) {
    throw schemaRefused("required", node.path, "it must be a list of property names.");
  }
  return { ...flat, implied: implying(flat, "object"), required: new Set([...flat.required, ...value]) };
};

const falseOnly =
  (keyword: string, sentence: string): Keyword =>
  (flat, value, node) => {
    if (value !== false) refuse(node, keyword, sentence);
    return flat;
  };

const conditional = "conditions cannot be enforced while a value is written; list the allowed shapes with anyOf.";

export const keywords: Readonly<Record<string, Keyword>> = {
  type,
  enum: values,
  const: (flat, value, node, schema) => values(flat, [value], node, schema),
  nullable: (flat, value, node, schema) => {
    if (value === true && schema["type"] === undefined)
      refuse(node, "nullable", 'it needs `type` beside it; use anyOf with {"type": "null"}.');
    return flat;
  },
  minimum: bound("minimum", "min"),
  maximum: bound("maximum", "max"),
  exclusiveMinimum: bound("exclusiveMinimum", "exclusiveMin"),
  exclusiveMaximum: bound("exclusiveMaximum", "exclusiveMax"),
  multipleOf,
  minLength: count("minLength", "string"),
  maxLength: count("maxLength", "string"),
  pattern,
  format,
  minItems: count("minItems", "array"),
  maxItems: count("maxItems", "array"),
  items,
  // `items` reads its neighbour; alone, prefixItems is read the same way.
  prefixItems: (flat, value, node, schema) => ("items" in schema ? flat : items(flat, undefined, node, schema)),
  additionalItems: (flat, _value, node, schema) => {
    if (!Array.isArray(schema["items"]))
      refuse(node, "additionalItems", "it means something only beside a list of items.");
    return flat;
  },
  minProperties: count("minProperties", "object"),
  maxProperties: count("maxProperties", "object"),
  properties: members,
  additionalProperties: (flat, value, node, schema) =>
    "properties" in schema ? flat : members(flat, value, node, schema),
  required,
  propertyNames: (flat, value, node) => ({
    ...flat,
    implied: implying(flat, "object"),
    keys: [...flat.keys, child(node, value, "propertyNames")],
  }),

  not: unsupported("not", "a negation cannot be enforced; list what is allowed with enum or anyOf."),
  if: unsupported("if", conditional),
  then: unsupported("then", conditional),
  else: unsupported("else", conditional),
  patternProperties: unsupported("patternProperties", "use propertyNames with a pattern, and additionalProperties."),
  dependentRequired: unsupported("dependentRequired", conditional),
  dependentSchemas: unsupported("dependentSchemas", conditional),
  dependencies: unsupported("dependencies", conditional),
  contains: unsupported("contains", "say with items or prefixItems what the elements are."),
  minContains: unsupported("minContains", "say with items or prefixItems what the elements are."),
  maxContains: unsupported("maxContains", "say with items or prefixItems what the elements are."),
  uniqueItems: falseOnly("uniqueItems", "uniqueness cannot be enforced; remove it and drop repetitions afterwards."),
  unevaluatedItems: unsupported("unevaluatedItems", "use items."),
  unevaluatedProperties: unsupported("unevaluatedProperties", "use additionalProperties."),
  $dynamicRef: unsupported("$dynamicRef", "use $ref."),
  $anchor: unsupported("$anchor", "refer to definitions as #/$defs/NAME."),

  ...Object.fromEntries(
    [
      ["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "example", "examples"],
      ["deprecated", "readOnly", "writeOnly", "discriminator", "contentEncoding", "contentMediaType", "contentSchema"],
      ["externalDocs", "xml", "strict"],
    ]
      .flat()
      .map((name) => [name, annotation]),
  ),
};
