// Text completions pass the suite of protocols, whatever form their prompt has.
import { expect, test } from "vitest";
import type { Prompt, WireObject } from "../../../engines/index.ts";
import { commonFields } from "../../../engines/wire/chat/fields.ts";
import { errorTypes, readChoices, readError, readEvents } from "../openai/testing.ts";
import { protocolSuite } from "../suite.ts";
import { decodeAs } from "../testing.ts";
import { completions } from "./index.ts";

const wire = (data: Record<string, unknown>): WireObject => ({
  shape: "completions",
  data,
  text: JSON.stringify(data),
});
const frame = { id: "cmpl-1", object: "text_completion", created: 7, model: "engine-model" };
const piece = (text: string, finish: string | null = null) =>
  wire({ ...frame, choices: [{ index: 0, text, finish_reason: finish, logprobs: null }] });

protocolSuite({
  protocol: completions,
  minimal: { model: "m", prompt: "once" },
  maximal: {
    model: "m",
    prompt: ["once", "twice"],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: 9,
    temperature: 0.5,
    top_p: 0.9,
    seed: 7,
    stop: ["END", "STOP"],
    presence_penalty: 1,
    frequency_penalty: -1,
    n: 2,
    best_of: 3,
    echo: true,
    suffix: "!",
    min_p: 0.1,
  },
  decoded: {
    shape: "completions",
    stream: true,
    streamUsage: true,
    prompt: { kind: "list", prompts: ["once", "twice"] },
    tools: [],
    toolChoice: undefined,
    format: undefined,
    sampling: {
      temperature: 0.5,
      topP: 0.9,
      seed: 7,
      stop: ["END", "STOP"],
      presencePenalty: 1,
      frequencyPenalty: -1,
      minP: 0.1,
    },
    answersPerPrompt: 3,
    repeatsPrompt: true,
    extensions: { suffix: "!" },
    hasMedia: false,
  },
  refused: [
    [{ prompt: "once" }, "model"],
    [{ model: "m" }, "prompt"],
    [{ model: "m", prompt: [] }, "prompt"],
    [{ model: "m", prompt: "once", logprobs: 21 }, "logprobs"],
    [{ model: "m", prompt: "once", stream_options: {} }, "stream_options"],
  ],
  unknown: { fields: commonFields, body: { model: "m", prompt: "once", guided_json: {} }, param: "guided_json" },
  streaming: (body) => ({ ...body, stream: true }),
  calls: false,
  wire: {
    whole: wire({
      ...frame,
      choices: [{ index: 0, text: "Hello", finish_reason: "stop", logprobs: null }],
      usage: { prompt_tokens: 1, completion_tokens: 1 },
    }),
    chunks: [piece("Hel"), piece("lo"), piece("", "stop")],
  },
  readWhole: (body) => readChoices([JSON.parse(body)], "text"),
  readStream: (text) => readEvents(text, "text"),
  readError,
  errorTypes,
});

test.each<[unknown, Prompt]>([
  ["once", { kind: "text", text: "once" }],
  [[1, 2], { kind: "tokens", tokens: [1, 2] }],
  [["once"], { kind: "list", prompts: ["once"] }],
  [[[1, 2], [3]], { kind: "list", prompts: [[1, 2], [3]] }],
])("the prompt %j is read as %j", (prompt, read) => {
  expect(decodeAs(completions, { model: "m", prompt }).prompt).toEqual(read);
});
