// OpenAI's legacy text completions: POST /v1/completions. A prompt is text, token ids, or a list of either.
import { decodeBody } from "../openai/bodies.ts";
import { openAiVerbs } from "../openai/verbs.ts";
import type { Protocol } from "../types.ts";
import { CompletionsCall } from "./call.ts";
import { completionBody } from "./schema.ts";

export const completions: Protocol = {
  ...openAiVerbs("completions"),
  name: "completions",
  calls: [{ method: "POST", path: "/v1/completions" }],
  questions: [],
  decode({ json, bytes, members }) {
    const body = decodeBody(completionBody, json);
    return new CompletionsCall(body, { shape: "completions", bytes, members, object: body });
  },
};
