// Marks of the prompt cache, from the APIs that have them to an engine that speaks Responses and back.
import { describe, expect, test } from "vitest";
import type { Shape } from "../../../engines/index.ts";
import { chat } from "../chat/index.ts";
import { messages } from "../messages/index.ts";
import { decodeAs } from "../testing.ts";
import { responses } from "./index.ts";

type Json = Record<string, unknown>;

const cache_control = { type: "ephemeral" };
const prompt_cache_breakpoint = { mode: "explicit" };
const bodyFor = (call: ReturnType<typeof decodeAs>, model: string, shape: Shape = "responses"): Json =>
  call.engineBody({ shape, model, outputTokens: 40, stream: false });

const marked = {
  model: "m",
  max_tokens: 10,
  system: [{ type: "text", text: "S", cache_control }],
  messages: [
    { role: "user", content: [{ type: "text", text: "a" }] },
    { role: "assistant", content: [{ type: "tool_use", id: "t", name: "f", input: {} }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: "r", cache_control }] },
    { role: "user", content: [{ type: "text", text: "b", cache_control }] },
  ],
  tools: [{ name: "f", input_schema: { type: "object" }, cache_control }],
};

describe("a call of Messages", () => {
  test.each(["gpt-5.6", "gpt-6", "gpt-5.10-mini", "openai/gpt-6.1-2027-01-01"])("keeps its marks at %s", (model) => {
    const { instructions, input } = bodyFor(decodeAs(messages, marked), model);
    // What is marked cannot stand in `instructions`, which is a text.
    expect(instructions).toBeUndefined();
    expect(input).toEqual([
      { type: "message", role: "system", content: [{ type: "input_text", text: "S", prompt_cache_breakpoint }] },
      { type: "message", role: "user", content: [{ type: "input_text", text: "a" }] },
      { type: "function_call", call_id: "t", name: "f", arguments: "{}" },
      {
        type: "function_call_output",
        call_id: "t",
        output: [{ type: "input_text", text: "r", prompt_cache_breakpoint }],
      },
      { type: "message", role: "user", content: [{ type: "input_text", text: "b", prompt_cache_breakpoint }] },
    ]);
  });

  test.each(["gpt-5.5", "gpt-5", "gpt-4.1", "gpt-4o", "o4-mini", "gpt-oss-120b", "my-gpt-6x"])(
    "loses them at %s, which would refuse the call",
    (model) => {
      const body = bodyFor(decodeAs(messages, marked), model);
      expect(JSON.stringify(body)).not.toContain("breakpoint");
      expect(body["instructions"]).toBe("S");
    },
  );
});

test("a chat completion keeps its marks", () => {
  const call = decodeAs(chat, {
    model: "m",
    messages: [{ role: "user", content: [{ type: "text", text: "a", cache_control }] }],
  });
  expect(bodyFor(call, "gpt-6")["input"]).toEqual([
    { type: "message", role: "user", content: [{ type: "input_text", text: "a", prompt_cache_breakpoint }] },
  ]);
});

test.each([
  ["30m", "1h"],
  ["12h", "1h"],
  ["5m", "5m"],
  [undefined, undefined],
  ["forever", undefined],
])("a breakpoint of Responses for %s is kept by Anthropic for %s", (given, kept) => {
  const part = { type: "input_text", text: "a", prompt_cache_breakpoint: { mode: "explicit", ttl: given } };
  const call = decodeAs(responses, { model: "m", input: [{ role: "user", content: [part] }] });
  expect(bodyFor(call, "claude", "messages")["messages"]).toEqual([
    {
      role: "user",
      content: [{ type: "text", text: "a", cache_control: { type: "ephemeral", ...(kept && { ttl: kept }) } }],
    },
  ]);
});
