// A chunk that is read without being parsed says the same as the parsed one, whatever an engine sends: held against JSON.parse.
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import type { CompletionShape } from "../../asked.ts";
import { chunkOf } from "./deltas.ts";
import type { ProgressField } from "../progress.ts";
import { parseChunk } from "../read.ts";
import { RepeatedChunks } from "./repeated.ts";
import { runs } from "../../../../test/setup/runs.ts";

type Json = Record<string, unknown>;
const shapes: CompletionShape[] = ["chat", "completions"];

/** Reads texts as an exchange does; answers how many of them were not parsed. `taken`: a count that is taken out of each. */
function readAll(shape: CompletionShape, texts: readonly string[], taken?: ProgressField["field"]): number {
  const repeated = new RepeatedChunks(shape, taken);
  let unparsed = 0;
  for (const text of texts) {
    const again = repeated.read(text);
    let data: Json;
    try {
      data = parseChunk(text, { credential: undefined });
    } catch {
      // An exchange ends where what comes is no JSON, no object, or says that the answer has failed.
      expect(again).toBeUndefined();
      continue;
    }
    const count = taken && data[taken];
    if (taken !== undefined) delete data[taken];
    const parsed = chunkOf(shape, data, taken === undefined ? text : JSON.stringify(data), text.length);
    if (again === undefined) {
      if (taken === undefined || count !== undefined) repeated.learn(text, parsed);
      continue;
    }
    unparsed++;
    const { wire, ...said } = again.chunk;
    const { wire: parsedWire, ...parsedSaid } = parsed;
    expect(said).toEqual(parsedSaid);
    expect([wire.shape, wire.text, wire.data]).toEqual([parsedWire.shape, parsedWire.text, parsedWire.data]);
    expect(again.count).toEqual(count);
  }
  return unparsed;
}

const chatChunk = (content: unknown, more: Json = {}, ofChoice: Json = {}) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  choices: [{ index: 0, delta: { content }, finish_reason: null, ...ofChoice }],
  ...more,
});

test("chunks that differ in their text alone are parsed once", () => {
  const texts = ["The", " quick", " brown \u00e9\u4e2d", "\ud83e\udd8a", "", " fox"];
  expect(
    readAll(
      "chat",
      texts.map((text) => JSON.stringify(chatChunk(text))),
    ),
  ).toBe(texts.length - 1);
  const completions = texts.map((text) => JSON.stringify({ id: "c", choices: [{ text, index: 0, logprobs: null }] }));
  expect(readAll("completions", completions)).toBe(texts.length - 1);
  const spaced = texts.map((text) => JSON.stringify(chatChunk(text), undefined, 1).replaceAll("\n", ""));
  expect(readAll("chat", spaced)).toBe(texts.length - 1);
});

test("of chunks that differ in their count as well the count alone is parsed, and taken out", () => {
  const texts = ["The", " quick", " brown \u00e9\u4e2d", "", " fox"];
  const usage = (place: number) => ({ prompt_tokens: 9, completion_tokens: place, details: { cached_tokens: 0 } });
  const timings = (place: number) => ({ predicted_n: place, predicted_ms: place * 1.25 });
  const parse = vi.spyOn(JSON, "parse");
  const longest = (taken: ProgressField["field"], chunks: Json[]) => {
    const repeated = new RepeatedChunks("chat", taken);
    const written = chunks.map((chunk) => JSON.stringify(chunk));
    const { [taken]: _count, ...rest } = chunks[0]!;
    repeated.learn(written[0]!, chunkOf("chat", rest, undefined));
    parse.mockClear();
    expect(written.map((text) => repeated.read(text)?.count)).toEqual(chunks.map((chunk) => chunk[taken]));
    return Math.max(...parse.mock.calls.map(([text]) => text.length));
  };
  const counted = texts.map((text, place) => chatChunk(text, { usage: usage(place) }));
  expect(longest("usage", counted)).toBeLessThan(90);
  expect(
    longest(
      "timings",
      texts.map((text, place) => chatChunk(text, { timings: timings(place), end: 1 })),
    ),
  ).toBeLessThan(90);
  parse.mockRestore();
  const written = counted.map((chunk) => JSON.stringify(chunk));
  expect(readAll("chat", written, "usage")).toBe(texts.length - 1);
  const spaced = counted.map((chunk) => JSON.stringify(chunk, undefined, 1));
  expect(readAll("chat", spaced, "usage")).toBe(texts.length - 1);
  const completions = texts.map((text, place) =>
    JSON.stringify({ choices: [{ text, index: 0 }], usage: usage(place), more: 1 }),
  );
  expect(readAll("completions", completions, "usage")).toBe(texts.length - 1);
});

