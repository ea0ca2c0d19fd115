// What the suite of engines asks and answers in the shape of OpenAI's Responses. Composed from its API reference, not recorded.
import { requestOf, type WireCases } from "./cases.ts";

type Json = Record<string, unknown>;

const message = { type: "message", role: "assistant", content: [{ type: "output_text", text: "12345678" }] };
const response = (usage: unknown): Json => ({ status: "completed", output: [message], usage });

export const responsesCases: WireCases = {
  shape: "responses",
  request: (stream) => requestOf("responses", { model: "scripted", input: "hi", ...(stream && { stream }) }),
  events: (delta, ended) => [
    { type: "response.output_text.delta", output_index: 0, delta },
    ...(ended ? [{ type: "response.completed", response: { status: "completed", output: [] } }] : []),
  ],
  failure: {
    event: { type: "response.failed", response: { error: { code: "engine_error", message: "boom" } } },
    code: "engine_error",
  },
  lies: [
    ["fewer than none", response({ input_tokens: -1, output_tokens: 2 }), { source: "counted" }],
    ["no numbers", response({ input_tokens: "9", output_tokens: null }), { source: "counted" }],
    [
      "more cached than the prompt has",
      response({ input_tokens: 9, output_tokens: 2, input_tokens_details: { cached_tokens: 99 } }),
      { promptTokens: 9, cachedTokens: 9, source: "engine" },
    ],
    [
      "more reasoning than output",
      response({ input_tokens: 9, output_tokens: 2, output_tokens_details: { reasoning_tokens: 99 } }),
      { outputTokens: 2, reasoningTokens: 2, source: "engine" },
    ],
    [
      "more than can be counted",
      response({ input_tokens: 1e300, output_tokens: 2 }),
      { promptTokens: Number.MAX_SAFE_INTEGER, source: "engine" },
    ],
  ],
};
