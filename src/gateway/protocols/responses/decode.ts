// A body of Responses, judged: whichever way it came (a request, a frame of a WebSocket), and whatever is asked of it (an answer, a count,
// a compaction).
import type { Received } from "../../../engines/index.ts";
import { copied } from "../../../bounded/index.ts";
import { decodeBody, type CallBody } from "../openai/bodies.ts";
import { ResponsesCall, type State } from "./call.ts";
import { asksForCompaction, compactionBody, sinceCompaction, summaryBody } from "./compact.ts";
import { checkItems } from "./items.ts";
import { responsesBody } from "./schema.ts";
import { checkTools } from "./tools.ts";
import { usualItems } from "./usual.ts";

type Json = Record<string, unknown>;

/**
 * Reads a body as a call. `received`: its bytes, where they are those of a body that an engine may be sent. Throws a 400 that names the
 * first field at fault.
 */
export function decodeCall(
  json: unknown,
  received: Pick<Received, "bytes" | "members"> | undefined,
  state: State = { keeps: false },
): ResponsesCall {
  const outline = typeof json === "object" && json !== null ? usualItems(json as Json) : undefined;
  // A usual input is judged apart from what stands beside it, and is not read.
  const body = outline ? (json as CallBody) : decodeBody(responsesBody, json);
  if (outline) decodeBody(responsesBody, copied(body, { input: [] }));
  const input = outline ?? (body["input"] as string | Json[] | null | undefined);
  if (Array.isArray(input) && !outline) checkItems(input as Json[]);
  checkTools((body["tools"] ?? []) as Json[]);
  const { earlier } = state;
  const since = earlier ? { ...state, earlier: { ...earlier, items: sinceCompaction(earlier.items) } } : state;
  const compacts = Array.isArray(input) && asksForCompaction(input as Json[]);
  const call = compacts
    ? new ResponsesCall(summaryBody(body), undefined, { compacts: "item", ...since })
    : new ResponsesCall(body, received && { shape: "responses", ...received, object: body }, since);
  call.check();
  return call;
}

/** Reads a body of POST /v1/responses/compact. Throws a 400 that names the first field at fault. */
export const decodeCompaction = (json: unknown, state: State = { keeps: false }): ResponsesCall =>
  decodeCall(compactionBody(json), undefined, { ...state, compacts: "object" });
