// POST /v1/responses/input_tokens: how long the input of a response would be, with what it goes on from. It costs nothing and leaves no
// record.
import { ownerOf } from "../../responses/state.ts";
import { decodeBody } from "../openai/bodies.ts";
import { countedPrompt } from "../counting.ts";
import type { Questioned, Reply } from "../types.ts";
import { ResponsesCall } from "./call.ts";
import { checkItems } from "./items.ts";
import { responsesBody } from "./schema.ts";
import { checkTools } from "./tools.ts";

type Json = Record<string, unknown>;

/** Throws a 400 that names the first field at fault. */
export async function countInput(asked: Questioned): Promise<Reply> {
  const body = decodeBody(responsesBody, asked.json);
  const { input, tools } = body as { input?: string | Json[] | null; tools?: Json[] | null };
  if (Array.isArray(input)) checkItems(input);
  checkTools(tools ?? []);
  const earlier = await asked.stored.before(body, ownerOf(asked.principal), asked.count);
  try {
    const call = new ResponsesCall(body, undefined, { keeps: false, earlier });
    call.check();
    const { tokens, headers } = await countedPrompt(call, asked);
    return { json: { object: "response.input_tokens", input_tokens: tokens }, headers };
  } finally {
    await earlier?.release?.();
  }
}
