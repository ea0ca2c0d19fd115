// A body of Responses, judged: whichever way it came (a request, a frame of a WebSocket), and whatever is asked of it (an answer, a count).
import type { Received } from "../../../engines/index.ts";
import { decodeBody } from "../openai/bodies.ts";
import { ResponsesCall, type State } from "./call.ts";
import { checkItems } from "./items.ts";
import { responsesBody } from "./schema.ts";
import { checkTools } from "./tools.ts";

type Json = Record<string, unknown>;

/**
 * Reads a body as a call. `received`: its bytes, where they are those of a body that an engine may be sent. Throws a 400 that names the
 * first field at fault.
 */
export function decodeCall(json: unknown, received: Pick<Received, "bytes" | "text"> | undefined, state?: State) {
  const body = decodeBody(responsesBody, json);
  const { input, tools } = body as { input?: string | Json[] | null; tools?: Json[] | null };
  if (Array.isArray(input)) checkItems(input);
  checkTools(tools ?? []);
  const call = new ResponsesCall(body, received && { shape: "responses", ...received, object: body }, state);
  call.check();
  return call;
}
