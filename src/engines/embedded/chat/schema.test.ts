import { LineshaftError } from "../../../errors/index.ts";
import { describe, expect, it } from "vitest";
import { spacedJson } from "./json.ts";
import { compileSchema, jsonObjectGrammar } from "./schema.ts";
import { testDialect } from "../../../bounded/testing/dialect.ts";
import { derive, matches, readGrammar, seeded } from "./testing/gbnf.ts";
import { oracleOf } from "./testing/oracle.ts";
import { schemaCases } from "./testing/schemas.ts";

describe.each(schemaCases)("$name", ({ schema, valid, invalid }) => {
  const grammar = readGrammar(compileSchema(schema));
  const judge = oracleOf(schema);

  it("lets valid values through, and only those", () => {
    for (const value of valid) {
      expect(judge(value), spacedJson(value)).toBeNull();
      expect(matches(grammar, spacedJson(value)), spacedJson(value)).toBe(true);
    }
    for (const value of invalid) {
      expect(judge(value), spacedJson(value)).not.toBeNull();
      expect(matches(grammar, spacedJson(value)), spacedJson(value)).toBe(false);
    }
  });

  it("writes nothing that is not valid", () => {
    const random = seeded(7);
    for (let count = 0; count < 100; count++) {
      const text = derive(grammar, random);
      const value: unknown = JSON.parse(text);
      expect(judge(value), text).toBeNull();
    }
  });

  it("allows no white space before or behind the value", () => {
    const text = derive(grammar, seeded(3));
    expect(matches(grammar, text)).toBe(true);
    expect(matches(grammar, ` ${text}`)).toBe(false);
    expect(matches(grammar, `${text}\n`)).toBe(false);
  });
});

testDialect(
  "the grammar",
  async (schema, value) => {
    let grammar: string;
    try {
      grammar = compileSchema(schema);
    } catch (error) {
      return { refused: (error as LineshaftError).message };
    }
    return matches(readGrammar(grammar), spacedJson(value)) ? "fits" : "misfits";
  },
  { grammar: true },
);

describe("json_object", () => {
  const grammar = readGrammar(jsonObjectGrammar());

  it("is any object and nothing else", () => {
    for (const value of [{}, { a: 1 }, { a: [1, "x", { b: null }], c: -1.5e-7, d: '\u2028é😀"\\' }]) {
      expect(matches(grammar, spacedJson(value))).toBe(true);
    }
    for (const value of [[], 1, "a", null]) expect(matches(grammar, spacedJson(value))).toBe(false);
    const random = seeded(11);
    for (let count = 0; count < 200; count++) expect(JSON.parse(derive(grammar, random))).toBeTypeOf("object");
  });
});

const text = { type: "string" };
const refusals: [keyword: string, path: string, schema: unknown][] = [
  ["not", "#", { not: {} }],
  ["if", "#/properties/a", { properties: { a: { if: {}, then: {} } } }],
  ["patternProperties", "#", { type: "object", patternProperties: { "^a": {} } }],
  ["dependentRequired", "#", { type: "object", dependentRequired: { a: ["b"] } }],
  ["dependentSchemas", "#", { type: "object", dependentSchemas: { a: {} } }],
  ["contains", "#", { type: "array", contains: {} }],
  ["uniqueItems", "#/properties/tags", { properties: { tags: { type: "array", items: text, uniqueItems: true } } }],
  ["unevaluatedProperties", "#", { type: "object", unevaluatedProperties: false }],
  ["unevaluatedItems", "#", { type: "array", unevaluatedItems: false }],
  ["multipleOf", "#", { type: "number", multipleOf: 0.5 }],
  ["format", "#", { type: "string", format: "iri" }],
  ["pattern", "#", { type: "string", pattern: "(?=a)b" }],
  ["pattern", "#", { type: "string", pattern: "\\bword" }],
  ["pattern", "#", { type: "string", pattern: "(a)\\1" }],
  ["pattern", "#", { type: "string", pattern: "^a$", format: "date" }],
  ["oneOf", "#", { oneOf: [{ type: "number" }, { type: "integer" }] }],
  [
    "oneOf",
    "#",
    {
      oneOf: [
        { type: "object", properties: { a: text } },
        { type: "object", properties: { b: text } },
      ],
    },
  ],
  ["$ref", "#", { $ref: "https://example.org/schema.json" }],
  ["$ref", "#/items", { type: "array", items: { $ref: "#/$defs/missing" } }],
  ["$ref", "#", { $ref: "#" }],
  ["$ref", "#/allOf/0", { allOf: [{ $ref: "#" }] }],
  ["minProperties", "#", { type: "object", properties: { a: text, b: text }, minProperties: 1 }],
  ["maxProperties", "#", { type: "object", properties: { a: text, b: text }, maxProperties: 1 }],
  ["minimum", "#", { type: "integer", minimum: 1e17 }],
  ["schema", "#", { type: "object", properties: { a: text }, required: ["b"], additionalProperties: false }],
  ["schema", "#", false],
  ["schema", "#", { type: "integer", minimum: 3, maximum: 2 }],
  ["schema", "#", { type: "array", items: { $ref: "#" }, minItems: 1 }],
  [
    "schema",
    "#",
    {
      anyOf: [
        { type: "array", items: { $ref: "#" }, minItems: 1 },
        { required: ["x"], propertyNames: { pattern: "^y" } },
      ],
    },
  ],
  ["schema", "#", { type: "object", properties: { next: { $ref: "#" } }, required: ["next"] }],
  ["type", "#", { type: "text" }],
  ["minumum", "#", { type: "integer", minumum: 3 }],
  ["nullable", "#", { nullable: true, enum: ["a"] }],
];

describe("what cannot be enforced", () => {
  it.each(refusals)("%s at %s is refused by name: %j", (keyword, path, schema) => {
    let error: unknown;
    try {
      compileSchema(schema);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(LineshaftError);
    expect((error as LineshaftError).code).toBe("unsupported_schema");
    expect((error as LineshaftError).message.startsWith(`JSON schema keyword \`${keyword}\` at ${path}`)).toBe(true);
  });
});

describe("what would keep the worker's other calls waiting", () => {
  const listed = (count: number) => ({
    properties: { pick: { enum: Array.from({ length: count }, (_, n) => `v${n}`) } },
  });

  it("is refused: more than 500 values to choose from", () => {
    expect(() => compileSchema(listed(501))).toThrow(/more than 500 values/);
    expect(compileSchema(listed(500))).toContain("v499");
  });
});
