// A ledger of so many settled attempts, made by a few statements: settlements in batches, their journals, entries and balances, records
// of calls and attempts, the rollup, named suspense, and budgets on every kind of scope. All of it agrees, as a proof must find.
//
// It writes rows that only the ledger's functions and the gateway's poster write otherwise, so it needs the superuser, with triggers
// and foreign keys off.
import type { Client } from "pg";

/** Attempts of one posted batch. */
const batch = 500;
/** The attempts are spread over so many days, the last of which is today. */
const days = 30;

/** Makes it for an organisation that exists; `tell` is told of each statement with its milliseconds. */
export async function generateLedger(
  client: Client,
  {
    organisation,
    attempts,
    tell = () => {},
  }: { organisation: string; attempts: number; tell?: (what: string, ms: number) => void },
): Promise<void> {
  await client.query("set session_replication_role = replica");
  await client.query("set work_mem = '128MB'");
  for (const [what, sql] of Object.entries(statements)) {
    const began = performance.now();
    await client.query(
      sql
        .replaceAll("$organisation", client.escapeLiteral(organisation))
        .replaceAll("$attempts", String(attempts))
        .replaceAll("$seconds", String((days * 86_400) / attempts)),
    );
    tell(what, performance.now() - began);
  }
}

/** Twenty attempts in a row are one run, but every fourth is a call outside runs. Every fiftieth attempt is a second one of its call. */
const statements: Record<string, string> = {
  settlements: `
    insert into settlements (attempt, organisation, call, project, key, agent, run, model, rate_card, currency, held_nano, amount_nano,
      suspense_nano, prompt_tokens, cached_tokens, output_tokens, usage_source, counted_at, batch, created_at)
    select 'att_' || lpad(to_hex(n), 20, '0'), $organisation, 'call_' || lpad(to_hex(first), 20, '0'), 'prj_' || first / 20 % 8,
      'key_' || first / 20 % 20, case when first % 4 > 0 then 'agt_' || first / 20 % 40 end,
      case when first % 4 > 0 then 'run_' || lpad((first / 20)::text, 20, '0') end,
      'model_' || n % 5, 'card', 'USD', 5000, 1000 + n % 977, case when n % 1000 = 0 then 77 else 0 end,
      500 + n % 700, n % 400, n % 300, 'engine',
      date_trunc('day', now(), 'UTC') - interval '${days - 1} days' + n * interval '$seconds seconds' - interval '2 seconds',
      'batch:spl_' || n / ${batch} % 4 || ':' || n / ${batch} * 1000 + 1 || ':' || $organisation, now()
    from generate_series(1, $attempts) n cross join lateral (select case when n % 50 = 0 then n - 1 else n end as first) of_call`,
  journals:
    "insert into journals (id, organisation, kind) select distinct batch, organisation, 'batch' from settlements",
  entries: `
    insert into entries (journal, account, amount_nano)
    select batch, organisation || '/' || kind || '/' || subject, sum(nano) from (
      select batch, organisation, project, model, sum(amount_nano) as amount, sum(suspense_nano) as suspense from settlements group by 1, 2, 3, 4) s
    cross join lateral (values ('token_cost', project, amount), ('suspense', model, suspense), ('provider_cost', model, -(amount + suspense)))
      as side(kind, subject, nano)
    group by 1, 2 having sum(nano) <> 0`,
  accounts: `
    insert into accounts (id, organisation, kind, subject, currency, balance_nano)
    select account, split_part(account, '/', 1), split_part(account, '/', 2), split_part(account, '/', 3), 'USD', sum(amount_nano)
    from entries group by 1`,
  suspense: `
    insert into suspense (id, organisation, kind, subject, attempt, model, amount_nano, currency, reason, created_at)
    select 'over_hold:' || attempt, organisation, 'over_hold', model, attempt, model, suspense_nano, currency, 'The engine claimed more than was held.', created_at
    from settlements where suspense_nano > 0`,
  calls: `
    insert into calls (id, organisation, project, key, agent, run, endpoint, model, stream, status, prompt_tokens, cached_tokens,
      output_tokens, price_nano, currency, started_at, duration_ms)
    select call, min(organisation), min(project), min(key), min(agent), min(run), 'chat', min(model), false, 'completed', sum(prompt_tokens),
      sum(cached_tokens), sum(output_tokens), sum(amount_nano), 'USD', min(counted_at), 100
    from settlements group by call`,
  attempts: `
    insert into attempts (id, call, number, engine, status, timings, decision, prompt_tokens, cached_tokens, output_tokens, price_nano, suspense_nano)
    select attempt, call, 1, model, 'completed',
      '[{"name":"queue","start_ms":0,"end_ms":1},{"name":"prefill","start_ms":1,"end_ms":10},{"name":"decode","start_ms":10,"end_ms":100}]',
      '{"policy":"least_delay","chosen":{"endpoint":"http://127.0.0.1:1","score":1,"numbers":{"cached":1,"load":2}},"candidates":1,"reason":"one"}',
      prompt_tokens, cached_tokens, output_tokens, amount_nano, suspense_nano
    from settlements`,
  usageDays: `
    insert into usage_days
    select organisation, usage_day(counted_at), project, coalesce(agent, ''), count(*), count(distinct call), count(distinct run),
      sum(prompt_tokens), sum(cached_tokens), sum(output_tokens), sum(amount_nano), sum(suspense_nano)
    from settlements group by 1, 2, 3, 4`,
  usageSpans: `
    insert into usage_spans
    select kind, subject, day, organisation, project, agent from (
      select distinct k.kind, k.subject, usage_day(counted_at) as day, organisation, project, coalesce(agent, '') as agent,
        min(usage_day(counted_at)) over w <> max(usage_day(counted_at)) over w as is_several
      from settlements cross join lateral (values ('run', run), ('call', call)) k(kind, subject)
      where k.subject is not null window w as (partition by k.kind, k.subject)) d
    where is_several`,
  budgets: `
    insert into budgets (id, organisation, scope_kind, scope_id, currency, limit_nano, spent_nano, period, period_start)
    select 'bud_' || kind || '_' || id, $organisation, kind, id, 'USD', 1000000000000000,
      sum(amount) filter (where counted_at >= case period when 'total' then '-infinity' else date_trunc(period, now(), 'UTC') end), period,
      case period when 'total' then '-infinity' else date_trunc(period, now(), 'UTC') end
    from (
      select k.kind, k.id, amount_nano as amount, counted_at, k.period from settlements cross join lateral (values
        ('organisation', organisation, 'month'), ('project', project, 'day'), ('key', key, 'total'), ('agent', agent, 'month'), ('run', run, 'total'))
        as k(kind, id, period)
      where k.id is not null) s
    group by kind, id, period
    having sum(amount) filter (where counted_at >= case period when 'total' then '-infinity' else date_trunc(period, now(), 'UTC') end) is not null`,
  statistics: "vacuum analyze",
};
