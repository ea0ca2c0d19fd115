// What the suite of engines asks and answers in the shape of Google's generateContent. Composed from its API reference, not recorded.
import { requestOf, type WireCases } from "./cases.ts";

type Json = Record<string, unknown>;

const content = (usageMetadata: Json): Json => ({
  candidates: [{ content: { parts: [{ text: "12345678" }], role: "model" }, finishReason: "STOP" }],
  usageMetadata,
});

export const geminiCases: WireCases = {
  shape: "gemini",
  request(stream) {
    const request = requestOf("gemini", { contents: [{ role: "user", parts: [{ text: "hi" }] }] });
    return { ...request, streamByPath: stream };
  },
  events: (text, ended) => [
    { candidates: [{ content: { parts: [{ text }], role: "model" }, ...(ended && { finishReason: "STOP" }) }] },
  ],
  failure: { event: { error: { code: 500, message: "boom", status: "INTERNAL" } }, code: "engine_failed" },
  lies: [
    ["fewer than none", content({ promptTokenCount: -1, candidatesTokenCount: 2 }), { source: "counted" }],
    ["no numbers", content({ promptTokenCount: "9" }), { source: "counted" }],
    [
      "more cached than the prompt has",
      content({ promptTokenCount: 9, candidatesTokenCount: 2, cachedContentTokenCount: 99 }),
      { promptTokens: 9, cachedTokens: 9, source: "engine" },
    ],
    [
      "a total that has more than its parts",
      content({ promptTokenCount: 9, candidatesTokenCount: 2, totalTokenCount: 20 }),
      { promptTokens: 9, outputTokens: 11, source: "engine" },
    ],
    [
      "more than can be counted",
      content({ promptTokenCount: 1e300, candidatesTokenCount: 2 }),
      { promptTokens: Number.MAX_SAFE_INTEGER, source: "engine" },
    ],
  ],
};
