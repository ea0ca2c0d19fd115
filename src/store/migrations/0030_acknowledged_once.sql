-- What work under way uses of a changed budget becomes leased exactly once, and the functions that end `pending` take every budget's lock
-- in one go, so that none of them waits for another.

-- Ends `pending` of locked budgets where every live epoch works by the change. Called after the caller's own epoch was updated.
drop function clear_pending();
create function clear_pending(among text[]) returns void
language sql as $$
  update budgets set pending = false
  where id = any(among) and pending and not exists (select from epochs where state = 'live' and budgets_seen < change)
$$;

create function pending_budgets() returns text[]
language sql volatile as $$ select array(select id from budgets where pending) $$;

-- The epoch works by every change up to `seq`. held: [{budget, period_start, amount}], what it holds of budgets that its work began without,
-- and what of that is settled and not posted: it becomes leased, also beyond the limit. The process takes none of such a budget before
-- this, so a lease that is there was made by this function, whose answer was lost: it is left as it is. A number that was acknowledged
-- already changes nothing. Answers [{budget, period_start, out}]: what the epoch has leased of each budget and period that `held` names.
--
-- posted: {spool: number}, the last record of each of the epoch's spools that the process knows to be posted. Raises LS003 where more is:
-- then `held` counts as unposted what is posted, and the process tries again when it knows better.
drop function acknowledge(bigint, bigint, jsonb);
create function acknowledge(of_epoch bigint, seq bigint, held jsonb, posted jsonb) returns jsonb
language plpgsql as $$
declare
  locked text[];
begin
  -- No budget becomes pending meanwhile.
  perform from instance_incarnation for share;
  perform require_live(of_epoch);
  if held <> '[]' and exists (
    select from spools s join jsonb_each_text(posted) as p(spool, last) on p.spool = s.id where s.position <> p.last::bigint
  ) then
    raise exception using errcode = 'LS003', message = format('Spools of epoch %s are posted further than the process knows.', of_epoch);
  end if;
  update epochs set budgets_seen = seq where id = of_epoch and budgets_seen < seq;
  if not found then
    return leased_of(of_epoch, held);
  end if;
  locked := pending_budgets() || array(select i.budget from jsonb_to_recordset(held) as i(budget text));
  perform lock_budgets_by_id(locked);
  with items as materialized (
    select b.id, i.period_start, sum(i.amount) as amount
    from jsonb_to_recordset(held) as i(budget text, period_start timestamptz, amount numeric) join budgets b on b.id = i.budget
    where i.period_start = b.period_start or exists (select from budget_periods p where p.budget = b.id and p.period_start = i.period_start)
    group by b.id, i.period_start
  ), leased as (
    insert into leases as l (epoch, budget, period_start, out_nano) select of_epoch, id, period_start, amount from items where amount > 0
    on conflict (epoch, budget, period_start) do update set out_nano = excluded.out_nano where l.out_nano = 0
    returning budget, period_start, out_nano
  ), past_ones as (
    update budget_periods p set leased_nano = p.leased_nano + l.out_nano from leased l where p.budget = l.budget and p.period_start = l.period_start
  )
  update budgets b set leased_nano = b.leased_nano + l.out_nano from leased l where b.id = l.budget and b.period_start = l.period_start;
  perform clear_pending(locked);
  return leased_of(of_epoch, held);
end
$$;

-- What an epoch has leased of the budgets and periods that items name.
create function leased_of(of_epoch bigint, items jsonb) returns jsonb
language sql volatile as $$
  select coalesce(jsonb_agg(jsonb_build_object('budget', l.budget, 'period_start', l.period_start, 'out', l.out_nano::text)), '[]')
  from leases l join jsonb_to_recordset(items) as i(budget text, period_start timestamptz)
    on l.budget = i.budget and l.period_start = i.period_start
  where l.epoch = of_epoch
$$;

