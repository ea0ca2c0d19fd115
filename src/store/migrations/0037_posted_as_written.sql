-- What is posted is read once and kept as it is written. As jsonb each of its texts would be taken apart and built anew, which was a sixth of
-- what Postgres spends on a call.

-- Nothing looks into these columns but reads of single calls and of a few hundred attempts.
alter table attempts
  alter column decision type json using decision::json,
  alter column cached_by_tier type json using cached_by_tier::json,
  alter column timings type json using timings::json;

drop function post_batch(text, bigint, bigint, bigint, bigint, timestamptz, jsonb);

-- As before, with items as json.
create function post_batch(of_spool text, first bigint, last bigint, chain_before bigint, chain_after bigint, complete timestamptz, items json)
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
         select least(g.amount, g.held) as amount, json_array_elements(g.leases) as part from given g
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

alter function post_batch(text, bigint, bigint, bigint, bigint, timestamptz, json) set enable_seqscan = off;
alter function post_batch(text, bigint, bigint, bigint, bigint, timestamptz, json) set enable_hashjoin = off;
alter function post_batch(text, bigint, bigint, bigint, bigint, timestamptz, json) set enable_mergejoin = off;
