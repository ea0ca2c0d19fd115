import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { callText } from "./hermes.ts";
import { spacedJson } from "./json.ts";
import { createToolCallParser, type ToolCallEvent } from "./parser.ts";

interface Answer {
  content: string;
  calls: { id: string; name: string; arguments: string; ended: boolean }[];
}

/** Feeds a text in pieces; puts the events together as a client would. */
function read(pieces: readonly string[]): Answer {
  const parser = createToolCallParser({ idFor: (index) => `call_${index}` });
  const events: ToolCallEvent[] = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
  const answer: Answer = { content: "", calls: [] };
  for (const event of events) {
    if (event.type === "content") {
      expect(event.text).not.toBe("");
      expect(/[\ud800-\udbff]$/.test(event.text)).toBe(false);
      answer.content += event.text;
    } else if (event.type === "call_start") {
      expect(event.index).toBe(answer.calls.length);
      answer.calls.push({ id: event.id, name: event.name, arguments: "", ended: false });
    } else if (event.type === "call_arguments") answer.calls[event.index]!.arguments += event.text;
    else answer.calls[event.index]!.ended = true;
  }
  return answer;
}

const inPieces = (text: string, length: number): string[] => text.match(new RegExp(`[^]{1,${length}}`, "g")) ?? [];
const call = (name: string, args: string, ended = true) => ({
  id: expect.any(String) as string,
  name,
  arguments: args,
  ended,
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
    "text behind a call",
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\nDone.',
    { content: "\nDone.", calls: [call("f", "{}")] },
  ],
  [
    "a call cut off in its arguments",
    '<tool_call>\n{"name": "f", "arguments": {"a": "x',
    { content: "", calls: [call("f", '{"a": "x', false)] },
  ],
  [
    "a call without its closing tag",
    '<tool_call>\n{"name": "f", "arguments": {}}',
    { content: "", calls: [call("f", "{}")] },
  ],
  [
    "a call cut off in its head",
    'So <tool_call>\n{"name": "f", "argu',
    { content: 'So <tool_call>\n{"name": "f", "argu', calls: [] },
  ],
  [
    "what is no JSON",
    "<tool_call>\nweather in Oslo\n</tool_call>",
    { content: "<tool_call>\nweather in Oslo\n</tool_call>", calls: [] },
  ],
  [
    "JSON that is no call",
    '<tool_call>\n{"nme": 1}\n</tool_call> x',
    { content: '<tool_call>\n{"nme": 1}\n</tool_call> x', calls: [] },
  ],
  [
    "a broken call before a good one",
    'a\n<tool_call>\n{"x <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    { content: 'a\n<tool_call>\n{"x ', calls: [call("f", "{}")] },
  ],
  ["an opening cut off", "x <tool_c", { content: "x <tool_c", calls: [] }],
  ["only white space", " \n", { content: " \n", calls: [] }],
  ["nothing", "", { content: "", calls: [] }],
];

describe("the tool call parser", () => {
  it.each(cases)("reads %s, however it is cut", (_, text, answer) => {
    for (const length of [1, 2, 3, 5, 8, 13, 1000]) expect(read(inPieces(text, length))).toEqual(answer);
  });

  it("passes arguments on while they come", () => {
    const parser = createToolCallParser({ idFor: () => "id" });
    expect(parser.push('<tool_call>\n{"name": "f", "arguments": {"a": "hal')).toEqual([
      { type: "call_start", index: 0, id: "id", name: "f" },
      { type: "call_arguments", index: 0, text: '{"a": "hal' },
    ]);
    expect(parser.push('lo"}')).toEqual([{ type: "call_arguments", index: 0, text: 'lo"}' }]);
    expect(parser.push("}\n</tool_call>")).toEqual([{ type: "call_end", index: 0 }]);
  });

  it("passes text on that cannot be part of a call any more", () => {
    const parser = createToolCallParser({ idFor: () => "id" });
    expect(parser.push("a <")).toEqual([{ type: "content", text: "a " }]);
    expect(parser.push("tool")).toEqual([]);
    expect(parser.push("box>")).toEqual([{ type: "content", text: "<toolbox>" }]);
  });

  it("gives back what history shows: text and calls survive the round trip", () => {
    const text = fc.string({ unit: "grapheme" }).filter((own) => own === "" || own.trim() !== "");
    const calls = fc.array(
      fc.record({ name: fc.stringMatching(/^[a-z_]{1,8}$/), args: fc.dictionary(fc.string(), fc.jsonValue()) }),
      { maxLength: 3 },
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
      { numRuns: 200, seed: 2 },
    );
  });

  it("loses no character of any text", () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom("<tool_call>", "</tool_call>", '{"name": "f", ', '"arguments": {', "}", "\n", "😀", "<tool_"),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const answer = read(pieces);
        const frame = /[\s{}"<>/]|tool_call|name|arguments|[:,]/g;
        const told = answer.content + answer.calls.map((own) => own.name + own.arguments).join("");
        const letters = (text: string): string => Array.from(text.replace(frame, "")).toSorted().join("");
        expect(letters(told)).toBe(letters(pieces.join("")));
      }),
      { numRuns: 300, seed: 3 },
    );
  });
});
