// Bytes in pieces read as the same bytes in one piece, wherever they are cut.
import { isUtf8 as isUtf8Whole } from "node:buffer";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isUtf8, Pieces, slicesOf, textOf } from "./pieces.ts";
import { runs } from "../../test/setup/runs.ts";

const bytes = fc
  .array(
    fc.oneof(
      fc.constantFrom("a", "é", "€", "😀", "\u0800", "\u{10ffff}").map((text) => Buffer.from(text)),
      fc
        .constantFrom(
          [0x80],
          [0xc3],
          [0xe2, 0x82],
          [0xf0, 0x9f, 0x98],
          [0xff],
          [0xc0, 0x80],
          [0xed, 0xa0, 0x80],
          [0xf8],
        )
        .map((of) => Buffer.from(of)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat(parts));
const cuts = fc.array(fc.nat(30), { maxLength: 6 });

function cut(whole: Buffer, places: readonly number[]): Pieces {
  const ends = [0, ...places.map((place) => Math.min(place, whole.length)), whole.length].toSorted((a, b) => a - b);
  return new Pieces(ends.slice(1).map((end, place) => whole.subarray(ends[place], end)));
}

test("length, ranges, text, and whether they are UTF-8", () => {
  fc.assert(
    fc.property(bytes, cuts, fc.nat(30), fc.nat(30), (whole, places, a, b) => {
      const pieces = cut(whole, places);
      const [from, to] = [Math.min(a, b), Math.min(Math.max(a, b), whole.length)];
      expect(pieces.length).toBe(whole.length);
      expect(Buffer.concat(slicesOf(pieces, from, to))).toEqual(whole.subarray(from, to));
      expect(slicesOf(pieces, from, to).every((slice) => slice.length > 0)).toBe(true);
      expect(textOf(pieces, from, to)).toBe(whole.toString("utf8", from, to));
      expect(textOf(pieces)).toBe(whole.toString("utf8"));
      expect(isUtf8(pieces)).toBe(isUtf8Whole(whole));
    }),
    { numRuns: runs(5_000) },
  );
});

test("ranges share the memory of their pieces", () => {
  const whole = Buffer.from("abcdef");
  for (const slice of slicesOf(cut(whole, [2, 4]), 1, 5)) expect(slice.buffer).toBe(whole.buffer);
});
