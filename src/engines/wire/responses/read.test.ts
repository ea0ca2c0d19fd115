// Answers of OpenAI's Responses as typed deltas. The events are composed from OpenAI's API reference, not recorded.
import { expect, test } from "vitest";
import type { AnswerDelta } from "../../types.ts";
import { limits } from "../../limits.ts";
import { responsesReader } from "./read.ts";
import { responsesUsage } from "./usage.ts";

type Json = Record<string, unknown>;

/** Deltas of a stream with these events. */
function read(...events: Json[]): AnswerDelta[] {
  const state = responsesReader.begin(true);
  return events.flatMap((event) => responsesReader.read(event, undefined, JSON.stringify(event), state).deltas);
}

const call = { type: "function_call", id: "fc_1", call_id: "call_1", name: "weigh", arguments: "" };

test("text, refusals and calls are told as they come, and not again when their items end", () => {
  const item = { type: "message", role: "assistant", content: [{ type: "output_text", text: "ab" }] };
  expect(
    read(
      { type: "response.created", response: { id: "resp_1" } },
      { type: "response.output_item.added", output_index: 0, item: { type: "message", content: [] } },
      { type: "response.output_text.delta", output_index: 0, delta: "a" },
      { type: "response.output_text.delta", output_index: 0, delta: "b" },
      { type: "response.output_text.done", output_index: 0, text: "ab" },
      { type: "response.output_item.done", output_index: 0, item },
      { type: "response.output_item.added", output_index: 1, item: call },
      { type: "response.function_call_arguments.delta", output_index: 1, delta: '{"kg":1}' },
      { type: "response.function_call_arguments.done", output_index: 1, arguments: '{"kg":1}' },
      { type: "response.output_item.done", output_index: 1, item: { ...call, arguments: '{"kg":1}' } },
      { type: "response.completed", response: { status: "completed" } },
    ),
  ).toEqual([
    { index: 0, text: "a" },
    { index: 0, text: "b" },
    { index: 0, toolCalls: [{ index: 0, id: "call_1", name: "weigh", arguments: "" }] },
    { index: 0, toolCalls: [{ index: 0, arguments: '{"kg":1}' }] },
    { index: 0, finish: "tool_calls" },
  ]);
});

test("an item that comes complete is told whole", () => {
  expect(
    read(
      {
        type: "response.output_item.done",
        output_index: 0,
        item: { type: "message", content: [{ type: "output_text", text: "ab" }] },
      },
      { type: "response.output_item.done", output_index: 1, item: { ...call, arguments: "{}" } },
      { type: "response.output_item.done", output_index: 2, item: { type: "web_search_call", id: "ws_1" } },
      { type: "response.incomplete", response: { incomplete_details: { reason: "max_output_tokens" } } },
    ),
  ).toEqual([
    { index: 0, text: "ab" },
    { index: 0, toolCalls: [{ index: 0, id: "call_1", name: "weigh", arguments: "{}" }] },
    { index: 0, opaque: [{ shape: "responses", item: { type: "web_search_call", id: "ws_1" } }] },
    { index: 0, finish: "length" },
  ]);
});

test("thought is told once, whether as text or as a summary, and ends with what continues it", () => {
  const item = {
    type: "reasoning",
    id: "rs_1",
    summary: [{ type: "summary_text", text: "so" }],
    encrypted_content: "sealed",
  };
  expect(
    read(
      { type: "response.reasoning_summary_part.added", output_index: 0, summary_index: 0 },
      { type: "response.reasoning_summary_text.delta", output_index: 0, summary_index: 0, delta: "so" },
      { type: "response.reasoning_text.delta", output_index: 0, delta: "so" },
      { type: "response.reasoning_summary_part.added", output_index: 0, summary_index: 1 },
      { type: "response.output_item.done", output_index: 0, item },
    ),
  ).toEqual([
    { index: 0, reasoning: "so" },
    { index: 0, reasoning: "\n\n" },
    { index: 0, proof: { origin: "openai", encrypted: "sealed", id: "rs_1" } },
  ]);
});

test("a tool of a group has the name that the typed view knows it by", () => {
  const [delta] = read({ type: "response.output_item.added", output_index: 0, item: { ...call, namespace: "scale" } });
  expect(delta!.toolCalls![0]!.name).toBe("scale__weigh");
});

test("a whole answer has its parts in order, and the same said in one", () => {
  const answer = {
    status: "completed",
    output: [
      { type: "reasoning", id: "rs_1", summary: [{ text: "so" }], encrypted_content: "sealed" },
      { type: "message", content: [{ type: "output_text", text: "a" }] },
      { ...call, arguments: "{}" },
    ],
  };
  const proof = { origin: "openai", encrypted: "sealed", id: "rs_1" };
  expect(responsesReader.isAnswer(answer)).toBe(true);
  expect(responsesReader.read(answer, undefined, undefined, responsesReader.begin(false)).deltas).toEqual([
    {
      index: 0,
      text: "a",
      reasoning: "so",
      proof,
      finish: "tool_calls",
      toolCalls: [{ index: 0, id: "call_1", name: "weigh", arguments: "{}" }],
      blocks: [
        { kind: "reasoning", text: "so", summary: true, proof },
        { kind: "text", text: "a" },
        { kind: "tool_call", id: "call_1", name: "weigh", arguments: "{}" },
      ],
    },
  ]);
});

test.each<[string, Json, object]>([
  [
    "a failed response",
    { type: "response.failed", response: { error: { code: "server_error", message: "boom" } } },
    { status: 502, code: "server_error", retryable: true },
  ],
  [
    "too many calls",
    { type: "response.failed", response: { error: { code: "rate_limit_exceeded", message: "slow" } } },
    { status: 429, code: "engine_busy", retryable: true },
  ],
  [
    "an error without a response",
    { type: "error", code: "server_error", message: "boom" },
    { status: 502, retryable: true },
  ],
  [
    "a failed whole answer",
    { output: [], status: "failed", error: { code: "server_error", message: "boom" } },
    { status: 502, retryable: true },
  ],
  ["a failure without a word", { type: "response.failed" }, { status: 502, code: "engine_failed" }],
])("%s is an error", (_, event, expected) => {
  expect(() => read(event)).toThrow(expect.objectContaining(expected));
});

test("an answer of ever more items is given up", () => {
  const state = responsesReader.begin(true);
  const added = (place: number) => ({ type: "response.output_item.added", output_index: place, item: call });
  for (let place = 0; place < limits.answerItemsMost; place++) responsesReader.read(added(place), undefined, "", state);
  expect(() => responsesReader.read(added(limits.answerItemsMost), undefined, "", state)).toThrow(/more than/);
});

test("usage: cached and written tokens are part of the input, reasoning is part of the output", () => {
  expect(
    responsesUsage({
      input_tokens: 100,
      input_tokens_details: { cached_tokens: 60, cache_write_tokens: 10 },
      output_tokens: 30,
      output_tokens_details: { reasoning_tokens: 20 },
    }),
  ).toEqual({
    promptTokens: 100,
    cachedTokens: 60,
    cacheWriteTokens: 10,
    outputTokens: 30,
    reasoningTokens: 20,
    source: "engine",
  });
  expect(responsesUsage({ input_tokens: 1, output_tokens: 1 })).toMatchObject({ cachedUnreported: true });
});
