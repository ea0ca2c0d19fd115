// How many answers a call has, and the limit of output that a call without one is given.
import { describe, expect, test } from "vitest";
import type { EndpointFacts } from "../engines/index.ts";
import { answersAsked, outputLimitOf } from "./admission.ts";
import { messages } from "./protocols/messages/index.ts";
import { chatOf, completionOf, decodeAs } from "./protocols/testing.ts";

const facts = (contextTokens: number, clipsOutput = false) =>
  ({ models: [], contextTokens, capabilities: { clipsOutput } }) as unknown as EndpointFacts;

test.each<[object, number]>([
  [{ prompt: "one" }, 1],
  [{ prompt: [1, 2, 3] }, 1],
  [{ prompt: ["one", "two"] }, 2],
  [{ prompt: ["one", "two"], n: 3 }, 6],
  [{ messages: [], n: 2 }, 2],
  [{ prompt: "one", best_of: 4 }, 4],
])("%j is computed %i times", (body, times) =>
  expect(answersAsked("messages" in body ? chatOf(body) : completionOf(body))).toBe(times),
);

describe("the limit of output", () => {
  const limit = (fields: object, of?: EndpointFacts, prompt = 100) => outputLimitOf(chatOf(fields), of, prompt);
  test("is the caller's own where there is one", () => {
    expect(limit({ max_tokens: 7 })).toBe(7);
    expect(limit({ max_completion_tokens: 7 })).toBe(7);
    expect(limit({ max_tokens: 9999 }, facts(2048))).toBe(9999);
    expect(limit({ max_tokens: 9999 }, facts(2048, true))).toBe(2048);
    expect(() => limit({ max_tokens: 7, max_completion_tokens: 8 })).toThrow(/differ/);
  });
  test("is the usual one else, cut to the room in the context", () => {
    expect(limit({})).toBe(4096);
    expect(limit({}, facts(2048))).toBe(1948);
    expect(limit({}, facts(2048, true))).toBe(2048);
    expect(limit({}, facts(2048), 5000)).toBe(16);
    expect(outputLimitOf(completionOf({}), undefined, 1)).toBe(16);
  });
  test("of a client program that always sends its model's usual one is cut to the room in the context", () => {
    const asked = decodeAs(messages, { model: "m", max_tokens: 32_000, messages: [{ role: "user", content: "hi" }] });
    expect(outputLimitOf(asked, undefined, 100)).toBe(32_000);
    expect(outputLimitOf(asked, facts(2048), 100)).toBe(1948);
    expect(outputLimitOf(asked, facts(2048), 5000)).toBe(16);
    expect(outputLimitOf(asked, facts(2048, true), 100)).toBe(2048);
  });
  test("is sent as max_tokens, and no other limit is", () => {
    const body = chatOf({ max_completion_tokens: 7 }).engineBody({ shape: "chat", model: "theirs", outputTokens: 7 });
    expect(body).toEqual({ model: "theirs", messages: [], max_tokens: 7 });
  });
});
