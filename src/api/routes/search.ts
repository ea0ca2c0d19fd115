// GET /api/search: from a few letters to the thing: ids of calls and runs by their beginning, agents, models and keys by name.
import { createRoute, z } from "@hono/zod-openapi";
import type { ServerDependencies } from "../dependencies.ts";
import { reachOf } from "../../governance/index.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import { limits } from "../limits.ts";
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
    const [organisation, project] = reachOf(principal, "search.read");
    await gateway.flushed();
    const contains = `%${q.replaceAll(/[\\%_]/g, (character) => `\\${character}`)}%`;
    const { rows } = await db.query<{ kind: "agent" | "run" | "call" | "key"; id: string; name: string }>(
      `(select 'agent' as kind, id, name from agents
        where organisation = $1 and ($4::text is null or project = $4) and name ilike $3 order by name limit ${limits.searchResults})
       union all
       (select 'run', r.id, a.name from runs r join agents a on a.id = r.agent
        where r.organisation = $1 and ($4::text is null or r.project = $4) and r.id >= $2 and r.id < $2 || '~' order by r.id desc limit ${limits.searchResults})
       union all
       (select 'call', id, model from calls
        where organisation = $1 and ($4::text is null or project = $4) and id >= $2 and id < $2 || '~' order by id desc limit ${limits.searchResults})
       union all
       (select 'key', id, name from keys where organisation = $1 and $4::text is null and (name ilike $3 or id = $2) order by name limit ${limits.searchResults})`,
      [organisation, q, contains, project],
    );
    const models = [...new Set(engines.list(principal.organisation).map((endpoint) => endpoint.name))]
      .filter((name) => name.toLowerCase().includes(q.toLowerCase()))
      .map((name) => ({ kind: "model" as const, id: name, name }));
    return c.json({ data: [...models, ...rows].slice(0, limits.searchResults) }, 200);
  });
}