test.each<[string, string[]]>([
  ["no count", [JSON.stringify(chatChunk("a")), JSON.stringify(chatChunk("b"))]],
  [
    "a count that is no object",
    [JSON.stringify(chatChunk("a", { usage: { n: 1 } })), JSON.stringify(chatChunk("b", { usage: 2 }))],
  ],
  [
    "a count before the text",
    [1, 2].map((n) => JSON.stringify({ usage: { n }, choices: [{ index: 0, delta: { content: `${n}` } }] })),
  ],
  [
    "a count inside the choice",
    [1, 2].map((n) => JSON.stringify({ choices: [{ index: 0, delta: { content: `${n}`, usage: { n } } }] })),
  ],
  [
    "a count that is given twice",
    [1, 2].map((n) => JSON.stringify(chatChunk("a", { usage: { n } })).replace(/}$/, ',"usage":{"n":0}}')),
  ],
  [
    "more than one object where the count stands",
    ['{"n":1}', '{"n":2},"error":{"n":3}'].map(
      (count) => `${JSON.stringify(chatChunk("a")).slice(0, -1)},"usage":${count}}`,
    ),
  ],
  [
    "an end beside the count",
    [null, "stop"].map((finish_reason, n) => JSON.stringify(chatChunk("a", { usage: { n } }, { finish_reason }))),
  ],
])("with a count, %s is parsed", (_, texts) => {
  expect(readAll("chat", texts, "usage")).toBe(0);
});

test.each<[string, string[]]>([
  [
    "text that is escaped",
    [JSON.stringify(chatChunk("a")), JSON.stringify(chatChunk('say "b"')), JSON.stringify(chatChunk("\n"))],
  ],
  [
    "a quote that ends the text early",
    [JSON.stringify(chatChunk("a")), JSON.stringify(chatChunk("X")).replace("X", 'b"},"x":{"y":"c')],
  ],
  ["a raw control character", [JSON.stringify(chatChunk("a")), JSON.stringify(chatChunk("X")).replace("X", "\u0001")]],
  ["an end", [JSON.stringify(chatChunk("a")), JSON.stringify(chatChunk("b", {}, { finish_reason: "stop" }))]],
  [
    "usage",
    [
      JSON.stringify(chatChunk("a", { usage: { prompt_tokens: 1 } })),
      JSON.stringify(chatChunk("b", { usage: { prompt_tokens: 1 } })),
    ],
  ],
  [
    "a name that is given twice",
    ['{"choices":[{"delta":{"content":"a","content":"b"}}]}', '{"choices":[{"delta":{"content":"c","content":"b"}}]}'],
  ],
  [
    "the name in another place",
    ['{"content":"a","choices":[{"delta":{"content":"b"}}]}', '{"content":"c","choices":[{"delta":{"content":"b"}}]}'],
  ],
  [
    "reasoning beside the text",
    [
      JSON.stringify(chatChunk("a", {}, { delta: { content: "a", reasoning: "r" } })),
      JSON.stringify(chatChunk("b", {}, { delta: { content: "b", reasoning: "r" } })),
    ],
  ],
  [
    "a text that the frame is looked for with, named in another place",
    [
      '{"id":"content","x":null,"choices":[{"index":0,"delta":{"content":"lineshaft-probe"}}]}',
      '{"id":"content","y":null,"choices":[{"index":0,"delta":{"content":"lineshaft-probe"}}]}',
    ],
  ],
  [
    "a second text of a choice",
    [
      JSON.stringify({ choices: [{ index: 0, delta: { content: "a" }, text: "b" }] }),
      JSON.stringify({ choices: [{ index: 0, delta: { content: "c" }, text: "b" }] }),
    ],
  ],
  [
    "half of a frame",
    [
      JSON.stringify(chatChunk("a")),
      JSON.stringify(chatChunk("b")).slice(0, -1),
      JSON.stringify(chatChunk("b")).slice(1),
    ],
  ],
])("%s is parsed", (_, texts) => {
  expect(shapes.map((shape) => readAll(shape, texts))).toEqual([0, 0]);
});

