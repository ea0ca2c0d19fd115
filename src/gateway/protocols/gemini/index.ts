// Google's Gemini API: generateContent, streamGenerateContent, countTokens, and its list of models. The path names the model, whose name
// may hold slashes and colons: the verb is what follows the last colon.
import { invalidValue } from "../../refusals.ts";
import { checkBody, checkModel } from "../openai/bodies.ts";
import type { CallRoute, Protocol, Question } from "../types.ts";
import { contentEvents, wholeContent } from "./answers.ts";
import { checkToolChoice, GeminiCall } from "./call.ts";
import { countTokens, withoutModel } from "./count.ts";
import { geminiErrorBody, geminiStatus } from "./errors.ts";
import { geminiModels } from "./models.ts";
import { notOffered } from "./notOffered.ts";
import { geminiBody, spelled } from "./schema.ts";

/**
 * Paths of the models: Google's SDKs use one or the other, and its newest ones both. `GET /v1/models` is also OpenAI's and Anthropic's: the
 * header of Google's clients tells it apart.
 */
export const roots = ["/v1beta/models", "/v1/models"] as const;

export const gemini: Protocol = {
  name: "gemini",
  shape: "gemini",
  roots: ["/v1beta/", "/upload/"],
  notOffered,
  saidBy: "x-goog-api-key",
  keyIn: { header: "x-goog-api-key", query: "key" },
  calls: roots.flatMap((root): CallRoute[] => [
    { method: "POST", path: `${root}/{model}:generateContent` },
    { method: "POST", path: `${root}/{model}:streamGenerateContent`, stream: true },
  ]),
  questions: [
    ...roots.map((root): Question => ({
      method: "POST",
      path: `${root}/{model}:countTokens`,
      action: "models.read",
      answer: countTokens,
    })),
    ...roots.flatMap((root): Question[] => [
      { method: "GET", path: root, action: "models.read", answer: geminiModels },
      { method: "GET", path: `${root}/{model}`, action: "models.read", answer: geminiModels },
    ]),
  ],
  requestIdHeader: "x-request-id",
  streamType: "text/event-stream; charset=utf-8",
  decode({ route, model, query, json, bytes, members }) {
    const read = spelled(json);
    const body = checkBody(geminiBody, read) as Record<string, unknown>;
    checkModel(model);
    const stream = route.stream === true;
    if (stream && query.get("alt") !== "sse")
      throw invalidValue("alt", "A stream is sent as server-sent events: add `alt=sse` to the address.");
    // A body in two spellings is not passed on as it came: an engine might read the other one.
    const received = read === json ? { shape: "gemini" as const, bytes, members, object: body } : undefined;
    const call = new GeminiCall(withoutModel(body), received, { model, stream });
    checkToolChoice(call);
    return call;
  },
  whole: wholeContent,
  events: contentEvents,
  error(failure, place) {
    const body = JSON.stringify(geminiErrorBody(failure));
    return place === "stream" ? `data: ${body}\n\n` : body;
  },
  statusOf: geminiStatus,
};
