// The worst case: what it has to cover, and the cap that a call without one is given.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EndpointFacts } from "../engines/index.ts";
import { answersAsked, promptTokensBound, receivedTokensBound, limited, outputLimit } from "./admission.ts";

const chat = (content: unknown, more: object = {}) => ({ model: "m", messages: [{ role: "user", content }], ...more });
const facts = (contextTokens: number, clipsOutput = false) =>
  ({ models: [], contextTokens, capabilities: { clipsOutput } }) as unknown as EndpointFacts;

test("the bound of a prompt covers every byte of it, whatever it is written in", () => {
  const content = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(fc.record({ type: fc.constant("text"), text: fc.string() })),
  );
  fc.assert(
    fc.property(fc.array(content, { minLength: 1 }), (contents) => {
      const body = { messages: contents.map((one) => ({ role: "user", content: one })) };
      const bytes = contents
        .flat()
        .reduce((sum, one) => sum + Buffer.byteLength(typeof one === "string" ? one : one.text), 0);
      expect(promptTokensBound("chat", body)).toBeGreaterThanOrEqual(bytes + 32 * contents.length);
    }),
    { numRuns: 200, seed: 4070 },
  );
});

test("of a large body its length is a bound as well, never a lower one", () => {
  const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
  for (const body of [
    chat("x".repeat(20_000)),
    chat('\u00fc"\n'.repeat(9_000), { tools }),
    chat("hi", { documents: [{ text: "z".repeat(20_000) }] }),
    chat("hi", { chat_template_kwargs: { note: "z".repeat(20_000) } }),
    chat("hi", { response_format: { type: "json_schema", json_schema: { name: "n".repeat(20_000) } } }),
    chat("hi", { documents: [{ text: "z".repeat(20_000) }] }),
    chat("hi", { chat_template_kwargs: { note: "z".repeat(20_000) } }),
    chat("hi", { response_format: { type: "json_schema", json_schema: { name: "n".repeat(20_000) } } }),
    chat([
      { type: "image_url", image_url: { url: "http://x" } },
      { type: "text", text: "y".repeat(20_000) },
    ]),
  ]) {
    const bytes = Buffer.byteLength(JSON.stringify(body));
    expect(receivedTokensBound("chat", body, bytes)).toBeGreaterThanOrEqual(promptTokensBound("chat", body));
  }
  expect(receivedTokensBound("chat", chat("hi"), 60)).toBe(promptTokensBound("chat", chat("hi")));
  expect(receivedTokensBound("chat", chat("hi"), undefined)).toBe(promptTokensBound("chat", chat("hi")));
});

test("an image is taken for more than its address", () => {
  expect(promptTokensBound("chat", chat([{ type: "image_url", image_url: { url: "http://x" } }]))).toBeGreaterThan(
    8000,
  );
});

test.each<[object, number]>([
  [{ prompt: "one" }, 1],
  [{ prompt: [1, 2, 3] }, 1],
  [{ prompt: ["one", "two"] }, 2],
  [{ prompt: ["one", "two"], n: 3 }, 6],
  [{ messages: [], n: 2 }, 2],
  [{ prompt: "one", best_of: 4 }, 4],
])("%j is computed %i times", (body, times) => expect(answersAsked(body as Record<string, unknown>)).toBe(times));

describe("the limit of output", () => {
  const limit = (body: object, of?: EndpointFacts, prompt = 100) => outputLimit("chat", body as never, of, prompt);
  test("is the caller's own where there is one", () => {
    expect(limit(chat("", { max_tokens: 7 }))).toBe(7);
    expect(limit(chat("", { max_completion_tokens: 7 }))).toBe(7);
    expect(limit(chat("", { max_tokens: 9999 }), facts(2048))).toBe(9999);
    expect(limit(chat("", { max_tokens: 9999 }), facts(2048, true))).toBe(2048);
  });
  test("is the usual one else, cut to the room in the context", () => {
    expect(limit(chat(""))).toBe(4096);
    expect(limit(chat(""), facts(2048))).toBe(1948);
    expect(limit(chat(""), facts(2048, true))).toBe(2048);
    expect(limit(chat(""), facts(2048), 5000)).toBe(16);
    expect(outputLimit("completions", { model: "m", prompt: "" }, undefined, 1)).toBe(16);
  });
  test("is written into the body once, as max_tokens", () => {
    const body = limited(chat("", { max_completion_tokens: 7, top_p: 1 }), 7);
    expect(body).toEqual({ ...chat("", { top_p: 1 }), max_tokens: 7 });
  });
});
