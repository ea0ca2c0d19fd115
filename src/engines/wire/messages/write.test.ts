// Calls of other APIs as Anthropic's Messages.
import { describe, expect, test } from "vitest";
import type { Asked, Message, Part } from "../../asked.ts";
import { messagesWriter } from "./write.ts";

const asked = (more: Partial<Asked>): Asked =>
  ({
    shape: "chat",
    kind: "generate",
    model: "m",
    stream: false,
    prompt: { kind: "messages", messages: [] },
    tools: [],
    sampling: {},
    thinking: { asked: false, tokensBeside: 0 },
    answersPerPrompt: 1,
    extensions: {},
    headers: [],
    ...more,
  }) as unknown as Asked;

const write = (more: Partial<Asked>, wish: object = {}) =>
  messagesWriter.write(asked(more), { model: "claude", outputTokens: 100, ...wish });
const say = (...messages: Message[]) => write({ prompt: { kind: "messages", messages } });
const text = (said: string, mark?: object): Part => ({ kind: "text", text: said, ...(mark && { mark }) });
const user = (...parts: Part[]): Message => ({ role: "user", parts });
const assistant = (...parts: Part[]): Message => ({ role: "assistant", parts });

describe("a conversation", () => {
  test("begins with its instructions as the system prompt, and one turn follows the other", () => {
    expect(
      say(
        { role: "system", parts: [text("Be brief.")] },
        { role: "developer", parts: [text("In English.")] },
        user(text("a")),
        user(text("b")),
        assistant(text("c")),
        { role: "system", parts: [text("Now in French.")] },
        user(text("d")),
      ),
    ).toEqual({
      model: "claude",
      max_tokens: 100,
      system: [
        { type: "text", text: "Be brief." },
        { type: "text", text: "In English." },
      ],
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
        { role: "assistant", content: [{ type: "text", text: "c" }] },
        {
          role: "user",
          content: [
            { type: "text", text: "Now in French." },
            { type: "text", text: "d" },
          ],
        },
      ],
    });
  });

  test("of instructions alone is a user's turn", () => {
    expect(say({ role: "system", parts: [text("Go.")] })).toMatchObject({
      messages: [{ role: "user", content: [{ type: "text", text: "Go." }] }],
    });
  });

  test("results stand first in the turn that follows their calls, with their media and errors", () => {
    const { messages } = say(
      assistant(
        { kind: "tool_call", id: "call 1", name: "f", arguments: '{"a":1}' },
        { kind: "tool_call", id: "c2", name: "g", namespace: "n", arguments: "" },
      ),
      user({
        kind: "tool_result",
        id: "call 1",
        parts: [text("r"), { kind: "image", url: "data:image/png;base64,QQ==" }],
      }),
      user(text("and now?"), { kind: "tool_result", id: "c2", parts: [text("no")], isError: true }),
    ) as { messages: { content: Record<string, unknown>[] }[] };
    const [called, answered] = messages;
    const id = called!.content[0]!["id"] as string;
    expect(id).toMatch(/^toolu_[0-9a-f]{24}$/);
    expect(called!.content).toEqual([
      { type: "tool_use", id, name: "f", input: { a: 1 } },
      { type: "tool_use", id: "c2", name: "n__g", input: {} },
    ]);
    expect(answered!.content).toEqual([
      {
        type: "tool_result",
        tool_use_id: id,
        content: [
          { type: "text", text: "r" },
          { type: "image", source: { type: "base64", media_type: "image/png", data: "QQ==" } },
        ],
      },
      { type: "tool_result", tool_use_id: "c2", content: [{ type: "text", text: "no" }], is_error: true },
      { type: "text", text: "and now?" },
    ]);
  });

  test("documents are documents, and those of plain text are text", () => {
    const { messages } = say(
      user(
        { kind: "file", url: "data:application/pdf;base64,QUJD", name: "a.pdf" },
        { kind: "file", url: "data:text/plain;base64,QUJD" },
      ),
    ) as { messages: { content: unknown[] }[] };
    expect(messages[0]!.content).toEqual([
      { type: "document", source: { type: "base64", media_type: "application/pdf", data: "QUJD" }, title: "a.pdf" },
      { type: "document", source: { type: "text", media_type: "text/plain", data: "ABC" } },
    ]);
  });

  test("thought goes back with what proves it to Anthropic; thought of other models is left out", () => {
    const { messages } = say(
      assistant(
        { kind: "reasoning", text: "Hm.", proof: { origin: "anthropic", signature: "sig" } },
        { kind: "reasoning", text: "", proof: { origin: "anthropic", encrypted: "hidden" } },
        { kind: "reasoning", text: "unproved" },
        { kind: "reasoning", text: "", proof: { origin: "openai", encrypted: "theirs" } },
        { kind: "refusal", text: "No." },
        text(""),
      ),
    ) as { messages: { content: unknown[] }[] };
    expect(messages[0]!.content).toEqual([
      { type: "thinking", thinking: "Hm.", signature: "sig" },
      { type: "redacted_thinking", data: "hidden" },
      { type: "text", text: "No." },
    ]);
  });
});

