// POST /v1beta/models/NAME:countTokens: how long a prompt is. It costs nothing and leaves no record.
import { countedPrompt } from "../counting.ts";
import { checkBody } from "../openai/bodies.ts";
import type { Questioned, Reply } from "../types.ts";
import { GeminiCall } from "./call.ts";
import { geminiCountBody, spelled } from "./schema.ts";

type Json = Record<string, unknown>;

export async function countTokens(asked: Questioned): Promise<Reply> {
  const given = spelled(asked.json) as Json | null;
  // The whole call may stand in one member, beside or in place of the contents.
  const inner = given?.["generateContentRequest"] as Json | null | undefined;
  const body = checkBody(geminiCountBody, inner ?? given) as Json;
  const call = new GeminiCall(withoutModel(body), undefined, { model: asked.names["model"]!, stream: false });
  const { tokens, headers } = await countedPrompt(call, asked);
  return { json: { totalTokens: tokens }, headers };
}

/** The path names the model; a body that repeats it says nothing else. */
export const withoutModel = ({ model: _model, ...body }: Json): Json => body;
