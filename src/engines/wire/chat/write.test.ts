// A call of another API as a chat completion: one table, one line for each thing that chat says otherwise.
import { expect, test } from "vitest";
import type { Asked, Message, Part } from "../../asked.ts";
import { chatToolName, writeChat } from "./write.ts";

const askedOf = (messages: Message[], more: Partial<Asked> = {}): Asked => ({
  shape: "responses",
  kind: "generate",
  model: "m",
  stream: false,
  prompt: { kind: "messages", messages },
  tools: [],
  toolChoice: undefined,
  parallelTools: undefined,
  format: undefined,
  sampling: {},
  thinking: { asked: false, tokensBeside: 0 },
  verbosity: undefined,
  cacheKey: undefined,
  cacheTtlSeconds: undefined,
  answersPerPrompt: 1,
  extensions: {},
  headers: [],
  promptCharacters: 0,
  received: undefined,
  ...more,
});
const text = (said: string): Part => ({ kind: "text", text: said });
const say = (role: Message["role"], ...parts: Part[]): Message => ({ role, parts });
const messagesOf = (messages: Message[], wish = {}) =>
  writeChat(askedOf(messages), { model: "m", ...wish })["messages"];

test("nothing is written that was not asked", () => {
  expect(writeChat(askedOf([say("user", text("hi"))]), { model: "theirs" })).toEqual({
    model: "theirs",
    messages: [{ role: "user", content: "hi" }],
  });
});

test("instructions at the beginning are one system message; those in the middle join the next user's message", () => {
  const messages = [
    say("system", text("A")),
    say("developer", text("B")),
    say("user", text("one")),
    say("assistant", text("two")),
    say("system", text("C")),
    say("user", text("three")),
    say("system", text("D")),
  ];
  expect(messagesOf(messages)).toEqual([
    { role: "system", content: "A\n\nB" },
    { role: "user", content: "one" },
    { role: "assistant", content: "two" },
    {
      role: "user",
      content: [
        { type: "text", text: "C" },
        { type: "text", text: "three" },
      ],
    },
    { role: "user", content: "D" },
  ]);
  expect(messagesOf(messages, { systemAnywhere: true })).toMatchObject([
    { role: "system" },
    { role: "user" },
    { role: "assistant" },
    { role: "system", content: "C" },
    { role: "user", content: "three" },
    { role: "system", content: "D" },
  ]);
});

test("results of tools stand right behind their calls, and media in them in a user's message after all of them", () => {
  const result = (id: string, ...parts: Part[]): Part => ({ kind: "tool_result", id, parts });
  const call = (id: string, name: string): Part => ({ kind: "tool_call", id, name, arguments: "{}" });
  expect(
    messagesOf([
      say("assistant", { kind: "reasoning", text: "Hm." }, text("I look."), call("c1", "f"), call("c2", "g")),
      say(
        "user",
        result("c1", text("a"), { kind: "image", url: "data:image/png;base64,AA" }),
        { ...result("c2", text("no")), isError: true } as Part,
        text("go on"),
      ),
    ]),
  ).toEqual([
    {
      role: "assistant",
      content: "I look.",
      reasoning_content: "Hm.",
      tool_calls: [
        { id: "c1", type: "function", function: { name: "f", arguments: "{}" } },
        { id: "c2", type: "function", function: { name: "g", arguments: "{}" } },
      ],
    },
    { role: "tool", tool_call_id: "c1", content: "a" },
    { role: "tool", tool_call_id: "c2", content: "Error: no" },
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url: "data:image/png;base64,AA" } },
        { type: "text", text: "go on" },
      ],
    },
  ]);
});

test("a summary of thought, a proof and another API's items are not told", () => {
  const parts: Part[] = [
    { kind: "reasoning", text: "In short.", summary: true },
    { kind: "reasoning", text: "", proof: { origin: "anthropic", signature: "s" } },
    { kind: "opaque", shape: "responses", item: { type: "web_search_call" } },
    text("hi"),
  ];
  expect(messagesOf([say("assistant", ...parts)])).toEqual([{ role: "assistant", content: "hi" }]);
});

