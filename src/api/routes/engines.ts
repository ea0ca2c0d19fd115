// Engines: those that users added, and the deployments that this machine serves itself, which are changed elsewhere.
import { createRoute, z } from "@hono/zod-openapi";
import { LineshaftError } from "../../errors/index.ts";
import type { EngineRegistry } from "../../engines/index.ts";
import type { RateCard } from "../../ledger/index.ts";
import { addEngine, listEngines, nameTaken, rateCards, removeEngine } from "../../gateway/engines.ts";
import { deploymentNames } from "../../fleet/index.ts";
import type { EngineRecord } from "../../gateway/storedEngines.ts";
import { authorise } from "../../governance/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers, notFound } from "../helpers.ts";
import { engine, engineCreate, idText, wholeListQuery } from "../../contract/index.ts";
import type { EngineResource } from "../../contract/index.ts";
import { newPrices, priceResource } from "../resources/price.ts";

const tags = ["Engines"];
const list = createRoute({
  method: "get",
  path: "/api/engines",
  authorise: action("engines.read", ofOrganisation),
  tags,
  summary: "What serves tokens here, and at which price",
  request: { query: wholeListQuery },
  responses: answers("All engines", z.object({ data: z.array(engine), next_cursor: z.null() })),
});
const create = createRoute({
  method: "post",
  path: "/api/engines",
  authorise: action("engines.add", ofOrganisation),
  tags,
  summary: "Add an engine with its endpoints, or change the one of that name",
  description:
    "Every address is asked at once: it must answer and serve the model. Several addresses are endpoints NAME-0, NAME-1 and so on of one engine with one price. Calls to an engine without a price are refused (`model_unpriced`); 0 is a price.",
  request: { body: { required: true, content: { "application/json": { schema: engineCreate } } } },
  responses: answers("The engine", engine, 400, 409, 502),
});
const remove = createRoute({
  method: "delete",
  path: "/api/engines/{name}",
  authorise: action("engines.remove", ofOrganisation),
  tags,
  summary: "Remove an engine",
  request: { params: z.object({ name: idText }) },
  responses: answers("It is gone", z.object({ name: z.string(), deleted: z.literal(true) }), 404),
});

export function engineRoutes({ db, engines, ledger, log, alarms }: ServerDependencies) {
  const rooms = { db, engines, ledger, log, alarms };
  return apiApp()
    .openapi(list, async (c) => {
      const { organisation } = c.var.principal;
      // Internal addresses are shown to owners only.
      const showsAddresses = authorise(c.var.principal, "engine_addresses.read", ofOrganisation(c)).allowed;
      const stored = await listEngines(db, organisation);
      const configured = engines.list(organisation).filter((one) => one.kind === "embedded");
      const names = new Set([...configured.map((one) => one.name), ...stored.map((row) => row.name)]);
      const cards = await rateCards(ledger, organisation, [...names]);
      const embedded = [...new Map(configured.map((one) => [one.name, one])).values()].map((one): EngineResource => {
        const { name, model } = one;
        return {
          name,
          kind: "embedded",
          urls: [],
          endpoints: endpointsOf(engines, name, organisation),
          model,
          key_env: null,
          allow_fields: [],
          ...unbounded,
          price: priceOfEngine(cards.get(name)),
          created_at: null,
        };
      });
      const added = stored.map((row) => {
        const resource = engineResource(row, cards.get(row.name), endpointsOf(engines, row.name, organisation));
        return showsAddresses ? resource : { ...resource, urls: [] };
      });
      return c.json({ data: [...embedded, ...added], next_cursor: null }, 200);
    })
    .openapi(create, async (c) => {
      const { principal } = c.var;
      const body = c.req.valid("json");
      const price = body.price && newPrices(body.price);
      const { name, kind, urls, model, preset, key_env: keyEnv, allow_fields: allowFields } = body;
      const bounds = {
        connectMs: body.connect_ms,
        firstTokenMs: body.first_token_ms,
        idleMs: body.idle_ms,
        concurrency: body.concurrency,
      };
      if ((await deploymentNames(db)).includes(name)) throw nameTaken(name);
      const row = await addEngine(rooms, principal, {
        name,
        kind,
        urls,
        model,
        keyEnv,
        allowFields,
        preset,
        bounds,
        price,
      });
      const card = await ledger.currentRateCard(principal.organisation, name);
      return c.json(engineResource(row, card, endpointsOf(engines, name, principal.organisation)), 200);
    })
    .openapi(remove, async (c) => {
      const { name } = c.req.valid("param");
      if (await removeEngine(rooms, c.var.principal, name)) return c.json({ name, deleted: true as const }, 200);
      if (engines.resolve(name, c.var.principal.organisation))
        throw new LineshaftError({
          code: "engine_is_deployment",
          message: `${name} is a deployment: Lineshaft serves it itself.`,
          hint: `Remove it with: npx lineshaft deployments remove ${name}`,
        });
      throw notFound("engine", name, "See lineshaft engines list.");
    });
}

function endpointsOf(engines: EngineRegistry, name: string, organisation: string): EngineResource["endpoints"] {
  return engines.endpoints(name, organisation).map(({ endpoint, up, standing }) => ({
    endpoint,
    state: up === false ? "down" : standing !== "serving" ? standing : up ? "ready" : "starting",
  }));
}

function engineResource(
  engine: EngineRecord,
  card: RateCard | undefined,
  endpoints: EngineResource["endpoints"],
): EngineResource {
  return {
    name: engine.name,
    kind: engine.kind,
    urls: engine.urls,
    endpoints,
    model: engine.model,
    key_env: engine.keyEnv,
    allow_fields: engine.allowFields,
    preset: engine.preset,
    connect_ms: engine.bounds.connectMs ?? null,
    first_token_ms: engine.bounds.firstTokenMs ?? null,
    idle_ms: engine.bounds.idleMs ?? null,
    concurrency: engine.bounds.concurrency ?? null,
    price: priceOfEngine(card),
    created_at: engine.createdAt.toISOString(),
  };
}

/** What this machine serves itself is bounded by its manifest. */
const unbounded = { preset: null, connect_ms: null, first_token_ms: null, idle_ms: null, concurrency: null };

/** The prices of an engine, those of the fallback included, which say that they are an estimate. */
const priceOfEngine = (card: RateCard | undefined): EngineResource["price"] => (card ? priceResource(card) : null);
