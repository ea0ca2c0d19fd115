// Budgets: one per scope (organisation, project, key, agent, run). Setting one that exists changes its limit and period; what
// was spent stands. A scope may be named by id, and an agent or a key by name as well.
import { createRoute, z } from "@hono/zod-openapi";
import { LineshaftError } from "../../errors/index.ts";
import { agentNames, agentsAmong, findAgents, runsAmong } from "../../agents/index.ts";
import { findIn, namesIn, reachOf, type Principal, type Reach } from "../../governance/index.ts";
import type { Budget, Scope, ScopeKind } from "../../ledger/index.ts";
import type { Database } from "../../store/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation, ofProject } from "../apiApp.ts";
import { answers, notFound, page } from "../helpers.ts";
import { budget, budgetQuery, budgetSet, idText, pageOf } from "../../contract/index.ts";
import type { BudgetResource } from "../../contract/index.ts";

const tags = ["Budgets"];
const list = createRoute({
  method: "get",
  path: "/api/budgets",
  authorise: action("budgets.read", ofProject),
  tags,
  summary: "Budgets with what is spent, leased and left; those of ended runs on request",
  request: { query: budgetQuery },
  responses: answers("A page of budgets, newest first", pageOf(budget), 400),
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
      const { limit, cursor, ended, scope, of } = c.req.valid("query");
      const kinds = scope?.split(",") as ScopeKind[] | undefined;
      const filter = { kinds, ended: ended === "true", scope: of && (await scopeIdOf(db, c.var.principal, of)) };
      const budgets = await visiblePage({ ledger, db }, c.var.principal, { ...filter, before: cursor }, limit + 1);
      const names = await namesOf(db, organisation, budgets);
      return c.json(
        page(budgets, limit, (one) => budgetResource(one, names)),
        200,
      );
    })
    .openapi(set, async (c) => {
      const { principal } = c.var;
      const wanted = c.req.valid("json");
      const limitNano = BigInt(wanted.limit_nano);
      if (limitNano < 0n)
        throw new LineshaftError({
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

/** Budgets read from the ledger at a time while those that the caller sees are looked for. */
const readAtOnce = 500;

/** The first `count` budgets of a filter that the caller sees. */
async function visiblePage(
  { ledger, db }: Pick<ServerDependencies, "ledger" | "db">,
  principal: Principal,
  filter: Parameters<ServerDependencies["ledger"]["listBudgets"]>[1],
  count: number,
): Promise<Budget[]> {
  const seen: Budget[] = [];
  let before = filter?.before;
  do {
    const read = await ledger.listBudgets(principal.organisation, { ...filter, before, limit: readAtOnce });
    seen.push(...(await visible(db, principal, read)));
    before = read.length === readAtOnce ? read.at(-1)!.id : undefined;
  } while (before !== undefined && seen.length < count);
  return seen.slice(0, count);
}

/** The id of a scope that is named by id, or as an agent or a key by name; a name that nothing has is taken as an id. */
async function scopeIdOf(db: Database, { organisation }: Principal, idOrName: string): Promise<string> {
  const [agent] = await findAgents(db, [organisation, null], idOrName);
  return agent ?? (await findIn(db, organisation, "key", idOrName)) ?? idOrName;
}

/**
 * An owner sees every budget; a member those that its own calls count against: the organisation's, its project's, its key's, and those
 * of its project's agents and runs.
 */
async function visible(db: Database, principal: Principal, budgets: Budget[]): Promise<Budget[]> {
  const reach = reachOf(principal, "budgets.read");
  if (reach[1] === null) return budgets;
  const scopes = budgets.map(({ scope }) => scope.id);
  const [agents, runs] = await Promise.all([agentsAmong(db, reach, scopes), runsAmong(db, reach, scopes)]);
  const { organisation, project, key } = principal;
  const ids = new Set([organisation, project, key, ...agents, ...runs]);
  return budgets.filter(({ scope }) => ids.has(scope.id));
}

/** The scope with its id, when it exists in the caller's organisation. Throws 404 otherwise. */
async function scopeOf(db: Database, { organisation }: Principal, { kind, id: idOrName }: Scope): Promise<Scope> {
  const id = await scopeId(db, [organisation, null], kind, idOrName);
  if (id === undefined) throw notFound(kind, idOrName, `Give the id or the name of a ${kind} of the organisation.`);
  return { kind, id };
}

async function scopeId(db: Database, reach: Reach, kind: ScopeKind, idOrName: string): Promise<string | undefined> {
  if (kind === "agent") return (await findAgents(db, reach, idOrName))[0];
  if (kind === "run") return (await runsAmong(db, reach, [idOrName]))[0];
  return findIn(db, reach[0], kind, idOrName);
}

/** Names of the scopes of budgets, by id; runs have none. */
async function namesOf(db: Database, organisation: string, budgets: Budget[]): Promise<Map<string, string>> {
  if (budgets.length === 0) return new Map();
  const ids = budgets.map(({ scope }) => scope.id);
  const [tenants, agents] = await Promise.all([namesIn(db, organisation, ids), agentNames(db, organisation, ids)]);
  return new Map([...tenants, ...agents]);
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
    leased_nano: of.leasedNano.toString(),
    lost_nano: of.lostNano.toString(),
    left_nano: of.leftNano.toString(),
    pending: of.pending,
    resets_at: of.resetsAt?.toISOString() ?? null,
    ended_at: of.endedAt?.toISOString() ?? null,
  };
}
