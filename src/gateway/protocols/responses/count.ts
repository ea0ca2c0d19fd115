// POST /v1/responses/input_tokens: how long the input of a response would be, with what it goes on from. It costs nothing and leaves no
// record.
import { ownerOf } from "../../responses/state.ts";
import { countedPrompt } from "../counting.ts";
import type { Questioned, Reply } from "../types.ts";
import { decodeCall } from "./decode.ts";

/** Throws a 400 that names the first field at fault. */
export async function countInput(asked: Questioned): Promise<Reply> {
  const earlier = await asked.stored.before(asked.json, ownerOf(asked.principal), asked.count, false);
  const call = decodeCall(asked.json, undefined, { keeps: false, earlier });
  const { tokens, headers } = await countedPrompt(call, asked);
  return { json: { object: "response.input_tokens", input_tokens: tokens }, headers };
}
