// What the suite of engines sends and reads in Anthropic's Messages.
import { requestOf, type WireCases } from "./cases.ts";

type Json = Record<string, unknown>;

const message8 = (usage: Json): Json => ({
  type: "message",
  content: [{ type: "text", text: "12345678" }],
  stop_reason: "end_turn",
  usage,
});

export const messagesCases: WireCases = {
  shape: "messages",
  request: (stream) =>
    requestOf("messages", {
      model: "scripted",
      max_tokens: 50,
      messages: [{ role: "user", content: "hi" }],
      ...(stream && { stream }),
    }),
  events: (text, ended) => [
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text } },
    ...(ended ? [{ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 1 } }] : []),
  ],
  failure: {
    event: { type: "error", error: { type: "api_error", message: "boom" } },
    code: "engine_failed",
  },
  lies: [
    ["fewer than none", message8({ input_tokens: -1, output_tokens: 2 }), { source: "counted" }],
    ["no numbers", message8({ input_tokens: "9", output_tokens: null }), { source: "counted" }],
    [
      "more reasoning than output",
      message8({ input_tokens: 9, output_tokens: 2, output_tokens_details: { thinking_tokens: 99 } }),
      { outputTokens: 2, reasoningTokens: 2, source: "engine" },
    ],
    [
      "more than can be counted",
      message8({ input_tokens: 1e300, cache_read_input_tokens: 1e300, output_tokens: 2 }),
      { promptTokens: Number.MAX_SAFE_INTEGER, source: "engine" },
    ],
  ],
};
