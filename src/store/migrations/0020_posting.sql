-- Posting: batches of records of a spool become settlements, entries and figures of budgets, exactly once. The position of the spool and
-- what its records say are committed together.

-- Locks a spool, so that a transaction that posts its records does nothing else first.
create function lock_spool(of_spool text) returns void
language sql as $$ select from spools where id = of_spool for no key update $$;

-- Moves a locked spool on over the records `first` to `last`. Answers what stands in the way, or 'posted':
--   already    these records are posted
--   elsewhere  the position is another one, which is answered; the poster goes on from there
--   gap        records before these are missing
--   forked     a record of these numbers is posted with another checksum: two files have one name, and nothing more is posted of them
--   stopped    the spool is damaged or has ended
create function advance_spool(of_spool text, first bigint, last bigint, chain_before bigint, chain_after bigint, complete timestamptz)
returns table (outcome text, "position" bigint, chain bigint)
language plpgsql as $$
#variable_conflict use_column
declare
  s spools;
begin
  select * into s from spools where id = of_spool for no key update;
  if not found then
    raise exception using errcode = 'LS003', message = format('Spool %s is not known.', of_spool);
  end if;
  if s.state <> 'open' then
    return query select 'stopped', s.position, s.chain;
  elsif s.position = first - 1 and s.chain = chain_before then
    update spools set position = last, chain = chain_after, complete_through = greatest(complete_through, complete) where id = of_spool;
    return query select 'posted', last, chain_after;
  elsif s.position = first - 1 or (s.position = last and s.chain <> chain_after) then
    update spools set state = 'damaged', ended_at = ledger_now() where id = of_spool;
    return query select 'forked', s.position, s.chain;
  elsif s.position = last then
    return query select 'already', s.position, s.chain;
  else
    return query select case when s.position < first then 'gap' else 'elsewhere' end, s.position, s.chain;
  end if;
end
$$;

-- Posts the records `first` to `last` of a spool. items, one of each settled attempt among them: {attempt, call, organisation, project,
-- key, agent, run, model, rate_card, currency, held, counted_at, amount, prompt, cached, cache_write, cache_write_long, output,
-- reasoning, units, source, suspense, unanswered, claimed_prompt, claimed_output, leases: [[budget, period_start]]}.
--
-- An attempt that has a settlement is left as it is. The amount goes back from the leases that the item names; of a fenced epoch it is
-- drawn from what was booked to suspense. It counts as spent in every budget that the attempt's scopes have now, in the period that
-- counted_at lies in.
--
-- With `last` = `first` - 1 and no items it posts nothing and says only that the spool is complete through a later moment.
--
-- It is the last statement of its transaction, because the rows of budgets and accounts that it locks are waited for by others.
create function post_batch(of_spool text, first bigint, last bigint, chain_before bigint, chain_after bigint, complete timestamptz, items jsonb)
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
    (select coalesce(bool_or(p.suspense_nano > 0), false) from posted p)
  into fresh, scopes, lines, released, has_suspense;

  if fresh is null then
    return query select answer.outcome, answer.position, answer.chain;
    return;
  end if;
  concerned := array(select b.id from budgets b where b.scope = any(scopes)
    union select r.budget from jsonb_to_recordset(released) as r(budget text));
  if concerned <> '{}' then
    perform lock_budgets_by_id(concerned);
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

-- Charges the locked budgets `among` with settlements, in one update of each.
--
-- released: [{budget, period_start, amount}], what goes back from the leases of a live epoch; null for another. A lease of a removed budget
-- is not there any more. No more is taken than a lease has: what was spent is counted all the same.
--
-- A settlement counts as spent in those of the budgets that its scopes have: in the current period, or in the past one that counted_at
-- lies in, where the budget was there already.
create function charge_budgets(of_epoch bigint, released jsonb, attempts text[], among text[]) returns void
language plpgsql as $$
declare
  scopes text[];
  newest timestamptz;
  has_older boolean;
