// GET /api/status: what runs, in what state, with how much memory. The composition knows it; the caller's place is added here.
import { createRoute } from "@hono/zod-openapi";
import { authorise, projectsAmong, reachOf, type Principal } from "../../governance/index.ts";
import { runsAmong } from "../../agents/index.ts";
import type { Database } from "../../store/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import { status } from "../../contract/index.ts";
import type { DeploymentStatus } from "../../contract/index.ts";
import { alarmResource } from "./alarms.ts";

const route = createRoute({
  method: "get",
  path: "/api/status",
  authorise: action("status.read", ofOrganisation),
  tags: ["Status"],
  summary: "State of every component and deployment",
  responses: answers("The whole instance, and whose key asks", status),
});

export function statusRoutes({ db, identity, alarms, status: read }: ServerDependencies) {
  return apiApp().openapi(route, async (c) => {
    const { principal } = c.var;
    const [whole, tenant] = await Promise.all([read(), identity.tenantOf(principal)]);
    const now = { ...whole, deployments: await withOwnPrograms(db, principal, whole.deployments) };
    const seesAlarms = authorise(principal, "alarms.read", ofOrganisation(c)).allowed;
    const seen = seesAlarms ? alarms.list(principal.organisation) : [];
    return c.json({ ...now, ...tenant, alarms: seen.map(alarmResource), role: principal.role }, 200);
  });
}

/**
 * Names of conversations in sequences are shown to their own side alone: a run to the members of its project and the owners of its
 * organisation, a client's session, whose name begins with its project (`programKey`), to the owners of that project's organisation.
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
  const reach = reachOf(principal, "programs.read");
  const [organisation, project] = reach;
  const projects = programs.flatMap((program) => projectOf(program) ?? []);
  const own = new Set([
    ...(await runsAmong(db, reach, programs)),
    ...(project === null ? await projectsAmong(db, organisation, projects) : []),
  ]);
  const isOwn = (program: string) => own.has(projectOf(program) ?? program);
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

/** The project that the name of a client's session begins with; undefined for runs. */
function projectOf(program: string): string | undefined {
  const end = program.indexOf("/");
  return end < 0 ? undefined : program.slice(0, end);
}
