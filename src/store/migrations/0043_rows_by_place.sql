-- What a batch writes for budgets, leases and the sums of days takes time by the number of rows that change, and not by its square. A joined
-- lease was looked for among all leases of its process, for each of them.

-- As before; what was spent by scope is summed once, from what the batch says, and the sums of days come before the locks of budgets.
create or replace function post_batch(of_spool text, first bigint, last bigint, chain_before bigint, chain_after bigint, complete timestamptz, items json)
returns table (outcome text, "position" bigint, chain bigint)
language plpgsql as $$
#variable_conflict use_column
declare
  answer record;
  of_epoch bigint;
  epoch_state text;
  moment timestamptz;
  fresh text[];
  spent jsonb;
  lines jsonb;
  released jsonb;
  has_suspense boolean;
  concerned text[];
  newest timestamptz;
  oldest timestamptz;
begin
  select * into answer from advance_spool(of_spool, first, last, chain_before, chain_after, complete);
  if answer.outcome <> 'posted' or items::text = '[]' then
    return query select answer.outcome, answer.position, answer.chain;
    return;
  end if;
  select s.epoch into of_epoch from spools s where s.id = of_spool;
  select e.state into epoch_state from epochs e where e.id = of_epoch for key share;
  -- A budget that is set at the same time counts either every row of this batch, or none of them and is seen below.
  lock table settlements in row exclusive mode;
  moment := ledger_now();

  with given as materialized (
    select distinct on (i.attempt) * from json_to_recordset(items) as i(
      attempt text, call text, organisation text, project text, key text, agent text, run text, model text, rate_card text, currency text,
      held bigint, counted_at timestamptz, amount bigint, prompt bigint, cached bigint, cache_write bigint, cache_write_long bigint,
      output bigint, reasoning bigint, units jsonb, source text, suspense bigint, claimed_prompt bigint, claimed_output bigint, leases json)
    order by i.attempt
  ), posted as (
    insert into settlements (attempt, organisation, call, project, key, agent, run, model, rate_card, currency, held_nano, amount_nano,
      prompt_tokens, cached_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, units, usage_source,
      suspense_nano, claimed_prompt_tokens, claimed_output_tokens, counted_at, batch, created_at)
    select g.attempt, g.organisation, g.call, g.project, g.key, g.agent, g.run, g.model, g.rate_card, g.currency, g.held, least(g.amount, g.held),
      g.prompt, g.cached, coalesce(g.cache_write, 0), coalesce(g.cache_write_long, 0), g.output, coalesce(g.reasoning, 0), g.units, g.source,
      least(coalesce(g.suspense, 0) + greatest(g.amount - g.held, 0), 100000000000000), g.claimed_prompt, g.claimed_output, g.counted_at,
      'batch:' || of_spool || ':' || first || ':' || g.organisation, moment
    from given g
    on conflict (attempt) do nothing
    returning attempt, organisation, project, key, agent, run, model, currency, amount_nano, suspense_nano
  ), alike as materialized (
    select organisation, project, key, agent, run, model, currency, sum(amount_nano) as amount_nano, sum(suspense_nano) as suspense_nano
    from posted group by 1, 2, 3, 4, 5, 6, 7
  )
  select
    (select array_agg(p.attempt) from posted p),
    (select jsonb_object_agg(part.scope, part.amount) from (
       select named.scope, sum(p.amount_nano) as amount
       from alike p cross join lateral (values
         ('organisation:' || p.organisation), ('project:' || p.project), ('key:' || p.key), ('agent:' || p.agent), ('run:' || p.run)) as named(scope)
       where named.scope is not null group by 1) part),
    (select jsonb_agg(jsonb_build_object('journal', 'batch:' || of_spool || ':' || first || ':' || line.organisation,
       'account', line.organisation || '/' || line.kind || '/' || line.subject, 'organisation', line.organisation, 'kind', line.kind,
       'subject', line.subject, 'currency', line.currency, 'amount', line.amount))
     from (
       select p.organisation, side.kind, side.subject, p.currency, sum(side.amount) as amount
       from alike p cross join lateral (values ('token_cost', p.project, p.amount_nano), ('suspense', p.model, p.suspense_nano),
         ('provider_cost', p.model, -(p.amount_nano + p.suspense_nano))) as side(kind, subject, amount)
       group by 1, 2, 3, 4 having sum(side.amount) <> 0) line),
    (select jsonb_agg(jsonb_build_object('budget', r.budget, 'period_start', r.period_start, 'amount', r.amount))
     from (
       select l.part ->> 0 as budget, (l.part ->> 1)::timestamptz as period_start, sum(l.amount) as amount
       from (
         select s.amount, json_array_elements(s.leases::json) as part
         from (
           select g.leases::text as leases, sum(least(g.amount, g.held)) as amount from given g
           -- Looked up in a hash of the new attempts; as a plain condition it would become a join of all with all.
           where g.amount > 0 and coalesce(g.attempt in (select p.attempt from posted p), false)
           group by 1) s) l
       group by 1, 2) r),
    (select coalesce(bool_or(p.suspense_nano > 0), false) from posted p),
    (select max(g.counted_at) from given g),
    (select min(g.counted_at) from given g)
  into fresh, spent, lines, released, has_suspense, newest, oldest;

  if fresh is null then
    return query select answer.outcome, answer.position, answer.chain;
    return;
  end if;
  -- Before budgets are locked: a process that takes leases waits for less.
  perform count_usage(fresh);
  concerned := array(select b.id from jsonb_object_keys(spent) as named(scope) join budgets b on b.scope = named.scope
    union select r.budget from jsonb_to_recordset(released) as r(budget text));
  if concerned <> '{}' then
    perform lock_budgets_at(concerned, greatest(moment, newest));
    perform charge_budgets(of_epoch, case epoch_state when 'live' then released end, spent, fresh, concerned, oldest);
  end if;
  if released is not null and epoch_state = 'fenced' then
    perform draw_on_lost(of_epoch, 'draw:' || of_spool || ':' || first, released);
  end if;
  if has_suspense then
    insert into suspense (id, organisation, kind, subject, attempt, model, amount_nano, currency, reason, created_at)
    select k.kind || ':' || s.attempt, s.organisation, k.kind, s.model, s.attempt, s.model, s.suspense_nano, s.currency,
      case k.kind when 'unanswered' then 'The engine accepted the request and gave no answer.' else 'The engine claimed more than was held.' end, moment
    from settlements s
    join json_to_recordset(items) as i(attempt text, unanswered boolean) on i.attempt = s.attempt
    cross join lateral (select case when i.unanswered then 'unanswered' else 'over_hold' end) as k(kind)
    where s.attempt = any(fresh) and s.suspense_nano > 0
    on conflict (id) do nothing;
  end if;
  -- Also where nothing was charged: the proof finds new settlements by the journals of their batches.
  insert into journals (id, organisation, kind) select distinct s.batch, s.organisation, 'batch' from settlements s where s.attempt = any(fresh);
  if lines is not null then
    perform post_entries(lines);
  end if;
  return query select answer.outcome, answer.position, answer.chain;
