// /api, /metrics, /healthz and /console: everything that is not on the token path, on Hono. One place authenticates, each route declares
// its authorisation (apiApp.ts), one place turns errors into answers, and the document at /api/openapi.json is made from the schemas
// that check.
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { compress } from "hono/compress";
import { LineshaftError } from "../errors/index.ts";
import { newId } from "../store/index.ts";
import { asLineshaftError, storageFull } from "../gateway/errors.ts";
import { openAiErrorBody } from "../gateway/protocols/openai/errors.ts";
import { notServed } from "./http/notServed.ts";
import { authenticate } from "./http/authenticate.ts";
import type { BodyBudget } from "./http/bodies.ts";
import { explained, apiErrorBody, retryHeaders } from "./http/respond.ts";
import type { ApiDependencies } from "./dependencies.ts";
import { consoleFiles } from "./console.ts";
import { openApiDocument } from "./docs.ts";
import { action, apiApp, ofInstance, type ApiApp } from "./apiApp.ts";
import type { ApiEnv } from "./helpers.ts";
import { checkInput } from "./input.ts";
import { alarmRoutes } from "./routes/alarms.ts";
import { batchRoutes } from "./routes/batches.ts";
import { billRoutes } from "./routes/bill.ts";
import { budgetRoutes } from "./routes/budgets.ts";
import { limitRoutes } from "./routes/limits.ts";
import { callRoutes } from "./routes/calls.ts";
import { engineRoutes } from "./routes/engines.ts";
import { eventRoutes } from "./routes/events.ts";
import { keyRoutes } from "./routes/keys.ts";
import { kvCacheRoutes } from "./routes/kvCache.ts";
import { modelRouteRoutes } from "./routes/modelRoutes.ts";
import { overviewRoutes } from "./routes/overview.ts";
import { priceRoutes } from "./routes/prices.ts";
import { proofRoutes } from "./routes/proofs.ts";
import { schedulerRoutes } from "./routes/scheduler.ts";
import { responseStorageRoutes } from "./routes/responseStorage.ts";
import { searchRoutes } from "./routes/search.ts";
import { statusRoutes } from "./routes/status.ts";

const writing = new Set(["POST", "PUT", "PATCH"]);

export function createApi(dependencies: ApiDependencies, bodies: BodyBudget): OpenAPIHono<ApiEnv> {
  const { identity, log } = dependencies;
  const app = new OpenAPIHono<ApiEnv>();
  const routes = allRoutes(dependencies, () => app);

  app.use(async (c, next) => {
    c.set("requestId", newId("req"));
    await next();
    c.header("x-request-id", c.var.requestId);
    c.header("x-content-type-options", "nosniff");
    // No page is shown in another page's frame, where clicks on it could be stolen.
    c.header("x-frame-options", "DENY");
    if (!c.res.headers.has("content-security-policy")) c.header("content-security-policy", "frame-ancestors 'none'");
    // An answer to a key is for its holder alone, and it may hold the secret of a new key, so no cache may keep it.
    if (c.get("principal")) c.header("cache-control", "no-store");
  });
  const principalOf = async (c: Context<ApiEnv>) => authenticate(identity, (name) => c.req.header(name));
  const authenticated: MiddlewareHandler<ApiEnv> = async (c, next) => {
    c.set("principal", await principalOf(c));
    return next();
  };
  /** Public routes have no parameters, so a path is one or is not. A request with a body is never for one. */
  const isPublic = (method: string, path: string) =>
    (method === "GET" || method === "HEAD") && routes.declarations.get(`GET ${path}`) === "public";
  for (const path of ["/api/*", "/metrics"])
    app.use(path, (c, next) => (isPublic(c.req.method, c.req.path) ? next() : authenticated(c, next)));
  app.use("/api/*", checkInput(bodies, principalOf));
  // Removing makes room on a full disk, so only other changes are refused.
  app.use("/api/*", (c, next) => {
    if (dependencies.storage?.full && writing.has(c.req.method)) throw storageFull();
    return next();
  });

  // What an answer named as its place is in the database before a read goes on, whichever process made it.
  app.use("/api/*", async (c, next) => {
    const reads = c.req.method === "GET" && c.get("principal") !== undefined;
    const after = reads ? (c.req.query("after") ?? c.req.header("x-lineshaft-after")) : undefined;
    if (after !== undefined) await dependencies.gateway.posted(after, c.req.raw.signal);
    return next();
  });

  app.use("/console/*", compress());
  routes.serveOn(app);

  app.notFound((c) => {
    throw notServed({ method: c.req.method, path: c.req.path }, "What there is stands in /api/docs.");
  });
  app.onError((error, c) => {
    const failure = isHttpException(error)
      ? badRequest(error)
      : explained(asLineshaftError(error), dependencies.storage);
    if (failure.code === "internal_error")
      log.error({ request: c.var.requestId, path: c.req.path, err: error.stack }, "a request failed");
    for (const [name, value] of Object.entries(retryHeaders(failure))) c.header(name, value);
    c.header("x-request-id", c.var.requestId);
    const body = c.req.path.startsWith("/v1/") ? openAiErrorBody(failure) : apiErrorBody(failure, c.var.requestId);
    return c.json(body, failure.status as 400);
  });
  return app;
}

