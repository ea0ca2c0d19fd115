// GET /api/overview: the figures of the first screen, over a range that ends now, beside the range of equal length before it. Each room
// sums up what it owns: the gateway calls and tokens, the ledger money and outcomes, the agents runs.
import { createRoute } from "@hono/zod-openapi";
import { runFigures } from "../../agents/index.ts";
import { overview, overviewQuery, type Overview } from "../../contract/index.ts";
import { callFigures, callSeries, prefillSavedMs } from "../../gateway/index.ts";
import { costFigures, outcomeFigures } from "../../ledger/index.ts";
import type { Database } from "../../store/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { reachOf, type Reach } from "../../governance/index.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { answers } from "../helpers.ts";

const route = createRoute({
  method: "get",
  path: "/api/overview",
  authorise: action("overview.read", ofProject),
  tags: ["Overview"],
  summary: "Calls, tokens, what caching saved, runs, outcomes and money of a range",
  request: { query: overviewQuery },
  responses: answers("The figures; their definitions are in docs/api.md", overview, 400),
});

const minute = 60_000;
const hour = 60 * minute;
/** Length of each range and of the steps of its series. */
const ranges = {
  "1h": { length: hour, step: minute },
  "24h": { length: 24 * hour, step: 30 * minute },
  "7d": { length: 7 * 24 * hour, step: 3 * hour },
  "30d": { length: 30 * 24 * hour, step: 12 * hour },
} as const;

export function overviewRoutes({ db, gateway }: ServerDependencies) {
  return apiApp().openapi(route, async (c) => {
    await gateway.flushed();
    const { principal } = c.var;
    const range = ranges[c.req.valid("query").range];
    return c.json(
      await readOverview(db, reachOf(principal, "overview.read"), principal.currency, range, Date.now()),
      200,
    );
  });
}

async function readOverview(
  db: Database,
  reach: Reach,
  currency: string,
  { length, step }: { length: number; step: number },
  now: number,
): Promise<Overview> {
  // Steps begin at round times, so that the series does not jitter from one reading to the next.
  const from = Math.ceil((now - length) / step) * step;
  const range = { from: new Date(from), to: new Date(now) };
  const before = { from: new Date(from - (now - from)), to: new Date(from) };
  const [organisation, project] = reach;
  const ledger = { organisation, project };
  const [calls, cost, savedMs, runs, outcomes, callsBefore, costBefore, outcomesBefore, series] = await Promise.all([
    callFigures(db, reach, range),
    costFigures(db, { ...ledger, ...range }),
    prefillSavedMs(db, reach, range),
    runFigures(db, reach, range),
    outcomeFigures(db, { ...ledger, ...range }),
    callFigures(db, reach, before),
    costFigures(db, { ...ledger, ...before }),
    outcomeFigures(db, { ...ledger, ...before }),
    callSeries(db, reach, range, step),
  ]);
  const prompt = calls.uncachedTokens + calls.cachedTokens;
  const judged = outcomes.passed + outcomes.failed;
  return {
    from: range.from.toISOString(),
    to: range.to.toISOString(),
    currency,
    calls: { total: calls.total, failed: calls.failed, refused: calls.refused },
    tokens: { uncached: calls.uncachedTokens, cached: calls.cachedTokens, output: calls.outputTokens },
    cached_share: prompt === 0 ? null : calls.cachedTokens / prompt,
    saved: {
      nano: cost.savedNano.toString(),
      prefill_ms: savedMs === undefined ? null : Math.round(savedMs),
      tokens: calls.savedTokens,
    },
    first_token_ms: calls.firstTokenMs,
    runs,
    outcomes: {
      passed: outcomes.passed,
      failed: outcomes.failed,
      pass_rate: judged === 0 ? null : outcomes.passed / judged,
    },
    money: {
      revenue_nano: outcomes.revenueNano.toString(),
      cost_nano: cost.costNano.toString(),
      margin_nano: (outcomes.revenueNano - cost.costNano).toString(),
      suspense_nano: cost.suspenseNano.toString(),
    },
    series: series.map((point) => ({
      time: new Date(from + point.step * step).toISOString(),
      uncached_tokens: point.uncachedTokens,
      cached_tokens: point.cachedTokens,
      output_tokens: point.outputTokens,
      calls: point.calls,
      cost_nano: point.costNano.toString(),
    })),
    previous: {
      calls: callsBefore.total,
      tokens: callsBefore.uncachedTokens + callsBefore.cachedTokens + callsBefore.outputTokens,
      cost_nano: costBefore.costNano.toString(),
      revenue_nano: outcomesBefore.revenueNano.toString(),
    },
  };
}
