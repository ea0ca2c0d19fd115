-- A settlement is counted at a moment of the clock by which its money was leased. Where the clock went back since, that moment lies ahead of
-- the present, and in a period that not every budget of the settlement has begun: such a budget begins it now, or is made in it, so that
-- what is counted in a period is what was charged in it.

-- Locks budgets in the order of their ids, and begins the period of a moment where it is later than their own: the old one goes to
-- budget_periods. A clock that goes back begins no period again.
create function lock_budgets_at(ids text[], moment timestamptz) returns void
language plpgsql as $$
begin
  perform from budgets where id = any(ids) order by id for no key update;
  if not exists (select from budgets where id = any(ids) and period_start < budget_period_start(period, moment)) then
    return;
  end if;
  insert into budget_periods (budget, period_start, period, spent_nano, leased_nano, lost_nano)
  select id, period_start, period, spent_nano, leased_nano, lost_nano from budgets
  where id = any(ids) and period_start < budget_period_start(period, moment);
  update budgets set spent_nano = 0, leased_nano = 0, lost_nano = 0, period_start = budget_period_start(period, moment)
  where id = any(ids) and period_start < budget_period_start(period, moment);
end
$$;

create or replace function lock_budgets_by_id(ids text[]) returns void
language sql as $$ select lock_budgets_at(ids, ledger_now()) $$;

-- The present, or the newest moment at which something of a scope was counted where that lies ahead.
create function newest_of(of_organisation text, kind text, of_id text) returns timestamptz
language sql stable as $$
  select greatest(ledger_now(), max(counted_at)) from settlements
  where organisation = of_organisation and counted_at > ledger_now() and of_id = case kind
    when 'organisation' then organisation when 'project' then project when 'key' then key when 'agent' then agent else run end
$$;

-- As before, with a new budget's period by `newest_of`.
create or replace function set_budget(new_id text, of_organisation text, kind text, of_id text, in_currency text, new_limit bigint, new_period text, fresh boolean)
returns table (id text, seq bigint)
language plpgsql as $$
#variable_conflict use_column
declare
  of_scope text := kind || ':' || of_id;
  start timestamptz;
  known budgets;
  number bigint;
begin
  if fresh then
    insert into budgets as b (id, organisation, scope_kind, scope_id, currency, limit_nano, period, period_start)
    values (new_id, of_organisation, kind, of_id, in_currency, new_limit, new_period,
      case new_period when 'total' then 'epoch' else budget_period_start(new_period, ledger_now()) end)
    on conflict (scope) do nothing;
    if found then
      return query select new_id, 0::bigint;
      return;
    end if;
  end if;
  select b.* into known from budgets b where b.scope = of_scope;
  if known.limit_nano = new_limit and known.period = new_period then
    return query select known.id, 0::bigint;
    return;
  end if;
  -- Changes are committed in the order of their numbers, so that a reader of the numbers misses none.
  perform from instance_incarnation for update;
  -- No posting may be half way: one that is not counted here must see the budget.
  lock table settlements in share row exclusive mode;
  select b.* into known from budgets b where b.scope = of_scope for no key update;
  if known.period <> new_period then
    perform remove_budget(known.organisation, known.id);
    known := null;
  end if;
  insert into budget_changes (budget, scope, at) values (coalesce(known.id, new_id), of_scope, ledger_now()) returning budget_changes.seq into number;
  if known.id is null then
    start := case new_period when 'total' then ledger_now() else budget_period_start(new_period, newest_of(of_organisation, kind, of_id)) end;
    insert into budgets (id, organisation, scope_kind, scope_id, currency, limit_nano, period, period_start, spent_nano)
    values (new_id, of_organisation, kind, of_id, in_currency, new_limit, new_period, start, spent_since(of_organisation, kind, of_id, start));
  else
    new_id := known.id;
    perform lock_budgets_by_id(array[new_id]);
  end if;
  update budgets b set limit_nano = new_limit, change = number,
    pending = b.pending or (known.id is null or new_limit < known.limit_nano)
      and exists (select from epochs e where e.state = 'live' and e.budgets_seen < number)
  where b.id = new_id;
  perform pg_notify('lineshaft_budgets', number::text);
  return query select new_id, number;
end
$$;

-- As before, with the budgets in the period of the newest settlement.
create or replace function post_batch(of_spool text, first bigint, last bigint, chain_before bigint, chain_after bigint, complete timestamptz, items jsonb)
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
  if answer.outcome <> 'posted' or items = '[]' then
    return query select answer.outcome, answer.position, answer.chain;
    return;
  end if;
  select s.epoch into of_epoch from spools s where s.id = of_spool;
  select e.state into epoch_state from epochs e where e.id = of_epoch for key share;
  -- A budget that is set at the same time counts either every row of this batch, or none of them and is seen below.
  lock table settlements in row exclusive mode;
  moment := ledger_now();

  with given as materialized (
    select distinct on (i.attempt) * from jsonb_to_recordset(items) as i(
      attempt text, call text, organisation text, project text, key text, agent text, run text, model text, rate_card text, currency text,
      held bigint, counted_at timestamptz, amount bigint, prompt bigint, cached bigint, cache_write bigint, cache_write_long bigint,
      output bigint, reasoning bigint, units jsonb, source text, suspense bigint, claimed_prompt bigint, claimed_output bigint, leases jsonb)
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
  )
  select
    (select array_agg(p.attempt) from posted p),
    (select array_agg(distinct named.scope) from posted p cross join lateral (values
       ('organisation:' || p.organisation), ('project:' || p.project), ('key:' || p.key), ('agent:' || p.agent), ('run:' || p.run)) as named(scope)
     where named.scope is not null),
    (select jsonb_agg(jsonb_build_object('journal', 'batch:' || of_spool || ':' || first || ':' || line.organisation,
       'account', line.organisation || '/' || line.kind || '/' || line.subject, 'organisation', line.organisation, 'kind', line.kind,
       'subject', line.subject, 'currency', line.currency, 'amount', line.amount))
     from (
       select p.organisation, side.kind, side.subject, p.currency, sum(side.amount) as amount
       from posted p cross join lateral (values ('token_cost', p.project, p.amount_nano), ('suspense', p.model, p.suspense_nano),
         ('provider_cost', p.model, -(p.amount_nano + p.suspense_nano))) as side(kind, subject, amount)
       group by 1, 2, 3, 4 having sum(side.amount) <> 0) line),
    (select jsonb_agg(jsonb_build_object('budget', r.budget, 'period_start', r.period_start, 'amount', r.amount))
     from (
       select l.part ->> 0 as budget, (l.part ->> 1)::timestamptz as period_start, sum(l.amount) as amount
       from (
         select least(g.amount, g.held) as amount, jsonb_array_elements(g.leases) as part from given g
         -- Looked up in a hash of the new attempts; as a plain condition it would become a join of all with all.
         where g.amount > 0 and coalesce(g.attempt in (select p.attempt from posted p), false)) l
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
    join jsonb_to_recordset(items) as i(attempt text, unanswered boolean) on i.attempt = s.attempt
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