end
$$;

drop function charge_budgets(bigint, jsonb, text[], text[]);

-- Moves what a batch spent from leases to budgets. `spent`: by scope, of all its settlements, of which the first counts at `oldest`. A lease is
-- updated and known by its place in the table: its budget is locked, so that nothing else changes it.
create function charge_budgets(of_epoch bigint, released jsonb, spent jsonb, attempts text[], among text[], oldest timestamptz) returns void
language plpgsql as $$
declare
  newest timestamptz;
  has_older boolean;
  is_used_up boolean;
begin
  select max(period_start) into newest from budgets where id = any(among);
  has_older := oldest < newest;
  if has_older then
    -- Of settlements of earlier periods only those of this one are summed here; `charge_older` has the others.
    select jsonb_object_agg(part.scope, part.amount) into spent from (
      select named.scope, sum(s.amount_nano) as amount
      from settlements s cross join lateral (values ('organisation:' || s.organisation), ('project:' || s.project), ('key:' || s.key),
        ('agent:' || s.agent), ('run:' || s.run)) as named(scope)
      where s.attempt = any(attempts) and s.counted_at >= newest and named.scope is not null group by 1) part;
  end if;
  with given as materialized (
    select l.place, i.budget, i.period_start, least(i.amount, l.out_nano) as amount
    from jsonb_to_recordset(released) as i(budget text, period_start timestamptz, amount numeric)
    cross join lateral (
      select ctid as place, out_nano from leases
      where epoch = of_epoch and budget = i.budget and period_start = i.period_start
      offset 0) l
  ), of_leases as (
    update leases l set out_nano = l.out_nano - g.amount from given g where l.ctid = g.place
    returning l.out_nano
  ), of_past as (
    update budget_periods p set leased_nano = p.leased_nano - g.amount from given g where p.budget = g.budget and p.period_start = g.period_start
  ), of_budget as materialized (
    select part.budget, sum(part.spent) as spent, sum(part.back) as back
    from (
      select b.id as budget, (spent ->> b.scope)::numeric as spent, 0 as back from budgets b where b.id = any(among) and spent ? b.scope
      union all
      select b.id, 0, g.amount from given g join budgets b on b.id = g.budget and b.period_start = g.period_start
    ) part group by part.budget
  ), of_current as (
    update budgets b set spent_nano = b.spent_nano + o.spent, leased_nano = b.leased_nano - o.back from of_budget o
    where b.id = o.budget and (o.spent <> 0 or o.back <> 0)
  )
  select coalesce(bool_or(l.out_nano = 0), false) into is_used_up from of_leases l;
  if is_used_up then
    delete from leases l using jsonb_to_recordset(released) as i(budget text, period_start timestamptz)
    where l.epoch = of_epoch and l.budget = i.budget and l.period_start = i.period_start and l.out_nano = 0;
  end if;
  if has_older then
    perform charge_older(attempts, among, newest);
  end if;
