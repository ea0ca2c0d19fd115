// A server that answers from a fixture as a running instance does. It serves work on the console without an engine, and the tests of
// states that a real instance shows rarely: a lost connection, an empty organisation, a stream that breaks. Every answer is checked
// against the schemas of contract/ before it is sent.
//
//   bin/node src/console/testing/server.ts [--port 4170] [--empty] [--live]
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import * as schemas from "../../contract/index.ts";
import type { LiveEvent } from "../../contract/index.ts";
import { newId } from "../../store/ids.ts";
import { makeCall } from "./fixtureCalls.ts";
import { makeFixture, type Fixture } from "./fixture.ts";
import { seeded } from "./random.ts";
import { Answer, bodyOf, serveFile } from "./serverAnswers.ts";
import { answerChat } from "./serverChat.ts";
import { routes } from "./serverRoutes.ts";

export const fixtureKey = "ls_fixture_owner_key";

export interface FixtureServer {
  url: string;
  fixture: Fixture;
  /** Sends an event to every open console, and to those that connect again later and name an earlier event. */
  emit(event: LiveEvent): void;
  /** Ends all event streams, as a restart of the gateway does; `refuse` keeps new ones out. */
  cut(refuse: boolean): void;
  /** Adds a call that was just recorded to the fixture. No event tells of it. */
  newCall(): schemas.CallDetail;
  /** Makes the next chat break off after some words. */
  breakNextChat(): void;
  close(): Promise<void>;
}

export async function startFixtureServer(options: { fixture?: Fixture; port?: number } = {}): Promise<FixtureServer> {
  const fixture = options.fixture ?? makeFixture();
  const random = seeded(99);
  const streams = new Set<ServerResponse>();
  const kept: { id: number; text: string }[] = [];
  let eventId = 0;
  let refusing = false;
  let breaking = false;

  const emit = (event: LiveEvent) => {
    schemas.liveEvent.parse(event);
    const text = `id: ${++eventId}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    kept.push({ id: eventId, text });
    if (kept.length > 500) kept.shift();
    for (const stream of streams) stream.write(text);
  };

  const record = (call: schemas.CallDetail) => {
    fixture.calls.unshift(call);
    const { attempts: _, ...row } = call;
    emit({ type: "call", call: row });
  };

  const listen = (request: IncomingMessage, response: ServerResponse) => {
    if (refusing) throw new Answer(503, "starting", "Lineshaft is starting.");
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(": here\n\n");
    const since = Number(request.headers["last-event-id"] ?? Number.NaN);
    if (Number.isFinite(since)) for (const { id, text } of kept) if (id > since) response.write(text);
    streams.add(response);
    response.on("close", () => streams.delete(response));
  };

  const api = async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    if (request.headers.authorization !== `Bearer ${fixtureKey}`)
      throw new Answer(
        401,
        "invalid_key",
        "This key is not known here.",
        "Look at ~/.lineshaft/credentials, or make one with `lineshaft keys create`.",
      );
    const body = () => bodyOf(request);
    if (url.pathname === "/v1/chat/completions") {
      const breaks = breaking;
      breaking = false;
      const call = await answerChat(fixture, random, await body(), response, breaks);
      if (call !== undefined) record(call);
      return;
    }
    if (url.pathname === "/api/events") return listen(request, response);
    const [, , resource, id, verb] = url.pathname.split("/");
    const handler = routes[`${request.method ?? "GET"} ${resource}`];
    if (handler === undefined) throw new Answer(404, "not_found", `Nothing is at ${url.pathname}.`);
    const name = id === undefined ? undefined : decodeURIComponent(id);
    const answer = await handler({ fixture, query: url.searchParams, name, verb, body, emit });
    if (answer === undefined) return void response.writeHead(204).end();
    const text = JSON.stringify(answer.schema.parse(answer.value));
    response.writeHead(answer.status ?? 200, { "content-type": "application/json", "x-request-id": newId("req") });
    response.end(text);
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://fixture");
    const work =
      url.pathname.startsWith("/api/") || url.pathname.startsWith("/v1/")
        ? api(request, response, url)
        : serveFile(url.pathname, response);
    work.catch((error: unknown) => {
      if (response.headersSent) return void response.destroy();
      const answer = error instanceof Answer ? error : new Answer(500, "fixture_failed", String(error));
      response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  const address = server.address() as { port: number };

  return {
    url: `http://127.0.0.1:${address.port}`,
    fixture,
    emit,
    cut: (refuse) => {
      refusing = refuse;
      for (const stream of streams) stream.destroy();
    },
    newCall: () => {
      const call = makeCall(random, {
        at: Date.now() - 400,
        model: fixture.status.deployments[0]!.name,
        key: fixture.keys[0]!.id,
        status: "completed",
      });
      fixture.calls.unshift(call);
      return call;
    },
    breakNextChat: () => {
      breaking = true;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { port: { type: "string", default: "4170" }, empty: { type: "boolean" }, live: { type: "boolean" } },
  });
  const fixture = makeFixture(values.empty ? { calls: 0, runs: 0 } : {});
  if (values.empty) Object.assign(fixture, { agents: [], budgets: [] });
  const server = await startFixtureServer({ fixture, port: Number(values.port) });
  console.log(`${server.url}/console/  key: ${fixtureKey}`);
  if (values.live) {
    setInterval(() => {
      const { attempts: _, ...call } = server.newCall();
      server.emit({ type: "call", call });
    }, 2_500);
  }
}
