// The one address: /v1 on node:http (tokens.ts), everything else on Hono over the same server.
import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { Endpoint } from "../../engines/index.ts";
import { pooledId } from "../../gateway/ids.ts";
import { createApi } from "../app.ts";
import { asGatewayError, GatewayError } from "../../gateway/errors.ts";
import { limits } from "../../gateway/limits.ts";
import type { Gateway } from "../../gateway/pipeline.ts";
import { modelList } from "../../gateway/protocols/openai/models.ts";
import { authenticate } from "./authenticate.ts";
import { BodyBudget } from "./bodies.ts";
import { explained, sendJson, sendOpenAiError } from "./respond.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { goneSignal, serveCall } from "./tokens.ts";

/** Makes the server; the caller lets it listen. */
export function createServer(dependencies: ServerDependencies): Server {
  const { log } = dependencies;
  const bodies = new BodyBudget();
  const api = createApi(dependencies, bodies);
  const listener = getRequestListener(api.fetch, { overrideGlobalObjects: false });
  const server = createHttpServer(
    {
      // Long prompts on slow lines; undici's and nginx's habits are similar.
      requestTimeout: 300_000,
      headersTimeout: 20_000,
      keepAliveTimeout: 65_000,
    },
    (request, response) => {
      response.on("error", () => {});
      if (request.url!.startsWith("/v1/")) {
        const id = pooledId("req");
        serveV1(dependencies, bodies, request, response, id).catch((error: unknown) => {
          const failure = explained(asGatewayError(error), dependencies.storage);
          if (failure.code === "internal_error")
            log.error({ request: id, err: (error as Error).stack }, "a request failed");
          sendOpenAiError(response, failure, id);
        });
        return;
      }
      void listener(request, response);
    },
  );
  return server;
}

const endpoints = new Map<string, Endpoint>([
  ["/v1/chat/completions", "chat"],
  ["/v1/completions", "completions"],
]);

async function serveV1(
  dependencies: ServerDependencies,
  bodies: BodyBudget,
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
): Promise<void> {
  const query = request.url!.indexOf("?");
  const path = query < 0 ? request.url! : request.url!.slice(0, query);
  const endpoint = request.method === "POST" ? endpoints.get(path) : undefined;
  // Before anything is waited for: an event that has passed is heard by nothing that listens later.
  const gone = endpoint && goneSignal(response);
  const authenticated = () =>
    authenticate(dependencies.identity, (name) => {
      const value = request.headers[name];
      return typeof value === "string" ? value : undefined;
    });
  const principal = await authenticated();
  if (endpoint && gone) {
    const held = bodies.open(principal.key);
    const { gateway } = dependencies;
    try {
      return await serveCall({ gateway, endpoint, authenticated, request, response, requestId, held, gone });
    } finally {
      held.release();
    }
  }
  if (request.method === "GET" && (path === "/v1/models" || path.startsWith("/v1/models/"))) {
    const answer = modelList(dependencies.engines, principal, decodePath(path.slice("/v1/models/".length)));
    return sendJson(response, 200, JSON.stringify(answer), ["x-request-id", requestId]);
  }
  throw new GatewayError({
    status: 404,
    code: "route_not_found",
    message: `There is no ${request.method} ${path} here.`,
    hint: "Served are GET /v1/models, POST /v1/chat/completions and POST /v1/completions.",
  });
}

function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Stops listening, lets what is under way end for `graceMs`, then cancels and settles it. */
export async function closeServer(server: Server, gateway: Gateway, graceMs: number = limits.graceMs): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await gateway.close({ graceMs });
  // Last answers and events are on their way to their clients; a client that does not read them is not waited for.
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const rest = setTimeout(() => server.closeAllConnections(), limits.lastWordsMs);
  await closed;
  clearInterval(idle);
  clearTimeout(rest);
}
