// The token path over node:http: a JSON body in, an answer or a stream of events out, in the shapes of the request's protocol. It stands
// off the web framework, because it runs for every call and every token, and each layer would cost that often.
import type { IncomingMessage, ServerResponse } from "node:http";
import { each, nextTurn, type Bytes, type JsonMembers } from "../../bounded/index.ts";
import { newId } from "../../store/index.ts";
import { programOf } from "../../gateway/protocols/program.ts";
import type { Protocol, ReceivedRequest, Told } from "../../gateway/protocols/types.ts";
import { clientGone } from "../../gateway/refusals.ts";
import { keepResponse } from "../../gateway/responses/keeping.ts";
import { ownerOf } from "../../gateway/responses/state.ts";
import type { AnswerChunk, CallAnswer } from "../../gateway/types.ts";
import { asLineshaftError } from "../../gateway/errors.ts";
import { limits } from "../limits.ts";
import { asksForBackground, serveBackground } from "./background.ts";
import { isLarge, jsonOf, protocolJson, readBody, type HeldBody } from "./bodies.ts";
import { EventWriter } from "./eventWriter.ts";
import { sendJson } from "./respond.ts";
import type { Serving } from "./serving.ts";
import { WaitingStreams } from "./waiting.ts";
import { wishesOf } from "./wishes.ts";

/** Aborts when the client closes the connection before it has its whole answer. To be made before anything is waited for. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) gone.abort(clientGone());
  });
  return gone.signal;
}

const bodyBounds = { mostBytes: limits.bodyBytes, json: protocolJson };

/** The body of a request, as it came and parsed. Throws LineshaftError. */
export async function readJson(
  request: IncomingMessage,
  held: HeldBody,
): Promise<{ bytes: Bytes; members: JsonMembers | undefined; json: unknown }> {
  const body = await readBody(request, { ...bodyBounds, held });
  const json = jsonOf(body);
  return { bytes: body.bytes, members: body.members, json: json instanceof Promise ? await json : json };
}

/** Serves one call. Rejects with LineshaftError while nothing was answered yet; afterwards never. */
export async function serveCall(serving: Serving): Promise<void> {
  // As `readJson`, which would be one more promise for every call.
  const { request, held, protocol } = serving;
  const read = await readBody(request, { ...bodyBounds, held, outlined: protocol.outlined });
  const { bytes, members } = read;
  const parsed = jsonOf(read);
  const body = { bytes, members, json: parsed instanceof Promise ? await parsed : parsed };
  await (protocol.stateful ? serveStateful(serving, body) : serveBody(serving, body, undefined));
}

/** A call that may go on from earlier ones. */
async function serveStateful(serving: Serving, body: Awaited<ReturnType<typeof readJson>>): Promise<void> {
  const { stored, held } = serving;
  const owner = ownerOf(await serving.stillAuthenticated());
  const keeps = await stored.keeps(body.json, owner);
  const earlier = await stored.before(body.json, owner, (bytes) => held.add(bytes));
  if (asksForBackground(serving, body.json)) return serveBackground(serving, body, { keeps, earlier });
  try {
    await serveBody(serving, body, { keeps, earlier, release: earlier?.release });
  } finally {
    await earlier?.release?.();
  }
}

/** Of most calls. Protocols only read it. */
const noQuery = new URLSearchParams();

