// What a person may ask of the whole instance when something went wrong.
import { createRoute, z } from "@hono/zod-openapi";
import type { Agents } from "../../agents/index.ts";
import { action, apiApp, ofInstance } from "../apiApp.ts";
import { answers } from "../helpers.ts";

const rebuild = createRoute({
  method: "post",
  path: "/api/maintenance/rebuild",
  authorise: action("runs.rebuild", ofInstance),
  tags: ["Status"],
  summary: "Start every unfinished run that Restate does not hold again from Postgres",
  responses: answers("How many runs were started again", z.object({ runs: z.number().int() })),
});

/** Route of /api/maintenance/rebuild: every unfinished run that Restate does not hold is started again from Postgres. */
export function maintenanceRoutes(agents: Pick<Agents, "rebuild">) {
  return apiApp().openapi(rebuild, async (c) => {
    return c.json({ runs: await agents.rebuild() }, 200);
  });
}
