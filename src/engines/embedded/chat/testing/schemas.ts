// The table of schemas that tests share: what generators (zod 4, Pydantic 2, OpenAI's strict mode) really write and one entry
// per keyword, each with values that must get through and values that must not.
import { z } from "zod";
import { pydantic, type SchemaCase } from "./pydantic.ts";
import { zodCases } from "./zod.ts";

const keywordCases: SchemaCase[] = [
  { name: "true", schema: true, valid: [1, "a", null, [], {}, [{ a: [1.5] }]], invalid: [] },
  {
    name: "OpenAI strict mode",
    schema: {
      type: "object",
      properties: {
        steps: {
          type: "array",
          items: {
            type: "object",
            properties: { text: { type: "string" } },
            required: ["text"],
            additionalProperties: false,
          },
        },
        answer: { type: ["string", "null"] },
      },
      required: ["steps", "answer"],
      additionalProperties: false,
    },
    valid: [
      { steps: [{ text: "a" }], answer: null },
      { steps: [], answer: "b" },
    ],
    invalid: [{ steps: [] }],
  },
  {
    name: "allOf merges",
    schema: {
      allOf: [
        { type: "object", properties: { a: { type: "integer", minimum: 3 } }, required: ["a"] },
        { properties: { a: { maximum: 5 }, b: { type: "string" } }, required: ["b"] },
      ],
    },
    valid: [
      { a: 3, b: "" },
      { a: 5, b: "x" },
    ],
    invalid: [{ a: 6, b: "" }, { a: 3 }],
  },
  {
    name: "allOf of a reference",
    schema: {
      $defs: { A: { type: "object", properties: { a: { type: "integer" } }, required: ["a"] } },
      allOf: [{ $ref: "#/$defs/A" }],
      description: "d",
    },
    valid: [{ a: 1 }],
    invalid: [{}],
  },
  {
    name: "siblings of a reference",
    schema: { definitions: { Short: { type: "string", maxLength: 3 } }, $ref: "#/definitions/Short", minLength: 2 },
    valid: ["ab", "abc"],
    invalid: ["a", "abcd"],
  },
  {
    name: "siblings of anyOf",
    schema: {
      type: "object",
      properties: { k: { type: "string" } },
      required: ["k"],
      anyOf: [
        { properties: { a: { type: "integer" } }, required: ["a"] },
        { properties: { b: { type: "boolean" } }, required: ["b"] },
      ],
    },
    valid: [
      { k: "", a: 1 },
      { k: "x", b: true },
    ],
    invalid: [{ k: "" }],
  },
  {
    name: "enum narrowed by its neighbours",
    schema: { enum: ["a", "bb", 3, null, 12], type: ["string", "integer"], maxLength: 1, minimum: 5 },
    valid: ["a", 12],
    invalid: ["bb", 3, null],
  },
  {
    name: "const of an object",
    schema: { const: { a: [1, "x"], b: null } },
    valid: [{ a: [1, "x"], b: null }],
    invalid: [{ a: [1, "x"] }],
  },
  {
    name: "oneOf by type",
    schema: { oneOf: [{ type: "string" }, { type: "integer" }, { type: "null" }] },
    valid: ["a", 1, null],
    invalid: [true],
  },
  {
    name: "oneOf by values",
    schema: { oneOf: [{ const: "a" }, { const: "b" }, { enum: [1, 2] }] },
    valid: ["a", "b", 2],
    invalid: ["c"],
  },
  {
    name: "draft-07 tuple",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "array",
      items: [{ type: "integer" }, { type: "string" }],
      additionalItems: false,
      minItems: 1,
    },
    valid: [[1], [1, "a"]],
    invalid: [[], [1, "a", 2]],
  },
  {
    name: "OpenAPI nullable",
    schema: { type: "string", nullable: true, maxLength: 2 },
    valid: [null, "ab"],
    invalid: ["abc", 1],
  },
  {
    name: "prefixItems without minItems",
    schema: { type: "array", prefixItems: [{ type: "integer" }, { type: "boolean" }], items: { type: "null" } },
    valid: [[], [1], [1, true], [1, true, null, null]],
    invalid: [[true], [1, true, 2]],
  },
  {
    name: "additionalProperties beside properties",
    schema: {
      type: "object",
      properties: { id: { type: "integer" }, idx: { type: "integer" } },
      required: ["id"],
      additionalProperties: { type: "boolean" },
    },
    valid: [{ id: 1 }, { id: 1, x: true }, { id: 1, idx: 2, i: false, id2: true }],
    invalid: [{ x: true }, { id: 1, x: 1 }],
  },
  {
    name: "required without a schema",
    schema: { type: "object", properties: { a: { type: "integer" } }, required: ["a", "b"] },
    valid: [{ a: 1, b: [null] }],
    invalid: [{ a: 1 }],
  },
  { name: "no properties", schema: { type: "object", properties: {} }, valid: [{}], invalid: [1] },
  { name: "any object", schema: { type: "object" }, valid: [{}, { a: { b: [1] } }], invalid: [[], "a"] },
  {
    name: "minProperties and maxProperties",
    schema: { type: "object", additionalProperties: { type: "integer" }, minProperties: 1, maxProperties: 2 },
    valid: [{ a: 1 }, { a: 1, b: 2 }],
    invalid: [{}, { a: 1, b: 2, c: 3 }],
  },
  { name: "maxItems 0", schema: { type: "array", maxItems: 0 }, valid: [[]], invalid: [[1]] },
  { name: "multipleOf 1", schema: { type: "number", multipleOf: 1 }, valid: [1, -3], invalid: [1.5] },
  {
    name: "odd names",
    schema: {
      type: "object",
      properties: { 'a"b\\c\n': { type: "integer" }, "ключ 😀": { const: "é\u2028" } },
      required: ['a"b\\c\n', "ключ 😀"],
    },
    valid: [{ 'a"b\\c\n': 1, "ключ 😀": "é\u2028" }],
    invalid: [{}],
  },
  {
    name: "properties called like keywords",
    schema: {
      type: "object",
      properties: {
        items: { type: "string" },
        required: { type: "boolean" },
        $ref: { type: "integer" },
        nullable: { type: "null" },
      },
      required: ["items"],
    },
    valid: [{ items: "a", required: true, $ref: 1, nullable: null }],
    invalid: [{ items: 1 }],
  },
  {
    name: "mutual recursion",
    schema: {
      $ref: "#/$defs/A",
      $defs: {
        A: { type: "object", properties: { b: { $ref: "#/$defs/B" } } },
        B: { type: "array", items: { $ref: "#/$defs/A" } },
      },
    },
    valid: [{}, { b: [] }, { b: [{}, { b: [{}] }] }],
    invalid: [{ b: [1] }],
  },
  {
    name: "a pattern of quotes and controls",
    schema: { type: "string", pattern: '^["\\\\\\n\\t/-]+$' },
    valid: ['"\\\n\t/-'],
    invalid: ["a"],
  },
  {
    name: "implied types",
    schema: {
      properties: { s: { pattern: "^x" }, n: { minimum: 2 }, l: { items: { const: 1 } } },
      required: ["s", "n", "l"],
    },
    valid: [{ s: "xy", n: 2, l: [1, 1] }],
    invalid: [{ s: "y", n: 2, l: [] }],
  },
];

export const schemaCases: SchemaCase[] = [
  ...zodCases.map(([name, schema, valid, invalid]) => ({
    name: `zod ${name}`,
    schema: z.toJSONSchema(schema) as unknown,
    valid,
    invalid,
  })),
  ...pydantic,
  ...keywordCases,
];