describe("marks of the prompt cache", () => {
  test("stand where the client put them, with their times", () => {
    const body = write({
      prompt: {
        kind: "messages",
        messages: [
          { role: "system", parts: [text("S", { ttlSeconds: 3600 })] },
          user(text("u", {}), { kind: "image", url: "data:image/png;base64,QQ==", mark: { ttlSeconds: 300 } }),
        ],
      },
      tools: [{ name: "f", mark: {} }],
    });
    expect(body).toMatchObject({
      tools: [{ cache_control: { type: "ephemeral" } }],
      system: [{ cache_control: { type: "ephemeral", ttl: "1h" } }],
      messages: [
        { content: [{ cache_control: { type: "ephemeral" } }, { cache_control: { type: "ephemeral", ttl: "5m" } }] },
      ],
    });
  });

  test("of more than four the last four are kept; a time for the whole prompt is one of them", () => {
    const messages = [1, 2, 3, 4, 5].map((number) => user(text(`u${number}`, {})));
    const kept = (body: Record<string, unknown>) =>
      (body["messages"] as { content: Record<string, unknown>[] }[])
        .flatMap(({ content }) => content)
        .filter((block) => block["cache_control"])
        .map((block) => block["text"]);
    expect(kept(say(...messages))).toEqual(["u2", "u3", "u4", "u5"]);
    const body = write({ prompt: { kind: "messages", messages }, cacheTtlSeconds: 3600 });
    expect(body).toMatchObject({ cache_control: { type: "ephemeral", ttl: "1h" } });
    expect(kept(body)).toEqual(["u3", "u4", "u5"]);
  });
});

describe("tools", () => {
  test("of text take it as their one argument, and several choices leave those tools alone", () => {
    const body = write({
      tools: [
        { name: "f", description: "Does f", parameters: { type: "object" }, strict: true },
        { name: "g", custom: {} },
        { name: "h" },
      ],
      toolChoice: { anyOf: ["f", "g"], required: true },
      parallelTools: false,
    });
    expect(body["tools"]).toMatchObject([
      { name: "f", description: "Does f", input_schema: { type: "object" }, strict: true },
      { name: "g", input_schema: { required: ["input"] } },
    ]);
    expect(body["tool_choice"]).toEqual({ type: "any", disable_parallel_tool_use: true });
  });

  test.each([
    ["none", { type: "none" }],
    ["auto", { type: "auto" }],
    ["required", { type: "any" }],
    [{ name: "f" }, { type: "tool", name: "f" }],
    [undefined, undefined],
  ] as const)("the choice %j is %j", (toolChoice, expected) => {
    expect(write({ tools: [{ name: "f" }], toolChoice })["tool_choice"]).toEqual(expected);
  });
});

describe("thinking", () => {
  const budget = { adaptive: false, budget: true, effort: false };
  const both = { adaptive: true, budget: true, effort: true };
  test.each([
    ["nothing is asked", { asked: false }, both, {}],
    [
      "a new model decides by itself, at an effort",
      { asked: true, effort: "high" },
      both,
      {
        thinking: { type: "adaptive" },
        output_config: { effort: "high" },
      },
    ],
    [
      "nothing is known of the model",
      { asked: true, effort: "minimal" },
      undefined,
      {
        thinking: { type: "adaptive" },
        output_config: { effort: "low" },
      },
    ],
    [
      "an older model gets a budget",
      { asked: true, effort: "medium" },
      budget,
      {
        thinking: { type: "enabled", budget_tokens: 8192 },
      },
    ],
    [
      "a budget of the client's is kept",
      { asked: true, budgetTokens: 3000, show: "omitted" },
      both,
      {
        thinking: { type: "enabled", budget_tokens: 3000, display: "omitted" },
      },
    ],
    [
      "a budget stays below the limit",
      { asked: true, budgetTokens: 90_000 },
      budget,
      {
        thinking: { type: "enabled", budget_tokens: 19_999 },
      },
    ],
  ] as const)("%s", (_name, thinking, thinks, expected) => {
    const body = write(
      { thinking: { tokensBeside: 0, ...thinking }, sampling: { temperature: 0.2 } },
      { outputTokens: 20_000, ...(thinks && { capabilities: { tokenize: false, kvEvents: false, thinks } }) },
    );
    const { thinking: written, output_config: config } = body;
    expect({
      ...(written !== undefined && { thinking: written }),
      ...(config !== undefined && { output_config: config }),
    }).toEqual(expected);
    // Anthropic takes no temperature beside thought.
    expect(body["temperature"]).toBe(written === undefined ? 0.2 : undefined);
  });

  test("is not asked for where a tool is forced, or where the limit leaves no room", () => {
    const thinking = { asked: true, budgetTokens: 2000, tokensBeside: 0 };
    expect(write({ thinking, tools: [{ name: "f" }], toolChoice: "required" })).not.toHaveProperty("thinking");
    const capabilities = { tokenize: false, kvEvents: false, thinks: budget };
    expect(write({ thinking }, { outputTokens: 500, capabilities })).not.toHaveProperty("thinking");
  });
});

test("the form of the answer: a schema in Anthropic's words, any JSON as an instruction", () => {
  const schema = { type: "object" };
  expect(write({ format: { kind: "schema", schema } })["output_config"]).toEqual({
    format: { type: "json_schema", schema },
  });
  expect(JSON.stringify(write({ format: { kind: "json" } }))).toContain("one JSON object");
});

test("what Anthropic has no word for is named in the client's words", () => {
  const capabilities = { tokenize: false, kvEvents: false };
  const paths = (more: Partial<Asked>) => messagesWriter.unsaid(asked(more), capabilities).map(({ path }) => path);
  expect(paths({ sampling: { temperature: 1, topP: 0.5, topK: 3, stop: ["a"], presencePenalty: 0 } })).toEqual([]);
  const sampling = { temperature: 1.5, seed: 1, minP: 0.1, logprobs: 2, presencePenalty: 1, frequencyPenalty: 1 };
  expect(paths({ sampling, answersPerPrompt: 2 })).toEqual([
    ...["temperature", "seed", "min_p", "logprobs", "presence_penalty", "frequency_penalty", "n"],
  ]);
  expect(paths({ shape: "gemini", sampling: { seed: 1 } })).toEqual(["generationConfig.seed"]);
});
