// Work whose cost the caller chooses: what is refused by size, what is ended in its thread, and how it affects other callers.
import { describe, expect, test } from "vitest";
import { boundedSchema, CheckBusyError, SchemaBoundError, schemaDefect, valueProblem } from "./index.ts";
import { limits } from "./limits.ts";
import { schemaCost } from "./schemaCost.ts";
import { readYaml } from "./yaml.ts";

const doubling = (levels: number, twice = (ref: object): object => ({ anyOf: [ref, ref] })) => {
  const ref = (level: number) => ({ $ref: `#/$defs/d${level}` });
  const $defs: Record<string, unknown> = { [`d${levels}`]: { type: "string" } };
  for (let level = 0; level < levels; level++) $defs[`d${level}`] = twice(ref(level + 1));
  return { $defs, ...ref(0) };
};
const boundOf = (schema: unknown) => {
  try {
    schemaCost(schema);
    return undefined;
  } catch (error) {
    return (error as SchemaBoundError).bound;
  }
};
const many = <Item>(count: number, item: (index: number) => Item) => Array.from({ length: count }, (_, i) => item(i));

describe("a schema is refused by the bound that it passes", () => {
  let deep: unknown = true;
  for (let level = 0; level < 150; level++) deep = { properties: { a: deep } };
  test.each<[keyof typeof limits, unknown]>([
    ["schemaBranches", { anyOf: many(300, () => ({ type: "string" })) }],
    ["schemaBranches", { properties: { a: { oneOf: many(300, () => ({ type: "string" })) } } }],
    ["schemaEnumValues", { properties: { a: { enum: many(3_000, String) }, b: { enum: many(3_000, String) } } }],
    ["schemaNodes", { required: many(25_000, String) }],
    ["schemaBytes", { description: "a".repeat(300_000) }],
    ["schemaDepth", deep],
    ["schemaExpansion", doubling(25)],
    ["schemaExpansion", { $ref: "#" }],
    ["schemaExpansion", doubling(25, (ref) => ({ dependencies: { a: ref, b: ref } }))],
    ["schemaExpansion", { $defs: { a: { allOf: [{ $ref: "#/$defs/b" }] }, b: { $ref: "#/$defs/a" } } }],
  ])("%s", (bound, schema) => expect(boundOf(schema)).toBe(bound));

  test.each<[string, unknown]>([
    ["a tree", { properties: { left: { $ref: "#" }, right: { $ref: "#" } } }],
    ["definitions that double through properties", { $defs: { a: { properties: { x: { $ref: "#/$defs/a" } } } } }],
    ["a large enum", { enum: many(4_000, String) }],
    ["eight definitions that double", doubling(8)],
  ])("%s passes none", (_name, schema) => expect(boundOf(schema)).toBeUndefined());

  test("counting stops at the bound, however large the schema is", () => {
    let read = 0;
    const counted = new Proxy(
      many(1_000_000, () => 1),
      {
        get: (items, name, self) => {
          if (typeof name === "string" && /^\d+$/.test(name)) read++;
          return Reflect.get(items, name, self) as unknown;
        },
      },
    );
    expect(boundOf({ const: counted })).toBe("schemaNodes");
    expect(read).toBeLessThanOrEqual(limits.schemaNodes);
  });
});

describe("values", () => {
  const check = async (schema: object, value: unknown) =>
    valueProblem(boundedSchema(schema), JSON.stringify(value), "org");

  test("a tree that refers to itself is followed as far as the value goes", async () => {
    const tree = { type: "object", properties: { left: { $ref: "#" }, n: { type: "integer" } } };
    expect(await check(tree, { left: { left: { n: 1 } } })).toBeUndefined();
    expect(await check(tree, { left: { left: { n: "x" } } })).toEqual({
      path: "/left/left/n",
      message: "must be integer",
    });
  });

  test("unique items are judged by their values, each looked at once", async () => {
    const unique = { type: "array", uniqueItems: true };
    expect(
      await check(
        unique,
        many(30_000, (n) => ({ n })),
      ),
    ).toBeUndefined();
    expect(
      await check(unique, [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ]),
    ).toMatchObject({ message: expect.stringMatching(/twice/) });
    expect(await check(unique, [1, "1"])).toBeUndefined();
  });

  test("an invalid schema says why, and is remembered", async () => {
    const wrong = boundedSchema({ type: "nonsense" });
    expect(await schemaDefect(wrong, "org")).toMatch(/type/);
    expect(await schemaDefect(wrong, "org")).toMatch(/type/);
  });
});

describe("YAML", () => {
  test("twenty thousand keys are read, and a key that stands twice is found", async () => {
    const text = many(20_000, (i) => `k${i}: 1\n`).join("");
    expect(await readYaml(text, "org")).toMatchObject({ value: { k0: 1, k19999: 1 } });
    expect(await readYaml(`${text}k7: 2\n`, "org")).toEqual({
      problems: [{ line: 20_001, message: expect.stringMatching(/unique: k7/) }],
    });
  });

  test("lines are those of keys", async () => {
    const read = await readYaml("a: 1\nb:\n  - x\n  - c: 2\n", "org");
    if ("problems" in read) throw new Error("It was not read.");
    expect([["a"], ["b"], ["b", 0], ["b", 1, "c"], ["b", 1, "none"], []].map((path) => read.lineOf(path))).toEqual([
      1, 2, 3, 4, 4, 1,
    ]);
  });

  test.each([
    ["aliases", "a: &a [x]\nb: [*a, *a]", /aliases/],
    ["depth", "[".repeat(500) + "]".repeat(500), /deep/],
    ["number", many(60_000, () => "- 1\n").join(""), /more than 50000/],
  ])("%s is bounded", async (_name, text, message) => {
    expect(await readYaml(text, "org")).toEqual({ problems: [{ message: expect.stringMatching(message) }] });
  });
});

test("too much that waits is an error of its own, which may pass", () => {
  expect(new CheckBusyError("x").code).toBe("checks_busy");
});
