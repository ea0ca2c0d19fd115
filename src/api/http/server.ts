// The one address: the protocols of clients on node:http (tokens.ts), everything else on Hono over the same server.
import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { getRequestListener } from "@hono/node-server";
import { textOf } from "../../bounded/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import { assertAuthorised } from "../../governance/index.ts";
import { newId } from "../../store/index.ts";
import { createApi } from "../app.ts";
import { Batches } from "../../gateway/batches/runner.ts";
import { asLineshaftError, storageFull } from "../../gateway/errors.ts";
import { limits } from "../limits.ts";
import { ResponsesState } from "../../gateway/responses/state.ts";
import type { Gateway } from "../../gateway/types.ts";
import { protocolOf, routeOf, servedRoutes, type Route } from "../../gateway/protocols/registry.ts";
import type { Protocol, Question, Reply } from "../../gateway/protocols/types.ts";
import { authenticate } from "./authenticate.ts";
import { BodyBudget, readBody, requestsJson, type HeldBody } from "./bodies.ts";
import { answeredAtEdge } from "./edge.ts";
import { readForm } from "./form.ts";
import { notServed } from "./notServed.ts";
import { explained, sendError, sendJson } from "./respond.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { asksForSocket, serveSockets, socketsOf } from "./socket.ts";
import { sendReplay } from "./background.ts";
import { goneSignal, readJson, serveCall } from "./tokens.ts";

/** Makes the server; the caller lets it listen. */
export function createServer(dependencies: ServerDependencies): Server {
  const { log } = dependencies;
  const bodies = new BodyBudget();
  const stored = new ResponsesState(dependencies);
  stored.begin();
  const batches = new Batches({ ...dependencies, stored });
  batches.begin();
  const served = { ...dependencies, stored, batches };
  const api = createApi({ ...dependencies, stored, batches: batches.batches, files: batches.files }, bodies);
  const listener = getRequestListener(api.fetch, { overrideGlobalObjects: false });
  const server = createHttpServer(
    {
      requestTimeout: limits.requestMs,
      headersTimeout: limits.headersMs,
      keepAliveTimeout: limits.keepAliveMs,
      shouldUpgradeCallback: asksForSocket,
    },
    (request, response) => {
      response.on("error", () => {});
      const { path, query } = placeOf(request.url!);
      const route = routeOf(request.method!, path, request.headers);
      const protocol = route?.protocol ?? protocolOf(path, request.headers);
      if (answeredAtEdge(request, response, { path, protocol })) return;
      if (protocol) {
        const requestId = newId("req");
        const told = (error: unknown): LineshaftError => {
          const failure = explained(asLineshaftError(error), dependencies.storage);
          if (failure.code === "internal_error")
            log.error({ request: requestId, err: (error as Error).stack }, "a request failed");
          return failure;
        };
        const exchange = { request, response, requestId, protocol, path, query, explained: told };
        serveProtocol(served, bodies, exchange, route).catch((error: unknown) =>
          sendError(response, protocol, told(error), requestId),
        );
        return;
      }
      void listener(request, response);
    },
  );
  serveSockets(server, { dependencies, stored, bodies });
  storedOf.set(server, stored);
  server.once("close", () => {
    socketsOf(server).close();
    stored.close();
    batches.close();
  });
  return server;
}

/** Stored responses of a server, which end with it. */
const storedOf = new WeakMap<Server, ResponsesState>();

function placeOf(url: string): { path: string; query: string } {
  const at = url.indexOf("?");
  return at < 0 ? { path: url, query: "" } : { path: url.slice(0, at), query: url.slice(at + 1) };
}

