// Anthropic's Messages: POST /v1/messages, count_tokens, and the list of models in Anthropic's shape.
import { messageBatchQuestions } from "../../batches/messageRoutes.ts";
import { decodeBody } from "../openai/bodies.ts";
import type { Protocol } from "../types.ts";
import { wholeMessage } from "./answers.ts";
import { checkToolChoice, MessagesCall } from "./call.ts";
import { countTokens } from "./count.ts";
import { messagesErrorBody, messagesStatus } from "./errors.ts";
import { eventText, messageEvents } from "./events.ts";
import { headersOf } from "./headers.ts";
import { messagesModels } from "./models.ts";
import { messagesBody } from "./schema.ts";

export const messages: Protocol = {
  name: "messages",
  shape: "messages",
  saidBy: "anthropic-version",
  calls: [{ method: "POST", path: "/v1/messages" }],
  questions: [
    { method: "POST", path: "/v1/messages/count_tokens", action: "models.read", answer: countTokens },
    ...messageBatchQuestions,
    { method: "GET", path: "/v1/models", action: "models.read", answer: messagesModels },
    { method: "GET", path: "/v1/models/{model}", action: "models.read", answer: messagesModels },
  ],
  requestIdHeader: "request-id",
  streamType: "text/event-stream; charset=utf-8",
  waiting: 'event: ping\ndata: {"type":"ping"}\n\n',
  decode({ json, bytes, members, headers }) {
    const body = decodeBody(messagesBody, json);
    checkToolChoice(body);
    return new MessagesCall(body, { shape: "messages", bytes, members, object: body }, headersOf(headers));
  },
  whole: wholeMessage,
  events: messageEvents,
  error(failure, place, { requestId } = {}) {
    const { type, ...body } = messagesErrorBody(failure, requestId) as { type: string };
    return place === "stream" ? eventText("error", body) : JSON.stringify({ type, ...body });
  },
  statusOf: messagesStatus,
};
