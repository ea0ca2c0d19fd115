// Secrets: set, listed without their values, and removed by owners. They belong to a project and to hosts (governance/vault/secrets.ts).
import { createRoute, z } from "@hono/zod-openapi";
import { LineshaftError } from "../../errors/index.ts";
import { SecretError, type Identity, type Principal, type Secret, type Secrets } from "../../governance/index.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers, notFound } from "../helpers.ts";
import { secret, secretParams, secretQuery, secretRemoved, secretSet, wholeListQuery } from "../../contract/index.ts";
import type { SecretResource } from "../../contract/index.ts";

const tags = ["Secrets"];
const list = createRoute({
  method: "get",
  path: "/api/secrets",
  authorise: action("secrets.read", ofOrganisation),
  tags,
  summary: "Secrets of the organisation's projects, without their values; owners only",
  request: { query: wholeListQuery },
  responses: answers("All secrets by name", z.object({ data: z.array(secret), next_cursor: z.null() })),
});
const set = createRoute({
  method: "put",
  path: "/api/secrets/{name}",
  authorise: action("secrets.set", ofOrganisation),
  tags,
  summary: "Set a secret of a project, or replace it with its hosts; owners only",
  description:
    "It is sent by tools of that project only, and to these hosts only: over https, or http where a host says so.",
  request: {
    params: secretParams,
    body: { required: true, content: { "application/json": { schema: secretSet } } },
  },
  responses: answers("The secret, without its value", secret, 400, 404),
});
const remove = createRoute({
  method: "delete",
  path: "/api/secrets/{name}",
  authorise: action("secrets.remove", ofOrganisation),
  tags,
  summary: "Remove a secret and erase its value; owners only",
  request: { params: secretParams, query: secretQuery },
  responses: answers("It is gone", secretRemoved, 404),
});

/** Routes of /api/secrets. */
export function secretRoutes({ secrets, identity }: { secrets: Secrets; identity: Identity }) {
  const projectOf = async (principal: Principal, wanted: string | undefined): Promise<string> => {
    if (wanted === undefined) return principal.project;
    const found = await identity.projectOf(principal.organisation, wanted);
    if (found === undefined)
      throw notFound("project", wanted, "Give the id or the name of a project of the organisation.");
    return found;
  };
  return apiApp()
    .openapi(list, async (c) => {
      const found = await secrets.list(c.var.principal.organisation);
      return c.json({ data: found.map(secretResource), next_cursor: null }, 200);
    })
    .openapi(set, async (c) => {
      const { principal } = c.var;
      const { name } = c.req.valid("param");
      const { value, hosts, project } = c.req.valid("json");
      const to = await projectOf(principal, project);
      try {
        const { organisation, key } = principal;
        const made = await secrets.set({ organisation, project: to, name, hosts, value, createdBy: key });
        return c.json(secretResource(made), 200);
      } catch (error) {
        if (!(error instanceof SecretError)) throw error;
        throw new LineshaftError({
          code: error.code,
          message: error.message,
          param: "hosts",
          hint: "npx lineshaft secrets --help shows how hosts are written.",
        });
      }
    })
    .openapi(remove, async (c) => {
      const { principal } = c.var;
      const { name } = c.req.valid("param");
      const project = await projectOf(principal, c.req.valid("query").project);
      const removed = await secrets.remove({ project, name });
      if (!removed) throw notFound("secret", name, "npx lineshaft secrets list shows those that there are.");
      return c.json({ name, project, deleted: true as const }, 200);
    });
}

const secretResource = (of: Secret): SecretResource => ({
  id: of.id,
  name: of.name,
  project: of.project,
  hosts: of.hosts,
  created_by: of.createdBy ?? null,
  created_at: of.createdAt.toISOString(),
});
