import { LineshaftError } from "../../../errors/index.ts";
import { describe, expect, it } from "vitest";
import type { ChatTool } from "./messages.ts";
import { oracleOf } from "./testing/oracle.ts";
import { derive, matches, readGrammar, seeded } from "./testing/gbnf.ts";
import { offeredTools, toolGrammar, type ToolChoice } from "./tools.ts";
import { createAnswerParser } from "./parser.ts";

const tool = (name: string, parameters?: Record<string, unknown>, strict?: boolean): ChatTool => ({
  type: "function",
  function: { name, ...(parameters ? { parameters } : {}), ...(strict === undefined ? {} : { strict }) },
});
const open = tool("open_order", {
  type: "object",
  properties: { mode: { enum: ["HDF", "PWF"] }, note: { $ref: "#/$defs/note" } },
  required: ["mode"],
  $defs: { note: { type: "string", maxLength: 9 } },
});
const close = tool("close_order", {
  type: "object",
  properties: { id: { type: "integer", minimum: 1 }, note: { $ref: "#/$defs/note" } },
  required: ["id"],
  $defs: { note: { type: "null" } },
});
const now = tool("now");
const tools = [open, close, now];

const openCall = '{"name": "open_order", "arguments": {"mode": "HDF", "note": "hot"}}\n</tool_call>';
const closeCall = '{"name": "close_order", "arguments": {"id": 7, "note": null}}\n</tool_call>';
const nowCall = '{"name": "now", "arguments": {}}\n</tool_call>';

function accepts(choice: ToolChoice | undefined, text: string, parallel = true): boolean {
  return matches(readGrammar(toolGrammar(tools, choice, { parallel })!.gbnf), text);
}

describe("the grammar of tool calls", () => {
  it("holds from the first token when a call is required", () => {
    expect(toolGrammar(tools, "required")!.trigger).toBeUndefined();
    for (const call of [openCall, closeCall, nowCall]) expect(accepts("required", `<tool_call>\n${call}`)).toBe(true);
    expect(accepts("required", `<tool_call>\n${openCall}\n<tool_call>\n${nowCall}`)).toBe(true);
    expect(accepts("required", "Hello")).toBe(false);
    expect(accepts("required", '<tool_call>\n{"name": "open_order", "arguments": {"mode": "XXX"}}\n</tool_call>')).toBe(
      false,
    );
    expect(
      accepts("required", '<tool_call>\n{"name": "close_order", "arguments": {"id": 7, "note": "hot"}}\n</tool_call>'),
    ).toBe(false);
    expect(accepts("required", '<tool_call>\n{"name": "now", "arguments": {"a": 1}}\n</tool_call>')).toBe(false);
  });

  it("allows one call where parallel calls are switched off", () => {
    expect(accepts("required", `<tool_call>\n${openCall}`, false)).toBe(true);
    expect(accepts("required", `<tool_call>\n${openCall}\n<tool_call>\n${nowCall}`, false)).toBe(false);
  });

  it("allows exactly one call of a named tool", () => {
    const named: ToolChoice = { type: "function", function: { name: "now" } };
    expect(accepts(named, `<tool_call>\n${nowCall}`)).toBe(true);
    expect(accepts(named, `<tool_call>\n${openCall}`)).toBe(false);
    expect(accepts(named, `<tool_call>\n${nowCall}\n<tool_call>\n${nowCall}`)).toBe(false);
  });

  it.each([undefined, "auto"] as const)(
    "begins behind the trigger for %s, with or without the line's end",
    (choice) => {
      expect(toolGrammar(tools, choice)!.trigger).toBe("<tool_call>");
      expect(accepts(choice, `\n${openCall}`)).toBe(true);
      expect(accepts(choice, openCall)).toBe(true);
      expect(accepts(choice, `\n${openCall}\n<tool_call>\n${closeCall}`)).toBe(true);
      expect(accepts(choice, `\n${openCall}\n<tool_call>\n${closeCall}`, false)).toBe(false);
      expect(accepts(choice, `\n${openCall}\nAnd now?`)).toBe(false);
    },
  );

  it("writes calls that the parser reads and that are valid", () => {
    const grammar = readGrammar(toolGrammar(tools, "required")!.gbnf);
    const random = seeded(9);
    // Compiled once: an oracle takes longer to make than a hundred values to judge.
    const oracles = new Map(
      tools.flatMap(({ function: { name, parameters } }) =>
        parameters ? [[name, oracleOf(parameters)] as const] : [],
      ),
    );
    for (let count = 0; count < 100; count++) {
      const parser = createAnswerParser({ idFor: String, tools: true, endMarkers: [] });
      const events = [...parser.push(derive(grammar, random)), ...parser.end(false)];
      expect(events.length).toBeGreaterThan(0);
      for (const event of events) {
        if (event.type === "content") throw new Error(`Text outside calls: ${event.text}`);
        const value: unknown = JSON.parse(event.arguments);
        const oracle = oracles.get(event.name);
        if (oracle) expect(oracle(value), event.arguments).toBeNull();
        else expect(value).toEqual({});
      }
    }
  });

  it("takes any tool name, those of grammar rules too", () => {
    const odd = ["root", "call", "value", "1st", "a.b", "a-b", "_"].map((name) => tool(name));
    const grammar = readGrammar(toolGrammar(odd, "required")!.gbnf);
    for (const { function: own } of odd) {
      expect(matches(grammar, `<tool_call>\n{"name": "${own.name}", "arguments": {}}\n</tool_call>`)).toBe(true);
    }
  });

  it("is absent, like the tools themselves, when the choice is none", () => {
    expect(toolGrammar(tools, "none")).toBeUndefined();
    expect(offeredTools(tools, "none")).toEqual([]);
    expect(offeredTools(tools, { type: "function", function: { name: "now" } })).toBe(tools);
    expect(toolGrammar([], "auto")).toBeUndefined();
    expect(toolGrammar(undefined, undefined)).toBeUndefined();
  });

  it.each([
    ["unknown_tool", tools, { type: "function", function: { name: "fly" } }],
    ["no_tools", [], "required"],
    ["duplicate_tool", [now, now], "auto"],
    ["invalid_tool_name", [tool("a b")], "auto"],
  ] as [string, ChatTool[], ToolChoice][])("refuses with %s", (code, list, choice) => {
    expect(() => toolGrammar(list, choice)).toThrow(expect.objectContaining({ code }) as LineshaftError);
    expect(() => toolGrammar(list, choice)).toThrow(LineshaftError);
  });

  it("refuses a strict tool that it cannot hold the model to, and is looser with others", () => {
    const parameters = {
      type: "object",
      properties: { tags: { type: "array", items: { type: "string", format: "iri" }, uniqueItems: true } },
      required: ["tags"],
    };
    expect(() => toolGrammar([tool("f", parameters, true)], "auto")).toThrow(LineshaftError);
    const loose = [tool("f", parameters)];
    const { gbnf } = toolGrammar(loose, "auto")!;
    expect(matches(readGrammar(gbnf), '{"name": "f", "arguments": {"tags": ["a", "a"]}}\n</tool_call>')).toBe(true);
  });
});
