import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callText, formTags } from "./hermes.ts";
import { spacedJson } from "./json.ts";
import { createAnswerParser, type AnswerEvent } from "./parser.ts";
import { runs } from "../../../../test/setup/runs.ts";

interface Answer {
  content: string;
  calls: { id: string; name: string; arguments: string }[];
}

const turnMarkers = ["<|im_start|>", "<|im_end|>", "<end_of_turn>", "<|eot_id|>"];
const endMarkers = [...formTags, ...turnMarkers];

/** Feeds a text in pieces; puts the events together as a client would. */
function read(pieces: readonly string[], { cut = false, tools = true } = {}): Answer {
  const parser = createAnswerParser({ idFor: (index) => `call_${index}`, tools, endMarkers });
  const events: AnswerEvent[] = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end(cut)];
  const answer: Answer = { content: "", calls: [] };
  for (const event of events) {
    if (event.type === "content") {
      expect(event.text).not.toBe("");
      expect(/[\ud800-\udbff]$/.test(event.text)).toBe(false);
      answer.content += event.text;
    } else {
      expect(event.index).toBe(answer.calls.length);
      answer.calls.push({ id: event.id, name: event.name, arguments: event.arguments });
    }
  }
  return answer;
}

const inPieces = (text: string, length: number): string[] => text.match(new RegExp(`[^]{1,${length}}`, "g")) ?? [];
const call = (name: string, args: string) => ({
  id: expect.any(String) as string,
  name,
  arguments: args,
});

const cases: [name: string, text: string, answer: { content: string; calls: unknown[] }][] = [
  ["plain text", "Hello\n\nworld < 3\n", { content: "Hello\n\nworld < 3\n", calls: [] }],
  [
    "a call",
    '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
    { content: "", calls: [call("f", '{"a": 1}')] },
  ],
  [
    "text before a call",
    'Let me see.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n',
    { content: "Let me see.", calls: [call("f", "{}")] },
  ],
  [
    "blank lines before a call",
    '\n\n<tool_call>{"name":"f","arguments":{}}</tool_call>',
    { content: "", calls: [call("f", "{}")] },
  ],
  [
    "two calls",
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": "g", "arguments": {"x": [1, {"y": "}"}]}}\n</tool_call>',
    { content: "", calls: [call("f", "{}"), call("g", '{"x": [1, {"y": "}"}]}')] },
  ],
  [
    "quotes, escapes and surrogates in arguments",
    '<tool_call>\n{"name": "f", "arguments": {"s": "\\"}\\\\", "e": "😀"}}\n</tool_call>',
    { content: "", calls: [call("f", '{"s": "\\"}\\\\", "e": "😀"}')] },
  ],
  [
    "members in the other order",
    '<tool_call>{"arguments": {"a":1}, "name": "f"}</tool_call>',
    { content: "", calls: [call("f", '{"a": 1}')] },
  ],
  [
    "arguments as a string",
    '<tool_call>{"name": "f", "arguments": "{\\"a\\":1}"}</tool_call>',
    { content: "", calls: [call("f", '{"a":1}')] },
  ],
  [
    "nothing behind a call but calls",
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\nDone.',
    { content: "", calls: [call("f", "{}")] },
  ],
  ["a call cut off in its arguments", '<tool_call>\n{"name": "f", "arguments": {"a": "x', { content: "", calls: [] }],
  [
    "a call without its closing tag",
    '<tool_call>\n{"name": "f", "arguments": {}}',
    { content: "", calls: [call("f", "{}")] },
  ],
  ["a call cut off in its head", 'So <tool_call>\n{"name": "f", "argu', { content: "So ", calls: [] }],
  ["what is no JSON", "<tool_call>\nweather in Oslo\n</tool_call>", { content: "", calls: [] }],
  ["JSON that is no call", 'a <tool_call>\n{"nme": 1}\n</tool_call> x', { content: "a ", calls: [] }],
  [
    "a broken call, and nothing behind it",
    'a\n<tool_call>\n{"x <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    { content: "a", calls: [] },
  ],
  ["the end of a text that the model ended itself", "a <tool", { content: "a <tool", calls: [] }],
  [
    "a call that is repeated, and nothing behind it",
    `${callText("f", "{}")}\n${callText("g", "{}")}\n${callText("f", "{}")}\nDone.`,
    { content: "", calls: [call("f", "{}"), call("g", "{}")] },
  ],
  ["a tag out of place", "a</tool_call> b", { content: "a", calls: [] }],
  ["a tag that would be whole without another", "a <tool<tool_response>_call>", { content: "a <tool", calls: [] }],
  ["a turn marker written out", "Hello.<|im_end|>\n<|im_start|>user", { content: "Hello.", calls: [] }],
  [
    "a turn marker inside a call's arguments, which are data",
    '<tool_call>\n{"name": "f", "arguments": {"a": "<|im_end|>"}}\n</tool_call>',
    { content: "", calls: [call("f", '{"a": "<|im_end|>"}')] },
  ],
  ["only white space", " \n", { content: " \n", calls: [] }],
  ["nothing", "", { content: "", calls: [] }],
];

const text = fc.string({ unit: "grapheme" }).filter((own) => own === "" || own.trim() !== "");