async function serveProtocol(
  dependencies: ServerDependencies & { stored: ResponsesState; batches: Batches },
  bodies: BodyBudget,
  exchange: {
    request: IncomingMessage;
    response: ServerResponse;
    requestId: string;
    protocol: Protocol;
    path: string;
    query: string;
    explained: (error: unknown) => LineshaftError;
  },
  route: Route | undefined,
): Promise<void> {
  const { request, response, requestId, protocol, path, query } = exchange;
  // Before anything is waited for, because an event that has passed is heard by nothing that listens later.
  const gone = route?.call ? goneSignal(response) : undefined;
  const header = (name: string) => {
    const value = request.headers[name];
    return typeof value === "string" ? value : undefined;
  };
  const authenticated = () => authenticate(dependencies.identity, header, ownKey(protocol, header, query));
  const authenticating = authenticated();
  const principal = authenticating instanceof Promise ? await authenticating : authenticating;
  const stillAuthenticated = () => (dependencies.identity.isConfirmed(principal) ? principal : authenticated());
  if (route?.call && gone) {
    const held = bodies.open(principal.key);
    const hold = () => bodies.open(principal.key);
    const { gateway, stored } = dependencies;
    const received = { route: route.call, model: decodePath(route.names["model"]), path, query };
    try {
      await serveCall({
        gateway,
        stored,
        protocol,
        received,
        stillAuthenticated,
        request,
        response,
        requestId,
        held,
        hold,
        gone,
        explained: exchange.explained,
      });
    } finally {
      held.release();
    }
    return;
  }
  if (route?.question) {
    const { question, names } = route;
    const { organisation, project } = principal;
    assertAuthorised(principal, question.action, { organisation, project });
    if (question.takes !== undefined && dependencies.storage?.full) throw storageFull();
    const held = bodies.open(principal.key);
    try {
      const gone = goneSignal(response);
      const reply = await question.answer({
        engines: dependencies.engines,
        aliases: dependencies.gateway.aliases(principal.organisation),
        stored: dependencies.stored,
        batches: dependencies.batches,
        principal,
        names: decodedNames(names),
        query: new URLSearchParams(query),
        headers: request.headers,
        ...(await bodyOf(question, request, held)),
        form: (onFile) => readForm(request, onFile),
        signal: AbortSignal.any([gone, dependencies.gateway.closing]),
        count: (bytes) => held.add(bytes),
      });
      if (reply.events) return await sendReplay({ response, protocol, requestId }, reply.events);
      return await sendReply(response, reply, [protocol.requestIdHeader, requestId]);
    } finally {
      held.release();
    }
  }
  const { method, headers } = request;
  throw notServed({ method: method!, path, headers }, `Served are ${servedRoutes.join(", ")}.`);
}

/** The key where only this protocol's clients write it. One in the address is never logged: no line of the log holds an address. */
function ownKey({ keyIn }: Protocol, header: (name: string) => string | undefined, query: string): string | undefined {
  return keyIn && (header(keyIn.header) ?? new URLSearchParams(query).get(keyIn.query) ?? undefined);
}

const decodedNames = (names: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(names).map(([name, value]): [string, string] => [name, decodePath(value)]));

type Events = { events: AsyncIterable<string> };

/** Answers a question. A file is read as fast as its client takes it. */
async function sendReply(response: ServerResponse, reply: Exclude<Reply, Events>, headers: string[]): Promise<void> {
  if (!reply.bytes) {
    headers.push(...Object.entries(reply.headers ?? {}).flat());
    return sendJson(response, 200, JSON.stringify(reply.json), headers);
  }
  headers.push("content-type", reply.type ?? "application/octet-stream");
  if (reply.length !== undefined) headers.push("content-length", String(reply.length));
  // A name may hold anything: RFC 8187.
  headers.push("content-disposition", `attachment; filename*=UTF-8''${encodeURIComponent(reply.name)}`);
  response.writeHead(200, headers);
  // A client that leaves ends it, and so does a file that is removed meanwhile: its connection is closed before its length was reached.
  await pipeline(Readable.from(reply.bytes), response).catch(() => response.destroy());
}

/** The body of a question; it is counted until the question was answered. Nothing where there is none, and for a form. */
async function bodyOf(
  { method, takes }: Question,
  request: IncomingMessage,
  held: HeldBody,
): Promise<{ json: unknown; text: string | undefined }> {
  const none = { json: undefined, text: undefined };
  if (method !== "POST" || takes === "form") return none;
  const bytes = Number(request.headers["content-length"] ?? 0);
  if (bytes === 0 && request.headers["transfer-encoding"] === undefined) return none;
  if (takes !== "requests") return { json: (await readJson(request, held)).json, text: undefined };
  const body = await readBody(request, { mostBytes: limits.bodyBytes, json: requestsJson, held });
  return { json: undefined, text: textOf(body.bytes) };
}

function decodePath(text: string): string;
function decodePath(text: string | undefined): string | undefined;
function decodePath(text: string | undefined): string | undefined {
  try {
    return text && decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Stops listening, gives the requests under way `graceMs` to end (the gateway's own time by default), then cancels and settles them. */
export async function closeServer(server: Server, gateway: Gateway, graceMs?: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await gateway.close(graceMs === undefined ? {} : { graceMs });
  await storedOf.get(server)?.background.ended();
  // Last answers and events are on their way to their clients; a client that does not read them is not waited for.
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const rest = setTimeout(() => {
    server.closeAllConnections();
    socketsOf(server).close();
  }, limits.lastWordsMs);
  await closed;
  clearInterval(idle);
  clearTimeout(rest);
}
