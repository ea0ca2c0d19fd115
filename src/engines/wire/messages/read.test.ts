// Answers of Anthropic's Messages. The events are composed from Anthropic's API reference, not recorded.
import { describe, expect, test } from "vitest";
import type { EngineChunk, Usage } from "../../types.ts";
import { messagesRefusal } from "./errors.ts";
import { messagesReader } from "./read.ts";

type Json = Record<string, unknown>;

/** Reads the events of one stream as an exchange does. */
function readAll(events: Json[]): { chunks: EngineChunk[]; usages: (Usage | undefined)[]; ends: string[] } {
  const state = messagesReader.begin(true);
  const usages: (Usage | undefined)[] = [];
  const chunks = events.map((event) => {
    usages.push(messagesReader.usage(event, state));
    return messagesReader.read(event, String(event["type"]), JSON.stringify(event), state);
  });
  return { chunks, usages, ends: events.map((event) => messagesReader.ends(event, undefined)) };
}

const deltasOf = (events: Json[]) => readAll(events).chunks.flatMap(({ deltas }) => deltas);
const start = (block: Json, index = 0): Json => ({ type: "content_block_start", index, content_block: block });
const fill = (delta: Json, index = 0): Json => ({ type: "content_block_delta", index, delta });
const stop = (index = 0): Json => ({ type: "content_block_stop", index });
const begin = (usage: Json): Json => ({
  type: "message_start",
  message: { id: "msg_1", type: "message", role: "assistant", model: "c", content: [], stop_reason: null, usage },
});
const end = (stop_reason: string, usage: Json, more: Json = {}): Json => ({
  type: "message_delta",
  delta: { stop_reason, stop_sequence: null, ...more },
  usage,
});

describe("a stream", () => {
  test("says its text, its thought with what proves it, and its calls in the order of the blocks", () => {
    const deltas = deltasOf([
      start({ type: "thinking", thinking: "", signature: "" }),
      fill({ type: "thinking_delta", thinking: "Hm." }),
      fill({ type: "signature_delta", signature: "sig" }),
      stop(),
      start({ type: "redacted_thinking", data: "hidden" }, 1),
      stop(1),
      start({ type: "text", text: "" }, 2),
      fill({ type: "text_delta", text: "Hello" }, 2),
      stop(2),
      start({ type: "tool_use", id: "toolu_1", name: "f", input: {} }, 3),
      fill({ type: "input_json_delta", partial_json: '{"a":' }, 3),
      fill({ type: "input_json_delta", partial_json: "1}" }, 3),
      stop(3),
      start({ type: "tool_use", id: "toolu_2", name: "g", input: {} }, 4),
      stop(4),
    ]);
    expect(deltas).toEqual([
      { index: 0, reasoning: "Hm." },
      { index: 0, proof: { origin: "anthropic", signature: "sig" } },
      { index: 0, proof: { origin: "anthropic", encrypted: "hidden" } },
      { index: 0, text: "Hello" },
      { index: 0, toolCalls: [{ index: 0, id: "toolu_1", name: "f", arguments: "" }] },
      { index: 0, toolCalls: [{ index: 0, arguments: '{"a":' }] },
      { index: 0, toolCalls: [{ index: 0, arguments: "1}" }] },
      { index: 0, toolCalls: [{ index: 1, id: "toolu_2", name: "g", arguments: "" }] },
    ]);
  });

  test("keeps what only Anthropic's clients know as it is, a server tool's input included", () => {
    const [delta] = deltasOf([
      start({ type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: {} }),
      fill({ type: "input_json_delta", partial_json: '{"query":"x"}' }),
      stop(),
    ]);
    const item = { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: { query: "x" } };
    expect(delta).toEqual({ index: 0, opaque: [{ shape: "messages", item }] });
  });

  test.each([
    ["end_turn", { finish: "stop" }],
    ["max_tokens", { finish: "length" }],
    ["tool_use", { finish: "tool_calls" }],
    ["pause_turn", { finish: "pause" }],
    ["refusal", { finish: "refusal" }],
    ["model_context_window_exceeded", { finish: "model_context_window_exceeded" }],
  ])("that stops for %s says so", (reason, expected) => {
    expect(deltasOf([end(reason, { output_tokens: 1 })])).toEqual([{ index: 0, ...expected }]);
  });

  test("that stops at a sequence names it", () => {
    expect(deltasOf([end("stop_sequence", { output_tokens: 1 }, { stop_sequence: "END" })])).toEqual([
      { index: 0, finish: "stop", stopSequence: "END" },
    ]);
  });

  test("ends with its reason, and what passes of it is the text as it came", () => {
    const { chunks, ends } = readAll([
      begin({ input_tokens: 1 }),
      { type: "ping" },
      end("end_turn", {}),
      { type: "message_stop" },
    ]);
    expect(ends).toEqual(["no", "no", "answer", "stream"]);
    expect(chunks.map(({ wire }) => wire.text)).not.toContain(undefined);
    expect(chunks.map(({ reportsUsage }) => reportsUsage)).toEqual([false, false, true, false]);
  });
});

