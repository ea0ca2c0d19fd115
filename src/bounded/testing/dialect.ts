// The shared suite of the one dialect of JSON Schema: every place that judges a value by a caller's schema gives the same answers.
import { describe, expect, test } from "vitest";

/** `fits`, `misfits`, or the message that refuses the schema. */
type Judgement = "fits" | "misfits" | { refused: string };

interface DialectCase {
  name: string;
  schema: unknown;
  fit: unknown[];
  misfit: unknown[];
  /** The keyword by whose name a grammar refuses the schema, where no grammar can hold a model to it. */
  notInGrammar?: string;
}

const order = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };

/** What generators write (zod 3 and 4, zod-to-json-schema, Pydantic 2, MCP servers of both drafts), and where the drafts differ. */
const cases: DialectCase[] = [
  {
    name: "draft-07's tuple",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "array",
      items: [{ type: "integer" }, { type: "string" }],
      additionalItems: { type: "null" },
      minItems: 2,
    },
    fit: [
      [1, "a"],
      [1, "a", null],
    ],
    misfit: [["a", "a"], [1, 1], [1, "a", 2], [1]],
  },
  {
    name: "2020-12's tuple",
    schema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "array",
      prefixItems: [{ type: "integer" }, { type: "string" }],
      items: false,
    },
    fit: [[1, "a"], [1], []],
    misfit: [["a"], [1, "a", 2]],
  },
  {
    name: "2020-12's tuple in a schema that names draft-07",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "array",
      prefixItems: [{ type: "integer" }],
      items: false,
    },
    fit: [[1], []],
    misfit: [["a"], [1, 2]],
  },
  {
    name: "references into a list of items (zod-to-json-schema)",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "object",
      properties: {
        pair: { type: "array", items: [order, { $ref: "#/properties/pair/items/0" }], additionalItems: order },
        other: { $ref: "#/properties/pair/items/1" },
        third: { $ref: "#/properties/pair/additionalItems" },
      },
      required: ["other"],
      additionalProperties: false,
    },
    fit: [{ other: { n: 1 } }, { pair: [{ n: 1 }, { n: 2 }, { n: 3 }], other: { n: 3 }, third: { n: 4 } }],
    misfit: [{ other: {} }, { pair: [{ n: 1 }, {}], other: { n: 1 } }, { other: { n: 1 }, third: {} }],
  },
  {
    name: "definitions of both drafts (Pydantic)",
    schema: {
      definitions: { A: { type: "integer" } },
      $defs: { B: { anyOf: [{ $ref: "#/definitions/A" }, { type: "null" }] } },
      type: "array",
      items: { $ref: "#/$defs/B" },
    },
    fit: [[1, null]],
    misfit: [["a"]],
  },
  {
    name: "keywords beside $ref",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      definitions: { T: { type: "string" } },
      $ref: "#/definitions/T",
      maxLength: 2,
    },
    fit: ["ab"],
    misfit: ["abc", 1],
  },
  {
    name: "a union told apart by a discriminator",
    schema: {
      discriminator: { propertyName: "kind" },
      oneOf: [
        { type: "object", properties: { kind: { const: "a" }, n: { type: "integer" } }, required: ["kind", "n"] },
        { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
      ],
    },
    fit: [{ kind: "a", n: 1 }, { kind: "b" }],
    misfit: [{ kind: "a" }, { kind: "c" }],
  },
  {
    name: "exclusive bounds as numbers",
    schema: { type: "integer", exclusiveMinimum: 0, exclusiveMaximum: 9 },
    fit: [1, 8],
    misfit: [0, 9],
  },
  { name: "nullable", schema: { type: "string", nullable: true }, fit: ["a", null], misfit: [1] },
  {
    name: "properties called like keywords",
    schema: {
      type: "object",
      properties: {
        items: { type: "array", items: { type: "string" } },
        additionalItems: { type: "integer" },
        $id: { type: "integer" },
        patternProperties: { type: "integer" },
      },
      required: ["items", "$id"],
      additionalProperties: false,
    },
    fit: [{ items: ["a"], additionalItems: 1, $id: 1, patternProperties: 1 }],
    misfit: [
      { items: [1], $id: 1 },
      { items: [], $id: "a" },
      { items: [], additionalItems: "a", $id: 1 },
    ],
  },
  {
    name: "an $id of its own",
    schema: { $id: "https://example.com/order", $defs: { N: { type: "integer" } }, $ref: "#/$defs/N" },
    fit: [1],
    misfit: ["a"],
  },
  {
    name: "draft-07's dependencies",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "object",
      dependencies: { a: ["b"], c: { required: ["d"] } },
    },
    fit: [{}, { a: 1, b: 1 }, { c: 1, d: 1 }],
    misfit: [{ a: 1 }, { c: 1 }],
    notInGrammar: "dependencies",
  },
  {
    name: "2020-12's dependencies",
    schema: { type: "object", dependentRequired: { a: ["b"] }, dependentSchemas: { c: { required: ["d"] } } },
    fit: [{}, { a: 1, b: 1 }, { c: 1, d: 1 }],
    misfit: [{ a: 1 }, { c: 1 }],
    notInGrammar: "dependentRequired",
  },
  {
    name: "unevaluated properties",
    schema: {
      type: "object",
      allOf: [{ properties: { a: { type: "integer" } } }],
      unevaluatedProperties: false,
    },
    fit: [{ a: 1 }],
    misfit: [{ a: 1, b: 1 }],
    notInGrammar: "unevaluatedProperties",
  },
  {
    name: "patterns of properties, which are not run",
    schema: {
      type: "object",
      properties: { a: { type: "integer" } },
      patternProperties: { "^x": { type: "integer" } },
      unevaluatedProperties: false,
    },
    fit: [{ a: 1, x1: 1 }, { y: 1 }],
    misfit: [{ a: "1" }],
    notInGrammar: "patternProperties",
  },
  {
    name: "counted contents",
    schema: { type: "array", contains: { const: 1 }, minContains: 2 },
    fit: [[1, 0, 1]],
    misfit: [[1, 0]],
    notInGrammar: "contains",
  },
];

