// A chunk that is read without being parsed says the same as the parsed one, whatever an engine sends: held against JSON.parse.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { CompletionShape } from "../../asked.ts";
import { chunkOf } from "./deltas.ts";
import { parseChunk } from "../read.ts";
import { RepeatedChunks } from "./repeated.ts";

type Json = Record<string, unknown>;
const shapes: CompletionShape[] = ["chat", "completions"];

/** Reads texts as an exchange does; answers how many of them were not parsed. */
function readAll(shape: CompletionShape, texts: readonly string[]): number {
  const repeated = new RepeatedChunks(shape);
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
    const parsed = chunkOf(shape, data, text);
    if (again === undefined) {
      repeated.learn(text, parsed);
      continue;
    }
    unparsed++;
    const { wire, ...said } = again;
    const { wire: parsedWire, ...parsedSaid } = parsed;
    expect(said).toEqual(parsedSaid);
    expect([wire.shape, wire.text, wire.data]).toEqual([parsedWire.shape, parsedWire.text, parsedWire.data]);
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

test("whatever comes, what is read without being parsed is what JSON.parse reads", () => {
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
    usage: often(null, value),
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
      fc.array(fc.tuple(plain, edits), { maxLength: 6 }),
      (shape, frames, contents) => {
        // Frames of any kind first, then chunks that repeat one of them with other texts, some of them damaged.
        const texts = frames.map((frame) => JSON.stringify(frame));
        const repeats = contents.flatMap(([content, changes]) =>
          frames.map((frame) => {
            let text = JSON.stringify(frame, (key, was: unknown) =>
              (key === "content" || key === "text") && typeof was === "string" ? content : was,
            );
            for (const { at, cut, put } of changes)
              text = text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + cut);
            return text;
          }),
        );
        unparsed += readAll(shape, [...texts, ...repeats]);
      },
    ),
    { numRuns: 2_000 },
  );
  expect(unparsed).toBeGreaterThan(100);
});

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
