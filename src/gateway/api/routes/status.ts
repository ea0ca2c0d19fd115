// GET /api/status: what runs, in what state, with how much memory. The composition knows it; the caller's place is added here.
import { createRoute } from "@hono/zod-openapi";
import type { ServerDependencies } from "../../http/server.ts";
import { answers, apiApp } from "../helpers.ts";
import { status } from "../schemas.ts";
import { alarmResource } from "./alarms.ts";

const route = createRoute({
  method: "get",
  path: "/api/status",
  tags: ["Status"],
  summary: "State of every component and deployment",
  responses: answers("The whole instance, and whose key asks", status),
});

export function statusRoutes({ identity, alarms, status: read }: ServerDependencies) {
  return apiApp().openapi(route, async (c) => {
    const { principal } = c.var;
    const [now, tenant] = await Promise.all([read(), identity.tenantOf(principal)]);
    const seen = principal.role === "owner" ? alarms.list(principal.organisation) : [];
    return c.json({ ...now, ...tenant, alarms: seen.map(alarmResource), role: principal.role }, 200);
  });
}
