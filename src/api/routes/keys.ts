// Keys: made by owners, shown once, ended at once. A key belongs to the project of the key that made it.
import { createRoute, z } from "@hono/zod-openapi";
import type { Key } from "../../governance/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers, notFound } from "../helpers.ts";
import { idempotent } from "../idempotency.ts";
import { key, keyCreate, keyCreated, idText, wholeListQuery } from "../../contract/index.ts";
import type { KeyResource } from "../../contract/index.ts";

const tags = ["Keys"];
const list = createRoute({
  method: "get",
  path: "/api/keys",
  authorise: action("keys.read", ofOrganisation),
  tags,
  summary: "Keys of the organisation, without their secrets",
  request: { query: wholeListQuery },
  responses: answers("All keys, oldest first", z.object({ data: z.array(key), next_cursor: z.null() })),
});
const create = createRoute({
  method: "post",
  path: "/api/keys",
  authorise: action("keys.create", ofOrganisation),
  tags,
  summary: "Make a key",
  request: { body: { required: true, content: { "application/json": { schema: keyCreate } } } },
  responses: answers("The key with its secret, which is shown only now", keyCreated, 400),
});
const revoke = createRoute({
  method: "delete",
  path: "/api/keys/{id}",
  authorise: action("keys.revoke", ofOrganisation),
  tags,
  summary: "End a key",
  request: { params: z.object({ id: idText }) },
  responses: answers("The key, revoked", key, 404),
});

export function keyRoutes({ identity, db, seal }: ServerDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const keys = await identity.listKeys(c.var.principal.organisation);
      return c.json({ data: keys.map(keyResource), next_cursor: null }, 200);
    })
    .openapi(create, async (c) => {
      const { principal } = c.var;
      const wanted = c.req.valid("json");
      const made = await idempotent({ db, seal }, c, wanted, async (client) => {
        const { organisation, project } = principal;
        const { key: of, secret } = await identity.createKey({ organisation, project, ...wanted }, client);
        return { ...keyResource(of), secret };
      });
      return c.json(made, 200);
    })
    .openapi(revoke, async (c) => {
      const { id } = c.req.valid("param");
      const revoked = await identity.revokeKey(c.var.principal.organisation, id);
      if (!revoked) throw notFound("key", id, "See lineshaft keys list.");
      return c.json(keyResource(revoked), 200);
    });
}

const keyResource = (of: Key): KeyResource => ({
  id: of.id,
  name: of.name,
  role: of.role,
  project: of.project,
  created_at: of.createdAt.toISOString(),
  revoked_at: of.revokedAt?.toISOString() ?? null,
});
