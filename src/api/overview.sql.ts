// The statements behind the overview, to be read beside the figures' definitions (docs/api.md). Times: $2 is the first moment
// that counts, $3 the first that does not. Calls count by their start; money by its posting; runs and outcomes by their end.
// Calls are found by their ids, which begin with their time: there $2 and $3 are the ids of those moments. $4 is the project whose
// figures they are; null: the whole organisation's.

/** Calls and tokens of the range. */
export const callFigures = `
  select count(*) as total, count(*) filter (where status = 'failed') as failed,
    count(*) filter (where status = 'refused') as refused,
    coalesce(sum(prompt_tokens - cached_tokens), 0) as uncached,
    coalesce(sum(cached_tokens), 0) as cached, coalesce(sum(output_tokens), 0) as output,
    percentile_cont(0.5) within group (order by first_token_ms) as p50,
    percentile_cont(0.9) within group (order by first_token_ms) as p90,
    percentile_cont(0.99) within group (order by first_token_ms) as p99
  from calls where organisation = $1 and id >= $2 and id < $3 and ($4::text is null or project = $4)`;

/** What attempts were charged, and what their cached tokens would have cost more, each at the prices of its hold. */
export const costFigures = `
  select coalesce(sum(s.amount_nano), 0) as cost, coalesce(sum(s.suspense_nano), 0) as suspense,
    -- Numeric, since tokens times a price may pass 64 bits; what is shown is cut to them.
    least(coalesce(sum(s.cached_tokens::numeric * (r.input_nano_per_million - r.cached_nano_per_million)) / 1000000, 0),
      9223372036854775807)::bigint as saved
  from settlements s join holds h using (attempt) join rate_cards r on r.id = h.rate_card
  where s.organisation = $1 and s.created_at >= $2 and s.created_at < $3 and ($4::text is null or h.project = $4)`;

/**
 * Milliseconds of prefill that one computed prompt token took, over attempts whose engine told both, times the tokens that
 * were found in a cache. Null while nothing was measured.
 */
export const prefillFigures = `
  select sum(a.cached_tokens) * sum(p.ms) filter (where a.prompt_tokens > a.cached_tokens)
    / nullif(sum(a.prompt_tokens - a.cached_tokens), 0) as saved_ms
  from attempts a join calls c on c.id = a.call
  cross join lateral (
    select sum((phase->>'end_ms')::float - (phase->>'start_ms')::float) as ms
    from jsonb_array_elements(a.timings) phase where phase->>'name' = 'prefill') p
  where c.organisation = $1 and c.id >= $2 and c.id < $3 and ($4::text is null or c.project = $4)
    and a.cached_by_tier is not null`;

export const runFigures = `
  select count(*) filter (where status in ('queued', 'running')) as running,
    count(*) filter (where status = 'waiting') as waiting,
    count(*) filter (where status = 'completed' and ended_at >= $2 and ended_at < $3) as completed,
    count(*) filter (where status in ('failed', 'stopped') and ended_at >= $2 and ended_at < $3) as failed
  from runs where organisation = $1 and ($4::text is null or project = $4)`;

export const outcomeFigures = `
  select count(*) filter (where verdict = 'passed') as passed, count(*) filter (where verdict = 'failed') as failed,
    coalesce(sum(price_nano) filter (where verdict = 'passed'), 0) as revenue
  from outcomes where organisation = $1 and created_at >= $2 and created_at < $3 and ($4::text is null or project = $4)`;

/** Equal steps of $7 milliseconds from $5 on: tokens and cost by the start of the call. */
export const seriesFigures = `
  with steps as (
    select floor(extract(epoch from started_at - $5::timestamptz) * 1000 / $7::bigint)::bigint as step, count(*) as calls,
      sum(prompt_tokens - cached_tokens) as uncached, sum(cached_tokens) as cached,
      sum(output_tokens) as output, sum(price_nano) as cost
    from calls where organisation = $1 and id >= $2 and id < $3 and ($4::text is null or project = $4) group by 1)
  select s as step, coalesce(calls, 0) as calls, coalesce(uncached, 0) as uncached, coalesce(cached, 0) as cached,
    coalesce(output, 0) as output, coalesce(cost, 0) as cost
  from generate_series(0::bigint, $6::bigint - 1) s left join steps on steps.step = s order by s`;
