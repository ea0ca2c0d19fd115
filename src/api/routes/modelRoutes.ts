// Routes of models: aliases, fallbacks and waits, by the name that callers write.
import { createRoute, z } from "@hono/zod-openapi";
import { listModelRoutes, removeModelRoute, setModelRoute, type StoredRoute } from "../../gateway/modelRoutes.ts";
import { idText, modelRoute, modelRouteSet, wholeListQuery } from "../../contract/index.ts";
import type { ModelRouteResource, ModelRouteSet } from "../../contract/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers, notFound } from "../helpers.ts";

const tags = ["Routes"];
const list = createRoute({
  method: "get",
  path: "/api/routes",
  authorise: action("routes.read", ofOrganisation),
  tags,
  summary: "Aliases of models, and what follows when a model fails",
  request: { query: wholeListQuery },
  responses: answers("All routes", z.object({ data: z.array(modelRoute), next_cursor: z.null() })),
});
const set = createRoute({
  method: "put",
  path: "/api/routes",
  authorise: action("routes.set", ofOrganisation),
  tags,
  summary: "Set the route of a model's name in place of the one that it has",
  description:
    "A name that ends with `*` stands for all names that begin so; a route of exactly the name goes first, then a model that there is, then the longest beginning. A model that is served by an alias keeps its own route for what the alias does not say. A call that a fallback serves is priced and recorded as that model, with the asked name beside it.",
  request: { body: { required: true, content: { "application/json": { schema: modelRouteSet } } } },
  responses: answers("The route", modelRoute, 400, 409),
});
const remove = createRoute({
  method: "delete",
  path: "/api/routes/{model}",
  authorise: action("routes.remove", ofOrganisation),
  tags,
  summary: "Remove the route of a model's name",
  request: { params: z.object({ model: idText }) },
  responses: answers("It is gone", z.object({ model: z.string(), deleted: z.literal(true) }), 404),
});

export function modelRouteRoutes({ db, routesChanged }: ServerDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const stored = await listModelRoutes(db, c.var.principal.organisation);
      return c.json({ data: stored.map(routeResource), next_cursor: null }, 200);
    })
    .openapi(set, async (c) => {
      const stored = await setModelRoute(db, c.var.principal.organisation, routeOf(c.req.valid("json")));
      await routesChanged();
      return c.json(routeResource(stored), 200);
    })
    .openapi(remove, async (c) => {
      const { model } = c.req.valid("param");
      if (!(await removeModelRoute(db, c.var.principal.organisation, model)))
        throw notFound("route", model, "See lineshaft routes list.");
      await routesChanged();
      return c.json({ model, deleted: true as const }, 200);
    });
}

function routeOf({ model, serves, fallbacks, retry, hedge, continues, marks, cache }: ModelRouteSet) {
  return {
    model,
    route: {
      ...(serves !== undefined && { serves }),
      ...(fallbacks && { fallbacks }),
      ...(retry && {
        retry: {
          ...(retry.most !== undefined && { most: retry.most }),
          ...(retry.wait_most_ms !== undefined && { waitMostMs: retry.wait_most_ms }),
        },
      }),
      ...(hedge && { hedge: { afterMs: hedge.after_ms, share: hedge.share } }),
      ...(continues !== undefined && { continues }),
      ...(marks && { marks }),
      ...(cache && {
        cache: {
          projects: cache.projects,
          ...(cache.when !== undefined && { when: cache.when }),
          ...(cache.tools !== undefined && { tools: cache.tools }),
          ...(cache.keep_seconds !== undefined && { keepSeconds: cache.keep_seconds }),
        },
      }),
    },
  };
}

function routeResource({ model, route, updatedAt }: StoredRoute): ModelRouteResource {
  const { serves, fallbacks, retry, hedge, continues, marks, cache } = route;
  return {
    model,
    ...(serves !== undefined && { serves }),
    ...(fallbacks && { fallbacks }),
    ...(retry && {
      retry: {
        ...(retry.most !== undefined && { most: retry.most }),
        ...(retry.waitMostMs !== undefined && { wait_most_ms: retry.waitMostMs }),
      },
    }),
    ...(hedge && { hedge: { after_ms: hedge.afterMs, share: hedge.share } }),
    ...(continues !== undefined && { continues }),
    ...(marks && { marks }),
    ...(cache && {
      cache: {
        projects: cache.projects,
        ...(cache.when !== undefined && { when: cache.when }),
        ...(cache.tools !== undefined && { tools: cache.tools }),
        ...(cache.keepSeconds !== undefined && { keep_seconds: cache.keepSeconds }),
      },
    }),
    updated_at: updatedAt.toISOString(),
  };
}
