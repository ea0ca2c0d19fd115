// Responses over a WebSocket: what a client's frames ask for, and events as frames. A turn begins with a frame `response.create`, whose other
// members are those of the body of POST /v1/responses; events are the same as those of a stream, one in a frame.
// Source: OpenAI's guide to the WebSocket mode of the Responses API; Codex and OpenAI's SDKs speak it.
import type { LineshaftError } from "../../../errors/index.ts";
import { invalidAt, invalidValue } from "../../refusals.ts";
import { openAiErrorBody } from "../openai/errors.ts";
import { unknownKey } from "../openai/keys.ts";

type Json = Record<string, unknown>;

/** A turn that a frame asks for. */
interface Turn {
  /** As a body of POST /v1/responses. */
  body: Json;
  /** False: the state is prepared, and nothing is generated. */
  generates: boolean;
}

/** Throws a 400 where the frame asks for anything but a turn. */
export function turnOf(frame: unknown): Turn {
  if (frame === null || typeof frame !== "object" || Array.isArray(frame))
    throw invalidValue("type", "A message must be a JSON object with a `type`.");
  const { type, generate, stream: _always, ...body } = frame as Json;
  if (type !== "response.create") {
    const named = typeof type === "string" ? ` \`${type.slice(0, 40)}\` is not served here.` : "";
    throw invalidAt("type", `must be \`response.create\`.${named}`);
  }
  if (generate !== undefined && generate !== null && typeof generate !== "boolean")
    throw invalidAt("generate", "must be true or false.");
  if (body["background"] === true)
    throw unknownKey("background", "a turn of a WebSocket ends with its connection. Send it by HTTP");
  if (body["stream_id"] !== undefined && body["stream_id"] !== null)
    throw unknownKey("stream_id", "one turn at a time runs on a connection. Open another connection");
  return { body: { ...body, stream: true }, generates: generate !== false };
}

/** The events of a text of a stream, each as the text of a frame. */
export function framesOf(events: string): string[] {
  const frames: string[] = [];
  for (const event of events.split("\n\n")) {
    const at = event.indexOf("\ndata: ");
    if (at >= 0) frames.push(event.slice(at + 7));
  }
  return frames;
}

/** A failure before an answer has begun. */
export function errorFrame(failure: LineshaftError): string {
  const { retryAfterSeconds } = failure;
  return JSON.stringify({
    type: "error",
    status: failure.status,
    ...openAiErrorBody(failure),
    ...(retryAfterSeconds !== undefined && { headers: { "retry-after": String(Math.ceil(retryAfterSeconds)) } }),
  });
}
