import { LineshaftError } from "../../errors/index.ts";
import { describe, expect, it } from "vitest";
import * as request from "./request.ts";
import { openSampling } from "./samplingDefaults.ts";

const parseChat = (body: unknown) => request.parseChat(body, openSampling);
const parseCompletion = (body: unknown) => request.parseCompletion(body, openSampling);

const messages = [{ role: "user", content: "hi" }];

function refusal(body: object, parse: (body: unknown) => unknown = parseChat): LineshaftError {
  try {
    parse({ ...(parse === parseChat ? { messages } : { prompt: "x" }), ...body });
  } catch (error) {
    if (error instanceof LineshaftError) return error;
    throw error;
  }
  throw new Error(`not refused: ${JSON.stringify(body)}`);
}

describe("chat requests", () => {
  it("have OpenAI's defaults", () => {
    expect(parseChat({ model: "m", messages })).toMatchObject({
      stream: false,
      maxTokens: undefined,
      sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, presencePenalty: 0, frequencyPenalty: 0 },
      stops: [],
      toolChoice: "none",
      schema: undefined,
    });
  });

  it("take null for absent, and what asks for nothing", () => {
    const body = {
      n: 1,
      logprobs: false,
      logit_bias: {},
      user: "u",
      metadata: { a: "b" },
      store: false,
      stop: null,
      tools: null,
    };
    expect(parseChat({ messages, ...body, modalities: ["text"], top_logprobs: 0, seed: null })).toMatchObject({
      stops: [],
    });
  });

  it("give the same seed the same 32 bits, negative ones too", () => {
    expect(parseChat({ messages, seed: -1 }).sampling.seed).toBe(2 ** 32 - 1);
    expect(parseChat({ messages, seed: 2 ** 40 + 7 }).sampling.seed).toBe(7);
  });

  it.each([
    [{ n: 2 }, "n"],
    [{ logprobs: true }, "logprobs"],
    [{ top_logprobs: 3 }, "top_logprobs"],
    [{ logit_bias: { 5: 1 } }, "logit_bias"],
    [{ modalities: ["text", "audio"] }, "modalities"],
    [{ audio: { voice: "x", format: "wav" } }, "audio"],
    [{ store: true }, "store"],
    [{ prediction: { type: "content" } }, "prediction"],
    [{ reasoning_effort: "high" }, "reasoning_effort"],
    [{ web_search_options: {} }, "web_search_options"],
    [{ functions: [{ name: "f" }] }, "functions"],
    [{ anything: 1 }, "anything"],
    [{ stream: true, stream_options: { include_obfuscation: true } }, "stream_options.include_obfuscation"],
  ])("refuse %j by name", (body, param) => {
    expect(refusal(body)).toMatchObject({ status: 400, code: "unsupported_parameter", param });
  });

  it.each([
    [{ temperature: 3 }, "temperature"],
    [{ top_p: 0 }, "top_p"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ max_tokens: 5, max_completion_tokens: 6 }, "max_tokens"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
    [{ stop: "" }, "stop"],
    [{ stream_options: { include_usage: true } }, "stream_options"],
    [{ messages: [] }, "messages"],
    [{ messages: [{ content: "x" }] }, "messages[0].role"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ tools: [{ type: "function", function: {} }] }, "tools[0].function.name"],
    [{ response_format: { type: "grammar" } }, "response_format.type"],
  ])("refuse %j as invalid", (body, param) => {
    expect(refusal(body)).toMatchObject({ status: 400, code: "invalid_value", param });
  });

  const begun = [...messages, { role: "assistant", content: "Hello" }];
  const tool = { type: "function", function: { name: "f" } };

  it("may go on with their last message", () => {
    const going = { continue_final_message: true };
    expect(parseChat({ messages: begun, ...going })).toMatchObject({ continueFinal: true });
    expect(parseChat({ messages: begun, ...going, add_generation_prompt: false })).toMatchObject({
      continueFinal: true,
      addGenerationPrompt: false,
    });
    expect(parseChat({ messages: begun, ...going, tools: [tool] })).toMatchObject({ continueFinal: true });
    expect(parseChat({ messages: begun })).toMatchObject({ continueFinal: false, addGenerationPrompt: true });
  });

  it.each<[string, object]>([
    ["two ends of the prompt at once", { add_generation_prompt: true }],
    ["a last message of a user", { messages }],
    ["nothing before the answer", { messages: begun.slice(1) }],
    ["an answer by a schema", { response_format: { type: "json_object" } }],
    ["a call that is demanded", { tools: [tool], tool_choice: "required" }],
    [
      "a call that has begun",
      { tools: [tool], messages: [messages[0], { role: "assistant", content: "<tool_call>\n{" }] },
    ],
    [
      "a message that calls",
      {
        messages: [
          messages[0],
          { role: "assistant", content: null, tool_calls: [{ id: "c", function: { name: "f", arguments: "{}" } }] },
        ],
      },
    ],
  ])("refuse to go on with %s", (_name, body) => {
    expect(refusal({ messages: begun, continue_final_message: true, ...body })).toMatchObject({
      status: 400,
      code: "invalid_value",
      param: "continue_final_message",
    });
  });
});

describe("completion requests", () => {
  it.each([["text"], [["text"]]])("take a text as %j", (prompt) => {
    expect(parseCompletion({ prompt }).prompt).toBe("text");
  });

  it("take tokens, and stop after 16 unless told otherwise", () => {
    expect(parseCompletion({ prompt: [1, 2, 3] })).toMatchObject({ prompt: [1, 2, 3], maxTokens: 16 });
  });

  it.each([
    [{ prompt: ["a", "b"] }, "prompt"],
    [{ prompt: [] }, "prompt"],
    [{ prompt: [[1]] }, "prompt"],
    [{ prompt: undefined }, "prompt"],
  ])("refuse %j", (body, param) => {
    expect(refusal(body, parseCompletion).param).toMatch(new RegExp(`^${param}`));
  });

  it.each([
    ["echo", true],
    ["suffix", "x"],
    ["best_of", 2],
    ["logprobs", 1],
  ])("refuse %s", (name, value) => {
    expect(refusal({ [name]: value }, parseCompletion)).toMatchObject({ code: "unsupported_parameter", param: name });
  });
});