end
$$;

-- As before. A saving without tiers is computed here, because a call of a function takes more time than all of its sums.
create or replace function count_usage(fresh text[]) returns void
language plpgsql as $$
begin
  -- Two postings that both name a run for the first time on a day would both count it, so postings of a project take turns here.
  perform pg_advisory_xact_lock(hashtextextended('usage:' || project, 0))
  from (select distinct project from settlements where attempt = any(fresh) order by project) projects;

  with added as materialized (
    select s.*, usage_day(counted_at) as day, coalesce(agent, '') as of_agent,
      case when s.cached_tokens = 0 then 0
        when r.more ? 'tiers' then cache_saving(s.cached_tokens, s.prompt_tokens, r)
        else s.cached_tokens * (r.input_nano_per_million::numeric - r.cached_nano_per_million) end as saved
    from settlements s left join rate_cards r on r.id = s.rate_card where attempt = any(fresh)
  ), run_days as materialized (
    -- Runs by day: whether the day has counted them before, and whether they have other days. Conditions stand in the list, so that each
    -- is one look into an index. Rows of this posting are known by their batch, which those of the path before leases have not.
    select d.*, exists (
        select from settlements e where e.run = d.run and case when d.batch is null then e.attempt <> all(fresh) else e.batch is distinct from d.batch end
          and e.counted_at >= d.day::timestamp at time zone 'UTC' and e.counted_at < (d.day + 1)::timestamp at time zone 'UTC') as is_counted,
      exists (select from settlements e where e.run = d.run and e.counted_at < d.day::timestamp at time zone 'UTC')
        or exists (select from settlements e where e.run = d.run and e.counted_at >= (d.day + 1)::timestamp at time zone 'UTC') as has_others
    from (select distinct organisation, day, project, of_agent, run, batch from added where run is not null) d
  ), call_days as materialized (
    select d.*, e.is_counted, e.has_others
    from (select distinct organisation, day, project, of_agent, call, batch from added) d
    cross join lateral (
      select bool_or(usage_day(e.counted_at) = d.day
          and case when d.batch is null then e.attempt <> all(fresh) else e.batch is distinct from d.batch end) as is_counted,
        bool_or(usage_day(e.counted_at) <> d.day) as has_others
      from settlements e where e.call = d.call) e
  ), spans as (
    -- The day itself where the run or call has another one, and one day of before: if there were more, they are rows already.
    insert into usage_spans (kind, subject, day, organisation, project, agent)
    select 'run', r.run, d.day, r.organisation, r.project, r.of_agent
    from run_days r cross join lateral (
      (select r.day)
      union all
      (select usage_day(e.counted_at) from settlements e where e.run = r.run and not e.attempt = any(fresh)
         and e.counted_at < r.day::timestamp at time zone 'UTC' order by e.counted_at desc limit 1)
      union all
      (select usage_day(e.counted_at) from settlements e where e.run = r.run and not e.attempt = any(fresh)
         and e.counted_at >= (r.day + 1)::timestamp at time zone 'UTC' order by e.counted_at limit 1)) d
    where r.has_others and not r.is_counted
    union
    select 'call', c.call, d.day, c.organisation, c.project, c.of_agent
    from call_days c cross join lateral (
      (select c.day)
      union all
      (select usage_day(e.counted_at) from settlements e where e.call = c.call and not e.attempt = any(fresh)
         and usage_day(e.counted_at) <> c.day)) d
    where c.has_others and not c.is_counted
    order by 1, 2, 3
    on conflict do nothing
  ), sums as (
    select organisation, day, project, of_agent, count(*) as attempts, sum(prompt_tokens) as prompt_tokens,
      sum(cached_tokens) as cached_tokens, sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano,
      sum(suspense_nano) as suspense_nano, coalesce(sum(saved), 0) as saved_nano_millionths
    from added group by 1, 2, 3, 4
  ), run_counts as (select organisation, day, project, of_agent, count(*) as runs from run_days where not is_counted group by 1, 2, 3, 4
  ), call_counts as (select organisation, day, project, of_agent, count(*) as calls from call_days where not is_counted group by 1, 2, 3, 4
  )
  insert into usage_days as u (organisation, day, project, agent, attempts, calls, runs, prompt_tokens, cached_tokens, output_tokens,
    amount_nano, suspense_nano, saved_nano_millionths)
  select organisation, day, project, of_agent, attempts, coalesce(calls, 0), coalesce(runs, 0), prompt_tokens, cached_tokens,
    output_tokens, amount_nano, suspense_nano, saved_nano_millionths
  from sums left join run_counts using (organisation, day, project, of_agent) left join call_counts using (organisation, day, project, of_agent)
  order by 1, 2, 3, 4
  on conflict (organisation, day, project, agent) do update set
    attempts = u.attempts + excluded.attempts, calls = u.calls + excluded.calls, runs = u.runs + excluded.runs,
    prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, cached_tokens = u.cached_tokens + excluded.cached_tokens,
    output_tokens = u.output_tokens + excluded.output_tokens, amount_nano = u.amount_nano + excluded.amount_nano,
    suspense_nano = u.suspense_nano + excluded.suspense_nano,
    saved_nano_millionths = u.saved_nano_millionths + excluded.saved_nano_millionths;
end
$$;

-- Rows that every batch updates. Room in their pages lets a new version lie beside the old one, without new entries in the indexes.
alter table budgets set (fillfactor = 50);
alter table leases set (fillfactor = 50);
alter table accounts set (fillfactor = 50);
alter table usage_days set (fillfactor = 50);
