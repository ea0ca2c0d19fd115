-- Most settlements of a batch have the same context, so what concerns budgets and accounts is summed by context before it is spread over
-- the scopes, accounts and leases that a context names: some dozens of rows are spread, and not each settlement.

-- As before, with the sums of what has the same context first.
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
  scopes text[];
  lines jsonb;
  released jsonb;
  has_suspense boolean;
  concerned text[];
  newest timestamptz;
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
    (select array_agg(distinct named.scope) from alike p cross join lateral (values
       ('organisation:' || p.organisation), ('project:' || p.project), ('key:' || p.key), ('agent:' || p.agent), ('run:' || p.run)) as named(scope)
     where named.scope is not null),
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
    (select max(g.counted_at) from given g)
  into fresh, scopes, lines, released, has_suspense, newest;

  if fresh is null then
    return query select answer.outcome, answer.position, answer.chain;
    return;
  end if;
  concerned := array(select b.id from budgets b where b.scope = any(scopes)
    union select r.budget from jsonb_to_recordset(released) as r(budget text));
  if concerned <> '{}' then
    perform lock_budgets_at(concerned, greatest(moment, newest));
    perform charge_budgets(of_epoch, case epoch_state when 'live' then released end, fresh, concerned);
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
  perform count_usage(fresh);
  return query select answer.outcome, answer.position, answer.chain;
end
$$;

-- As before, with the sums of what has the same context first.
create or replace function charge_budgets(of_epoch bigint, released jsonb, attempts text[], among text[]) returns void
language plpgsql as $$
declare
  scopes text[];
  newest timestamptz;
  has_older boolean;
begin
  select array_agg(scope), max(period_start) into scopes, newest from budgets where id = any(among);
  with counted as materialized (
    select named.scope, s.is_older, s.amount_nano
    from (
      select organisation, project, key, agent, run, counted_at < newest as is_older, sum(amount_nano) as amount_nano
      from settlements where attempt = any(attempts) and amount_nano > 0 group by 1, 2, 3, 4, 5, 6) s
    cross join lateral (values ('organisation:' || s.organisation), ('project:' || s.project), ('key:' || s.key),
      ('agent:' || s.agent), ('run:' || s.run)) as named(scope)
    where named.scope = any(scopes)
  ), given as materialized (
    select l.budget, l.period_start, least(sum(i.amount), l.out_nano) as amount
    from jsonb_to_recordset(released) as i(budget text, period_start timestamptz, amount numeric)
    join leases l on l.epoch = of_epoch and l.budget = i.budget and l.period_start = i.period_start
    group by l.epoch, l.budget, l.period_start
  ), of_leases as (
    update leases l set out_nano = l.out_nano - g.amount from given g
    where l.epoch = of_epoch and l.budget = g.budget and l.period_start = g.period_start
  ), of_past as (
    update budget_periods p set leased_nano = p.leased_nano - g.amount from given g where p.budget = g.budget and p.period_start = g.period_start
  ), of_budget as materialized (
    select part.budget, sum(part.spent) as spent, sum(part.back) as back
    from (
      select b.id as budget, c.spent, 0 as back
      from (select scope, sum(amount_nano) as spent from counted where not is_older group by scope) c join budgets b on b.scope = c.scope
      union all
      select b.id, 0, g.amount from given g join budgets b on b.id = g.budget and b.period_start = g.period_start
    ) part group by part.budget
  ), of_current as (
    update budgets b set spent_nano = b.spent_nano + o.spent, leased_nano = b.leased_nano - o.back from of_budget o where b.id = o.budget
  )
  select coalesce(bool_or(c.is_older), false) into has_older from counted c;
  if released is not null then
    delete from leases l using jsonb_to_recordset(released) as i(budget text)
    where l.epoch = of_epoch and l.budget = i.budget and l.out_nano = 0;
  end if;
  if has_older then
    perform charge_older(attempts, among, newest);
  end if;
end
$$;
