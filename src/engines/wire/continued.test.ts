// Which calls an engine can be asked to go on with, and how each kind of engine is asked.
import { describe, expect, test } from "vitest";
import type { Shape } from "../asked.ts";
import type { Capabilities } from "../types.ts";
import { continuedBody } from "./continued.ts";

const base: Capabilities = { tokenize: false, kvEvents: false };
const vllm: Capabilities = { ...base, fields: ["continue_final_message", "add_generation_prompt"] };
const sglang: Capabilities = { ...base, fields: ["continue_final_message"] };
const user = { role: "user", content: "hi" };
const said = { role: "assistant", content: "Hello" };

const on = (shape: Shape, body: Record<string, unknown>, capabilities: Capabilities | undefined) =>
  continuedBody(shape, body, "Hello", capabilities);

describe("an answer is gone on with", () => {
  test.each([
    [
      "vLLM",
      "chat",
      { messages: [user] },
      vllm,
      { messages: [user, said], continue_final_message: true, add_generation_prompt: false },
    ],
    ["SGLang", "chat", { messages: [user] }, sglang, { messages: [user, said], continue_final_message: true }],
    ["any engine that completes text", "completions", { prompt: "Say " }, base, { prompt: "Say Hello" }],
    [
      "a model of Anthropic's that takes a beginning",
      "messages",
      { messages: [user] },
      { ...base, prefills: true },
      { messages: [user, said] },
    ],
    [
      "an engine whose model may call tools",
      "chat",
      { messages: [user], tools: [], tool_choice: "auto" },
      sglang,
      { messages: [user, said], tools: [], tool_choice: "auto", continue_final_message: true },
    ],
    [
      "an engine that is asked for plain text",
      "chat",
      { messages: [user], response_format: { type: "text" } },
      sglang,
      { messages: [user, said], response_format: { type: "text" }, continue_final_message: true },
    ],
  ] as const)("by %s", (_name, shape, body, capabilities, expected) => {
    const before = structuredClone(body);
    expect(on(shape, body, capabilities)).toEqual(expected);
    expect(body).toEqual(before);
  });
});

describe("an answer is not gone on with", () => {
  test.each([
    ["at an engine that has no field for it", "chat", {}, base],
    ["at an engine that says nothing of itself", "chat", {}, undefined],
    [
      "at an engine that puts a text into its chat template",
      "completions",
      { prompt: "a" },
      { ...base, wrapsPrompts: true },
    ],
    ["at Anthropic, where the model takes no beginning", "messages", {}, base],
    ["at Anthropic, where the call thinks", "messages", { thinking: { type: "enabled" } }, { ...base, prefills: true }],
    ["in Responses", "responses", {}, vllm],
    ["in Gemini's API", "gemini", {}, vllm],
    ["with log probabilities", "chat", { logprobs: true }, vllm],
    ["within a schema", "chat", { response_format: { type: "json_schema" } }, vllm],
    ["within a grammar", "chat", { guided_regex: "a+" }, vllm],
    ["where a tool must be called", "chat", { tool_choice: "required" }, vllm],
    ["where one tool must be called", "chat", { tool_choice: { type: "function" } }, vllm],
    ["where the client's last message is a beginning already", "chat", { messages: [user, said] }, vllm],
    ["where the answer begins with the prompt", "completions", { prompt: "a", echo: true }, base],
    ["between two texts", "completions", { prompt: "a", suffix: "b" }, base],
    ["after tokens that have no text here", "completions", { prompt: [1, 2] }, base],
  ] as const)("%s", (_name, shape, body, capabilities) => {
    expect(on(shape, { messages: [user], ...body }, capabilities)).toBeUndefined();
  });
});
