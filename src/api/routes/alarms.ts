// GET /api/alarms, DELETE /api/alarms/{id}: what an owner must look at, and saying that it was seen. The same list is part of
// /api/status. An alarm that is raised again after it was dismissed stands again.
import { createRoute, z } from "@hono/zod-openapi";
import type { Alarm } from "../../telemetry/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers, notFound } from "../helpers.ts";
import { alarm } from "../../contract/index.ts";
import type { AlarmResource } from "../../contract/index.ts";

const list = createRoute({
  method: "get",
  path: "/api/alarms",
  authorise: action("alarms.read", ofOrganisation),
  tags: ["Status"],
  summary: "Alarms that stand, newest first; owners only",
  responses: answers("Alarms of the organisation and of the instance", z.object({ data: z.array(alarm) })),
});

const dismiss = createRoute({
  method: "delete",
  path: "/api/alarms/{id}",
  authorise: action("alarms.dismiss", ofOrganisation),
  tags: ["Status"],
  summary: "Dismiss an alarm; owners only",
  request: { params: z.object({ id: z.string().max(1000) }) },
  responses: answers("The alarm, which no longer stands", alarm, 404),
});

export function alarmRoutes({ alarms }: ServerDependencies) {
  return apiApp()
    .openapi(list, (c) => {
      return c.json({ data: alarms.list(c.var.principal.organisation).map(alarmResource) }, 200);
    })
    .openapi(dismiss, (c) => {
      const { id } = c.req.valid("param");
      const dismissed = alarms.dismiss(id, c.var.principal.organisation);
      if (!dismissed)
        throw notFound("alarm", id, "It was cleared or dismissed already: lineshaft status lists those that stand.");
      return c.json(alarmResource(dismissed), 200);
    });
}

/** An alarm in the API's shape. */
export function alarmResource({ id, code, message, subject, count, firstAt, lastAt }: Alarm): AlarmResource {
  return {
    id,
    code,
    message,
    subject: subject ?? null,
    count,
    first_at: firstAt.toISOString(),
    last_at: lastAt.toISOString(),
  };
}