begin
  select array_agg(scope), max(period_start) into scopes, newest from budgets where id = any(among);
  with counted as materialized (
    select named.scope, s.counted_at, s.amount_nano
    from settlements s cross join lateral (values ('organisation:' || s.organisation), ('project:' || s.project), ('key:' || s.key),
      ('agent:' || s.agent), ('run:' || s.run)) as named(scope)
    where s.attempt = any(attempts) and s.amount_nano > 0 and named.scope = any(scopes)
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
      from (select scope, sum(amount_nano) as spent from counted where counted_at >= newest group by scope) c join budgets b on b.scope = c.scope
      union all
      select b.id, 0, g.amount from given g join budgets b on b.id = g.budget and b.period_start = g.period_start
    ) part group by part.budget
  ), of_current as (
    update budgets b set spent_nano = b.spent_nano + o.spent, leased_nano = b.leased_nano - o.back from of_budget o where b.id = o.budget
  )
  select coalesce(bool_or(c.counted_at < newest), false) into has_older from counted c;
  if released is not null then
    delete from leases l using jsonb_to_recordset(released) as i(budget text)
    where l.epoch = of_epoch and l.budget = i.budget and l.out_nano = 0;
  end if;
  if has_older then
    perform charge_older(attempts, among, newest);
  end if;
end
$$;

-- Counts settlements from before a moment as spent, one by one for each budget: its period may be older than that of another budget.
create function charge_older(attempts text[], among text[], before timestamptz) returns void
language plpgsql as $$
begin
  with older as materialized (
    select b.id, b.period, b.period_start, s.counted_at, s.amount_nano
    from settlements s cross join lateral (values ('organisation:' || s.organisation), ('project:' || s.project), ('key:' || s.key),
      ('agent:' || s.agent), ('run:' || s.run)) as named(scope)
    join budgets b on b.scope = named.scope
    where s.attempt = any(attempts) and s.amount_nano > 0 and s.counted_at < before and b.id = any(among)
  ), of_past as (
    update budget_periods p set spent_nano = p.spent_nano + late.spent
    from (
      select id, budget_period_start(period, counted_at) as period_start, sum(amount_nano) as spent
      from older where period <> 'total' and counted_at < period_start group by 1, 2
    ) late
    where p.budget = late.id and p.period_start = late.period_start
  )
  update budgets b set spent_nano = b.spent_nano + o.spent
  from (select id, sum(amount_nano) as spent from older where counted_at >= period_start group by 1) o
  where b.id = o.id;
end
$$;

-- Late records of a fenced epoch: what they spent is drawn from its lost leases, so that it does not count twice. At most what is left of
-- an item is drawn. items: [{budget, period_start, amount}].
create function draw_on_lost(of_epoch bigint, journal text, items jsonb) returns void
language plpgsql as $$
#variable_conflict use_column
declare
  lines jsonb;
begin
  with asked as (
    select i.budget, i.period_start, sum(i.amount) as amount
    from jsonb_to_recordset(items) as i(budget text, period_start timestamptz, amount numeric) group by 1, 2
  ), drawn as (
    select s.id, s.organisation, s.subject, s.budget, s.period_start, s.currency, least(a.amount, s.amount_nano - s.drawn_nano) as amount
    from asked a join suspense s on s.epoch = of_epoch and s.kind = 'lost_lease' and s.budget = a.budget and s.period_start = a.period_start
  ), of_items as (
    update suspense s set drawn_nano = s.drawn_nano + d.amount from drawn d where s.id = d.id and d.amount > 0
  ), of_current as (
    update budgets b set lost_nano = b.lost_nano - d.amount from drawn d where b.id = d.budget and b.period_start = d.period_start
  ), of_past as (
    update budget_periods p set lost_nano = p.lost_nano - d.amount from drawn d where p.budget = d.budget and p.period_start = d.period_start
  ), of_journals as (
    insert into journals (id, organisation, kind) select distinct journal || ':' || d.organisation, d.organisation, 'draw' from drawn d where d.amount > 0
  )
  select jsonb_agg(jsonb_build_object('journal', journal || ':' || line.organisation, 'account', line.organisation || '/' || line.kind || '/' || line.subject,
    'organisation', line.organisation, 'kind', line.kind, 'subject', line.subject, 'currency', line.currency, 'amount', line.amount)) into lines
  from (
    select d.organisation, side.kind, d.subject, d.currency, sum(d.amount * side.sign) as amount
    from drawn d cross join lateral (values ('suspense', -1), ('reserve', 1)) as side(kind, sign) where d.amount > 0 group by 1, 2, 3, 4) line;
  if lines is not null then
    perform post_entries(lines);
  end if;
end
$$;

-- Puts one record aside that the database refuses, and moves the spool on over it. item: {attempt, organisation, model, currency, amount,
-- leases} of a settled attempt, null for another record. Its amount is booked to suspense, and what its leases covered is lost.
create function quarantine_record(of_spool text, number bigint, chain_before bigint, chain_after bigint, complete timestamptz,
  refused jsonb, code text, item jsonb)
