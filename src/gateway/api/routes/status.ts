// GET /api/status: what runs, in what state, with how much memory. The composition knows it; the caller's place is added here.
import { createRoute } from "@hono/zod-openapi";
import type { Principal } from "../../../governance/types.ts";
import type { Database } from "../../../store/index.ts";
import type { ServerDependencies } from "../../http/server.ts";
import { answers, apiApp, reachOf } from "../helpers.ts";
import { status } from "../schemas.ts";
import type { DeploymentStatus } from "../schemas.ts";
import { alarmResource } from "./alarms.ts";

const route = createRoute({
  method: "get",
  path: "/api/status",
  tags: ["Status"],
  summary: "State of every component and deployment",
  responses: answers("The whole instance, and whose key asks", status),
});

export function statusRoutes({ db, identity, alarms, status: read }: ServerDependencies) {
  return apiApp().openapi(route, async (c) => {
    const { principal } = c.var;
    const [whole, tenant] = await Promise.all([read(), identity.tenantOf(principal)]);
    const now = { ...whole, deployments: await withOwnPrograms(db, principal, whole.deployments) };
    const seen = principal.role === "owner" ? alarms.list(principal.organisation) : [];
    return c.json({ ...now, ...tenant, alarms: seen.map(alarmResource), role: principal.role }, 200);
  });
}

/**
 * Whose conversation lies in a sequence is shown to its own side alone: a run to its project's members and its organisation's owners, a
 * client's session, whose name holds no project, to its organisation's owners.
 */
async function withOwnPrograms(
  db: Database,
  principal: Principal,
  deployments: DeploymentStatus[],
): Promise<DeploymentStatus[]> {
  const programs = deployments
    .flatMap(({ endpoints }) => endpoints.flatMap(({ sequences = [] }) => sequences))
    .flatMap(({ program }) => program ?? []);
  if (programs.length === 0) return deployments;
  const { rows } = await db.query<{ id: string }>(
    "select id from runs where id = any($3) and organisation = $1 and ($2::text is null or project = $2)",
    [...reachOf(principal), programs],
  );
  const runs = new Set(rows.map(({ id }) => id));
  const sessions = principal.role === "owner" ? `${principal.organisation}/` : undefined;
  const isOwn = (program: string) => runs.has(program) || (sessions !== undefined && program.startsWith(sessions));
  return deployments.map((deployment) => ({
    ...deployment,
    endpoints: deployment.endpoints.map((endpoint) => ({
      ...endpoint,
      ...(endpoint.sequences && {
        sequences: endpoint.sequences.map(({ program, ...sequence }) => ({
          ...sequence,
          ...(program !== undefined && isOwn(program) && { program }),
        })),
      }),
    })),
  }));
}
