// Random schemas with any combination of keywords. Either a schema is refused by name, or every text of its grammar is valid, and the
// grammar accepts that text again.
import { LineshaftError } from "../../../errors/index.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileSchema } from "./schema.ts";
import { oracleOf } from "./testing/oracle.ts";
import { derive, matches, readGrammar, seeded } from "./testing/gbnf.ts";
import { runs } from "../../../../test/setup/runs.ts";
import "../../../../test/setup/costly.ts";

const small = fc.integer({ min: 0, max: 4 });
const names = fc.constantFrom("a", "b", "c", 'd"');
const plain = fc.constantFrom<unknown>(
  null,
  true,
  0,
  1,
  -7,
  2.5,
  "",
  "a",
  "ab",
  "xyz",
  [],
  [1],
  {},
  { a: 1 },
  { a: "ab", b: null },
);

const { schema } = fc.letrec<{ schema: unknown }>((tie) => ({
  schema: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom<unknown>(
      true,
      {},
      { type: "null" },
      { type: "boolean" },
      { $ref: "#/$defs/N" },
      { $ref: "#/$defs/S" },
      { type: "string" },
    ),
    fc.record(
      {
        type: fc.constantFrom("integer", "number", ["integer", "null"]),
        minimum: fc.integer({ min: -99, max: 99 }),
        maximum: fc.integer({ min: -99, max: 999 }),
        exclusiveMinimum: fc.integer({ min: -20, max: 20 }),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        type: fc.constant("string"),
        minLength: small,
        maxLength: fc.integer({ min: 2, max: 300 }),
        pattern: fc.constantFrom("^[a-z]*$", "a", "^x|y$", "^.{0,3}$"),
        format: fc.constantFrom("date", "uuid", "ipv4"),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        enum: fc.array(plain, { minLength: 1, maxLength: 4 }),
        type: fc.constantFrom("string", ["string", "number"], "object", "array"),
      },
      { requiredKeys: ["enum"] },
    ),
    fc.record({ const: plain }),
    fc.record(
      {
        type: fc.constant("array"),
        items: tie("schema"),
        prefixItems: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }),
        minItems: small,
        maxItems: fc.integer({ min: 1, max: 6 }),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        type: fc.constantFrom("object", ["object", "null"]),
        properties: fc.dictionary(names, tie("schema"), { maxKeys: 4 }),
        required: fc.uniqueArray(names, { maxLength: 3 }),
        additionalProperties: tie("schema"),
        propertyNames: fc.constantFrom({ pattern: "^[ab]" }, { enum: ["a", "q"] }, { minLength: 1 }),
        minProperties: small,
        maxProperties: fc.integer({ min: 1, max: 5 }),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record({ anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ oneOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ allOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }) }),
    fc.record({
      anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }),
      properties: fc.dictionary(names, tie("schema"), { maxKeys: 2 }),
      required: fc.uniqueArray(names, { maxLength: 1 }),
    }),
  ),
}));

describe("any schema", () => {
  it("is refused by name, or all that its grammar writes is valid", () => {
    let compiledCount = 0;
    fc.assert(
      fc.property(schema, schema, schema, fc.integer(), (root, n, s, seed) => {
        const whole = { ...(typeof root === "object" ? root : {}), $defs: { N: n, S: s } };
        let gbnf: string;
        try {
          gbnf = compileSchema(whole);
        } catch (error) {
          expect(error).toBeInstanceOf(LineshaftError);
          return;
        }
        compiledCount++;
        const grammar = readGrammar(gbnf);
        const random = seeded(seed);
        let judge: ReturnType<typeof oracleOf> | undefined;
        for (let count = 0; count < 8; count++) {
          const text = derive(grammar, random, 12, 150);
          let wrong: string | null;
          try {
            wrong = (judge ??= oracleOf(whole))(JSON.parse(text));
          } catch (error) {
            // Definitions that only refer to themselves, in a corner that no value reaches.
            expect(error).toBeInstanceOf(RangeError);
            return;
          }
          expect(wrong, text).toBeNull();
          if (text.length < 400) expect(matches(grammar, text), text).toBe(true);
        }
      }),
      { numRuns: runs(100), seed: 6 },
    );
    // A search in which most schemas are refused would find nothing.
    expect(compiledCount).toBeGreaterThan(runs(100) / 3);
  });
});
