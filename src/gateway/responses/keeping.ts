// Keeping an answer of Responses: it is completed, then written, and only then its end is told.
import { streamOf, wholeOf } from "../protocols/responses/events.ts";
import type { Told } from "../protocols/types.ts";
import type { AnswerChunk } from "../types.ts";
import type { Owner } from "./conversations.ts";
import type { ResponsesState } from "./state.ts";

/**
 * Keeps an answer that has ended, before its end is told: `whole`, or else the stream of `told`. Answers headers of it; a copy that cannot
 * be kept fails no answer.
 */
export async function keepResponse(
  stored: ResponsesState,
  told: Told,
  whole: AnswerChunk | undefined,
  owner: Owner,
): Promise<Record<string, string>> {
  const answer = whole ? wholeOf(told, whole) : streamOf(told);
  const { call } = answer;
  if (!call.stores) return call.isUnkept ? unkept : {};
  answer.finish();
  const { output: _output, ...head } = answer.response!;
  const isKept = await stored.keep(owner, {
    id: answer.id,
    call: told.id,
    model: call.model,
    status: String(head["status"]),
    previous: call.keptPrevious,
    conversation: call.conversation,
    head,
    input: call.keptItems(answer.id),
    output: answer.items,
  });
  if (isKept) return {};
  answer.unkept();
  return unkept;
}

const unkept = { "x-lineshaft-stored": "no" };
