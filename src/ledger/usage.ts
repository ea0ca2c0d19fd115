// What the agents of an organisation used in a period: whole UTC days from the rollup (usage_days), and the parts of days at the
// period's ends from the settlements themselves, so that a bill over a million attempts reads a few thousand rows.
//
// A run or a call that has attempts on several days is counted on each of them in the rollup. usage_spans names those, so that each is
// counted once here.
import type { Queryable } from "../store/index.ts";

/** Of whom, and when. `from` counts, `to` does not; without `to` everything that is posted counts. */
export interface UsageOf {
  organisation: string;
  from: Date;
  to: Date | undefined;
  /** Ids; undefined for all. */
  agent: string | undefined;
  project: string | undefined;
}

export interface AgentUsage {
  /** Undefined for calls outside runs. */
  agent: string | undefined;
  runs: number;
  calls: number;
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
  costNano: bigint;
}

interface UsageRow {
  [column: string]: unknown;
  agent: string;
  runs: bigint;
  calls: bigint;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  amount_nano: bigint;
}

const dayMs = 24 * 60 * 60_000;

/** Days of the rollup, `first` included and `last` not, and the ranges of time beside them. Times are milliseconds. */
interface Parts {
  first: number;
  last: number | undefined;
  edges: { from: number; to: number }[];
}

/** Divides a period into whole UTC days and what is left of it at its ends. */
export function partsOf(from: number, to: number | undefined): Parts {
  const first = Math.ceil(from / dayMs) * dayMs;
  if (to === undefined) return { first, last: undefined, edges: nonEmpty([{ from, to: first }]) };
  const last = Math.floor(to / dayMs) * dayMs;
  if (first >= last) return { first, last: first, edges: nonEmpty([{ from, to }]) };
  return {
    first,
    last,
    edges: nonEmpty([
      { from, to: first },
      { from: last, to },
    ]),
  };
}

const nonEmpty = (ranges: { from: number; to: number }[]) => ranges.filter(({ from, to }) => from < to);

/** A row for each agent with attempts in the period, and one for calls outside runs. */
export async function readUsage(db: Queryable, of: UsageOf): Promise<AgentUsage[]> {
  const { first, last, edges } = partsOf(of.from.getTime(), of.to?.getTime());
  const { rows } = await db.query<UsageRow>(usageSql, [
    of.organisation,
    dateOf(first),
    last === undefined ? "infinity" : dateOf(last),
    edges.map((edge) => new Date(edge.from)),
    edges.map((edge) => new Date(edge.to)),
    of.agent ?? null,
    of.project ?? null,
  ]);
  return rows.map((row) => ({
    agent: row.agent === "" ? undefined : row.agent,
    runs: Number(row.runs),
    calls: Number(row.calls),
    promptTokens: Number(row.prompt_tokens),
    cachedTokens: Number(row.cached_tokens),
    outputTokens: Number(row.output_tokens),
    costNano: row.amount_nano,
  }));
}

/** The UTC day of a moment, as Postgres reads it. */
export const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

const usageSql = `
  with days as (
    select agent, calls, runs, prompt_tokens, cached_tokens, output_tokens, amount_nano from usage_days
    where organisation = $1 and day >= $2::date and day < $3::date
      and ($6::text is null or agent = $6) and ($7::text is null or project = $7)
  ), repeated as (
    -- Days on which a run or call was counted once more.
    select agent, kind, sum(days - 1) as times from (
      select agent, kind, subject, count(*) as days from usage_spans
      where organisation = $1 and day >= $2::date and day < $3::date
        and ($6::text is null or agent = $6) and ($7::text is null or project = $7)
      group by 1, 2, 3) spans
    group by 1, 2
  ), edges as materialized (
    select coalesce(s.agent, '') as agent, s.run, s.call, s.prompt_tokens, s.cached_tokens, s.output_tokens, s.amount_nano
    from unnest($4::timestamptz[], $5::timestamptz[]) as range(since, until)
    join settlements s on s.organisation = $1 and s.counted_at >= since and s.counted_at < until
    where ($6::text is null or s.agent = $6) and ($7::text is null or s.project = $7)
  ), edge_calls as (
    -- Those with an attempt on a whole day are counted there.
    select agent, count(*) as calls from (select distinct agent, call from edges) c
    where not exists (select from usage_spans where kind = 'call' and subject = c.call and day >= $2::date and day < $3::date)
    group by 1
  ), edge_runs as (
    select agent, count(*) as runs from (select distinct agent, run from edges where run is not null) r
    where not exists (select from usage_spans where kind = 'run' and subject = r.run and day >= $2::date and day < $3::date)
    group by 1
  )
  select agent, sum(calls)::bigint as calls, sum(runs)::bigint as runs, sum(prompt_tokens)::numeric as prompt_tokens,
    sum(cached_tokens)::numeric as cached_tokens, sum(output_tokens)::numeric as output_tokens, sum(amount_nano)::numeric as amount_nano
  from (
    select agent, calls, runs, prompt_tokens, cached_tokens, output_tokens, amount_nano from days
    union all select agent, -times, 0, 0, 0, 0, 0 from repeated where kind = 'call'
    union all select agent, 0, -times, 0, 0, 0, 0 from repeated where kind = 'run'
    union all select agent, calls, 0, 0, 0, 0, 0 from edge_calls
    union all select agent, 0, runs, 0, 0, 0, 0 from edge_runs
    union all select agent, 0, 0, sum(prompt_tokens), sum(cached_tokens), sum(output_tokens), sum(amount_nano) from edges group by 1
  ) parts
  group by agent`;
