// A JSON text that is parsed part by part gives what JSON.parse gives, and refuses what JSON.parse refuses.
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { JsonMeter } from "./json.ts";
import { parseParts, parsePartsInTurns } from "./jsonParts.ts";
import { Pieces } from "./pieces.ts";
import { runs } from "../../test/setup/runs.ts";

const parsed = JSON.parse;
const bounds = { depth: Infinity, values: Infinity, numbers: Infinity };

/** Parsed with lists cut after so many bytes, counted in pieces of so many. */
function inParts(text: string, partLength: number, piece = 1_000): unknown {
  const bytes = Buffer.from(text);
  const meter = new JsonMeter(bounds, true, { partLength });
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += piece) pieces.push(bytes.subarray(at, at + piece));
  for (const one of pieces) meter.push(one);
  return parseParts(new Pieces(pieces), meter.members);
}

/** What a parser answers, or that it refuses. */
function outcome(parse: () => unknown): unknown {
  try {
    return parse();
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError);
    return "refused";
  }
}

const names = fc.constantFrom("a", "messages", "__proto__", 'with "quotes"', "\u20ac");
const objects = fc.dictionary(names, fc.oneof(fc.array(fc.jsonValue()), fc.jsonValue()));

test("is the same value, wherever it is cut", () => {
  fc.assert(
    fc.property(objects, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 50 }), (object, part, piece) => {
      for (const space of [undefined, 1]) {
        const text = JSON.stringify(object, undefined, space);
        expect(inParts(text, part, piece)).toEqual(JSON.parse(text));
      }
    }),
    { numRuns: runs(150) },
  );
});

test("refuses what JSON.parse refuses, and takes what it takes: bytes that are changed, missing or too many", () => {
  const characters = fc.constantFrom(...'[]{},:"\\1 a-\n\u20ac');
  fc.assert(
    fc.property(
      objects,
      fc.nat(),
      characters,
      fc.nat(2),
      fc.integer({ min: 1, max: 9 }),
      (object, at, wrong, way, part) => {
        const text = JSON.stringify(object);
        const place = at % (text.length + 1);
        const changed = text.slice(0, place) + (way === 0 ? "" : wrong) + text.slice(place + (way === 1 ? 0 : 1));
        expect(outcome(() => inParts(changed, part))).toEqual(outcome(() => JSON.parse(changed)));
      },
    ),
    { numRuns: runs(250) },
  );
});

describe.each([
  ['{"a":[1,2,,3]}'],
  ['{"a":[1,2,]}'],
  ['{"a":[,1,2]}'],
  ['{"a":[1,2}'],
  ['{"a":[1,2]]}'],
  ['{"a":[1],[2]}'],
  ['{"a":[1,2]3}'],
  ['{"a":[1,2]} x'],
  ['\ufeff{"a":[1,2]}'],
])("%s", (text) => {
  test("is refused", () => expect(outcome(() => inParts(text, 1))).toBe("refused"));
});

test("of a name that is given twice the last value counts", () => {
  expect(inParts('{"a":[1,2,3],"b":1,"a":[4,5,6]}', 1)).toEqual({ a: [4, 5, 6], b: 1 });
});

test("a large text is no string of its own at any time, and other work has turns between its parts", async () => {
  const text = JSON.stringify({
    model: "m",
    messages: Array.from({ length: 4_000 }, () => ({ content: "x".repeat(1_000) })),
  });
  const bytes = Buffer.from(text);
  const meter = new JsonMeter(bounds, true);
  meter.push(bytes);
  const expected: unknown = JSON.parse(text);
  let longest = 0;
  const parse = vi.spyOn(JSON, "parse").mockImplementation((part, reviver) => {
    longest = Math.max(longest, part.length);
    return parsed(part, reviver);
  });
  let turns = 0;
  let isOver = false;
  const count = () => {
    if (isOver) return;
    turns++;
    setImmediate(count);
  };
  setImmediate(count);
  expect(await parsePartsInTurns(bytes, meter.members)).toEqual(expected);
  parse.mockRestore();
  isOver = true;
  expect(turns).toBeGreaterThanOrEqual(8);
  expect(longest).toBeLessThan(64 * 1024);
});
