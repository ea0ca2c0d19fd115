// Budgets: one per scope (organisation, project, key, agent, run). Setting one that exists changes its limit and period; what
// was spent stands. A scope may be named by id, and an agent or a key by name as well.
import { createRoute, z } from "@hono/zod-openapi";
import { reachOf, type Principal } from "../../governance/index.ts";
import type { Budget, Scope } from "../../ledger/index.ts";
import type { Database } from "../../store/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation, ofProject } from "../apiApp.ts";
import { answers, ApiError, notFound } from "../helpers.ts";
import { budget, budgetSet, idText, wholeListQuery } from "../../contract/index.ts";
import type { BudgetResource } from "../../contract/index.ts";

const tags = ["Budgets"];
const list = createRoute({
  method: "get",
  path: "/api/budgets",
  authorise: action("budgets.read", ofProject),
  tags,
  summary: "Budgets with what is spent, held and left",
  request: { query: wholeListQuery },
  responses: answers("All budgets", z.object({ data: z.array(budget), next_cursor: z.null() })),
});
const set = createRoute({
  method: "put",
  path: "/api/budgets",
  authorise: action("budgets.set", ofOrganisation),
  tags,
  summary: "Set the budget of a scope",
  request: { body: { required: true, content: { "application/json": { schema: budgetSet } } } },
  responses: answers("The budget as it is now", budget, 400, 404),
});
const remove = createRoute({
  method: "delete",
  path: "/api/budgets/{id}",
  authorise: action("budgets.remove", ofOrganisation),
  tags,
  summary: "Remove a budget",
  request: { params: z.object({ id: idText }) },
  responses: answers("It is gone", z.object({ id: z.string(), deleted: z.literal(true) }), 404),
});

export function budgetRoutes({ ledger, db }: ServerDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const { organisation } = c.var.principal;
      const budgets = await visible(db, c.var.principal, await ledger.listBudgets(organisation));
      const names = await namesOf(db, organisation, budgets);
      return c.json({ data: budgets.map((one) => budgetResource(one, names)), next_cursor: null }, 200);
    })
    .openapi(set, async (c) => {
      const { principal } = c.var;
      const wanted = c.req.valid("json");
      const limitNano = BigInt(wanted.limit_nano);
      if (limitNano < 0n)
        throw new ApiError({
          status: 400,
          code: "invalid_value",
          message: "A limit cannot be negative.",
          param: "limit_nano",
          hint: "0 refuses every call that costs anything.",
        });
      const { organisation, currency } = principal;
      const scope = await scopeOf(db, principal, wanted.scope);
      const made = await ledger.setBudget({ organisation, currency, scope, limitNano, period: wanted.period });
      return c.json(budgetResource(made, await namesOf(db, organisation, [made])), 200);
    })
    .openapi(remove, async (c) => {
      const { id } = c.req.valid("param");
      if (!(await ledger.removeBudget(c.var.principal.organisation, id)))
        throw notFound("budget", id, "See lineshaft budgets list.");
      return c.json({ id, deleted: true as const }, 200);
    });
}

/**
 * An owner sees every budget; a member those that its own calls count against: the organisation's, its project's, its key's, and those
 * of its project's agents and runs.
 */
async function visible(db: Database, principal: Principal, budgets: Budget[]): Promise<Budget[]> {
  const [, reach] = reachOf(principal, "budgets.read");
  if (reach === null) return budgets;
  const { rows } = await db.query<{ id: string }>(
    `select id from agents where project = $1 and id = any($2) union all
     select id from runs where project = $1 and id = any($2)`,
    [reach, budgets.map(({ scope }) => scope.id)],
  );
  const { organisation, project, key } = principal;
  const ids = new Set([organisation, project, key, ...rows.map(({ id }) => id)]);
  return budgets.filter(({ scope }) => ids.has(scope.id));
}

/** Tables in which a scope's id is looked up; all have id, name and organisation, but for runs, which have no name. */
const lookups = {
  organisation: "select id from organisations where id = $1 and (id = $2 or name = $2)",
  project: "select id from projects where organisation = $1 and (id = $2 or name = $2) order by id = $2 desc limit 1",
  key: "select id from keys where organisation = $1 and (id = $2 or name = $2) order by id = $2 desc, revoked_at nulls first limit 1",
  agent: "select id from agents where organisation = $1 and (id = $2 or name = $2) order by id = $2 desc limit 1",
  run: "select id from runs where organisation = $1 and id = $2",
};

/** The scope with its id, when it exists in the caller's organisation. Throws 404 otherwise. */
async function scopeOf(db: Database, principal: Principal, wanted: Scope): Promise<Scope> {
  const { rows } = await db.query<{ id: string }>(lookups[wanted.kind], [principal.organisation, wanted.id]);
  if (!rows[0])
    throw notFound(wanted.kind, wanted.id, `Give the id or the name of a ${wanted.kind} of the organisation.`);
  return { kind: wanted.kind, id: rows[0].id };
}

/** Names of the scopes of budgets, by id. */
async function namesOf(db: Database, organisation: string, budgets: Budget[]): Promise<Map<string, string>> {
  if (budgets.length === 0) return new Map();
  const { rows } = await db.query<{ id: string; name: string }>(
    `select id, name from organisations where id = $1 and id = any($2) union all
     select id, name from projects where organisation = $1 and id = any($2) union all
     select id, name from keys where organisation = $1 and id = any($2) union all
     select id, name from agents where organisation = $1 and id = any($2)`,
    [organisation, budgets.map((one) => one.scope.id)],
  );
  return new Map(rows.map((row) => [row.id, row.name]));
}

function budgetResource(of: Budget, names: Map<string, string>): BudgetResource {
  const name = names.get(of.scope.id);
  return {
    id: of.id,
    scope: { ...of.scope, ...(name !== undefined && { name }) },
    currency: of.currency,
    period: of.period,
    limit_nano: of.limitNano.toString(),
    spent_nano: of.spentNano.toString(),
    held_nano: of.heldNano.toString(),
    left_nano: of.leftNano.toString(),
    resets_at: of.resetsAt?.toISOString() ?? null,
  };
}