/** Serves the call that a body asks for. */
async function serveBody(
  serving: Serving,
  body: Awaited<ReturnType<typeof readJson>>,
  state: (ReceivedRequest["state"] & { release?: (() => Promise<void>) | undefined }) | undefined,
): Promise<void> {
  const { gateway, protocol, stored, request, response, requestId } = serving;
  const asked = protocol.decode({
    ...serving.received,
    query: serving.received.query === "" ? noQuery : new URLSearchParams(serving.received.query),
    headers: request.headers,
    ...body,
    ...(state && { state }),
  });
  if (isLarge(body.bytes)) await nextTurn();
  const program = programOf(request.headers);
  const wishes = wishesOf(request.headers);
  const still = serving.stillAuthenticated();
  const principal = still instanceof Promise ? await still : still;
  const told: Told = { call: asked, id: newId("call"), createdMs: Date.now() };
  const early = asked.stream ? waitingStreams.open((begins) => writeEarly(serving, told, begins)) : () => false;
  let answer: CallAnswer;
  try {
    // From here on the gateway watches the key.
    answer = await gateway.call({
      principal,
      asked,
      signal: serving.gone,
      id: told.id,
      ...(program !== undefined && { program }),
      ...wishes,
    });
  } catch (error) {
    if (!early()) throw error;
    response.end(protocol.error(serving.explained(error), "stream", { requestId, told }));
    return;
  }
  const keep =
    state &&
    (async (whole?: AnswerChunk) => {
      const kept = await keepResponse(stored, told, whole, ownerOf(principal));
      // A conversation is free before its client reads the end, because the next turn may follow at once.
      await state.release?.();
      return kept;
    });
  // Where the head has left, what it would have said comes as comments.
  if (early()) return sendEvents(serving, told, answer, keep, lateHeaders(protocol, answer.headers));
  const headers = [protocol.requestIdHeader, requestId];
  for (const name in answer.headers) headers.push(name, answer.headers[name]!);
  if (asked.stream) {
    headers.push("content-type", protocol.streamType, "cache-control", "no-cache");
    response.writeHead(200, headers);
    return sendEvents(serving, told, answer, keep, "");
  }
  const whole = await answer.whole();
  if (keep) headers.push(...Object.entries(await keep(whole)).flat());
  sendJson(response, 200, protocol.whole(whole, told), headers);
}

/** The streams of this process that wait for their first token. */
const waitingStreams = new WaitingStreams();

/** The head of a stream whose answer has not begun, and a line that means nothing. */
function writeEarly({ response, protocol, requestId }: Serving, { id }: Told, begins: boolean): void {
  if (response.destroyed) return;
  if (begins) {
    const { requestIdHeader, streamType } = protocol;
    const headers = [requestIdHeader, requestId, "x-lineshaft-call", id];
    response.writeHead(200, [...headers, "content-type", streamType, "cache-control", "no-cache"]);
  }
  response.write(protocol.waiting ?? ": waiting\n\n");
}

/** Events of a stream as they come. A client that does not read makes the engine wait. `first`: what stands before the first event. */
async function sendEvents(
  { response, protocol, requestId }: Serving,
  told: Told,
  { chunks, lastHeaders }: CallAnswer,
  keep: (() => Promise<Record<string, string>>) | undefined,
  first: string,
): Promise<void> {
  const writer = new EventWriter(response);
  if (first !== "") void writer.write(first);
  const encode = protocol.events(told);
  try {
    await each(chunks, (chunk) => writer.write(encode(chunk)));
    // What is kept is there before the client reads the end, so that its next turn finds it.
    const kept = await keep?.();
    writer.end(lateHeaders(protocol, { ...lastHeaders(), ...kept }) + encode(undefined));
  } catch (error) {
    // The answer has begun, so what went wrong can only be said inside it.
    writer.end(protocol.error(asLineshaftError(error), "stream", { requestId, told }));
  }
}

/**
 * Headers that are known only at the end of a stream, as comments: lines `: name: value`, which clients of server-sent events leave out.
 * HTTP's own trailers reach few clients.
 */
function lateHeaders({ streamType, shape }: Protocol, headers: Record<string, string>): string {
  // Google's client takes a comment for the beginning of an event that never ends, and throws.
  if (shape === "gemini") return "";
  if (!streamType.startsWith("text/event-stream")) return "";
  const lines = Object.entries(headers).map(([name, value]) => `: ${name}: ${value}\n`);
  return lines.length === 0 ? "" : `${lines.join("")}\n`;
}