describe("the answer parser", () => {
  it.each(cases)("reads %s, however it is cut", (_, text, answer) => {
    for (const length of [1, 2, 3, 5, 8, 13, 1000]) expect(read(inPieces(text, length))).toEqual(answer);
  });

  it("answers a call when it is complete", () => {
    const parser = createAnswerParser({ idFor: () => "id", tools: true, endMarkers });
    expect(parser.push('<tool_call>\n{"name": "f", "arguments": {"a": "hal')).toEqual([]);
    expect(parser.push('lo"}}\n</tool')).toEqual([]);
    expect(parser.push("_call>")).toEqual([
      { type: "call", index: 0, id: "id", name: "f", arguments: '{"a": "hallo"}' },
    ]);
  });

  it("is over with a turn marker or a repeated call, and not before", () => {
    const parser = createAnswerParser({ idFor: () => "id", tools: true, endMarkers });
    parser.push(`${callText("f", "{}")}\n${callText("f", '{"a": 1}')}`);
    expect(parser.over).toBe(false);
    parser.push(`\n${callText("f", "{}")}`);
    expect(parser.over).toBe(true);
    const text = createAnswerParser({ idFor: () => "id", tools: false, endMarkers: turnMarkers });
    text.push("a <tool_call> b <|eot");
    expect(text.over).toBe(false);
    text.push("_id|>");
    expect(text.over).toBe(true);
  });

  it("passes text on that cannot be part of a call any more", () => {
    const parser = createAnswerParser({ idFor: () => "id", tools: true, endMarkers });
    expect(parser.push("a <")).toEqual([{ type: "content", text: "a " }]);
    expect(parser.push("tool")).toEqual([]);
    expect(parser.push("box>")).toEqual([{ type: "content", text: "<toolbox>" }]);
  });

  it("gives back what history shows: text and calls survive the round trip", () => {
    const calls = fc.uniqueArray(
      fc.record({ name: fc.stringMatching(/^[a-z_]{1,8}$/), args: fc.dictionary(fc.string(), fc.jsonValue()) }),
      { maxLength: 3, selector: ({ name, args }) => name + spacedJson(args) },
    );
    fc.assert(
      fc.property(text, calls, fc.integer({ min: 1, max: 9 }), (content, list, length) => {
        const written = list.map(({ name, args }) => callText(name, spacedJson(args))).join("\n");
        const whole = content === "" ? written : list.length === 0 ? content : `${content}\n${written}`;
        expect(read(inPieces(whole, length))).toEqual({
          content,
          calls: list.map(({ name, args }) => call(name, spacedJson(args))),
        });
      }),
      { numRuns: runs(200), seed: 2 },
    );
  });

  /** A tag's beginning at the end of a text; one character alone may be anything. */
  const begins = (own: string): boolean =>
    endMarkers.some((tag) => [...tag].some((_, part) => part >= 1 && own.endsWith(tag.slice(0, part + 1))));

  it("shows no tag, no part of one and no part of a call, wherever the answer is cut", () => {
    const word = fc.constantFrom("Sure.", "\n", " ", "a < b", "<b>x</b>", "</b", "😀", "{", '"name"');
    const piece = fc.oneof(
      { weight: 3, arbitrary: word },
      fc.record({ name: fc.constantFrom("f", "g"), args: fc.dictionary(fc.constantFrom("a", "b"), fc.jsonValue()) }),
      fc.constantFrom("</tool_call>", "<tool_response>", "</tool_response>", ...turnMarkers),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), fc.integer({ min: 1, max: 7 }), (pieces, length) => {
        const written = pieces
          .map((own) => (typeof own === "string" ? own : `\n${callText(own.name, spacedJson(own.args))}`))
          .join("");
        const whole = pieces.flatMap((own) => (typeof own === "string" ? [] : [own.name + spacedJson(own.args)]));
        for (let end = 0; end <= written.length; end++) {
          // An answer is cut between characters.
          if (/[\ud800-\udbff]$/.test(written.slice(0, end))) continue;
          const answer = read(inPieces(written.slice(0, end), length), { cut: true });
          const shown = answer.content + answer.calls.map((own) => own.name).join("");
          expect(shown).not.toMatch(/<\/?tool_(call|response)>|<\|im_|<end_of_turn>|<\|eot_id/);
          // The cut text does not end in the beginning of a tag, unless text before a whole tag looked like one.
          if (begins(written.slice(0, end))) expect(begins(answer.content)).toBe(false);
          for (const own of answer.calls) expect(whole).toContain(own.name + own.arguments);
        }
      }),
      { numRuns: runs(100), seed: 4 },
    );
  });

  it("loses no character of a text without tags", () => {
    const piece = fc.oneof(fc.string(), fc.constantFrom("</b>", '{"name": "f", ', "}", "\n", "😀", "<tool_", "<|"));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.integer({ min: 1, max: 7 }), (pieces, length) => {
        const written = pieces.join("");
        fc.pre(!endMarkers.some((tag) => written.includes(tag)));
        expect(read(inPieces(written, length))).toEqual({ content: written, calls: [] });
      }),
      { numRuns: runs(300), seed: 3 },
    );
  });
});
