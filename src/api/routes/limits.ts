// Limits on use: requests, tokens, calls and bytes of an organisation, a project or a key, for all models or for one. One limit for each
// scope and dimension; setting one that exists changes its amount.
import { createRoute, z } from "@hono/zod-openapi";
import {
  findIn,
  listLimits,
  namesIn,
  reachOf,
  removeLimit,
  setLimit,
  type Principal,
  type UsageLimit,
} from "../../governance/index.ts";
import { idText, limit, limitSet, pageOf, pageQuery, type LimitResource } from "../../contract/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation, ofProject } from "../apiApp.ts";
import { answers, notFound, page } from "../helpers.ts";

const tags = ["Limits"];
const list = createRoute({
  method: "get",
  path: "/api/limits",
  authorise: action("limits.read", ofProject),
  tags,
  summary: "Limits on requests, tokens, calls and bytes, oldest first",
  request: { query: pageQuery },
  responses: answers("A page of limits", pageOf(limit)),
});
const set = createRoute({
  method: "put",
  path: "/api/limits",
  authorise: action("limits.set", ofOrganisation),
  tags,
  summary: "Set the limit of a scope and dimension",
  request: { body: { required: true, content: { "application/json": { schema: limitSet } } } },
  responses: answers("The limit as it is now", limit, 400, 404, 409),
});
const remove = createRoute({
  method: "delete",
  path: "/api/limits/{id}",
  authorise: action("limits.remove", ofOrganisation),
  tags,
  summary: "Remove a limit",
  request: { params: z.object({ id: idText }) },
  responses: answers("It is gone", z.object({ id: z.string(), deleted: z.literal(true) }), 404),
});

export function limitRoutes({ db, limiter }: ServerDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const { organisation } = c.var.principal;
      const { limit: most, cursor } = c.req.valid("query");
      const found = await listLimits(db, organisation, { limit: most + 1, cursor, among: among(c.var.principal) });
      const resources = await resourcesOf(found);
      return c.json(
        page(found, most, (one) => resources.get(one)!),
        200,
      );
    })
    .openapi(set, async (c) => {
      const { organisation } = c.var.principal;
      const { scope, dimension, amount } = c.req.valid("json");
      const id = await findIn(db, organisation, scope.kind, scope.id);
      if (id === undefined)
        throw notFound(scope.kind, scope.id, `Give the id or the name of a ${scope.kind} of the organisation.`);
      const { kind, model } = scope;
      const made = await setLimit(db, { organisation, scope: { kind, id, model }, dimension, amount });
      await limiter.changed(made.number);
      return c.json((await resourcesOf([made])).get(made)!, 200);
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid("param");
      const removed = await removeLimit(db, c.var.principal.organisation, id);
      if (removed === undefined) throw notFound("limit", id, "See lineshaft limits list.");
      await limiter.changed(removed);
      return c.json({ id, deleted: true as const }, 200);
    });

  async function resourcesOf(limits: UsageLimit[]): Promise<Map<UsageLimit, LimitResource>> {
    const [first] = limits;
    if (!first) return new Map();
    const ids = limits.map(({ scope }) => scope.id);
    const names = await namesIn(db, first.organisation, ids);
    const used = await limiter.usedOf(limits.map(({ number }) => number));
    return new Map(limits.map((one) => [one, limitResource(one, names.get(one.scope.id), used.get(one.number) ?? 0)]));
  }
}

/** A member sees the limits that its own calls count against; an owner sees all. */
function among(principal: Principal): string[] | undefined {
  if (reachOf(principal, "limits.read")[1] === null) return undefined;
  return [principal.organisation, principal.project, principal.key];
}

function limitResource(
  { id, scope, dimension, amount }: UsageLimit,
  name: string | undefined,
  used: number,
): LimitResource {
  return {
    id,
    scope: { kind: scope.kind, id: scope.id, ...(name !== undefined && { name }), model: scope.model ?? null },
    dimension,
    amount,
    used,
  };
}
