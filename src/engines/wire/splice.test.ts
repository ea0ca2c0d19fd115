import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { anyText } from "../../../test/fuzz/text.ts";
import { encodeBody, membersOf } from "./splice.ts";
import { promptLength } from "./chat/usage.ts";
import { runs } from "../../../test/setup/runs.ts";

const long = 'He said "no\\yes", {[,]} and so on.\n'.repeat(800);
const decode = (encoded: string) => JSON.parse(encoded) as unknown;
const sourceOf = (text: string) => ({
  bytes: Buffer.from(text),
  object: decode(text) as Record<string, unknown>,
});
const joined = (encoded: string | Uint8Array | Uint8Array[]) =>
  typeof encoded === "string" ? encoded : Buffer.concat([encoded].flat()).toString("utf8");

test("members are found whatever lies inside them", () => {
  const values = fc.dictionary(anyText(), fc.jsonValue(), { maxKeys: 8 });
  fc.assert(
    fc.property(values, fc.constantFrom(undefined, 1, "\t"), (object, space) => {
      const plain = JSON.parse(JSON.stringify(object)) as Record<string, unknown>;
      const text = ` ${JSON.stringify(plain, undefined, space)}\n`;
      const bytes = Buffer.from(text);
      const found = [...membersOf(bytes)!].map(([name, { start, end }]) => [
        name,
        decode(bytes.toString("utf8", start, end)),
      ]);
      expect(Object.fromEntries(found)).toEqual(plain);
    }),
    { numRuns: runs(200), seed: 4070 },
  );
});

test("a changed, a dropped and an added field; the rest as the bytes that came", () => {
  const written = JSON.stringify(long).replace("He said", "\\u0048e said");
  const text = `{ "model" : "a", "messages":[{"role":"user","content":${written}}] , "user":"u","n":1 }`;
  const source = sourceOf(text);
  const { user: _dropped, ...rest } = source.object;
  const encoded = encodeBody({ ...rest, model: "b", max_tokens: 5, absent: undefined }, source);
  expect(decode(joined(encoded))).toEqual({ model: "b", messages: source.object["messages"], n: 1, max_tokens: 5 });
  const piece = (encoded as Uint8Array[])[1]!;
  expect(piece.buffer).toBe(source.bytes.buffer);
  expect(joined(encoded)).toContain("\\u0048e said");
});

test("a member given twice is written anew, as it was understood", () => {
  const source = sourceOf(`{"messages":${JSON.stringify([long])},"model":"first","model":"second"}`);
  const encoded = encodeBody({ ...source.object }, source);
  expect(encoded).toBe(JSON.stringify({ messages: [long], model: "second" }));
});

test("a name given twice inside a member is written anew, at any depth", () => {
  for (const inner of [
    `{"role":"user","content":"good","content":"bad"}`,
    `{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd","url":"https://a.example"}}]}`,
    `{"role":"user","con\\u0074ent":"good","content":"bad"}`,
    `{"role":"user","content":"x","__proto__":{"a":1,"a":2}}`,
  ]) {
    const source = sourceOf(`{"model":"a","messages":[${JSON.stringify(long)},${inner}]}`);
    expect(encodeBody({ ...source.object }, source)).toBeTypeOf("object");
    expect(joined(encodeBody({ ...source.object }, source))).toBe(JSON.stringify(source.object));
  }
});

test("a large body that can be read in two ways is refused: writing it anew would hold every other call up", () => {
  const large = JSON.stringify("x".repeat(9 * 1024 * 1024));
  const twice = [
    `{"model":"first","messages":[{"role":"user","content":${large}}],"model":"second"}`,
    `{"model":"a","messages":[{"role":"user","content":"good","content":${large}}]}`,
  ];
  for (const text of twice) {
    const source = sourceOf(text);
    expect(() => encodeBody({ ...source.object }, source)).toThrow(
      expect.objectContaining({ status: 400, code: "invalid_json", retryable: false }),
    );
  }
  const text = `{"model":"a","messages":[{"role":"user","content":${large}}]}`;
  const source = sourceOf(text);
  const bytes = Buffer.from(text.replace("xxx", "x\u00ffx"), "latin1");
  expect(() => encodeBody({ ...source.object }, { ...source, bytes })).toThrow(
    expect.objectContaining({ status: 400 }),
  );
});

test("text beyond ASCII leaves as the bytes that it came as, however wide its letters are", () => {
  const messages = [`${long}\u00fc\u20ac\u{1f600}`.repeat(3)];
  const source = sourceOf(
    `{"user":"\u{1f600}\u00e9","messages":${JSON.stringify(messages)},"m\u00f6del":"\u20ac","n":1}`,
  );
  const body = { n: 2, ...source.object, user: "b" };
  const encoded = encodeBody(body, source);
  expect((encoded as Uint8Array[])[1]!.buffer).toBe(source.bytes.buffer);
  expect(decode(joined(encoded))).toEqual(body);
});

test("bytes that are not UTF-8 are written anew, as they were understood", () => {
  for (const wrong of [[0xff], [0xf0, 0x9f, 0x98], [0xed, 0xa0, 0x80]]) {
    const bytes = Buffer.concat([
      Buffer.from(`{"messages":["${"a".repeat(20_000)}`),
      Buffer.from(wrong),
      Buffer.from('"]}'),
    ]);
    const text = bytes.toString("utf8");
    const object = decode(text) as Record<string, unknown>;
    const encoded = joined(encodeBody(object, { bytes, object }));
    expect(encoded).toBe(JSON.stringify(object));
    expect(encoded).toContain("\ufffd");
  }
});

test("of a large body nothing but its short fields is written as JSON", () => {
  const source = sourceOf(
    JSON.stringify({ model: "a", messages: [{ role: "user", content: "\u20ac".repeat(1_000_000) }] }),
  );
  const stringify = vi.spyOn(JSON, "stringify");
  encodeBody({ ...source.object, model: "b", max_tokens: 5 }, source);
  promptLength(source.object, source.bytes.length);
  const characters = stringify.mock.results.reduce((sum, { value }) => sum + String(value).length, 0);
  stringify.mockRestore();
  expect(characters).toBeLessThan(100);
});

test("nothing to take from, nothing at all", () => {
  expect(encodeBody({ a: 1 }, undefined)).toBe('{"a":1}');
  expect(joined(encodeBody({}, sourceOf(JSON.stringify({ x: long }))))).toBe("{}");
});

test("whatever a body is, it is sent as it was understood", () => {
  const values = fc.dictionary(anyText(), fc.oneof(fc.jsonValue(), fc.constantFrom(long, `\u20ac${long}`)), {
    maxKeys: 6,
  });
  fc.assert(
    fc.property(values, fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }), (came, changes) => {
      const source = sourceOf(JSON.stringify({ ...came, long }, undefined, 1));
      const body = { ...source.object, ...changes };
      expect(decode(joined(encodeBody(body, source)))).toEqual(decode(JSON.stringify(body)));
    }),
    { numRuns: runs(200), seed: 4070 },
  );
});
