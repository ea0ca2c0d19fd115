// The worst case of a prompt: what its bound has to cover.
import fc from "fast-check";
import { expect, test } from "vitest";
import { anyText } from "../../../../test/fuzz/text.ts";
import { promptTokensBound } from "./bounds.ts";
import { runs } from "../../../../test/setup/runs.ts";

const chat = (content: unknown, more: object = {}) => ({ model: "m", messages: [{ role: "user", content }], ...more });

test("the bound of a prompt covers every byte of it, whatever it is written in", () => {
  const content = fc.oneof(anyText(), fc.array(fc.record({ type: fc.constant("text"), text: fc.string() })));
  fc.assert(
    fc.property(fc.array(content, { minLength: 1 }), (contents) => {
      const body = { messages: contents.map((one) => ({ role: "user", content: one })) };
      const bytes = contents
        .flat()
        .reduce((sum, one) => sum + Buffer.byteLength(typeof one === "string" ? one : one.text), 0);
      expect(promptTokensBound("chat", body)).toBeGreaterThanOrEqual(bytes + 32 * contents.length);
    }),
    { numRuns: runs(200), seed: 4070 },
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
    expect(promptTokensBound("chat", body, bytes)).toBeGreaterThanOrEqual(promptTokensBound("chat", body));
  }
  expect(promptTokensBound("chat", chat("hi"), 60)).toBe(promptTokensBound("chat", chat("hi")));
  expect(promptTokensBound("chat", chat("hi"), undefined)).toBe(promptTokensBound("chat", chat("hi")));
});

test("an image is taken for more than its address", () => {
  expect(promptTokensBound("chat", chat([{ type: "image_url", image_url: { url: "http://x" } }]))).toBeGreaterThan(
    8000,
  );
});