test.each([undefined, "usage"] as const)(
  "whatever comes, what is not parsed is what JSON.parse reads, count %s",
  (taken) => {
    const name = fc.constantFrom(
      "content",
      "text",
      "role",
      "reasoning",
      "refusal",
      "index",
      "delta",
      "choices",
      "usage",
      "error",
      "x",
      "finish_reason",
    );
    const plain = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 6 }),
      fc.constantFrom("", "a", "content", '"', "\\", "\u0000", "lineshaft-probe", '"content":"a"'),
    );
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        plain,
        fc.constantFrom<unknown>(null, 0, 1, true, 1.5),
        fc.array(tie("value"), { maxLength: 2 }),
        fc.dictionary(name, tie("value"), { maxKeys: 3 }),
      ),
    })).value;
    const often = <Value>(usual: Value, other: fc.Arbitrary<unknown>) =>
      fc.oneof({ arbitrary: fc.constant<unknown>(usual), weight: 6 }, { arbitrary: other, weight: 1 });
    const choice = fc.record({
      index: often(0, fc.constantFrom(1, "0")),
      delta: fc.oneof(fc.record({ content: plain }), fc.dictionary(name, value, { maxKeys: 3 })),
      text: often(undefined, value),
      finish_reason: often(null, value),
    });
    const chunk = fc.record({
      id: fc.constantFrom("1", "content"),
      content: often(undefined, value),
      choices: fc.oneof({ arbitrary: choice.map((one) => [one]), weight: 6 }, fc.array(choice, { maxLength: 2 })),
      usage: taken === undefined ? often(null, value) : often({ completion_tokens: 1 }, value),
      error: often(undefined, value),
    });
    const edits = fc.array(
      fc.record({
        at: fc.nat(200),
        cut: fc.nat(3),
        put: fc.constantFrom("", '"', "\\", "a", "{", "}", ",", '","content":"'),
      }),
      { maxLength: 1 },
    );
    let unparsed = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...shapes),
        fc.array(chunk, { maxLength: 2 }),
        fc.array(fc.tuple(plain, edits, fc.record({ completion_tokens: fc.nat(), x: plain })), { maxLength: 6 }),
        (shape, frames, contents) => {
          // Frames of any kind first, then chunks that repeat one of them with other texts, some of them damaged.
          const texts = frames.map((frame) => JSON.stringify(frame));
          const repeats = contents.flatMap(([content, changes, count]) =>
            frames.map((frame) => {
              let text = JSON.stringify(frame, (key, was: unknown) =>
                (key === "content" || key === "text") && typeof was === "string"
                  ? content
                  : key === "usage" && typeof was === "object" && was !== null
                    ? count
                    : was,
              );
              for (const { at, cut, put } of changes)
                text = text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + cut);
              return text;
            }),
          );
          // What is decoded from bytes holds no half of a surrogate pair.
          const decoded = [...texts, ...repeats].map((text) => text.toWellFormed());
          unparsed += readAll(shape, decoded, taken);
        },
      ),
      { numRuns: runs(2_000) },
    );
    // A search in which hardly any chunk is read without being parsed would find nothing. How many are is up to chance.
    expect(unparsed).toBeGreaterThan(runs(2_000) / 100);
  },
);

test("an engine whose chunks differ in more is not looked at for ever", () => {
  const repeated = new RepeatedChunks("chat");
  const learned = (count: number) => {
    const text = JSON.stringify(chatChunk("a", { count }));
    repeated.learn(text, chunkOf("chat", JSON.parse(text) as Json, text));
    return repeated.read(text) !== undefined;
  };
  const known = Array.from({ length: 40 }, (_, count) => learned(count));
  expect(known.filter(Boolean).length).toBeLessThan(20);
  expect(known.at(-1)).toBe(false);
});
