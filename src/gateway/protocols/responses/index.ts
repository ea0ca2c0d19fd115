// OpenAI's Responses: POST /v1/responses. The shape is also that of Open Responses (openresponses.org), whose suites it passes.
import { conversationQuestions } from "../../responses/conversationRoutes.ts";
import { responseQuestions } from "../../responses/routes.ts";
import { openAiErrorBody } from "../openai/errors.ts";
import type { Protocol } from "../types.ts";
import { countInput } from "./count.ts";
import { decodeCall, decodeCompaction } from "./decode.ts";
import { newStream, streamOf, wholeOf } from "./events.ts";

const compactPath = "/v1/responses/compact";

export const responses: Protocol = {
  name: "responses",
  shape: "responses",
  outlined: "input",
  calls: [
    { method: "POST", path: "/v1/responses" },
    { method: "POST", path: compactPath },
  ],
  questions: [
    ...responseQuestions,
    ...conversationQuestions,
    { method: "POST", path: "/v1/responses/input_tokens", action: "models.read", answer: countInput },
  ],
  requestIdHeader: "x-request-id",
  streamType: "text/event-stream; charset=utf-8",
  stateful: true,
  decode: ({ route, json, bytes, members, state }) =>
    route.path === compactPath ? decodeCompaction(json, state) : decodeCall(json, { bytes, members }, state),
  whole: (chunk, told) => wholeOf(told, chunk).text,
  events(told) {
    const answer = newStream(told);
    return (chunk) => (chunk ? answer.take(chunk) : answer.end());
  },
  error(failure, place, { told } = {}) {
    if (place === "body" || !told) return JSON.stringify(openAiErrorBody(failure));
    return streamOf(told).fail(failure);
  },
};
