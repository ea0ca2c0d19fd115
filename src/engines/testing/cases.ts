// What differs between the APIs that engines are asked by, for the suite of engines (suite.ts): a request, and answers that are written
// directly.
import type { Shape } from "../asked.ts";
import type { EngineRequest } from "../types.ts";

type Json = Record<string, unknown>;

export interface WireCases {
  shape: Shape;
  /** A small call. */
  request(stream: boolean): EngineRequest;
  /** Events of a stream with this text; `ended`: the last one says that the answer has ended. */
  events(text: string, ended: boolean): Json[];
  /** An event that says "boom", and the code of the error that it is. */
  failure: { event: Json; code: string };
  /** Whole answers with the text "12345678" and usage that no engine can mean, and what is made of it. */
  lies: [name: string, answer: Json, expected: object][];
}

let attempts = 0;

export const requestOf = (shape: Shape, body: Json): EngineRequest => ({
  shape,
  body,
  hints: { attempt: `att_suite_${++attempts}`, cacheSalt: "prj_1", project: "prj_1", program: "run_1" },
});

const chatAnswer = (usage: unknown): Json => ({
  choices: [{ message: { content: "12345678" }, finish_reason: "stop" }],
  usage,
});

export const completionRequest = (stream: boolean): EngineRequest =>
  requestOf("completions", { model: "scripted", prompt: "hi", stream });

export const chatCases: WireCases = {
  shape: "chat",
  request: (stream) => requestOf("chat", { model: "scripted", messages: [{ role: "user", content: "hi" }], stream }),
  events: (content, ended) => [{ choices: [{ index: 0, delta: { content }, finish_reason: ended ? "stop" : null }] }],
  failure: { event: { error: { message: "boom", code: "engine_error" } }, code: "engine_error" },
  lies: [
    ["fewer than none", chatAnswer({ prompt_tokens: -1, completion_tokens: 2 }), { source: "counted" }],
    ["no numbers", chatAnswer({ prompt_tokens: "9", completion_tokens: null }), { source: "counted" }],
    [
      "more cached than the prompt has",
      chatAnswer({ prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 99 } }),
      { promptTokens: 9, cachedTokens: 9, source: "engine" },
    ],
    [
      "more reasoning than output",
      chatAnswer({ prompt_tokens: 9, completion_tokens: 2, completion_tokens_details: { reasoning_tokens: 99 } }),
      { outputTokens: 2, reasoningTokens: 2, source: "engine" },
    ],
    [
      "more than can be counted",
      chatAnswer({ prompt_tokens: 1e300, completion_tokens: 2 }),
      { promptTokens: Number.MAX_SAFE_INTEGER, source: "engine" },
    ],
  ],
};
