// Figures over the calls of a range, for the overview; their definitions stand in docs/api.md. Calls count by their start. They are
// found by their ids, which begin with their time, so that one index serves every range.
import { leastId, type Queryable } from "../../store/index.ts";
import type { Reach } from "../../governance/index.ts";

/** Half open: `from` counts, `to` does not. */
interface Range {
  from: Date;
  to: Date;
}

interface CallFigures {
  total: number;
  failed: number;
  refused: number;
  uncachedTokens: number;
  cachedTokens: number;
  outputTokens: number;
  /** Prompt and output tokens that kept and shared answers did not cost. */
  savedTokens: number;
  /** Milliseconds to the first token; null while no call had one. */
  firstTokenMs: { p50: number | null; p90: number | null; p99: number | null };
}

/** Calls and tokens of the range. */
export async function callFigures(db: Queryable, reach: Reach, range: Range): Promise<CallFigures> {
  const { rows } = await db.query<Record<string, bigint> & Record<"p50" | "p90" | "p99", number | null>>(
    `select count(*) as total, count(*) filter (where status = 'failed') as failed,
       count(*) filter (where status = 'refused') as refused,
       coalesce(sum(prompt_tokens - cached_tokens), 0) as uncached,
       coalesce(sum(cached_tokens), 0) as cached, coalesce(sum(output_tokens), 0) as output,
       coalesce(sum(saved_tokens), 0) as saved,
       percentile_cont(0.5) within group (order by first_token_ms) as p50,
       percentile_cont(0.9) within group (order by first_token_ms) as p90,
       percentile_cont(0.99) within group (order by first_token_ms) as p99
     from calls where organisation = $1 and ($2::text is null or project = $2) and id >= $3 and id < $4`,
    [...reach, ...idsOf(range)],
  );
  const row = rows[0]!;
  return {
    total: Number(row["total"]),
    failed: Number(row["failed"]),
    refused: Number(row["refused"]),
    uncachedTokens: Number(row["uncached"]),
    cachedTokens: Number(row["cached"]),
    outputTokens: Number(row["output"]),
    savedTokens: Number(row["saved"]),
    firstTokenMs: { p50: row.p50, p90: row.p90, p99: row.p99 },
  };
}

/**
 * Milliseconds of prefill that caches saved: what one computed prompt token took, over attempts whose engine told both, times the
 * tokens that were found in a cache. Undefined while nothing was measured.
 */
export async function prefillSavedMs(db: Queryable, reach: Reach, range: Range): Promise<number | undefined> {
  const { rows } = await db.query<{ saved_ms: number | null }>(
    `select sum(a.cached_tokens) * sum(p.ms) filter (where a.prompt_tokens > a.cached_tokens)
       / nullif(sum(a.prompt_tokens - a.cached_tokens), 0) as saved_ms
     from attempts a join calls c on c.id = a.call
     cross join lateral (
       select sum((phase->>'end_ms')::float - (phase->>'start_ms')::float) as ms
       from json_array_elements(a.timings) phase where phase->>'name' = 'prefill') p
     where c.organisation = $1 and ($2::text is null or c.project = $2) and c.id >= $3 and c.id < $4
       and a.cached_by_tier is not null`,
    [...reach, ...idsOf(range)],
  );
  return rows[0]!.saved_ms ?? undefined;
}

interface CallPoint {
  /** Number of the step, from 0. */
  step: number;
  calls: number;
  uncachedTokens: number;
  cachedTokens: number;
  outputTokens: number;
  costNano: bigint;
}

/** Equal steps of `stepMs` from the range's beginning on, empty ones included: tokens and cost by the start of the call. */
export async function callSeries(db: Queryable, reach: Reach, range: Range, stepMs: number): Promise<CallPoint[]> {
  const points = Math.ceil((range.to.getTime() - range.from.getTime()) / stepMs);
  const { rows } = await db.query<Record<"step" | "calls" | "uncached" | "cached" | "output" | "cost", bigint>>(
    `with sums as (
       select floor(extract(epoch from started_at - $5::timestamptz) * 1000 / $7::bigint)::bigint as step, count(*) as calls,
         sum(prompt_tokens - cached_tokens) as uncached, sum(cached_tokens) as cached,
         sum(output_tokens) as output, sum(price_nano) as cost
       from calls where organisation = $1 and ($2::text is null or project = $2) and id >= $3 and id < $4 group by 1)
     select s as step, coalesce(calls, 0) as calls, coalesce(uncached, 0) as uncached, coalesce(cached, 0) as cached,
       coalesce(output, 0) as output, coalesce(cost, 0) as cost
     from generate_series(0::bigint, $6::bigint - 1) s left join sums on sums.step = s order by s`,
    [...reach, ...idsOf(range), range.from, points, stepMs],
  );
  return rows.map((row) => ({
    step: Number(row.step),
    calls: Number(row.calls),
    uncachedTokens: Number(row.uncached),
    cachedTokens: Number(row.cached),
    outputTokens: Number(row.output),
    costNano: row.cost,
  }));
}

/** Ids that the first calls of the range's ends could have. */
function idsOf({ from, to }: Range): [string, string] {
  const firstIdAt = (moment: Date) => leastId("call", moment.getTime());
  return [firstIdAt(from), firstIdAt(to)];
}
