// Which route a name has, and what is stored of it.
import { expect, test } from "vitest";
import { Changes, Session } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { listModelRoutes, type ModelRoute, ModelRoutes, removeModelRoute, setModelRoute } from "./modelRoutes.ts";

async function organisationsIn(db: { query(sql: string, values?: unknown[]): Promise<unknown> }): Promise<void> {
  await db.query("insert into organisations (id, name, currency) values ('org_a', 'a', 'USD'), ('org_b', 'b', 'USD')");
}

test("a whole name goes before a model, a model before a beginning, and a long beginning before a short one", async () => {
  await using db = await testDatabase();
  await organisationsIn(db);
  const set = (model: string, route: ModelRoute) => setModelRoute(db, "org_a", { model, route });
  await set("claude-*", { serves: "big", fallbacks: ["small"] });
  await set("claude-haiku-*", { serves: "small" });
  await set("claude-opus-5", { serves: "huge", retry: { most: 1 } });
  await set("big", { fallbacks: ["huge"], retry: { waitMostMs: 500 } });
  await set("*", { retry: { most: 2 } });
  const routes = new ModelRoutes();
  await routes.read(db);
  const of = (asked: string) => routes.of("org_a", asked, (model) => model === "big" || model === "claude-local");
  expect(of("claude-opus-5")).toEqual({ model: "huge", route: { retry: { most: 1 } } });
  expect(of("claude-sonnet")).toEqual({ model: "big", route: { fallbacks: ["small"], retry: { waitMostMs: 500 } } });
  expect(of("claude-haiku-5")).toEqual({ model: "small", route: {} });
  // A model that there is keeps its name, and the rest of the route holds for it.
  expect(of("claude-local")).toEqual({ model: "claude-local", route: { fallbacks: ["small"] } });
  expect(of("other")).toEqual({ model: "other", route: { retry: { most: 2 } } });
  expect(routes.of("org_b", "claude-opus-5", () => false)).toEqual({ model: "claude-opus-5", route: {} });
  expect(routes.aliases("org_a")).toEqual([{ alias: "claude-opus-5", model: "huge" }]);
});

test("routes are replaced, listed and removed within their organisation", async () => {
  await using db = await testDatabase();
  await organisationsIn(db);
  await setModelRoute(db, "org_a", { model: "m", route: { serves: "n" } });
  await setModelRoute(db, "org_a", { model: "m", route: { fallbacks: ["n"] } });
  await setModelRoute(db, "org_b", { model: "m", route: { serves: "x" } });
  expect(await listModelRoutes(db, "org_a")).toMatchObject([{ model: "m", route: { fallbacks: ["n"] } }]);
  expect(await removeModelRoute(db, "org_a", "m")).toBe(true);
  expect(await removeModelRoute(db, "org_a", "m")).toBe(false);
  expect(await listModelRoutes(db, "org_b")).toHaveLength(1);
});

test("a route that leads back to itself is refused by name", async () => {
  await using db = await testDatabase();
  await organisationsIn(db);
  const refused = (model: string, route: ModelRoute) =>
    expect(setModelRoute(db, "org_a", { model, route })).rejects.toMatchObject({ code: "invalid_value" });
  await refused("m", { serves: "m" });
  await refused("m", { fallbacks: ["m"] });
  await refused("m", { serves: "n", fallbacks: ["n"] });
  await refused("m", { fallbacks: ["n", "n"] });
});

test("a route of a later version is left out, and those beside it hold", async () => {
  await using db = await testDatabase();
  await organisationsIn(db);
  await db.query(
    `insert into model_routes (organisation, model, route) values ('org_a', 'm', '{"serves": "n", "later": 1}')`,
  );
  await setModelRoute(db, "org_a", { model: "o", route: { serves: "n" } });
  const routes = new ModelRoutes();
  await routes.read(db);
  expect(routes.of("org_a", "m", () => false).model).toBe("m");
  expect(routes.of("org_a", "o", () => false).model).toBe("n");
});

test("a route that any process sets is known without a restart", async () => {
  await using db = await testDatabase();
  await organisationsIn(db);
  const session = await Session.open({ url: db.url });
  const changes = await Changes.open(session, () => {});
  try {
    const routes = new ModelRoutes();
    await routes.read(db);
    changes.on("model_routes", () => routes.read(db));
    await setModelRoute(db, "org_a", { model: "m", route: { serves: "n" } });
    await expect.poll(() => routes.of("org_a", "m", () => false).model).toBe("n");
    await removeModelRoute(db, "org_a", "m");
    await expect.poll(() => routes.of("org_a", "m", () => false).model).toBe("m");
  } finally {
    changes.close();
    await session.close();
  }
});