returns table (outcome text, "position" bigint, chain bigint)
language plpgsql as $$
#variable_conflict use_column
declare
  answer record;
  of_epoch bigint;
  epoch_state text;
  moment timestamptz := ledger_now();
  amount bigint := coalesce((item ->> 'amount')::bigint, 0);
  part record;
  reason text;
  items text[] := '{}';
begin
  select * into answer from advance_spool(of_spool, number, number, chain_before, chain_after, complete);
  if answer.outcome <> 'posted' then
    return query select answer.outcome, answer.position, answer.chain;
    return;
  end if;
  insert into quarantine (spool, number, record, sqlstate, amount_nano, created_at) values (of_spool, number, refused, code, amount, moment);
  select s.epoch into of_epoch from spools s where s.id = of_spool;
  select e.state into epoch_state from epochs e where e.id = of_epoch for key share;
  reason := format('Record %s of spool %s was refused (%s).', number, of_spool, code);
  if amount > 0 and epoch_state = 'live' then
    perform lock_budgets_by_id(array(select p ->> 0 from jsonb_array_elements(item -> 'leases') as p));
    for part in
      select b.id, b.organisation, b.currency, l.period_start, least(l.out_nano, amount) as amount, l.period_start = b.period_start as is_current
      from jsonb_array_elements(item -> 'leases') as p
      join budgets b on b.id = p ->> 0
      join leases l on l.epoch = of_epoch and l.budget = b.id and l.period_start = (p ->> 1)::timestamptz
      where l.out_nano > 0 order by b.id
    loop
      update leases set out_nano = out_nano - part.amount where epoch = of_epoch and budget = part.id and period_start = part.period_start;
      if part.is_current then
        update budgets set leased_nano = leased_nano - part.amount, lost_nano = lost_nano + part.amount where id = part.id;
      else
        update budget_periods set leased_nano = leased_nano - part.amount, lost_nano = lost_nano + part.amount
        where budget = part.id and period_start = part.period_start;
      end if;
      insert into suspense (id, organisation, kind, subject, budget, period_start, epoch, attempt, amount_nano, currency, reason, created_at)
      values (format('quarantine:%s:%s:%s', of_spool, number, part.id), part.organisation, 'quarantine', part.id, part.id, part.period_start,
        of_epoch, item ->> 'attempt', part.amount, part.currency, reason, moment);
      items := items || format('quarantine:%s:%s:%s', of_spool, number, part.id);
    end loop;
  end if;
  if amount > 0 then
    begin
      insert into suspense (id, organisation, kind, subject, attempt, model, amount_nano, currency, reason, created_at)
      values (format('quarantine:%s:%s', of_spool, number), item ->> 'organisation', 'quarantine', item ->> 'model', item ->> 'attempt',
        item ->> 'model', amount, item ->> 'currency', reason, moment);
      items := items || format('quarantine:%s:%s', of_spool, number);
    exception when integrity_constraint_violation then
      -- The record names no organisation or no model that could be charged: its amount stands in quarantine alone.
      null;
    end;
  end if;
  perform book_suspense(items);
  return query select answer.outcome, answer.position, answer.chain;
end
$$;

-- Stops a spool whose file is damaged, and fences its epoch: what of its lease is not accounted for is booked to suspense by name.
create function damage_spool(of_spool text) returns void
language plpgsql as $$
declare
  of_epoch bigint;
begin
  perform from instance_incarnation for share;
  update spools set state = 'damaged', ended_at = ledger_now() where id = of_spool and state = 'open' returning epoch into of_epoch;
  perform fence_epoch(of_epoch);
end
$$;

-- Rows are found by their keys whatever the statistics say: a connection keeps the plans that it made while the tables were small.
alter function post_batch(text, bigint, bigint, bigint, bigint, timestamptz, jsonb) set enable_seqscan = off;
alter function post_batch(text, bigint, bigint, bigint, bigint, timestamptz, jsonb) set enable_hashjoin = off;
alter function post_batch(text, bigint, bigint, bigint, bigint, timestamptz, jsonb) set enable_mergejoin = off;
alter function take_leases(bigint, bigint, jsonb) set enable_seqscan = off;
alter function take_leases(bigint, bigint, jsonb) set enable_hashjoin = off;
alter function take_leases(bigint, bigint, jsonb) set enable_mergejoin = off;
