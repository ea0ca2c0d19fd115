// What a person may ask of the whole instance when something went wrong.
import { createRoute, z } from "@hono/zod-openapi";
import type { Agents } from "../../agents/index.ts";
import { answers, apiApp, ownerOnly } from "../helpers.ts";

const rebuild = createRoute({
  method: "post",
  path: "/api/maintenance/rebuild",
  tags: ["Status"],
  summary: "Start every unfinished run that Restate does not hold again from Postgres",
  responses: answers("How many runs were started again", z.object({ runs: z.number().int() }), 403),
});

export function maintenanceRoutes(agents: Pick<Agents, "rebuild">) {
  return apiApp().openapi(rebuild, async (c) => {
    ownerOnly(c.var.principal, "rebuild runs");
    return c.json({ runs: await agents.rebuild() }, 200);
  });
}
