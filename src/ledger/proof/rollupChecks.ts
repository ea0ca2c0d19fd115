// The bill's rollup and what budgets have spent, against the settlements summed up once.
import { incremental, todo, whole, type Check } from "./check.ts";

/** The columns of usage_days that are compared, with the expression that they must be. */
const usageColumns = [
  "attempts",
  "calls",
  "runs",
  "prompt_tokens",
  "cached_tokens",
  "output_tokens",
  "amount_nano",
  "suspense_nano",
];

/**
 * Settlements summed up once, as fine as rollup and budgets need: a row for each run (or key's calls outside runs) and day. A run or a
 * key has far fewer of these than it has attempts.
 */
const groups = (where: string): string => `
  groups as materialized (
    select organisation, project, key, agent, run, usage_day(day) as day, attempts, prompt_tokens, cached_tokens, output_tokens,
      amount_nano, suspense_nano, first, last
    from (
      select s.organisation, s.project, s.key, s.agent, s.run, date_bin('1 day', s.counted_at, '2000-01-01 00:00:00+00') as day,
        count(*) as attempts, sum(s.prompt_tokens) as prompt_tokens, sum(s.cached_tokens) as cached_tokens,
        sum(s.output_tokens) as output_tokens, sum(s.amount_nano) as amount_nano, sum(s.suspense_nano) as suspense_nano,
        min(s.counted_at) as first, max(s.counted_at) as last
      from settlements s where ${where} group by 1, 2, 3, 4, 5, 6) days
  ), several as materialized (
    -- Calls with several attempts are few; an index has them.
    select call from settlements group by call having count(*) > 1
  ), call_days as materialized (
    select s.organisation, s.project, coalesce(s.agent, '') as agent, s.call, usage_day(s.counted_at) as day, count(*) as attempts
    from several cross join lateral (select * from settlements of_call where of_call.call = several.call offset 0) s
    where ${where} group by 1, 2, 3, 4, 5
  ), expected_days as (
    select g.*, g.attempts - coalesce(r.repeats, 0) as calls from (
      select organisation, day, project, agent, sum(attempts) as attempts, count(run) as runs, sum(prompt_tokens) as prompt_tokens,
        sum(cached_tokens) as cached_tokens, sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano,
        sum(suspense_nano) as suspense_nano
      from (
        -- A run may have used several keys.
        select organisation, day, project, coalesce(agent, '') as agent, run, sum(attempts) as attempts, sum(prompt_tokens) as prompt_tokens,
          sum(cached_tokens) as cached_tokens, sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano,
          sum(suspense_nano) as suspense_nano
        from groups group by 1, 2, 3, 4, 5) of_runs
      group by 1, 2, 3, 4) g
    left join (select organisation, day, project, agent, sum(attempts - 1) as repeats from call_days group by 1, 2, 3, 4) r
      using (organisation, day, project, agent)
  )`;

const daysDiffer = (where: string): string => `
  select 'usage_day' as rule,
    format('%s, %s, %s: %s', coalesce(x.day, u.day), coalesce(x.project, u.project), coalesce(nullif(coalesce(x.agent, u.agent), ''), 'calls'), c.name) as id,
    coalesce(x.organisation, u.organisation) as organisation, c.expected, c.found
  from expected_days x
  full join (select * from usage_days where ${where}) u
    on u.organisation = x.organisation and u.day = x.day and u.project = x.project and u.agent = x.agent
  cross join lateral (values ${usageColumns.map((name) => `('${name}', coalesce(x.${name}, 0)::numeric, coalesce(u.${name}, 0)::numeric)`).join(", ")})
    as c(name, expected, found)
  where c.expected <> c.found`;

