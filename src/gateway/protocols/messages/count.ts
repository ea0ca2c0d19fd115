// POST /v1/messages/count_tokens: how long a prompt is. It costs nothing and leaves no record.
import { countedPrompt } from "../counting.ts";
import { decodeBody } from "../openai/bodies.ts";
import type { Questioned, Reply } from "../types.ts";
import { MessagesCall } from "./call.ts";
import { countBody } from "./schema.ts";

export async function countTokens(asked: Questioned): Promise<Reply> {
  const call = new MessagesCall(decodeBody(countBody, asked.json), undefined, []);
  const { tokens, headers } = await countedPrompt(call, asked);
  return { json: { input_tokens: tokens }, headers };
}
