// Responses over a WebSocket: what a client's frames ask for, and events as frames. A turn begins with a frame `response.create`, whose
// other members are those of the body of POST /v1/responses; events are the same as those of a stream, one in a frame. Source: OpenAI's
// guide to the WebSocket mode of the Responses API; Codex and OpenAI's SDKs speak it.
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

/**
 * The frames of the events that end an answer. The last one has a member `lineshaft` with what headers of an answer say by HTTP, because a
 * frame has no headers. Clients leave out members that they do not know.
 */
export function lastFramesOf(events: string, headers: Readonly<Record<string, string>>): string[] {
  const frames = framesOf(events);
  const last = frames.pop()?.trimEnd();
  if (last === undefined) return frames;
  if (Object.keys(headers).length === 0) return [...frames, last];
  // The frame may be an engine's own text, which stays as it is but for the new member at its end.
  frames.push(`${last.slice(0, -1)},"lineshaft":${JSON.stringify(headers)}}`);
  return frames;
}

/** A failure before an answer has begun. `headers`: those of the same failure by HTTP, which say whether and when to try again. */
export function errorFrame(failure: LineshaftError, headers: Readonly<Record<string, string>>): string {
  return JSON.stringify({
    type: "error",
    status: failure.status,
    ...openAiErrorBody(failure),
    ...(Object.keys(headers).length > 0 && { headers }),
  });
}
