// OpenAI's Responses: POST /v1/responses. The shape is also that of Open Responses (openresponses.org), whose suites it passes.
import { checkItems } from "./items.ts";
import { decodeBody } from "../openai/bodies.ts";
import { responseQuestions } from "../../responses/routes.ts";
import { openAiErrorBody } from "../openai/errors.ts";
import type { Protocol } from "../types.ts";
import { ResponsesCall } from "./call.ts";
import { countInput } from "./count.ts";
import { newStream, streamOf, wholeOf } from "./events.ts";
import { responsesBody } from "./schema.ts";
import { checkTools } from "./tools.ts";

type Json = Record<string, unknown>;

export const responses: Protocol = {
  name: "responses",
  shape: "responses",
  calls: [{ method: "POST", path: "/v1/responses" }],
  questions: [
    ...responseQuestions,
    { method: "POST", path: "/v1/responses/input_tokens", action: "models.read", answer: countInput },
  ],
  requestIdHeader: "x-request-id",
  streamType: "text/event-stream; charset=utf-8",
  stateful: true,
  decode({ json, bytes, text, state }) {
    const body = decodeBody(responsesBody, json);
    const { input, tools } = body as { input?: string | Json[] | null; tools?: Json[] | null };
    if (Array.isArray(input)) checkItems(input);
    checkTools(tools ?? []);
    const call = new ResponsesCall(body, { shape: "responses", bytes, text, object: body }, state);
    call.check();
    return call;
  },
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