/** Every route that is not on the token path. `documented` answers the app whose document is asked for. */
export function allRoutes(dependencies: ApiDependencies, documented: () => OpenAPIHono<ApiEnv>): ApiApp {
  const routes = apiApp();
  const parts = [
    statusRoutes,
    alarmRoutes,
    engineRoutes,
    priceRoutes,
    responseStorageRoutes,
    modelRouteRoutes,
    keyRoutes,
    kvCacheRoutes,
    budgetRoutes,
    limitRoutes,
    callRoutes,
    batchRoutes,
    overviewRoutes,
    billRoutes,
    proofRoutes,
    eventRoutes,
    searchRoutes,
    schedulerRoutes,
  ];
  for (const part of parts) routes.add(part(dependencies));
  for (const part of dependencies.routes ?? []) routes.add(part);
  routes.public("/healthz", async (c) => {
    // Healthy is what can serve a call: the database answers. Engines have their own line in /api/status. The question has a connection
    // and a bound of its own, so that this answers whatever else hangs.
    if (dependencies.storage?.full) return c.json({ status: "storage_full" }, 503);
    return (await dependencies.db.answers()) ? c.json({ status: "ok" }) : c.json({ status: "unavailable" }, 503);
  });
  addMetrics(routes, dependencies);
  let document: string | undefined;
  routes.public("/api/openapi.json", (c) => {
    document ??= JSON.stringify(openApiDocument(documented()));
    return c.body(document, 200, { "content-type": "application/json; charset=utf-8" });
  });
  routes.public("/", (c) => c.redirect("/console/"));
  consoleFiles(routes, dependencies.consoleFolder);
  return routes;
}

/** Metrics count the calls of every organisation. On loopback a scraper needs no key; from elsewhere it needs an owner's. */
function addMetrics(routes: ApiApp, { metrics, metricsOfAll, openMetrics }: ApiDependencies): void {
  const read = async (c: Context<ApiEnv>) => {
    c.header("content-type", metrics.registry.contentType);
    return c.body(await (metricsOfAll ? metricsOfAll() : metrics.registry.metrics()));
  };
  if (openMetrics === true) routes.public("/metrics", read);
  else routes.raw({ ...metricsRoute, authorise: action("metrics.read", ofInstance) }, read);
}

const metricsRoute = { method: "get", path: "/metrics", hide: true, responses: {} } as const;

/** A refusal by Hono itself. A body that is not JSON is the only one that is known to happen. */
function isHttpException(error: Error): error is Error & { status: number } {
  return "getResponse" in error && "status" in error && typeof error.status === "number";
}

function badRequest(error: Error & { status: number }): LineshaftError {
  return new LineshaftError({
    status: error.status,
    code: error.status === 400 ? "invalid_json" : "invalid_request",
    message: error.message || "The request cannot be read.",
    hint: "Send a JSON object with content-type application/json.",
  });
}
