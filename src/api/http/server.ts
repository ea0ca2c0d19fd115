// The one address: /v1 on node:http (tokens.ts), everything else on Hono over the same server.
import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { Endpoint } from "../../engines/index.ts";
import { assertAuthorised, type Action } from "../../governance/index.ts";
import { pooledId } from "../../gateway/ids.ts";
import { createApi } from "../app.ts";
import { asGatewayError, GatewayError } from "../../gateway/errors.ts";
import { limits } from "../limits.ts";
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
      requestTimeout: limits.requestMs,
      headersTimeout: limits.headersMs,
      keepAliveTimeout: limits.keepAliveMs,
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

/**
 * Routes of /v1 with their actions. `call.create` is asked for by the gateway, which knows the model and what agents call as well; the
 * others are asked for here.
 */
export const modelRoutes: Record<string, { action: Action; endpoint?: Endpoint }> = {
  "POST /v1/chat/completions": { action: "call.create", endpoint: "chat" },
  "POST /v1/completions": { action: "call.create", endpoint: "completions" },
  "GET /v1/models": { action: "models.read" },
  "GET /v1/models/:id": { action: "models.read" },
};

/** The route of a request. What follows /v1/models/ is one id, whatever it holds. */
function routeOf(method: string | undefined, path: string): { action: Action; endpoint?: Endpoint } | undefined {
  const name = `${method} ${path.startsWith("/v1/models/") ? "/v1/models/:id" : path}`;
  return Object.hasOwn(modelRoutes, name) ? modelRoutes[name] : undefined;
}

async function serveV1(
  dependencies: ServerDependencies,
  bodies: BodyBudget,
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
): Promise<void> {
  const query = request.url!.indexOf("?");
  const path = query < 0 ? request.url! : request.url!.slice(0, query);
  const route = routeOf(request.method, path);
  const endpoint = route?.endpoint;
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
  if (route) {
    assertAuthorised(principal, route.action, { organisation: principal.organisation });
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

/** Stops listening, lets what is under way end for `graceMs` (the gateway's own time by default), then cancels and settles it. */
export async function closeServer(server: Server, gateway: Gateway, graceMs?: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await gateway.close(graceMs === undefined ? {} : { graceMs });
  // Last answers and events are on their way to their clients; a client that does not read them is not waited for.
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const rest = setTimeout(() => server.closeAllConnections(), limits.lastWordsMs);
  await closed;
  clearInterval(idle);
  clearTimeout(rest);
}