/** What every budget's scope has spent, from `groups`: `cut` where the period begins inside a group, which only the settlements tell. */
const charged = `
  charged as (
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start) as amount, bool_or(g.first < b.period_start and g.last >= b.period_start) as is_cut
    from budgets b join groups g on b.scope_kind = 'organisation' and g.organisation = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'project' and g.project = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'key' and g.key = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'agent' and g.agent = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'run' and g.run = b.scope_id group by b.id
  ), past as materialized (
    select p.budget as id, p.period_start, p.spent_nano, p.period, b.organisation, b.scope_kind, b.scope_id
    from budget_periods p join budgets b on b.id = p.budget
  ), past_charged as (
    select p.id, p.period_start, sum(g.amount_nano) as amount
    from past p join groups g on g.organisation = p.organisation
      and g.day >= usage_day(p.period_start) and g.day < usage_day(budget_period_end(p.period, p.period_start))
      and p.scope_id = case p.scope_kind when 'organisation' then g.organisation when 'project' then g.project when 'key' then g.key
        when 'agent' then g.agent else g.run end
    group by 1, 2
  )`;

export const rollupAndBudgets: Check = {
  kinds: whole,
  sql: () => `
    with ${groups("true")}, ${charged}, spans as (
      select 'run' as kind, run as subject, day, min(organisation) as organisation from groups
      where run in (select run from groups where run is not null group by run having count(distinct day) > 1) group by 2, 3
      union all
      select 'call', call, day, min(organisation) from call_days
      where call in (select call from call_days group by call having count(distinct day) > 1) group by 2, 3
    )
    ${daysDiffer("true")}
    union all
    select 'usage_span', format('%s on %s', coalesce(x.subject, u.subject), coalesce(x.day, u.day)),
      coalesce(x.organisation, u.organisation), (x.subject is not null)::int, (u.subject is not null)::int
    from spans x full join usage_spans u on u.kind = x.kind and u.subject = x.subject and u.day = x.day
    where x.subject is null or u.subject is null
    union all
    select 'budget_spent', id, organisation, expected, found from (
      select b.id, b.organisation, b.spent_nano as found,
        case when c.is_cut then spent_since(b.organisation, b.scope_kind, b.scope_id, b.period_start) else coalesce(c.amount, 0) end as expected
      from budgets b left join charged c on c.id = b.id
      where c.is_cut or coalesce(c.amount, 0) <> b.spent_nano) b
    where expected <> found
    union all
    select 'past_spent', format('%s, from %s', p.id, p.period_start), p.organisation,
      coalesce(c.amount, 0), p.spent_nano
    from past p left join past_charged c on c.id = p.id and c.period_start = p.period_start
    where coalesce(c.amount, 0) <> p.spent_nano`,
};

/** Days that unproven batches have settlements on. Budgets by day and month of what the rollup has a row for are compared with it. */
export const touchedDays: Check = {
  kinds: incremental,
  sql: (kind) => `
    with todo as materialized (${todo(kind)}), touched as materialized (
      select distinct s.organisation, usage_day(s.counted_at) as day from settlements s where s.batch in (select id from todo)
    ), range as materialized (select min(day) as first, max(day) as last from touched
    ), ${groups(
      `s.counted_at >= (select first from range)::timestamp at time zone 'UTC' and s.counted_at < ((select last from range) + 1)::timestamp at time zone 'UTC'`,
    )}
    ${daysDiffer("day >= (select first from range) and day <= (select last from range)")}
    union all
    select 'budget_spent', b.id, b.organisation, coalesce(sum(u.amount_nano), 0), b.spent_nano
    from budgets b left join usage_days u on u.organisation = b.organisation and u.day >= usage_day(b.period_start)
      and b.scope_id = case b.scope_kind when 'organisation' then u.organisation when 'project' then u.project else u.agent end
    where b.period <> 'total' and b.scope_kind in ('organisation', 'project', 'agent')
    group by b.id having coalesce(sum(u.amount_nano), 0) <> b.spent_nano
    union all
    select 'budget_spent', b.id, b.organisation, r.amount, b.spent_nano
    from (select distinct s.run from settlements s where s.batch in (select id from todo) and s.run is not null) t
    join budgets b on b.scope = 'run:' || t.run
    cross join lateral (
      select coalesce(sum(s.amount_nano), 0) as amount from settlements s where s.run = t.run and s.counted_at >= b.period_start) r
    where r.amount <> b.spent_nano`,
};