test("marks are written for engines that read them alone", () => {
  const marked = [
    say("system", { ...text("A"), mark: { ttlSeconds: 3600 } } as Part),
    say("user", { ...text("B"), mark: {} } as Part),
  ];
  expect(messagesOf(marked)).toEqual([
    { role: "system", content: "A" },
    { role: "user", content: "B" },
  ]);
  expect(messagesOf(marked, { marks: true })).toEqual([
    { role: "system", content: [{ type: "text", text: "A", cache_control: { type: "ephemeral", ttl: "1h" } }] },
    { role: "user", content: [{ type: "text", text: "B", cache_control: { type: "ephemeral" } }] },
  ]);
});

test("tools, choice, format, sampling and wishes have chat's names", () => {
  const parameters = { type: "object" };
  const body = writeChat(
    askedOf([say("user", text("hi"))], {
      tools: [
        { name: "f", description: "Does f", parameters, strict: true },
        {
          name: "patch",
          namespace: "edit",
          description: "Patches",
          custom: { format: { syntax: "lark", definition: "start: x" } },
        },
        { name: "web_search", opaque: { shape: "responses", item: {} } },
      ],
      toolChoice: { name: "f" },
      parallelTools: false,
      format: { kind: "schema", schema: parameters, name: "x", strict: true },
      sampling: { temperature: 0.5, topP: 0.9, topK: 4, minP: 0.1, seed: 7, stop: ["END"], logprobs: 2 },
      thinking: { asked: true, effort: "low", tokensBeside: 0 },
      verbosity: "low",
      cacheKey: "k",
      extensions: { repetition_penalty: 1.1 },
    }),
    { model: "m", outputTokens: 9, stream: true },
  );
  expect(body).toMatchObject({
    stream: true,
    max_tokens: 9,
    tools: [
      { type: "function", function: { name: "f", description: "Does f", parameters, strict: true } },
      {
        function: {
          name: "edit__patch",
          description: "Patches\n\nThe input must match this lark grammar:\nstart: x",
          parameters: { required: ["input"] },
        },
      },
    ],
    tool_choice: { type: "function", function: { name: "f" } },
    parallel_tool_calls: false,
    response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema: parameters } },
    temperature: 0.5,
    top_p: 0.9,
    top_k: 4,
    min_p: 0.1,
    seed: 7,
    stop: ["END"],
    logprobs: true,
    top_logprobs: 2,
    reasoning_effort: "low",
    verbosity: "low",
    prompt_cache_key: "k",
    repetition_penalty: 1.1,
  });
  expect(body["tools"]).toHaveLength(2);
});

test("fields that another API has and the typed view does not are not passed on as chat's", () => {
  const body = writeChat(
    askedOf([say("user", text("hi"))], { shape: "messages", extensions: { context_management: {} } }),
    {
      model: "m",
    },
  );
  expect(body).not.toHaveProperty("context_management");
});

test("a name that is too long keeps its beginning, and is the same in every turn", () => {
  const long = { name: "n".repeat(60), namespace: "group" };
  expect(chatToolName(long)).toHaveLength(64);
  expect(chatToolName(long)).toBe(chatToolName({ ...long }));
  expect(chatToolName(long)).not.toBe(chatToolName({ ...long, name: "n".repeat(61) }));
});

test("a choice among several tools names these alone", () => {
  const tools = [{ name: "f" }, { name: "g" }];
  const of = (required: boolean) =>
    writeChat(askedOf([say("user", text("hi"))], { tools, toolChoice: { anyOf: ["g"], required } }), { model: "m" });
  expect(of(true)).toMatchObject({ tools: [{ function: { name: "g" } }], tool_choice: "required" });
  expect(of(false)).toMatchObject({ tools: [{ function: { name: "g" } }], tool_choice: "auto" });
});
