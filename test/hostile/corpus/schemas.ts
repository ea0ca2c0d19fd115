// JSON schemas that are short to write and expensive to compile, or expensive to check a value against: in `response_format`, in tools, in
// what an agent's manifest says of its input.
import type { HostileInput, Sent } from "./types.ts";

type Schema = Record<string, unknown>;

/** Each definition holds the next one twice: 2^levels nodes once it is expanded. */
export function doubling(levels: number): Schema {
  const ref = (level: number) => ({ $ref: `#/$defs/d${level}` });
  const $defs: Schema = { [`d${levels}`]: { type: "string" } };
  for (let level = 0; level < levels; level++)
    $defs[`d${level}`] = { type: "object", properties: { a: ref(level + 1), b: ref(level + 1) } };
  return { $defs, ...ref(0) };
}

/** The same for schemas that judge one value: it is checked 2^levels times. */
export function doublingInPlace(levels: number): Schema {
  const ref = (level: number) => ({ $ref: `#/$defs/d${level}` });
  const $defs: Schema = { [`d${levels}`]: { type: "string" } };
  for (let level = 0; level < levels; level++) $defs[`d${level}`] = { anyOf: [ref(level + 1), ref(level + 1)] };
  return { $defs, ...ref(0) };
}

/** Each level of the value is checked twice as often as the level above it. */
export const doublingByDepth = (): Schema => {
  const inside = { properties: { a: { $ref: "#" } } };
  return { allOf: [inside, { ...inside }] };
};

export const branches = (keyword: "anyOf" | "oneOf" | "allOf", count: number): Schema => ({
  [keyword]: Array.from({ length: count }, (_, i) => ({
    type: "object",
    properties: { [`p${i}`]: { type: "string" }, kind: { const: `k${i}` } },
    required: ["kind"],
  })),
});

export const values = (count: number): Schema => ({
  type: "object",
  properties: { pick: { enum: Array.from({ length: count }, (_, i) => `value number ${i}`) } },
});

export const members = (count: number): Schema => ({
  type: "object",
  properties: Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, { type: "string" }])),
});

export function nested(depth: number): Schema {
  let schema: Schema = { type: "string" };
  for (let level = 0; level < depth; level++) schema = { type: "object", properties: { a: schema } };
  return schema;
}

/** `not` of `not` and so on, each with two branches. */
export function combined(depth: number): Schema {
  let schema: Schema = { type: "string" };
  for (let level = 0; level < depth; level++) schema = { anyOf: [schema, { not: schema }] };
  return schema;
}

const unique: Schema = { type: "object", properties: { items: { type: "array", uniqueItems: true } } };
const itemsOf = (count: number) => ({ items: Array.from({ length: count }, (_, i) => ({ n: i })) });

const chat = (fields: Schema): string =>
  JSON.stringify({ model: "scripted", messages: [{ role: "user", content: "hi" }], ...fields });
const format = (schema: Schema) => ({ response_format: { type: "json_schema", json_schema: { name: "s", schema } } });
const tool = (schema: Schema, name = "t") => ({ type: "function", function: { name, parameters: schema } });

const asked = ([name, schema, status]: Asked): HostileInput => ({
  name: `response_format: ${name}`,
  method: "POST",
  path: "/v1/chat/completions",
  body: () => chat(format(schema())),
  engine: () => ({ chunks: ["{}"] }),
  status,
});

/** A schema within the bounds is used: `{}` fits it (200) or does not (502). A schema beyond the bounds is refused (400). */
type Asked = [name: string, schema: () => Schema, status: 200 | 400 | 502];

const schemas: Asked[] = [
  ["25 doubling $defs", () => doubling(25), 200],
  ["25 definitions that double in anyOf", () => doublingInPlace(25), 400],
  ["12 definitions that double in anyOf", () => doublingInPlace(12), 400],
  ["anyOf of 2,000 objects", () => branches("anyOf", 2000), 400],
  ["oneOf of 2,000 objects", () => branches("oneOf", 2000), 400],
  ["allOf of 2,000 objects", () => branches("allOf", 2000), 400],
  ["anyOf of 200 objects", () => branches("anyOf", 200), 502],
  ["enum of 14,000", () => values(14_000), 400],
  ["enum of 200", () => values(200), 200],
  ["5,000 properties", () => members(5_000), 400],
  ["300 properties", () => members(300), 200],
  ["2,000 levels", () => nested(2_000), 400],
  ["60 levels", () => nested(60), 200],
  ["16 levels of anyOf and not", () => combined(16), 400],
];

const agent = (name: string, more: Schema): Sent => ({
  method: "POST",
  path: "/api/agents",
  body: () =>
    JSON.stringify({ manifest: { kind: "Agent", name, model: "scripted", instructions: "Answer.", ...more } }),
});

export const schemaInputs: readonly HostileInput[] = [
  ...schemas.map(asked),
  {
    name: "tools: 40 of 25 doubling $defs, one required",
    method: "POST",
    path: "/v1/chat/completions",
    body: () =>
      chat({
        tools: Array.from({ length: 40 }, (_, i) => tool(doubling(20 + (i % 5)), `t${i}`)),
        tool_choice: "required",
      }),
    status: 502,
  },
  {
    name: "tools: 100 of 100 properties, one required",
    method: "POST",
    path: "/v1/chat/completions",
    body: () =>
      chat({
        tools: Array.from({ length: 100 }, (_, i) => tool({ ...members(100), title: `t${i}` }, `t${i}`)),
        tool_choice: "required",
      }),
    engine: () => ({ toolCalls: [{ name: "t1", arguments: "{}" }] }),
    status: 200,
  },
  {
    name: "answer: 340 KB for a schema with uniqueItems",
    method: "POST",
    path: "/v1/chat/completions",
    body: () => chat(format(unique)),
    engine: () => ({ chunks: [JSON.stringify(itemsOf(28_000))] }),
    status: 200,
  },
  {
    name: "answer: 40 levels, each checked twice for the level above",
    method: "POST",
    path: "/v1/chat/completions",
    body: () => chat(format(doublingByDepth())),
    engine: () => ({ chunks: [`${'{"a":'.repeat(40)}1${"}".repeat(40)}`] }),
    status: 502,
  },
  {
    name: "run: 340 KB of input for a schema with uniqueItems",
    method: "POST",
    path: "/api/runs",
    prepare: [agent("unique", { input: unique })],
    body: () => JSON.stringify({ agent: "unique", input: itemsOf(28_000) }),
    status: 200,
  },
  {
    ...agent("doubling", { input: doubling(22) }),
    name: "agent: input of 22 doubling $defs",
    status: 200,
  },
  {
    ...agent("in-place", { input: doublingInPlace(25) }),
    name: "agent: input of 25 definitions that double in anyOf",
    status: 400,
  },
  {
    ...agent("choices", { output: branches("anyOf", 1500) }),
    name: "agent: output of anyOf of 1,500 objects",
    status: 400,
  },
];
