import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeBody, membersOf } from "./splice.ts";

const long = 'He said "no\\yes", {[,]} and \u00fc\u{1f600}\n'.repeat(800);
const bytesOf = (text: string) => Buffer.from(text);
const decode = (encoded: string | Uint8Array) =>
  JSON.parse(Buffer.from(encoded as Uint8Array).toString("utf8")) as unknown;

test("members are found whatever lies inside them", () => {
  const values = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue(), { maxKeys: 8 });
  fc.assert(
    fc.property(values, fc.constantFrom(undefined, 1, "\t"), (object, space) => {
      const plain = JSON.parse(JSON.stringify(object)) as Record<string, unknown>;
      const bytes = bytesOf(` ${JSON.stringify(plain, undefined, space)}\n`);
      const found = [...membersOf(bytes)!].map(([name, [start, end]]) => [
        name,
        JSON.parse(bytes.toString("utf8", start, end)),
      ]);
      expect(Object.fromEntries(found)).toEqual(plain);
    }),
    { numRuns: 500, seed: 4070 },
  );
});

test("a changed, a dropped and an added field; the rest byte for byte", () => {
  const text = `{ "model" : "a", "messages":[{"role":"user","content":${JSON.stringify(long)}}] , "user":"u","n":1 }`;
  const object = JSON.parse(text) as Record<string, unknown>;
  const { user: _dropped, ...rest } = object;
  const body = { ...rest, model: "b", max_tokens: 5, absent: undefined };
  const encoded = encodeBody(body, { bytes: bytesOf(text), object });
  expect(encoded).toBeInstanceOf(Uint8Array);
  expect(decode(encoded)).toEqual({ model: "b", messages: object["messages"], n: 1, max_tokens: 5 });
  expect(Buffer.from(encoded as Uint8Array).includes(JSON.stringify(long))).toBe(true);
});

test("a member given twice is written anew, as it was understood", () => {
  const text = `{"messages":${JSON.stringify([long])},"model":"first","model":"second"}`;
  const object = JSON.parse(text) as Record<string, unknown>;
  const encoded = encodeBody({ ...object }, { bytes: bytesOf(text), object });
  expect(typeof encoded).toBe("string");
  expect(JSON.parse(encoded as string)).toEqual({ messages: [long], model: "second" });
});

test("nothing to take from, nothing at all", () => {
  expect(encodeBody({ a: 1 }, undefined)).toBe('{"a":1}');
  const text = JSON.stringify({ x: long });
  expect(decode(encodeBody({}, { bytes: bytesOf(text), object: JSON.parse(text) as Record<string, unknown> }))).toEqual(
    {},
  );
});
