// The table of schemas that tests share: what generators (zod 4, Pydantic 2, OpenAI's strict mode) really write and one entry
// per keyword, each with values that must get through and values that must not.
import { z } from "zod";

export interface SchemaCase {
  name: string;
  schema: unknown;
  valid: unknown[];
  invalid: unknown[];
}

const tree = z.object({
  name: z.string(),
  get children() {
    return z.array(tree);
  },
});

const zodCases: [name: string, schema: z.ZodType, valid: unknown[], invalid: unknown[]][] = [
  ["nullable", z.object({ a: z.string().nullable() }), [{ a: null }, { a: "x" }], [{}, { a: 1 }]],
  [
    "optional",
    z.object({ a: z.string().optional(), b: z.number(), c: z.boolean().optional() }),
    [{ b: 1 }, { a: "", b: -2.5 }, { b: 0, c: true }, { a: "y", b: 7, c: false }],
    [{}, { a: "x" }, { b: "1" }],
  ],
  [
    "all optional",
    z.object({ a: z.int().optional(), b: z.int().optional() }),
    [{}, { a: 1 }, { b: 2 }, { a: 1, b: 2 }],
    [{ c: 1 }, { a: 1.5 }],
  ],
  ["nullish", z.object({ a: z.int().nullish() }), [{}, { a: null }, { a: 3 }], [{ a: "3" }]],
  [
    "nullable of an object",
    z.object({ a: z.object({ b: z.int() }).nullable() }),
    [{ a: null }, { a: { b: 1 } }],
    [{ a: {} }],
  ],
  [
    "discriminated union",
    z.discriminatedUnion("t", [
      z.object({ t: z.literal("a"), x: z.number() }),
      z.object({ t: z.literal("b"), y: z.string() }),
    ]),
    [
      { t: "a", x: 1 },
      { t: "b", y: "" },
    ],
    [{ t: "a", y: "" }, { t: "c" }],
  ],
  ["union", z.union([z.string(), z.number(), z.null()]), ["a", 1, null], [true, []]],
  ["record", z.record(z.string(), z.number()), [{}, { a: 1, "b c": 2.5 }], [{ a: "1" }]],
  ["record of an enum", z.record(z.enum(["p", "q"]), z.int()), [{ p: 1, q: 2 }], [{ p: 1 }, { p: 1, q: 2, r: 3 }]],
  [
    "record of patterned keys",
    z.record(z.string().regex(/^k\d+$/), z.boolean()),
    [{}, { k1: true }, { k1: true, k22: false }],
    [{ x: true }],
  ],
  ["enum", z.enum(["HDF", "PWF", 'it\'s "so"']), ["HDF", 'it\'s "so"'], ["hdf", ""]],
  ["literal", z.literal(["x", 1, null, true]), ["x", 1, null, true], ["y", 2, false]],
  ["tuple", z.tuple([z.string(), z.int()]), [["a", 1]], [["a"], ["a", 1, 2], [1, "a"]]],
  ["tuple with rest", z.tuple([z.string()]).rest(z.int()), [["a"], ["a", 1, 2]], [[], ["a", "b"]]],
  ["int range", z.int().min(1).max(100), [1, 9, 10, 99, 100], [0, 101, -1, 1.5, 1000]],
  ["negative int range", z.int().min(-120).max(-7), [-7, -120, -100, -8], [-6, -121, 7, 0]],
  ["range over zero", z.int().min(-5).max(12), [-5, 0, 12, 5], [-6, 13]],
  ["int", z.int(), [0, -1, 9007199254740991, 42], [1.5, "1"]],
  ["int32", z.int32(), [-2147483648, 2147483647, 0], [2147483648]],
  ["number range", z.number().min(0.5).max(3.75), [0.5, 0.51, 1, 2.999, 3.75, 3.7], [0.4, 0.49, 3.751, 3.8, 4, -1]],
  ["positive number", z.number().positive(), [1, 0.001, 12.34, 123456.789], [0, -1]],
  ["number below", z.number().lt(10), [9.999, -1000, 0, 9], [10, 10.1, 11]],
  ["number strictly between", z.number().gt(1.5).lt(1.75), [1.51, 1.6, 1.7499], [1.5, 1.75, 2]],
  ["temperature", z.number().min(-40).max(85.5), [-40, -39.9, 0, 85.5, 85, 12.25], [-40.1, 85.6, 100]],
  ["float32", z.float32(), [1.5, -2, 0], ["1"]],
  [
    "regex",
    z.object({ code: z.string().regex(/^[a-z]+\d{2,3}$/) }),
    [{ code: "abc12" }, { code: "z999" }],
    [{ code: "abc1" }, { code: "abc1234" }],
  ],
  ["unanchored regex", z.string().regex(/ab/), ["ab", "xaby", '\n"ab'], ["a", "ba"]],
  ["two regexes", z.string().regex(/a/).regex(/b$/), ["ab", "acb"], ["b", "ba"]],
  [
    "regex and length",
    z
      .string()
      .regex(/^[a-z]*$/)
      .min(2)
      .max(4),
    ["ab", "abcd"],
    ["a", "abcde", "AB"],
  ],
  ["starts and ends with", z.string().startsWith("ab").endsWith("z"), ["abz", "abcz"], ["ab", "z"]],
  ["length", z.string().min(1).max(5), ["a", "abcde", 'é😀"\\\n'], ["", "abcdef"]],
  ["long length", z.string().max(300), ["", "x".repeat(300), "y".repeat(129)], ["z".repeat(301)]],
  ["date", z.iso.date(), ["2026-11-22", "2024-02-29"], ["2023-02-29", "2026-13-01", "today"]],
  ["date-time", z.iso.datetime(), ["2026-11-22T07:30:00Z", "2024-02-29T23:59:59.5Z"], ["2026-11-22"]],
  ["time", z.iso.time(), ["07:30", "23:59:59", "01:02:03.5"], ["24:00"]],
  ["uuid", z.uuid(), ["123e4567-e89b-42d3-a456-426614174000"], ["123e4567", ""]],
  ["email", z.email(), ["a.b+c@example.org"], ["a@b", "a"]],
  ["ipv4", z.ipv4(), ["127.0.0.1", "255.255.255.255"], ["256.0.0.1", "1.2.3"]],
  ["ipv6", z.ipv6(), ["::1", "2001:db8:0:0:0:0:0:1"], [":", "12345::"]],
  ["url", z.url(), ["https://example.org/a/b?c=d#e", "http://localhost:8080"], ["example"]],
  ["cuid2", z.cuid2(), ["abc123"], ["ABC", ""]],
  ["array bounds", z.array(z.int()).min(1).max(3), [[1], [1, 2, 3]], [[], [1, 2, 3, 4], ["a"]]],
  ["empty array or more", z.array(z.string()), [[], ["a"], ["a", "b", "c", "d"]], [[1]]],
  [
    "recursive",
    tree,
    [
      { name: "a", children: [] },
      { name: "a", children: [{ name: "b", children: [{ name: "c", children: [] }] }] },
    ],
    [{ name: "a" }, { name: "a", children: [{ name: "b" }] }],
  ],
  [
    "loose object",
    z.looseObject({ a: z.int() }),
    [{ a: 1 }, { a: 1, b: "x", c: [null, { d: true }] }],
    [{ b: 1 }, { a: "1" }],
  ],
  [
    "catchall",
    z.object({ a: z.int().optional() }).catchall(z.string()),
    [{}, { a: 1 }, { b: "x" }, { a: 1, b: "x" }, { ab: "" }],
    [{ b: 1 }, { a: "x" }],
  ],
  [
    "intersection",
    z.intersection(z.object({ a: z.string() }), z.object({ b: z.int() })),
    [{ a: "", b: 1 }],
    [{ a: "" }],
  ],
  ["any", z.object({ v: z.any() }), [{ v: null }, { v: [1, { a: "b" }] }], [[], 1]],
  ["default", z.object({ a: z.string().default("x") }), [{ a: "y" }], [{ a: 1 }]],
  ["exclusive union", z.xor([z.string(), z.int()]), ["a", 1], [true]],
  [
    "boolean and null",
    z.tuple([z.boolean(), z.null()]),
    [
      [true, null],
      [false, null],
    ],
    [[0, null]],
  ],
];

