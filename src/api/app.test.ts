// Every route declares its authorisation: those that are registered are those that are declared, a route that is not declared stops the
// server from being made, and the document names each route's action.
import { OpenAPIHono } from "@hono/zod-openapi";
import { expect, test } from "vitest";
import { actions } from "../governance/index.ts";
import { apiApp, routesOf } from "./apiApp.ts";
import { createApi } from "./app.ts";
import type { ApiEnv } from "./helpers.ts";
import { BodyBudget } from "./http/bodies.ts";
import { routeActions } from "../gateway/protocols/registry.ts";
import { everyRoute, everyRouteDependencies } from "./testing/everyRoute.ts";

test("every route that is registered is declared, with an action that governance knows or as public", () => {
  const { declarations } = everyRoute();
  const app = createApi(everyRouteDependencies(), new BodyBudget());
  expect(routesOf(app).toSorted()).toEqual([...declarations.keys()].toSorted());
  const asked = [...declarations.values()].flatMap((one) => (one === "public" ? [] : [one.action]));
  expect(asked.length).toBeGreaterThan(35);
  expect(asked.filter((action) => !actions.includes(action))).toEqual([]);
});

test("what is public is the pages, the document and the health of the server", () => {
  const open = [...everyRoute().declarations].flatMap(([route, one]) => (one === "public" ? [route] : []));
  expect(open.toSorted()).toEqual([
    "GET /",
    "GET /api/docs",
    "GET /api/openapi.json",
    "GET /console",
    "GET /console/*",
    "GET /healthz",
  ]);
});

test("a route without a declaration stops the server from being made", () => {
  const app = new OpenAPIHono<ApiEnv>();
  app.get("/api/back-door", (c) => c.text("in"));
  expect(() => apiApp().serveOn(app)).toThrow("These routes declare no authorisation: GET /api/back-door.");
});

test("the document names the action of each route, and says 403 where a role may be refused", async () => {
  const app = createApi(everyRouteDependencies(), new BodyBudget());
  const document = (await (await app.request("/api/openapi.json")).json()) as {
    paths: Record<string, Record<string, { "x-lineshaft-action"?: string; responses: Record<string, unknown> }>>;
  };
  const { declarations } = everyRoute();
  const shown = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const route = `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`;
      const declared = declarations.get(route);
      const action = declared === "public" ? undefined : (declared?.action ?? routeActions.get(route));
      return { route, operation, action };
    }),
  );
  expect(shown.length).toBeGreaterThan(40);
  for (const { route, operation, action } of shown)
    expect([route, operation["x-lineshaft-action"]]).toEqual([route, action]);
  const refusable = shown.filter(({ operation }) => "403" in operation.responses).map(({ route }) => route);
  expect(refusable).toContain("POST /api/keys");
  expect(refusable).toContain("GET /metrics");
  expect(refusable).not.toContain("GET /api/calls");
});
