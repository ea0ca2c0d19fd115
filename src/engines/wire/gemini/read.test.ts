// Answers of Google's generateContent as typed deltas, and its refusals. The objects are composed from Google's API reference, not recorded.
import { describe, expect, test } from "vitest";
import type { AnswerDelta } from "../../types.ts";
import { limits } from "../../limits.ts";
import { geminiRefusal } from "./errors.ts";
import { geminiReader } from "./read.ts";

type Json = Record<string, unknown>;

const content = (parts: Json[], finishReason?: string, more: Json = {}): Json => ({
  candidates: [{ content: { parts, role: "model" }, ...(finishReason && { finishReason }), index: 0 }],
  ...more,
});

/** Deltas of a stream with these objects. */
function read(...objects: Json[]): AnswerDelta[] {
  const state = geminiReader.begin(true);
  return objects.flatMap((object) => geminiReader.read(object, undefined, JSON.stringify(object), state).deltas);
}

test("each part is a delta of its own, in order", () => {
  expect(
    read(
      content([{ text: "so", thought: true }]),
      content([{ text: "a", thoughtSignature: "sig" }, { functionCall: { id: "c1", name: "weigh", args: { kg: 1 } } }]),
      content([{ executableCode: { code: "1" } }]),
      content([], "STOP"),
    ),
  ).toEqual([
    { index: 0, reasoning: "so" },
    { index: 0, proof: { origin: "gemini", signature: "sig" } },
    { index: 0, text: "a" },
    { index: 0, toolCalls: [{ index: 0, id: "c1", name: "weigh", arguments: '{"kg":1}' }] },
    { index: 0, opaque: [{ shape: "gemini", item: { executableCode: { code: "1" } } }] },
    { index: 0, finish: "tool_calls" },
  ]);
});

test("a call without an id gets one that no other answer has", () => {
  const calls = content([{ functionCall: { name: "a" } }, { functionCall: { name: "b" } }], "STOP");
  const idsOf = (answer: Json) => read(answer).flatMap(({ toolCalls = [] }) => toolCalls.map(({ id }) => id));
  expect(idsOf({ ...calls, responseId: "r1" })).toEqual(["call_r1_0_0", "call_r1_0_1"]);
  const [first] = idsOf(calls);
  expect(first).toMatch(/^call_[\w-]{16}_0_0$/);
  expect(idsOf(calls)).not.toContain(first);
});

test("several candidates are several answers", () => {
  const answer = {
    candidates: [0, 1].map((index) => ({ index, content: { parts: [{ text: `${index}` }] }, finishReason: "STOP" })),
  };
  expect(geminiReader.read(answer, undefined, JSON.stringify(answer), geminiReader.begin(false)).deltas).toEqual([
    { index: 0, text: "0", finish: "stop", blocks: [{ kind: "text", text: "0" }] },
    { index: 1, text: "1", finish: "stop", blocks: [{ kind: "text", text: "1" }] },
  ]);
});

test.each([
  ["STOP", "stop"],
  ["MAX_TOKENS", "length"],
  ["SAFETY", "content_filter"],
  ["MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"],
  ["toString", "toString"],
])("%s ends an answer as %s", (reason, finish) => {
  expect(read(content([{ text: "a" }], reason)).at(-1)).toEqual({ index: 0, finish });
  expect(geminiReader.ends(content([], reason), undefined)).toBe("answer");
});

test("a blocked prompt is an answer that a filter has ended", () => {
  const blocked = { promptFeedback: { blockReason: "SAFETY" } };
  expect(geminiReader.isAnswer(blocked)).toBe(true);
  expect(read(blocked)).toEqual([{ index: 0, finish: "content_filter" }]);
});

test.each<[string, Json, Json | undefined]>([
  [
    "cached tokens are part of the prompt, thought is counted beside the answer",
    {
      promptTokenCount: 100,
      cachedContentTokenCount: 60,
      candidatesTokenCount: 10,
      thoughtsTokenCount: 20,
      totalTokenCount: 130,
    },
    { promptTokens: 100, cachedTokens: 60, outputTokens: 30, reasoningTokens: 20, source: "engine" },
  ],
  [
    "what the provider's tools read is part of the prompt",
    { promptTokenCount: 100, toolUsePromptTokenCount: 5, candidatesTokenCount: 1, totalTokenCount: 106 },
    { promptTokens: 105, cachedTokens: 0, outputTokens: 1, reasoningTokens: 0, source: "engine" },
  ],
  [
    "the first report of a stream knows no output",
    { promptTokenCount: 100, totalTokenCount: 100 },
    { promptTokens: 100, cachedTokens: 0, outputTokens: 0, reasoningTokens: 0, source: "engine" },
  ],
  ["a report without a prompt says nothing", { totalTokenCount: 100 }, undefined],
])("usage: %s", (_, usageMetadata, expected) => {
  expect(geminiReader.usage({ usageMetadata }, geminiReader.begin(true))).toEqual(expected);
});

test("only the last report of a stream is the answer's", () => {
  const usageMetadata = { promptTokenCount: 1 };
  const reports = (object: Json) =>
    geminiReader.read({ ...object, usageMetadata }, undefined, "", geminiReader.begin(true)).reportsUsage;
  expect(reports(content([{ text: "a" }]))).toBe(false);
  expect(reports(content([{ text: "a" }], "STOP"))).toBe(true);
  expect(geminiReader.isLastReport!({ ...content([{ text: "a" }]), usageMetadata })).toBe(false);
  expect(geminiReader.isLastReport!({ ...content([{ text: "a" }], "STOP"), usageMetadata })).toBe(true);
});

test("an answer that calls ever more tools is given up", () => {
  const state = geminiReader.begin(true);
  const parts = Array.from({ length: 1024 }, () => ({ functionCall: { name: "a" } }));
  expect(() => {
    for (let calls = 0; calls <= limits.answerItemsMost; calls += 1024)
      geminiReader.read(content(parts), undefined, "", state);
  }).toThrow(/more than/);
});

describe("a refusal", () => {
  const refused = (code: number, status: string, message: string, details: Json[] = []) =>
    JSON.stringify({ error: { code, status, message, details } });

  test.each<[string, number, string, object]>([
    [
      "of the request",
      400,
      refused(400, "INVALID_ARGUMENT", "bad"),
      { status: 400, code: "invalid_request", message: "bad" },
    ],
    [
      "of a prompt that is too long",
      400,
      refused(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
      { status: 400, code: "context_length_exceeded" },
    ],
    [
      "of the key, which Google says with a 400",
      400,
      refused(400, "INVALID_ARGUMENT", "API key not valid.", [{ reason: "API_KEY_INVALID" }]),
      { status: 502, code: "engine_auth_failed" },
    ],
    [
      "of the load says how long to wait",
      429,
      refused(429, "RESOURCE_EXHAUSTED", "slow", [
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "34.5s" },
      ]),
      { status: 429, code: "engine_busy", retryAfterSeconds: 34.5, retryable: true },
    ],
    ["inside a stream", 502, refused(503, "UNAVAILABLE", "overloaded"), { status: 503, retryable: true }],
    ["in a list", 400, `[${refused(400, "INVALID_ARGUMENT", "bad")}]`, { status: 400, message: "bad" }],
    ["without JSON", 500, "<html>", { status: 502, code: "engine_failed" }],
  ])("%s", (_, status, text, expected) => {
    expect(geminiRefusal(status, text, undefined)).toMatchObject(expected);
  });
});