/** As Pydantic 2 writes models: `model_json_schema()`. */
const pydantic: SchemaCase[] = [
  {
    name: "Pydantic Optional with a default",
    schema: {
      properties: {
        name: { title: "Name", type: "string" },
        age: { anyOf: [{ minimum: 0, type: "integer" }, { type: "null" }], default: null, title: "Age" },
      },
      required: ["name"],
      title: "Person",
      type: "object",
    },
    valid: [{ name: "a" }, { name: "a", age: null }, { name: "a", age: 12 }],
    invalid: [{ age: 1 }, { name: "a", age: -1 }, { name: "a", age: 1.5 }],
  },
  {
    name: "Pydantic nested models, Literal, Enum and Union",
    schema: {
      $defs: {
        Cause: { enum: ["heat", "power"], title: "Cause", type: "string" },
        Cat: {
          properties: {
            kind: { const: "cat", title: "Kind", type: "string" },
            lives: { exclusiveMinimum: 0, maximum: 9, title: "Lives", type: "integer" },
          },
          required: ["kind", "lives"],
          title: "Cat",
          type: "object",
        },
        Dog: {
          properties: { kind: { const: "dog", title: "Kind", type: "string" }, cause: { $ref: "#/$defs/Cause" } },
          required: ["kind"],
          title: "Dog",
          type: "object",
        },
      },
      properties: {
        pet: {
          discriminator: { mapping: { cat: "#/$defs/Cat", dog: "#/$defs/Dog" }, propertyName: "kind" },
          oneOf: [{ $ref: "#/$defs/Cat" }, { $ref: "#/$defs/Dog" }],
          title: "Pet",
        },
        level: { enum: [1, 2, 3], title: "Level", type: "integer" },
        tags: {
          additionalProperties: { anyOf: [{ type: "string" }, { type: "integer" }] },
          title: "Tags",
          type: "object",
        },
      },
      required: ["pet", "level"],
      title: "Owner",
      type: "object",
    },
    valid: [
      { pet: { kind: "cat", lives: 9 }, level: 1 },
      { pet: { kind: "dog", cause: "heat" }, level: 3, tags: { a: 1, b: "x" } },
      { pet: { kind: "dog" }, level: 2 },
    ],
    invalid: [
      { pet: { kind: "cat", lives: 0 }, level: 1 },
      { pet: { kind: "cow" }, level: 1 },
      { pet: { kind: "dog" }, level: 4 },
    ],
  },
  {
    name: "Pydantic recursive model at the root",
    schema: {
      $defs: {
        Node: {
          properties: {
            value: { type: "integer" },
            next: { anyOf: [{ $ref: "#/$defs/Node" }, { type: "null" }], default: null },
          },
          required: ["value"],
          type: "object",
        },
      },
      $ref: "#/$defs/Node",
    },
    valid: [{ value: 1 }, { value: 1, next: { value: 2, next: null } }],
    invalid: [{ next: null }, { value: 1, next: 1 }],
  },
  {
    name: "Pydantic dates, UUID and duration",
    schema: {
      properties: {
        d: { format: "date", type: "string" },
        t: { format: "date-time", type: "string" },
        c: { format: "time", type: "string" },
        u: { format: "uuid", type: "string" },
        p: { format: "duration", type: "string" },
      },
      type: "object",
    },
    valid: [
      { d: "2024-02-29" },
      { t: "2026-01-02T03:04:05+01:00", u: "123E4567-e89b-12d3-a456-426614174000" },
      { c: "10:11:12Z", p: "P1DT2H3M" },
      { p: "P2W" },
    ],
    invalid: [{ d: "2024-02-30" }, { p: "P" }, { u: "x" }],
  },
  {
    name: "Pydantic tuple and constrained list",
    schema: {
      properties: {
        at: { maxItems: 2, minItems: 2, prefixItems: [{ type: "number" }, { type: "number" }], type: "array" },
        names: { items: { minLength: 1, type: "string" }, maxItems: 2, type: "array" },
      },
      required: ["at"],
      type: "object",
    },
    valid: [{ at: [1, 2.5] }, { at: [0, -1], names: ["a", "b"] }, { at: [0, 0], names: [] }],
    invalid: [{ at: [1] }, { at: [1, 2], names: [""] }, { at: [1, 2], names: ["a", "b", "c"] }],
  },
];

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
