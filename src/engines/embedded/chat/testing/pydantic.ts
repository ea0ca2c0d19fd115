// Schemas as Pydantic 2 writes them.
export interface SchemaCase {
  name: string;
  schema: unknown;
  valid: unknown[];
  invalid: unknown[];
}

/** As Pydantic 2 writes models: `model_json_schema()`. */
export const pydantic: SchemaCase[] = [
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
