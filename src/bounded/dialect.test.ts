// The one dialect, as the thread that compiles and checks reads it, and what rewriting a schema into it must not do.
import { describe, expect, test } from "vitest";
import { inDialect } from "./dialect.ts";
import { boundedSchema, schemaDefect, valueProblem } from "./index.ts";
import { testDialect } from "./testing/dialect.ts";

testDialect("the thread", async (schema, value) => {
  const bounded = boundedSchema(schema);
  const defect = await schemaDefect(bounded, "org");
  if (defect !== undefined) return { refused: defect };
  return (await valueProblem(bounded, JSON.stringify(value), "org")) ? "misfits" : "fits";
});

describe("rewriting", () => {
  test("leaves data alone: values that look like schemas are no schemas", () => {
    const schema = { enum: [{ items: [1], $id: "x" }], const: { $schema: "y" }, default: { items: [1] } };
    expect(inDialect(schema)).toEqual(schema);
  });

  test("a keyword called __proto__ gives the copy no other prototype", () => {
    const copy = inDialect(JSON.parse('{"__proto__": {"type": "string"}, "properties": {"__proto__": {"$id": "x"}}}'));
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
    expect(JSON.stringify(copy)).toBe('{"__proto__":{"type":"string"},"properties":{"__proto__":{}}}');
  });

  test("references are followed through names that are escaped", () => {
    const schema = { $defs: { "a/b%": { items: [true] } }, $ref: "#/$defs/a~1b%25/items/0" };
    expect(inDialect(schema)).toEqual({
      $defs: { "a/b%": { prefixItems: [true] } },
      $ref: "#/$defs/a~1b%25/prefixItems/0",
    });
  });
});
