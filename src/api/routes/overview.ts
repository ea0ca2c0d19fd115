// GET /api/overview: the figures of the first screen. Every one is an aggregation in SQL (overview.sql.ts) over a range that
// ends now, beside the range of equal length before it.
import { createRoute } from "@hono/zod-openapi";
import { newId } from "../../store/index.ts";
import type { Database } from "../../store/index.ts";
import type { ServerDependencies } from "../dependencies.ts";
import { reachOf, type Reach } from "../../governance/index.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import {
  callFigures,
  costFigures,
  outcomeFigures,
  prefillFigures,
  runFigures,
  seriesFigures,
} from "../overview.sql.ts";
import { overview, overviewQuery } from "../../contract/index.ts";
import type { Overview } from "../../contract/index.ts";

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

type Row = Record<string, bigint | number | null>;

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

/** Id that the first call of a moment could have. */
const firstIdAt = (moment: number) => newId("call", moment, Buffer.alloc(11));

async function one(db: Database, sql: string, values: unknown[]): Promise<Row> {
  const { rows } = await db.query<Row>(sql, values);
  return rows[0]!;
}

export async function readOverview(
  db: Database,
  [organisation, project]: Reach,
  currency: string,
  { length, step }: { length: number; step: number },
  now: number,
): Promise<Overview> {
  // Steps begin at round times, so that the series does not jitter from one reading to the next.
  const to = now;
  const from = Math.ceil((now - length) / step) * step;
  const before = from - (to - from);
  const ids = [organisation, firstIdAt(from), firstIdAt(to), project];
  const idsBefore = [organisation, firstIdAt(before), firstIdAt(from), project];
  const times = [organisation, new Date(from), new Date(to), project];
  const timesBefore = [organisation, new Date(before), new Date(from), project];
  const points = Math.ceil((to - from) / step);
  const [calls, cost, prefill, runs, outcomes, callsBefore, costBefore, outcomesBefore, series] = await Promise.all([
    one(db, callFigures, ids),
    one(db, costFigures, times),
    one(db, prefillFigures, ids),
    one(db, runFigures, times),
    one(db, outcomeFigures, times),
    one(db, callFigures, idsBefore),
    one(db, costFigures, timesBefore),
    one(db, outcomeFigures, timesBefore),
    db.query<Row>(seriesFigures, [...ids, new Date(from), points, step]),
  ]);
  const prompt = number(calls["uncached"]) + number(calls["cached"]);
  const judged = number(outcomes["passed"]) + number(outcomes["failed"]);
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    currency,
    calls: { total: number(calls["total"]), failed: number(calls["failed"]), refused: number(calls["refused"]) },
    tokens: {
      uncached: number(calls["uncached"]),
      cached: number(calls["cached"]),
      output: number(calls["output"]),
    },
    cached_share: prompt === 0 ? null : number(calls["cached"]) / prompt,
    saved: {
      nano: text(cost["saved"]),
      prefill_ms: prefill["saved_ms"] === null ? null : Math.round(number(prefill["saved_ms"])),
    },
    first_token_ms: {
      p50: calls["p50"] as number | null,
      p90: calls["p90"] as number | null,
      p99: calls["p99"] as number | null,
    },
    runs: {
      running: number(runs["running"]),
      waiting: number(runs["waiting"]),
      completed: number(runs["completed"]),
      failed: number(runs["failed"]),
    },
    outcomes: {
      passed: number(outcomes["passed"]),
      failed: number(outcomes["failed"]),
      pass_rate: judged === 0 ? null : number(outcomes["passed"]) / judged,
    },
    money: {
      revenue_nano: text(outcomes["revenue"]),
      cost_nano: text(cost["cost"]),
      margin_nano: ((outcomes["revenue"] as bigint) - (cost["cost"] as bigint)).toString(),
      suspense_nano: text(cost["suspense"]),
    },
    series: series.rows.map((row) => ({
      time: new Date(from + number(row["step"]) * step).toISOString(),
      uncached_tokens: number(row["uncached"]),
      cached_tokens: number(row["cached"]),
      output_tokens: number(row["output"]),
      calls: number(row["calls"]),
      cost_nano: text(row["cost"]),
    })),
    previous: {
      calls: number(callsBefore["total"]),
      tokens: number(callsBefore["uncached"]) + number(callsBefore["cached"]) + number(callsBefore["output"]),
      cost_nano: text(costBefore["cost"]),
      revenue_nano: text(outcomesBefore["revenue"]),
    },
  };
}

const number = (value: bigint | number | null | undefined): number => Number(value ?? 0);
const text = (value: bigint | number | null | undefined): string => String(value ?? 0);
