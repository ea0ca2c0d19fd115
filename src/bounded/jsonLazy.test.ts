// An object of which a list is parsed when it is read is the object that JSON.parse makes, however its bytes are cut; what JSON.parse
// refuses has no such object.
import fc from "fast-check";
import { expect, test } from "vitest";
import { JsonMeter } from "./json.ts";
import { copied, hasOutline, isSameMember, outlineOf, parseLazily, picked } from "./jsonLazy.ts";
import { Pieces } from "./pieces.ts";
import { runs } from "../../test/setup/runs.ts";

const bounds = { depth: 1_000, values: Infinity, numbers: Infinity };

type Json = Record<string, unknown>;

/** The object, where its outline was taken. */
function lazy(bytes: Buffer, piece = 70_000): Json | undefined {
  const meter = new JsonMeter(bounds, true, { outlined: "messages", partLength: 300 });
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += piece) pieces.push(bytes.subarray(at, at + piece));
  for (const one of pieces) meter.push(one);
  const { outline, members } = meter;
  return outline === undefined ? undefined : parseLazily(new Pieces(pieces), members!, "messages", outline);
}

function outcome(parse: () => unknown): { value: unknown } | "refused" {
  try {
    return { value: parse() };
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError);
    return "refused";
  }
}

const long = fc
  .array(fc.constantFrom("a".repeat(60), '"', "\\", "\n", "\u20ac", "\0", "\ud800", "\u00e9", ":", "}"), {
    maxLength: 9,
  })
  .map((parts) => parts.join("").repeat(2));
const text = fc.oneof(fc.constantFrom("", "user", "text"), long);
const part = fc.dictionary(
  fc.oneof({ weight: 9, arbitrary: fc.constantFrom("type", "text", "__proto__") }, long),
  text,
  { maxKeys: 3 },
);
const message = fc.record({ role: text, content: fc.oneof(text, fc.array(part, { maxLength: 3 })) });
const others = {
  model: text,
  tools: fc.array(part, { maxLength: 2 }),
  messages: fc.array(fc.oneof({ weight: 6, arbitrary: message }, text, part), { maxLength: 6 }),
};
const bodies = fc.oneof(
  { weight: 4, arbitrary: fc.record(others) },
  { weight: 4, arbitrary: fc.record({ messages: others.messages, model: text }) },
  { weight: 1, arbitrary: fc.dictionary(text, fc.jsonValue()) },
);

/** Bytes of the pieces that the JSON comes in. */
const pieces = fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(70_000));

/** Escapes that JSON.stringify does not write, each as long as what it replaces. */
const rewritten = (json: string): string => json.replaceAll("aaaaaa", "\\u0061");

test("is the same object, wherever its bytes are cut", () => {
  let taken = 0;
  fc.assert(
    fc.property(bodies, pieces, fc.boolean(), fc.boolean(), (body, piece, escapes, spaced) => {
      const json = JSON.stringify(body, undefined, spaced ? 1 : 0);
      const bytes = Buffer.from(escapes ? rewritten(json) : json);
      const object = lazy(bytes, piece);
      if (!object) return;
      taken++;
      const expected = JSON.parse(bytes.toString("utf8")) as Json;
      expect(Object.keys(object)).toEqual(Object.keys(expected));
      expect(JSON.stringify(object)).toBe(JSON.stringify(expected));
      expect({ ...object }).toEqual(expected);
    }),
    { numRuns: runs(2_000) },
  );
  expect(taken).toBeGreaterThan(300);
});

test("bytes that are changed, missing or too many: what JSON.parse refuses is refused, and all else is its value", () => {
  const characters = fc.constantFrom(...'[]{},:"\\1 u-\n\0\u20ac');
  let taken = 0;
  fc.assert(
    fc.property(bodies, fc.nat(), characters, fc.nat(2), pieces, (body, at, wrongOne, way, piece) => {
      const json = JSON.stringify(body);
      const place = at % (json.length + 1);
      const changed = json.slice(0, place) + (way === 0 ? "" : wrongOne) + json.slice(place + (way === 1 ? 0 : 1));
      const bytes = Buffer.from(changed);
      let object: Json | undefined;
      const made = outcome(() => (object = lazy(bytes, piece)));
      if (made !== "refused" && object === undefined) return;
      taken++;
      const expected = outcome(() => JSON.parse(bytes.toString("utf8")));
      // It is refused at once, and not when the list is read.
      expect(made === "refused" || expected === "refused" ? made : outcome(() => ({ ...object }))).toEqual(expected);
    }),
    { numRuns: runs(4_000) },
  );
  expect(taken).toBeGreaterThan(500);
});

