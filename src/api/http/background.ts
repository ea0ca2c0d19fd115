// Responses that go on when their request was answered, and events of stored responses.
import type { Bytes } from "../../bounded/index.ts";
import type { ServerResponse } from "node:http";
import { newId } from "../../store/index.ts";
import { programOf } from "../../gateway/protocols/program.ts";
import type { State } from "../../gateway/protocols/responses/call.ts";
import { decodeCall } from "../../gateway/protocols/responses/decode.ts";
import type { Protocol, Told } from "../../gateway/protocols/types.ts";
import { ownerOf } from "../../gateway/responses/state.ts";
import { drained } from "./drained.ts";
import { sendJson } from "./respond.ts";
import type { Serving } from "./serving.ts";
import { wishesOf } from "./wishes.ts";

type Json = Record<string, unknown>;

/** A compaction is no response, so it does not run in the background. */
export const asksForBackground = ({ protocol, received }: Serving, json: unknown): boolean =>
  received.route === protocol.calls[0] && (json as Json | null)?.["background"] === true;

/**
 * Starts a background response, and answers it as it stands, or its events from the first on. The call is made as a stream, whatever its
 * client reads, so that its events can be told later. Throws LineshaftError while nothing was answered yet.
 */
export async function serveBackground(
  serving: Serving,
  { bytes, json }: { bytes: Bytes; json: unknown },
  state: State & { earlier?: { release?: () => Promise<void> } | undefined },
): Promise<void> {
  const { gateway, stored, request, response, protocol, requestId } = serving;
  const isStream = (json as Json)["stream"] === true;
  const held = serving.hold();
  const release = () => {
    held.release();
    void state.earlier?.release?.();
  };
  let started: Json;
  try {
    const call = decodeCall({ ...(json as Json), stream: true }, undefined, state);
    const program = programOf(request.headers);
    const wishes = wishesOf(request.headers);
    const principal = await serving.stillAuthenticated();
    held.add(bytes.length);
    const told: Told = { call, id: newId("call"), createdMs: Date.now() };
    const owner = ownerOf(principal);
    const { retentionDays: keptDays } = await stored.storage.of(owner.project);
    started = await stored.background.start({
      owner,
      told,
      keptDays,
      release,
      call: (signal) =>
        gateway.call({
          principal,
          asked: call,
          signal,
          id: told.id,
          ...(program !== undefined && { program }),
          ...wishes,
        }),
    });
  } catch (error) {
    release();
    throw error;
  }
  if (!isStream) return sendJson(response, 200, JSON.stringify(started), [protocol.requestIdHeader, requestId]);
  const signal = AbortSignal.any([serving.gone, gateway.closing]);
  const { project } = ownerOf(await serving.stillAuthenticated());
  const events = await stored.background.events(project, String(started["id"]), -1, signal);
  await sendReplay(serving, events ?? none());
}

/** Sends events that are read from the database. A client that reads slowly makes the reader wait. */
export async function sendReplay(
  { response, protocol, requestId }: { response: ServerResponse; protocol: Protocol; requestId: string },
  events: AsyncIterable<string>,
): Promise<void> {
  const headers = [
    protocol.requestIdHeader,
    requestId,
    "content-type",
    protocol.streamType,
    "cache-control",
    "no-cache",
  ];
  response.writeHead(200, headers);
  try {
    for await (const event of events) {
      if (response.destroyed) break;
      if (!response.write(event)) await drained(response);
    }
    response.end();
  } catch {
    // What was told of the response still holds: its client reads on from the last number.
    response.destroy();
  }
}

async function* none(): AsyncGenerator<never, void, void> {}