-- As before, with all locks of budgets taken in one go.
create or replace function fence_epoch(of_epoch bigint) returns table (id text, organisation text, budget text, amount_nano numeric, currency text)
language plpgsql as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger_now();
  items text[];
  locked text[];
begin
  perform from instance_incarnation for share;
  -- Waits for the takes and postings of the epoch that are half way: they hold a share of its row.
  perform from epochs e where e.id = of_epoch and e.state = 'live' for update;
  if not found then
    return;
  end if;
  update epochs e set state = 'fenced', ended_at = moment where e.id = of_epoch;
  locked := pending_budgets() || array(select l.budget from leases l where l.epoch = of_epoch);
  perform lock_budgets_by_id(locked);
  with lost as (
    delete from leases l where l.epoch = of_epoch returning l.budget, l.period_start, l.out_nano
  ), of_budget as (
    select b.id, b.organisation, b.currency, lost.period_start, lost.out_nano, lost.period_start = b.period_start as is_current
    from lost join budgets b on b.id = lost.budget where lost.out_nano > 0
  ), current_ones as (
    update budgets b set leased_nano = b.leased_nano - o.out_nano, lost_nano = b.lost_nano + o.out_nano
    from of_budget o where o.is_current and b.id = o.id
  ), past_ones as (
    update budget_periods p set leased_nano = p.leased_nano - o.out_nano, lost_nano = p.lost_nano + o.out_nano
    from of_budget o where not o.is_current and p.budget = o.id and p.period_start = o.period_start
  ), named as (
    insert into suspense (id, organisation, kind, subject, budget, period_start, epoch, amount_nano, currency, reason, created_at)
    select format('lost_lease:%s:%s:%s', of_epoch, o.id, (extract(epoch from o.period_start) * 1000)::bigint), o.organisation, 'lost_lease', o.id, o.id,
      o.period_start, of_epoch, o.out_nano, o.currency,
      format('Epoch %s was fenced: it is not known what it spent of its lease.', of_epoch), moment
    from of_budget o returning id
  )
  select array_agg(named.id) into items from named;
  perform book_suspense(coalesce(items, '{}'));
  perform clear_pending(locked);
  return query select s.id, s.organisation, s.budget, s.amount_nano, s.currency from suspense s where s.id = any(items) order by s.id;
end
$$;

-- As before, with all locks of budgets taken in one go.
create or replace function close_epoch(of_epoch bigint, ends jsonb) returns void
language plpgsql as $$
declare
  moment timestamptz := ledger_now();
  locked text[];
begin
  perform from instance_incarnation for share;
  perform from spools where epoch = of_epoch order by id for no key update;
  if exists (
    select from spools s left join jsonb_each_text(ends) as e(spool, last) on e.spool = s.id
    where s.epoch = of_epoch and s.state = 'open' and s.position is distinct from e.last::bigint
  ) then
    raise exception using errcode = 'LS002', message = format('Spools of epoch %s are not posted to their ends.', of_epoch);
  end if;
  update spools set state = 'ended', ended_at = moment where epoch = of_epoch and state = 'open';
  perform from epochs where id = of_epoch and state = 'live' for update;
  if found then
    update epochs set state = 'closed', ended_at = moment where id = of_epoch;
    locked := pending_budgets() || array(select budget from leases where epoch = of_epoch);
    perform lock_budgets_by_id(locked);
    with gone as (delete from leases where epoch = of_epoch returning budget, period_start, out_nano),
    current_ones as (
      update budgets b set leased_nano = b.leased_nano - g.out_nano from gone g where b.id = g.budget and b.period_start = g.period_start)
    update budget_periods p set leased_nano = p.leased_nano - g.out_nano
    from gone g where p.budget = g.budget and p.period_start = g.period_start;
    perform clear_pending(locked);
    perform pg_notify('lineshaft_leases', json_build_object('what', 'returned')::text);
  end if;
end
$$;
