// GET /api/bill: the ledger's bill, in the API's words.
import { createRoute } from "@hono/zod-openapi";
import type { BillLine as LedgerLine } from "../../ledger/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { reachOf } from "../../governance/index.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { answers, notFound } from "../helpers.ts";
import { standingResource } from "../resources/standing.ts";
import { agentNames, findAgents } from "../../agents/index.ts";
import { bill, billQuery } from "../../contract/index.ts";
import type { BillLine } from "../../contract/index.ts";

const route = createRoute({
  method: "get",
  path: "/api/bill",
  authorise: action("bill.read", ofProject),
  tags: ["Bill"],
  summary: "Revenue, cost and margin per agent, and the cost of a verified outcome",
  request: { query: billQuery },
  responses: answers("One line per agent, one for calls outside runs, and their total", bill, 400, 404),
});

export function billRoutes({ gateway, ledger, db }: ServerDependencies) {
  return apiApp().openapi(route, async (c) => {
    const { currency } = c.var.principal;
    const reach = reachOf(c.var.principal, "bill.read");
    const [organisation, project] = reach;
    const query = c.req.valid("query");
    const [agent] = query.agent === undefined ? [] : await findAgents(db, reach, query.agent);
    if (query.agent !== undefined && agent === undefined)
      throw notFound("agent", query.agent, "`lineshaft agents list` shows those that there are.");
    await gateway.flushed();
    const read = await ledger.bill(organisation, {
      ...(query.from !== undefined && { from: new Date(query.from) }),
      ...(query.to !== undefined && { to: new Date(query.to) }),
      ...(agent !== undefined && { agent }),
      project: project ?? undefined,
    });
    const ids = read.lines.flatMap((one) => one.agent ?? []);
    const names = await agentNames(db, organisation, ids);
    return c.json(
      {
        closed: read.isClosed,
        from: read.from.toISOString(),
        to: read.to.toISOString(),
        currency,
        lines: read.lines.map((one) => line(one, names)),
        total: line(read.total, names),
        suspense: read.suspense.map(({ model, attempts, amountNano }) => ({
          model,
          attempts,
          amount_nano: amountNano.toString(),
        })),
        // Leases and losses are the whole organisation's, which a member does not see.
        standing: project === null ? standingResource(read.standing) : null,
      },
      200,
    );
  });
}

/** `names`: those of the agents, by id. */
const line = (of: LedgerLine, names: Map<string, string>): BillLine => ({
  agent: of.agent === undefined ? null : (names.get(of.agent) ?? of.agent),
  runs: of.runs,
  calls: of.calls,
  prompt_tokens: of.promptTokens,
  cached_tokens: of.cachedTokens,
  output_tokens: of.outputTokens,
  revenue_nano: of.revenueNano.toString(),
  token_cost_nano: of.tokenCostNano.toString(),
  margin_nano: of.marginNano.toString(),
  outcomes_passed: of.outcomesPassed,
  outcomes_failed: of.outcomesFailed,
  outcomes_attested: of.outcomesAttested,
  pass_rate: of.passRate ?? null,
  cost_per_verified_outcome_nano: of.costPerVerifiedOutcomeNano?.toString() ?? null,
  verified_outcomes_per_million_tokens: of.verifiedOutcomesPerMillionTokens ?? null,
});
