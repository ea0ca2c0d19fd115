// The scanner reads events the same wherever the bytes are cut, and as the WHATWG specification has them.
import fc from "fast-check";
import { expect, test } from "vitest";
import { anyText } from "../../../test/fuzz/text.ts";
import { SseScanner } from "./sse.ts";
import { runs } from "../../../test/setup/runs.ts";

type Event = [data: string, event: string | undefined, id: string | undefined];

function scan(bytes: Uint8Array, cuts: number[] = []): Event[] {
  const events: Event[] = [];
  const scanner = new SseScanner((...event) => void events.push(event));
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  let from = 0;
  for (const to of [...places, bytes.length]) {
    // A copy that is destroyed afterwards: the scanner must not keep a view of what it was given.
    const piece = Uint8Array.prototype.slice.call(bytes, from, to);
    scanner.push(piece);
    piece.fill(0x58);
    from = to;
  }
  return events;
}

const text = (value: string) => new TextEncoder().encode(value);

test.each<[string, Event[]]>([
  ["data: a\n\n", [["a", undefined, undefined]]],
  ["data:a\n\n", [["a", undefined, undefined]]],
  ["data:  a\n\n", [[" a", undefined, undefined]]],
  ["data: a\ndata: b\n\n", [["a\nb", undefined, undefined]]],
  ["data\n\n", [["", undefined, undefined]]],
  ["data:\n\n", [["", undefined, undefined]]],
  [": comment\n\ndata: a\n\n", [["a", undefined, undefined]]],
  [
    "event: x\nid: 7\ndata: a\n\ndata: b\n\n",
    [
      ["a", "x", "7"],
      ["b", undefined, "7"],
    ],
  ],
  [
    "data: a\r\n\r\ndata: b\r\rdata: c\n\n",
    [
      ["a", undefined, undefined],
      ["b", undefined, undefined],
      ["c", undefined, undefined],
    ],
  ],
  ["\ufeffdata: a\n\n", [["a", undefined, undefined]]],
  ["event: only\n\ndata: a\n\n", [["a", undefined, undefined]]],
  ["data: not ended", []],
])("%j", (stream, events) => expect(scan(text(stream))).toEqual(events));

test("any cut of the bytes gives the same events", () => {
  const line = fc.oneof(
    anyText({ maxLength: 20 }).map((value) => `data: ${value.replaceAll(/[\r\n]/g, "")}`),
    anyText({ maxLength: 8 }).map((value) => `id: ${value.replaceAll(/[\r\n]/g, "")}`),
    fc.constantFrom(": x", "event: e", "data", "", "", "unknown: 1"),
  );
  const end = fc.constantFrom("\n", "\r\n", "\r");
  const stream = fc.array(fc.tuple(line, end), { maxLength: 30 }).map((lines) => lines.flat().join(""));
  fc.assert(
    fc.property(stream, fc.array(fc.nat(1000), { maxLength: 40 }), (value, cuts) => {
      const bytes = text(value);
      expect(scan(bytes, cuts)).toEqual(scan(bytes));
      expect(scan(bytes, Array.from(bytes.keys()))).toEqual(scan(bytes));
    }),
    { numRuns: runs(300), seed: 4070 },
  );
});

test("what is written as events is read back", () => {
  fc.assert(
    fc.property(fc.array(fc.json(), { maxLength: 20 }), fc.array(fc.nat(5000), { maxLength: 30 }), (values, cuts) => {
      const stream = values.map((value) => `data: ${value}\n\n`).join("");
      expect(scan(text(stream), cuts).map(([data]) => data)).toEqual(values);
    }),
    { numRuns: runs(200), seed: 4070 },
  );
});

test("an event without end is refused at the bound", () => {
  const scanner = new SseScanner(() => {}, 1000);
  expect(() => {
    for (let piece = 0; piece < 20; piece++) scanner.push(text("data: " + "x".repeat(94)));
  }).toThrow(/longer than 1000/);
  const lines = new SseScanner(() => {}, 1000);
  expect(() => {
    for (let piece = 0; piece < 20; piece++) lines.push(text("data: " + "x".repeat(94) + "\n"));
  }).toThrow(/longer than 1000/);
});