describe("usage", () => {
  test("the prompt is the sum of three parts, and output is the last count, not a sum", () => {
    const { usages } = readAll([
      begin({
        input_tokens: 2500,
        cache_read_input_tokens: 8000,
        cache_creation_input_tokens: 1500,
        cache_creation: { ephemeral_5m_input_tokens: 1000, ephemeral_1h_input_tokens: 500 },
        output_tokens: 8,
      }),
      end("end_turn", { output_tokens: 300 }),
      end("end_turn", { output_tokens: 700, output_tokens_details: { thinking_tokens: 300 } }),
    ]);
    const prompt = { promptTokens: 12_000, cachedTokens: 8000, cacheWriteTokens: 1000, cacheWriteLongTokens: 500 };
    expect(usages).toEqual([
      // The count in the first event is a placeholder.
      { ...prompt, outputTokens: 0, reasoningTokens: 0, source: "engine" },
      { ...prompt, outputTokens: 300, reasoningTokens: 0, source: "engine" },
      { ...prompt, outputTokens: 700, reasoningTokens: 300, source: "engine" },
    ]);
  });

  test("counts of the last event hold where it repeats the prompt's", () => {
    const { usages } = readAll([
      begin({ input_tokens: 10, output_tokens: 1 }),
      end("end_turn", { input_tokens: 12, cache_read_input_tokens: 5, output_tokens: 3 }),
    ]);
    expect(usages[0]).toMatchObject({ promptTokens: 10, cachedUnreported: true });
    expect(usages[1]).toEqual({
      promptTokens: 17,
      cachedTokens: 5,
      outputTokens: 3,
      reasoningTokens: 0,
      source: "engine",
    });
  });

  test("a summary that the provider wrote of the conversation is added, and searches are units", () => {
    const state = messagesReader.begin(true);
    const usage = {
      input_tokens: 10,
      cache_read_input_tokens: 0,
      output_tokens: 2,
      server_tool_use: { web_search_requests: 3, web_fetch_requests: 0 },
      iterations: [
        { type: "compaction", input_tokens: 100, cache_read_input_tokens: 40, output_tokens: 20 },
        { type: "message", input_tokens: 10, output_tokens: 2 },
      ],
    };
    expect(messagesReader.usage({ type: "message", content: [], usage }, state)).toEqual({
      promptTokens: 150,
      cachedTokens: 40,
      outputTokens: 22,
      reasoningTokens: 0,
      source: "engine",
      units: { web_search: 3 },
    });
  });
});

test("a whole answer in the usual order needs no list of its parts", () => {
  const thinking = { type: "thinking", thinking: "Hm.", signature: "sig" };
  const call = { type: "tool_use", id: "t", name: "f", input: {} };
  const text = { type: "text", text: "a" };
  const blocksOf = (...content: object[]) =>
    messagesReader.read({ type: "message", content }, undefined, undefined, messagesReader.begin(false)).deltas[0]!
      .blocks;
  expect(blocksOf(thinking, text, call, call)).toBeUndefined();
  expect(blocksOf(text)).toBeUndefined();
  expect(blocksOf(text, thinking)).toHaveLength(2);
  expect(blocksOf(call, text)).toHaveLength(2);
});

test("a whole answer has its parts in order, and the same in the fields that a stream has", () => {
  const content = [
    { type: "thinking", thinking: "Hm.", signature: "sig" },
    { type: "text", text: "I look." },
    { type: "tool_use", id: "toolu_1", name: "f", input: { a: 1 } },
    { type: "web_search_tool_result", tool_use_id: "srvtoolu_1", content: [] },
  ];
  const data = { type: "message", content, stop_reason: "tool_use", usage: { input_tokens: 1, output_tokens: 1 } };
  expect(messagesReader.isAnswer(data)).toBe(true);
  expect(messagesReader.isAnswer({ choices: [] })).toBe(false);
  const chunk = messagesReader.read(data, undefined, undefined, messagesReader.begin(false));
  expect(chunk.reportsUsage).toBe(true);
  expect(chunk.deltas).toEqual([
    {
      index: 0,
      blocks: [
        { kind: "reasoning", text: "Hm.", proof: { origin: "anthropic", signature: "sig" } },
        { kind: "text", text: "I look." },
        { kind: "tool_call", id: "toolu_1", name: "f", arguments: '{"a":1}' },
        { kind: "opaque", shape: "messages", item: content[3] },
      ],
      text: "I look.",
      reasoning: "Hm.",
      proof: { origin: "anthropic", signature: "sig" },
      toolCalls: [{ index: 0, id: "toolu_1", name: "f", arguments: '{"a":1}' }],
      opaque: [{ shape: "messages", item: content[3] }],
      finish: "tool_calls",
    },
  ]);
});

describe("a refusal", () => {
  const body = (type: string, message: string) => JSON.stringify({ type: "error", error: { type, message } });
  test.each([
    [400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", 400, "context_length_exceeded", false],
    [400, "invalid_request_error", "messages: at least one", 400, "invalid_request", false],
    [400, "invalid_request_error", "Your credit balance is too low to use the API", 429, "engine_quota", true],
    [401, "authentication_error", "invalid x-api-key", 502, "engine_auth_failed", true],
    [404, "not_found_error", "model: nope", 502, "engine_model_missing", true],
    [413, "request_too_large", "too large", 413, "invalid_request", false],
    [429, "rate_limit_error", "slow down", 429, "engine_busy", true],
    [500, "api_error", "oops", 502, "engine_failed", true],
    [529, "overloaded_error", "Overloaded", 503, "engine_busy", true],
    // An error inside a stream has no status but its type.
    [502, "overloaded_error", "Overloaded", 503, "engine_busy", true],
    [502, "invalid_request_error", "prompt is too long", 400, "context_length_exceeded", false],
  ])("of %i %s (%s) is %i %s", (status, type, message, expected, code, retryable) => {
    expect(messagesRefusal(status, body(type, message), undefined)).toMatchObject({
      status: expected,
      code,
      retryable,
    });
  });
});