/** Schemas that are refused everywhere, and what the refusal names. */
const refusals: [name: string, schema: unknown, named: RegExp][] = [
  ["draft-04's exclusive bounds", { type: "integer", minimum: 0, exclusiveMinimum: true }, /exclusiveMinimum/],
  ["draft-04's id", { id: "https://example.com/order", type: "integer" }, /`?"?id\b/],
  ["a list of items beside prefixItems", { items: [{ type: "integer" }], prefixItems: [{ type: "string" }] }, /items/],
  ["nullable without a type", { nullable: true, enum: ["a"] }, /nullable/],
  ["a reference to another document", { $ref: "https://example.com/order.json" }, /\$ref|reference/],
  ["a reference that leads nowhere", { $ref: "#/$defs/missing" }, /\$ref|reference/],
];

/** `grammar`: the boundary holds a model to a schema while it writes, and may refuse what no grammar can express. */
export function testDialect(
  boundary: string,
  judge: (schema: unknown, value: unknown) => Promise<Judgement>,
  options: { grammar?: boolean } = {},
): void {
  describe(`JSON Schema as ${boundary} reads it`, () => {
    test.each(cases)("$name", async ({ schema, fit, misfit, notInGrammar }) => {
      if (options.grammar && notInGrammar !== undefined) {
        const refused = (await judge(schema, fit[0])) as { refused?: string };
        expect(refused.refused).toContain(notInGrammar);
        return;
      }
      for (const value of fit) expect([value, await judge(schema, value)]).toEqual([value, "fits"]);
      for (const value of misfit) expect([value, await judge(schema, value)]).toEqual([value, "misfits"]);
    });

    test.each(refusals)("%s is refused by name", async (_name, schema, named) => {
      const refused = (await judge(schema, 1)) as { refused?: string };
      expect(refused.refused).toMatch(named);
    });
  });
}
