// The search for a string's end finds what a reader byte by byte finds, and calls a string valid only where JSON.parse does.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import wabt from "wabt";
import { compiled, escaped, look, placeBits, stringEnd, windowBytes, wrong } from "./jsonString.ts";
import { runs } from "../../test/setup/runs.ts";

test("what is run is what jsonString.wat says", async () => {
  const { parseWat } = await wabt();
  const source = readFileSync(new URL("jsonString.wat", import.meta.url), "utf8");
  const module = parseWat("jsonString.wat", source, { simd: true });
  expect(Buffer.from(module.toBinary({}).buffer).toString("base64")).toBe(compiled);
});

/** The same, byte by byte. */
function searched(bytes: Uint8Array, at: number): { end: number; isEscaped: boolean } {
  for (let place = at; place < bytes.length; place++) {
    if (bytes[place] === 0x22) return { end: place, isEscaped: false };
    if (bytes[place] === 0x5c && ++place === bytes.length) return { end: place, isEscaped: true };
  }
  return { end: bytes.length, isEscaped: false };
}

function isString(bytes: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(bytes).toString("utf8"));
    return true;
  } catch {
    return false;
  }
}

/** Bytes that end strings or make them wrong are frequent; runs of others are as long as what is looked at in one step, and longer. */
const pieces = fc.oneof(
  fc.constantFrom(
    "\\",
    "\\\\",
    '\\"',
    "\\n",
    "\\u",
    "\\u12",
    "\\u00e9",
    "\\ud800",
    "\\x",
    "\\a",
    "\\1",
    "\n",
    "\0",
    "\x1f",
    " ",
    "\x7f",
    "\u20ac",
    "u",
    "f",
  ),
  fc.nat(40).map((length) => "a".repeat(length)),
);
const contents = fc.array(pieces, { maxLength: 12 }).map((all) => all.join(""));

test("it ends where a reader byte by byte ends it, and is valid where JSON.parse says so", () => {
  fc.assert(
    fc.property(contents, fc.nat(20), fc.boolean(), (content, before, closes) => {
      const bytes = Buffer.from(`${" ".repeat(before)}"${content}${closes ? '", "' : ""}`);
      const at = before + 1;
      look(bytes);
      const found = stringEnd(at, bytes.length);
      const { end, isEscaped } = searched(bytes, at);
      expect(found & placeBits).toBe(end);
      expect((found & escaped) !== 0).toBe(isEscaped);
      if (end < bytes.length) expect((found & wrong) === 0).toBe(isString(bytes.subarray(before, end + 1)));
    }),
    { numRuns: runs(5_000) },
  );
});

test("every byte alone and after a backslash is judged as JSON.parse judges it", () => {
  for (let byte = 0; byte < 0x80; byte++)
    for (const begin of ["", "\\", "\\u000", "\\u00e", "\\\\"]) {
      if (String.fromCharCode(byte) === '"') continue;
      const bytes = Buffer.from(`"${begin}${String.fromCharCode(byte)}"`);
      look(bytes);
      const found = stringEnd(1, bytes.length);
      expect((found & (wrong | escaped)) === 0 && (found & placeBits) === bytes.length - 1).toBe(isString(bytes));
    }
});

test("what was looked at before is not seen, up to the whole window", () => {
  look(Buffer.alloc(windowBytes, '"'));
  expect(stringEnd(0, windowBytes)).toBe(0);
  look(Buffer.alloc(windowBytes, "a"));
  expect(stringEnd(0, windowBytes)).toBe(windowBytes);
  look(Buffer.from("aa"));
  expect(stringEnd(0, 2)).toBe(2);
});