test.each(["\\n", "\\\\", "\\u00e9", "\\x", "\\u00g9", "\\u00", "\n"])("%j, cut at each of its places", (written) => {
  const json = `{"messages":[{"content":"${"a".repeat(5_000)}${written}${"a".repeat(200)}"}]}`;
  const expected = outcome(() => JSON.parse(json));
  for (let cut = 5_015; cut < 5_045; cut++) {
    const meter = new JsonMeter(bounds, true, { outlined: "messages" });
    meter.push(Buffer.from(json).subarray(0, cut));
    meter.push(Buffer.from(json).subarray(cut));
    const { outline, members } = meter;
    if (outline === undefined) continue;
    const made = outcome(() => parseLazily(Buffer.from(json), members!, "messages", outline));
    expect(made === "refused" || expected === "refused" ? made : { value: { ...made.value! } }).toEqual(expected);
  }
});

test("bytes that are not UTF-8 are read as JSON.parse reads their text", () => {
  const bytes = Buffer.concat([Buffer.from('{"messages":[{"content":"'), Buffer.alloc(300, 0xff), Buffer.from('"}]}')]);
  expect(JSON.stringify(lazy(bytes))).toBe(JSON.stringify(JSON.parse(bytes.toString("utf8"))));
});

const of = (messages: unknown, more: Json = {}) => Buffer.from(JSON.stringify({ model: "m", messages, ...more }));
const said = "x".repeat(200);

test("one text of many windows is left out, and so is the end of a list before another member", () => {
  for (const bytes of [
    of([{ role: "user", content: "é".repeat(200_000) }]),
    of([{ content: said }], { stream: true }),
  ]) {
    const object = lazy(bytes)!;
    expect(JSON.stringify(outlineOf(object, "messages")).length).toBeLessThan(60);
    expect(object).toEqual(JSON.parse(bytes.toString("utf8")));
  }
});

test.each([
  ["no long text", of([{ content: "x" }])],
  ["a long name", of([{ [said]: said }])],
  ["a name given twice", Buffer.from(`{"messages":[{"content":"${said}"}],"messages":[]}`)],
  ["no such list", Buffer.from(`{"messages":{"content":{"a":"${said}"}}}`)],
  ["a list of texts, which stand in the outline as they are", of([said])],
  ["more than an outline holds", of(Array.from({ length: 6_000 }, () => ({ role: "user", content: said })))],
])("no outline is taken of %s", (_name, bytes) => expect(lazy(bytes)).toBeUndefined());

test("a copy stays unparsed, shares the list with its source, and takes another one", () => {
  const object = lazy(of([{ content: said }], { a: 1 }))!;
  const copy = copied(object, { b: 2 });
  expect(hasOutline(copy, "messages")).toBe(true);
  expect(isSameMember(copy, object, "messages")).toBe(true);
  expect(copy["messages"]).toBe(object["messages"]);
  expect(Object.keys(copy)).toEqual(["model", "messages", "a", "b"]);
  const other = copied(object, { messages: [1] });
  expect(Object.entries(other)).toEqual([
    ["model", "m"],
    ["messages", [1]],
    ["a", 1],
  ]);
  expect(isSameMember(other, object, "messages")).toBe(false);
  copy["messages"] = [2];
  expect(hasOutline(copy, "messages")).toBe(false);
  expect([copy["messages"], object["messages"]]).toEqual([[2], [{ content: said }]]);
});

test("some of its members are picked, the list unparsed, and those that it lacks are left out", () => {
  const object = lazy(of([{ content: said }], { a: 1, b: 2 }))!;
  const some = picked(object, ["messages", "a", "toString"], { more: true });
  expect(hasOutline(some, "messages")).toBe(true);
  expect(some).toEqual({ more: true, messages: [{ content: said }], a: 1 });
  expect(picked({ a: 1, messages: [2] }, ["messages"], {})).toEqual({ messages: [2] });
});

test("a member with the name of the prototype stays a member of the copy", () => {
  const object = lazy(Buffer.from(`{"__proto__":{"a":1},"messages":[{"content":"${said}"}]}`))!;
  expect(Object.keys(copied(object, {}))).toEqual(["__proto__", "messages"]);
});
