// OpenAI's chat completions: POST /v1/chat/completions, and what its clients ask for beside calls: lists of models, files and batches.
import { copied, outlineOf } from "../../../bounded/index.ts";
import { batchQuestions } from "../../batches/batchRoutes.ts";
import { fileQuestions } from "../../batches/fileRoutes.ts";
import { decodeBody, type CallBody } from "../openai/bodies.ts";
import { modelList } from "../openai/models.ts";
import { openAiVerbs } from "../openai/verbs.ts";
import type { Protocol } from "../types.ts";
import { ChatCall, checkToolChoice } from "./call.ts";
import { chatBody } from "./schema.ts";
import { areUsualFields, areUsualMessages } from "./usual.ts";

export const chat: Protocol = {
  ...openAiVerbs("chat"),
  name: "chat",
  outlined: "messages",
  calls: [{ method: "POST", path: "/v1/chat/completions" }],
  questions: [
    { method: "GET", path: "/v1/models", action: "models.read", answer: modelList },
    { method: "GET", path: "/v1/models/{model}", action: "models.read", answer: modelList },
    ...fileQuestions,
    ...batchQuestions,
  ],
  decode({ json, bytes, members }) {
    const body = judged(json);
    checkToolChoice(body);
    return new ChatCall(body, { shape: "chat", bytes, members, object: body });
  },
};

/**
 * Judges the body; answers it unchanged. A long conversation of usual messages is judged apart from what stands beside it, and by its
 * outline, which has all that is looked at: names, kinds, and which values are texts.
 */
function judged(json: unknown): CallBody {
  const body = json as CallBody | null | undefined;
  if (typeof body !== "object" || body === null || !areUsualMessages(outlineOf(body, "messages")))
    return decodeBody(chatBody, json);
  if (!areUsualFields(body)) decodeBody(chatBody, copied(body, { messages: [{ role: "user" }] }));
  return body;
}
