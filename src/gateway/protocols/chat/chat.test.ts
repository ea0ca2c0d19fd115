// Chat completions pass the suite of protocols; and calls that are composed inside the process are the calls that a client would send.
import { expect, test } from "vitest";
import type { WireObject } from "../../../engines/index.ts";
import { commonFields } from "../../../engines/wire/chat/fields.ts";
import { errorTypes, readChoices, readError, readEvents } from "../openai/testing.ts";
import { protocolSuite } from "../suite.ts";
import { decodeAs } from "../testing.ts";
import { chatCall, type ChatParts } from "./compose.ts";
import { chat } from "./index.ts";

const messages = [{ role: "user", content: "hi" }];
const parameters = { type: "object", properties: { a: { type: "integer" } } };
const wire = (data: Record<string, unknown>): WireObject => ({ shape: "chat", data, text: JSON.stringify(data) });
const frame = { id: "chatcmpl-1", created: 7, model: "engine-model", system_fingerprint: "fp" };
const piece = (delta: object, finish: string | null = null) =>
  wire({ ...frame, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] });

protocolSuite({
  protocol: chat,
  minimal: { model: "m", messages },
  maximal: {
    model: "m",
    messages: [
      { role: "system", content: "Be brief." },
      {
        role: "user",
        name: "ada",
        content: [
          { type: "text", text: "What is this?", cache_control: { type: "ephemeral" } },
          { type: "image_url", image_url: { url: "https://pictures.example/a.png" } },
          { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } },
        ],
      },
      {
        role: "assistant",
        content: null,
        reasoning_content: "A tool is needed.",
        tool_calls: [{ id: "c0", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", tool_call_id: "c0", content: "done" },
    ],
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: 9,
    temperature: 0.5,
    top_p: 0.9,
    seed: 7,
    stop: "END",
    presence_penalty: 1,
    frequency_penalty: -1,
    n: 2,
    tools: [{ type: "function", function: { name: "f", description: "Does f", parameters, strict: true } }],
    tool_choice: { type: "function", function: { name: "f" } },
    response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema: parameters } },
    reasoning_effort: "low",
    min_p: 0.1,
  },
  decoded: {
    shape: "chat",
    model: "m",
    stream: true,
    streamUsage: true,
    prompt: {
      kind: "messages",
      messages: [
        { role: "system", parts: [{ kind: "text", text: "Be brief." }] },
        {
          role: "user",
          name: "ada",
          parts: [
            { kind: "text", text: "What is this?", mark: {} },
            { kind: "image", url: "https://pictures.example/a.png" },
            { kind: "audio", url: "data:audio/wav;base64,AAAA" },
          ],
        },
        {
          role: "assistant",
          parts: [
            { kind: "reasoning", text: "A tool is needed." },
            { kind: "tool_call", id: "c0", name: "f", arguments: "{}" },
          ],
        },
        { role: "user", parts: [{ kind: "tool_result", id: "c0", parts: [{ kind: "text", text: "done" }] }] },
      ],
    },
    tools: [{ name: "f", description: "Does f", parameters, strict: true }],
    toolChoice: { name: "f" },
    format: { kind: "schema", schema: parameters, name: "x", strict: true },
    sampling: {
      temperature: 0.5,
      topP: 0.9,
      seed: 7,
      stop: ["END"],
      presencePenalty: 1,
      frequencyPenalty: -1,
      minP: 0.1,
    },
    answersPerPrompt: 2,
    repeatsPrompt: false,
    thinking: { asked: true, effort: "low", tokensBeside: 0 },
    extensions: {},
    hasMedia: true,
  },
  refused: [
    [{ messages }, "model"],
    [{ model: "m" }, "messages"],
    [{ model: "m", messages: [{ role: "robot", content: "" }] }, "messages[0].role"],
    [{ model: "m", messages, temperature: 3 }, "temperature"],
    [{ model: "m", messages, tool_choice: "required" }, "tool_choice"],
  ],
  unknown: { fields: commonFields, body: { model: "m", messages, guided_json: {} }, param: "guided_json" },
  streaming: (body) => ({ ...body, stream: true }),
  calls: true,
  wire: {
    whole: wire({
      ...frame,
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 1 },
    }),
    chunks: [piece({ role: "assistant", content: "Hel" }), piece({ content: "lo" }), piece({}, "stop")],
  },
  readWhole: (body) => readChoices([JSON.parse(body)], "message"),
  readStream: (text) => readEvents(text, "delta"),
  readError,
  errorTypes,
});

test("a composed call keeps its parts, and asks a chat engine what they ask", () => {
  const parts: ChatParts = {
    model: "m",
    messages: [
      { role: "system", parts: [{ kind: "text", text: "Be brief." }] },
      {
        role: "user",
        parts: [
          { kind: "text", text: "Look.", mark: {} },
          { kind: "image", url: "https://pictures.example/a.png" },
          { kind: "file", url: "data:application/pdf;base64,AAAA" },
        ],
      },
      {
        role: "assistant",
        parts: [
          { kind: "reasoning", text: "Hm.", proof: { origin: "anthropic", signature: "s" } },
          { kind: "refusal", text: "No." },
          { kind: "tool_call", id: "c0", name: "f", arguments: "{}" },
        ],
      },
      { role: "user", parts: [{ kind: "tool_result", id: "c0", parts: [{ kind: "text", text: "done" }] }] },
    ],
    tools: [{ name: "f", description: "Does f", parameters }],
    toolChoice: { name: "f" },
    format: { kind: "schema", schema: parameters, name: "output", strict: true },
    sampling: { temperature: 0, topP: 1, seed: 7, stop: ["END"], presencePenalty: 0, frequencyPenalty: 0 },
    outputTokens: 9,
  };
  const call = chatCall(parts);
  const { messages: given, outputTokens, ...others } = parts;
  const body = call.engineBody({ shape: "chat", model: "m", outputTokens: outputTokens! });
  for (const one of [call, decodeAs(chat, body)]) {
    expect(one).toMatchObject(others);
    expect(one.outputLimit()).toEqual({ tokens: outputTokens, field: "max_tokens" });
  }
  expect(call.prompt.kind === "messages" && call.prompt.messages).toEqual(given);
  expect((body["messages"] as { role: string }[]).map(({ role }) => role)).toEqual([
    ...["system", "user", "assistant", "tool"],
  ]);
  expect(call.received).toBeUndefined();
  const least = chatCall({ model: "m", messages: [{ role: "assistant", parts: [] }] });
  expect(least.engineBody({ shape: "chat", model: "m" })).toEqual({
    model: "m",
    messages: [{ role: "assistant", content: "" }],
  });
  expect(chatCall({ ...parts, format: { kind: "json" }, toolChoice: "auto" })).toMatchObject({
    format: { kind: "json" },
    toolChoice: "auto",
  });
});

test("a message whose name is null has none", () => {
  const { prompt } = decodeAs(chat, { model: "m", messages: [{ role: "user", content: "hi", name: null }] });
  expect(prompt.kind === "messages" && prompt.messages).toEqual([
    { role: "user", parts: [{ kind: "text", text: "hi" }] },
  ]);
});
