// Where lines end, and what each has to say.
import fc from "fast-check";
import { expect, test } from "vitest";
import { anyText } from "../../../test/fuzz/text.ts";
import { limits } from "../limits.ts";
import { LineCutter, LineReader } from "./lines.ts";

const cut = (pieces: readonly Buffer[]): (string | undefined)[] => {
  const cutter = new LineCutter();
  return [...pieces.flatMap((piece) => [...cutter.push(piece)]), ...cutter.end()];
};

test("lines are the same however their bytes are cut into pieces", () => {
  const text = fc.array(anyText().map((line) => line.replaceAll("\n", "")));
  fc.assert(
    fc.property(text, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 20 }), (lines, sizes) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += pieces.at(-1)!.length)
        pieces.push(bytes.subarray(at, at + sizes[pieces.length % sizes.length]!));
      expect(cut(pieces)).toEqual(lines);
    }),
  );
});

test("a last line needs no line feed, and one that is too long is dropped alone", () => {
  expect(cut([Buffer.from("a\nb")])).toEqual(["a", "b"]);
  const long = Buffer.alloc(limits.batchLineBytes + 1, "x");
  expect(cut([Buffer.from("a\n"), long, Buffer.from("x\nb\n")])).toEqual(["a", undefined, "b"]);
});

const url = "/v1/chat/completions";
const line = (more: object = {}) =>
  JSON.stringify({ custom_id: "a", method: "POST", url, body: { model: "m" }, ...more });

test("a line that says everything can be served; its body is the request", () => {
  const reader = new LineReader(url);
  expect(reader.read(line())).toEqual({ number: 1, customId: "a", body: '{"model":"m"}' });
  expect(reader.read("  ")).toBeUndefined();
  expect(reader.read(line({ custom_id: "b" }))).toMatchObject({ number: 3 });
  expect([reader.count, reader.problems, reader.whole()]).toEqual([2, [], undefined]);
});

test.each<[string, string | undefined, string, string | null]>([
  ["too long", undefined, "line_too_long", null],
  ["no JSON", "{", "invalid_json_line", null],
  ["no object", "[]", "invalid_json_line", null],
  ["nested too deeply", `{"a":${"[".repeat(200)}${"]".repeat(200)}}`, "invalid_json_line", null],
  ["no id", line({ custom_id: undefined }), "missing_required_parameter", "custom_id"],
  ["an id that cannot be stored", line({ custom_id: "\0" }), "invalid_value", "custom_id"],
  ["a used id", line({ custom_id: "used" }), "duplicate_custom_id", "custom_id"],
  ["another method", line({ method: "GET" }), "invalid_method", "method"],
  ["another endpoint", line({ url: "/v1/embeddings" }), "invalid_url", "url"],
  ["no body", line({ body: "text" }), "missing_required_parameter", "body"],
])("a line with a problem is named with its place: %s", (_, text, code, param) => {
  const reader = new LineReader(url);
  reader.read(line({ custom_id: "used" }));
  expect(reader.read(text)).toBeUndefined();
  expect(reader.problems).toMatchObject([{ code, param, line: 2 }]);
});

test("a file without requests, and one with too many", () => {
  expect(new LineReader(url).whole()).toMatchObject({ code: "empty_file" });
  const reader = new LineReader(url);
  for (let id = 0; id <= limits.batchLinesMost; id++) reader.read(line({ custom_id: String(id) }));
  expect([reader.isHopeless, reader.whole()?.code]).toEqual([true, "too_many_tasks"]);
});
