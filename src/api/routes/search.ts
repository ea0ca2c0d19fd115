// GET /api/search: from a few letters to the thing: ids of calls and runs by their beginning, agents, models and keys by name.
import { createRoute, z } from "@hono/zod-openapi";
import type { ServerDependencies } from "../dependencies.ts";
import { authorise, reachOf, searchKeys } from "../../governance/index.ts";
import { action, apiApp, ofOrganisation, ofProject } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import { limits } from "../limits.ts";
import { runsBeginning, searchAgents } from "../../agents/index.ts";
import { callsBeginning } from "../../gateway/index.ts";
import { searchResults, strict } from "../../contract/index.ts";

const route = createRoute({
  method: "get",
  path: "/api/search",
  authorise: action("search.read", ofProject),
  tags: ["Search"],
  summary: "Find a call, run, agent, model or key",
  request: { query: strict({ q: z.string().min(1).max(100) }) },
  responses: answers("At most 20, best first", searchResults, 400),
});

export function searchRoutes({ db, engines, gateway }: ServerDependencies) {
  return apiApp().openapi(route, async (c) => {
    const { q } = c.req.valid("query");
    const { principal } = c.var;
    const reach = reachOf(principal, "search.read");
    const [organisation] = reach;
    await gateway.flushed();
    const pattern = `%${q.replaceAll(/[\\%_]/g, (character) => `\\${character}`)}%`;
    const [agents, runs, calls, keys] = await Promise.all([
      searchAgents(db, reach, pattern, limits.searchResults),
      runsBeginning(db, reach, q, limits.searchResults),
      callsBeginning(db, reach, q, { limit: limits.searchResults, newest: true }),
      authorise(principal, "keys.read", ofOrganisation(c)).allowed
        ? searchKeys(db, organisation, { id: q, pattern }, limits.searchResults)
        : [],
    ]);
    const models = [...new Set(engines.list(organisation).map((endpoint) => endpoint.name))]
      .filter((name) => name.toLowerCase().includes(q.toLowerCase()))
      .map((name) => ({ id: name, name }));
    const found = [
      ...models.map((one) => ({ kind: "model" as const, ...one })),
      ...agents.map((one) => ({ kind: "agent" as const, ...one })),
      ...runs.map((one) => ({ kind: "run" as const, ...one })),
      ...calls.map(({ id, model }) => ({ kind: "call" as const, id, name: model })),
      ...keys.map((one) => ({ kind: "key" as const, ...one })),
    ];
    return c.json({ data: found.slice(0, limits.searchResults) }, 200);
  });
}
