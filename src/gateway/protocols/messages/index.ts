// Anthropic's Messages: POST /v1/messages, count_tokens, and the list of models in Anthropic's shape.
import { copied, outlineOf } from "../../../bounded/index.ts";
import { messageBatchQuestions } from "../../batches/messageRoutes.ts";
import { decodeBody, type CallBody } from "../openai/bodies.ts";
import type { Protocol } from "../types.ts";
import { wholeMessage } from "./answers.ts";
import { checkToolChoice, MessagesCall } from "./call.ts";
import { countTokens } from "./count.ts";
import { messagesErrorBody, messagesStatus } from "./errors.ts";
import { eventText, messageEvents } from "./events.ts";
import { headersOf } from "./headers.ts";
import { messagesModels } from "./models.ts";
import { messagesBody } from "./schema.ts";
import { areUsualMessages } from "./usual.ts";

export const messages: Protocol = {
  name: "messages",
  shape: "messages",
  outlined: "messages",
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
    const body = judged(json);
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

/**
 * Judges the body; answers it unchanged. Usual messages are judged apart from what stands beside them, and by their outline, which has all
 * that is looked at: roles, kinds, and which values are texts.
 */
function judged(json: unknown): CallBody {
  const body = json as CallBody | null | undefined;
  if (typeof body !== "object" || body === null || !areUsualMessages(outlineOf(body, "messages")))
    return decodeBody(messagesBody, json);
  decodeBody(messagesBody, copied(body, { messages: [{ role: "user", content: "" }] }));
  return body;
}
