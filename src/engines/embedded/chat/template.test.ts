import { LineshaftError } from "../../../errors/index.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChatMessage, ChatTool } from "./messages.ts";
import { createTemplate, type ChatTemplate } from "./template.ts";
import { alternating, hermes, smollm } from "./testing/templates.ts";
import { runs } from "../../../../test/setup/runs.ts";

const chatml = { bosToken: "<|im_start|>", eosToken: "<|im_end|>" };
const tool: ChatTool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const asked: ChatMessage[] = [
  { role: "system", content: "Be short." },
  { role: "user", content: "Weather in Oslo?" },
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city": "Oslo"}' } }],
  },
  { role: "tool", tool_call_id: "call_1", content: "rain" },
];

function chatError(run: () => unknown): LineshaftError {
  try {
    run();
  } catch (error) {
    if (error instanceof LineshaftError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("a model's own template", () => {
  const template = createTemplate(smollm, chatml);

  it("is rendered as it stands", () => {
    const { text, segments } = template.render([{ role: "user", content: "Hello" }], { addGenerationPrompt: true });
    expect(text).toBe(
      "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    );
    expect(segments).toEqual([{ text, special: true }]);
  });

  it("takes text parts and the developer role", () => {
    const { text } = template.render(
      [
        { role: "developer", content: "Be kind." },
        {
          role: "user",
          content: [
            { type: "text", text: "one" },
            { type: "text", text: "two" },
          ],
        },
      ],
      { addGenerationPrompt: false },
    );
    expect(text).toBe("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\none\ntwo<|im_end|>\n");
  });

  it.each([
    [
      "unsupported_content",
      "messages[0].content[1]",
      [{ role: "user", content: [{ type: "text", text: "a" }, { type: "image_url" }] }],
    ],
    [
      "unsupported_role",
      "messages[1].role",
      [
        { role: "user", content: "a" },
        { role: "robot", content: "b" },
      ],
    ],
    ["missing_content", "messages[0].content", [{ role: "user" }]],
    ["missing_tool_call_id", "messages[0].tool_call_id", [{ role: "tool", content: "a" }]],
    ["no_messages", "messages", []],
  ] as [string, string, ChatMessage[]][])("refuses with %s at %s", (code, param, messages) => {
    const error = chatError(() => template.render(messages, { addGenerationPrompt: true }));
    expect(error).toMatchObject({ code, param, status: 400 });
  });

  it("names the kind of content that it cannot show", () => {
    expect(
      chatError(() =>
        template.render([{ role: "user", content: [{ type: "image_url" }] }], { addGenerationPrompt: true }),
      ).message,
    ).toContain("image_url");
  });

  it("that refuses a conversation makes it a 400 with the template's reason", () => {
    const gemma = createTemplate(alternating, { bosToken: "<bos>", eosToken: "<eos>" });
    const twice = chatError(() =>
      gemma.render(
        [
          { role: "user", content: "a" },
          { role: "user", content: "b" },
        ],
        { addGenerationPrompt: true },
      ),
    );
    expect(twice).toMatchObject({ code: "template_refused", status: 400 });
    expect(twice.message).toContain("must alternate");
  });

  it("that is no template is said to be unreadable", () => {
    expect(chatError(() => createTemplate("{% for %}", chatml)).code).toBe("unreadable_template");
  });
});

describe("tools", () => {
  it("are written in the documented form where the template has none", () => {
    const template = createTemplate(smollm, chatml);
    expect(template.render(asked, { tools: [tool], addGenerationPrompt: true }).text).toBe(
      `<|im_start|>system
Be short.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
<|im_start|>user
Weather in Oslo?<|im_end|>
<|im_start|>assistant
<tool_call>
{"name": "get_weather", "arguments": {"city": "Oslo"}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
rain
</tool_response><|im_end|>
<|im_start|>assistant
`,
    );
  });

  it("are left to a template that writes this form itself", () => {
    const { text } = createTemplate(hermes, chatml).render(asked, { tools: [tool], addGenerationPrompt: false });
    expect(text).toContain('# Tools\n<tools>\n{"type": "function", "function": {"name": "get_weather"');
    expect(text).toContain('<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>');
    expect(text.match(/# Tools/g)).toHaveLength(1);
  });

  it("read the same whatever the order of the client's keys", () => {
    const template = createTemplate(smollm, chatml);
    const shuffled = {
      function: {
        parameters: tool.function.parameters,
        strict: true,
        name: tool.function.name,
        description: tool.function.description,
      },
      type: "function",
    } as ChatTool;
    const texts = [tool, shuffled].map(
      (own) => template.render(asked, { tools: [own], addGenerationPrompt: true }).text,
    );
    expect(texts[0]).toBe(texts[1]);
  });

  it("fit a template without a system role whose roles must alternate", () => {
    const template = createTemplate(alternating, { bosToken: "<bos>", eosToken: "<eos>" });
    const messages: ChatMessage[] = [...asked, { role: "tool", tool_call_id: "call_2", content: "cold" }];
    const { text } = template.render(messages, { tools: [tool], addGenerationPrompt: true });
    expect(text).toMatch(/^<bos><start_of_turn>user\nBe short\.\n\n# Tools/);
    expect(text).toContain("</tool_call>\n\nWeather in Oslo?<end_of_turn>\n<start_of_turn>model\n<tool_call>");
    expect(text).toContain(
      "<tool_response>\nrain\n</tool_response>\n<tool_response>\ncold\n</tool_response><end_of_turn>",
    );
    const twice: ChatMessage[] = [
      { role: "user", content: "a" },
      { role: "user", content: "b" },
    ];
    expect(chatError(() => template.render(twice, { tools: [tool], addGenerationPrompt: true })).code).toBe(
      "template_refused",
    );
  });

  it("keep arguments that are not JSON as text", () => {
    const template = createTemplate(smollm, chatml);
    const { text } = template.render(
      [
        { role: "user", content: "a" },
        {
          role: "assistant",
          content: "so:",
          tool_calls: [{ function: { name: "f", arguments: "{oops" } }, { function: { name: "g", arguments: "" } }],
        },
      ],
      { addGenerationPrompt: false },
    );
    expect(text).toContain(
      'so:\n<tool_call>\n{"name": "f", "arguments": "{oops"}\n</tool_call>\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call><|im_end|>',
    );
  });
});

describe("a longer conversation only appends", () => {
  const content = fc.oneof(fc.string(), fc.constantFrom("<|im_end|>", "", " \n", "</tool_call>", "<tools>"));
  const message: fc.Arbitrary<ChatMessage> = fc.oneof(
    fc.record({ role: fc.constantFrom("system", "developer", "user", "assistant"), content }),
    fc.record({ role: fc.constant("tool"), content, tool_call_id: fc.constant("call_1") }),
    fc.record({
      role: fc.constant("assistant"),
      content: fc.option(content),
      tool_calls: fc.array(
        fc.record({
          id: fc.constant("call_1"),
          function: fc.record({ name: fc.constant("f"), arguments: fc.oneof(fc.json(), fc.string()) }),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  );
  const isPrefix = (template: ChatTemplate, messages: ChatMessage[], tools: ChatTool[]): void => {
    let before = "";
    for (let count = 1; count <= messages.length; count++) {
      const { text, segments } = template.render(messages.slice(0, count), { tools, addGenerationPrompt: false });
      expect(text.startsWith(before)).toBe(true);
      expect(segments.map((segment) => segment.text).join("")).toBe(text);
      const prompt = template.render(messages.slice(0, count), { tools, addGenerationPrompt: true }).text;
      expect(prompt.startsWith(text)).toBe(true);
      before = text;
    }
  };

  it.each([
    ["without tools of its own", smollm],
    ["with tools of its own", hermes],
  ])("for every sequence of roles (template %s)", (_, source) => {
    const template = createTemplate(source, chatml);
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), fc.boolean(), (messages, withTool) =>
        isPrefix(template, messages, withTool ? [tool] : []),
      ),
      { numRuns: runs(150), seed: 1 },
    );
  });
});
