import { describe, expect, it } from "vitest";
import { either, formOf } from "./grammars.ts";
import { parseChat } from "./request.ts";
import { openSampling } from "./samplingDefaults.ts";

const tools = [
  {
    type: "function",
    function: { name: "f", parameters: { type: "object", properties: {}, additionalProperties: false } },
  },
];
const schema = {
  type: "json_schema",
  json_schema: {
    name: "n",
    schema: { type: "object", properties: { n: { type: "integer" } }, required: ["n"], additionalProperties: false },
  },
};
const form = (more: object) => formOf(parseChat({ messages: [{ role: "user", content: "x" }], ...more }, openSampling));

describe("the form of an answer", () => {
  it.each([
    ["text", {}, { grammar: false, trigger: false, json: false, tools: false }],
    ["a schema", { response_format: schema }, { grammar: true, trigger: false, json: true, tools: false }],
    [
      "any object",
      { response_format: { type: "json_object" } },
      { grammar: true, trigger: false, json: true, tools: false },
    ],
    ["tools, free", { tools }, { grammar: false, trigger: true, json: false, tools: true }],
    [
      "tools, required",
      { tools, tool_choice: "required" },
      { grammar: true, trigger: false, json: false, tools: true },
    ],
    ["tools, none", { tools, tool_choice: "none" }, { grammar: false, trigger: false, json: false, tools: false }],
    [
      "tools or a schema",
      { tools, response_format: schema },
      { grammar: true, trigger: false, json: true, tools: true },
    ],
    [
      "tools required, with a schema",
      { tools, tool_choice: "required", response_format: schema },
      { grammar: true, trigger: false, json: false, tools: true },
    ],
  ])("for %s", (_name, more, wanted) => {
    const made = form(more);
    expect({
      grammar: made.grammar !== undefined,
      trigger: made.onTrigger !== undefined,
      json: made.json,
      tools: made.tools,
    }).toEqual(wanted);
  });
});

describe("either of two grammars", () => {
  it("renames rules apart, and nothing in strings, classes, comments and counts", () => {
    const one = 'root ::= "root" item{2,3} # root\nitem ::= [a-z"root] "\\"x"';
    expect(either(one, 'root ::= "b"')).toBe(
      'root ::= a-root | b-root\na-root ::= "root" a-item{2,3} # root\na-item ::= [a-z"root] "\\"x"\nb-root ::= "b"',
    );
  });
});
