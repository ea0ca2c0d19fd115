-- Leases: a process (an epoch) takes a share of a budget, admits calls against it in memory, and gives back what it does not need
-- (DESIGN section 4). Postgres sees takes, returns, acknowledgements of changed budgets, and batches of posted records.
--
-- For every grant: spent + leased + lost + asked <= limit, checked with the budget's row locked.
--
-- Locks are always taken in this order, rows of a kind in the order of their ids: the incarnation, spools, epochs, settlements (the
-- table), budgets, suspense, accounts. Leases and past periods are touched only while their budget's row is locked. So no two of the
-- functions below can wait for each other.

-- --- tables ---------------------------------------------------------------------------------------------------------------

-- One row. Its incarnation is raised by a restore. Its lock puts the changes of budgets in one order, beside which epochs begin and end.
create table instance_incarnation (
  incarnation bigint not null,
  one boolean primary key default true check (one)
);
insert into instance_incarnation (incarnation) values (1);

-- One life of a process. live: it may take. fenced: its money was booked to suspense, and what it posts later draws on that. closed:
-- everything of it is posted and given back.
create table epochs (
  id bigint generated always as identity primary key,
  -- Its identity as an advisory lock (store/process.ts).
  process bigint not null,
  incarnation bigint not null,
  machine text not null,
  state text not null default 'live' check (state in ('live', 'fenced', 'closed')),
  -- It works by every change of a budget up to this number.
  budgets_seen bigint not null,
  -- Number and answer of its newest take or return: the same number again is answered the same.
  request bigint not null default 0,
  answer jsonb,
  started_at timestamptz not null,
  seen_at timestamptz not null,
  ended_at timestamptz
);
create index epochs_live on epochs (id) where state = 'live';

-- The local files of records. Everything up to `position` is posted, and `chain` is the running checksum up to there.
create table spools (
  id text primary key,
  epoch bigint not null references epochs,
  position bigint not null default 0,
  chain bigint not null default 0,
  -- Every attempt of this spool that counts before this moment is posted.
  complete_through timestamptz,
  -- damaged: nothing more of it is posted.
  state text not null default 'open' check (state in ('open', 'ended', 'damaged')),
  ended_at timestamptz
);
create index spools_of_epoch on spools (epoch);
create index spools_open on spools (id) where state = 'open';

alter table budgets add column leased_nano numeric(38, 0) not null default 0 check (leased_nano >= 0);
-- Leases of fenced epochs: it is not known what they spent, so they count as spent.
alter table budgets add column lost_nano numeric(38, 0) not null default 0 check (lost_nano >= 0);
-- Number of its newest change; 0: it was set together with its scope.
alter table budgets add column change bigint not null default 0;
-- Not every live epoch works by that change yet.
alter table budgets add column pending boolean not null default false;
-- The run of its scope has ended: it is left out of lists.
alter table budgets add column ended_at timestamptz;
-- Times that processes send back must not lose digits there.
update budgets set period_start = date_trunc('milliseconds', period_start) where period = 'total';
create index budgets_pending on budgets (id) where pending;

create table budget_changes (
  seq bigint generated always as identity primary key,
  budget text not null,
  scope text not null,
  at timestamptz not null
);

-- Periods that are over; late records land here. The current one is in `budgets`.
create table budget_periods (
  budget text not null references budgets on delete cascade,
  period_start timestamptz not null,
  period text not null check (period in ('month', 'day')),
  spent_nano numeric(38, 0) not null default 0,
  leased_nano numeric(38, 0) not null default 0 check (leased_nano >= 0),
  lost_nano numeric(38, 0) not null default 0 check (lost_nano >= 0),
  primary key (budget, period_start)
);

create table leases (
  epoch bigint not null references epochs,
  budget text not null references budgets on delete cascade,
  period_start timestamptz not null,
  -- What the process has free, holds, and has settled but not posted.
  out_nano numeric(38, 0) not null check (out_nano >= 0),
  -- Asked back for another process, 0 once that was answered, and when it was asked.
  recall_nano numeric(38, 0) not null default 0 check (recall_nano >= 0),
  recalled_at timestamptz,
  -- All calls that hold from it wait for more money; the start of the youngest of them, and when the process said so.
  stuck_youngest timestamptz,
  stuck_at timestamptz,
  -- When it last answered a recall with nothing, and has neither given back nor been granted money since.
  answered_at timestamptz,
  primary key (epoch, budget, period_start)
);
create index leases_of_budget on leases (budget);

-- Amounts whose payer is not known yet, each by name. `drawn`: what turned out to be spent, or was resolved.
create table suspense (
  -- kind:subject; the same thing is booked once.
  id text primary key,
  organisation text not null references organisations,
  -- lost_lease: of a fenced epoch, on one budget and period. over_hold: claimed beyond the hold. unanswered: the engine gave no answer.
  -- quarantine: a record that the database refused.
  kind text not null check (kind in ('lost_lease', 'over_hold', 'unanswered', 'quarantine')),
  -- Subject of its account in suspense: the model, or the budget of a lease.
  subject text not null,
  budget text,
  period_start timestamptz,
  epoch bigint,
  attempt text,
  model text,
  amount_nano numeric(38, 0) not null check (amount_nano >= 0),
  drawn_nano numeric(38, 0) not null default 0 check (drawn_nano >= 0 and drawn_nano <= amount_nano),
  currency text not null,
  reason text not null,
  created_at timestamptz not null
);
create index suspense_of_organisation on suspense (organisation, created_at);
create index suspense_of_epoch on suspense (epoch) where epoch is not null;

-- Records that the database refused, as they stand in their spool.
create table quarantine (
  spool text not null references spools,
  number bigint not null,
  record jsonb not null,
  sqlstate text not null,
  amount_nano bigint not null,
  created_at timestamptz not null,
  primary key (spool, number)
);
select make_append_only('quarantine');

-- reserve faces suspense for lost leases: a lease is no payable, and one unit of money may be leased from several budgets.
alter table accounts drop constraint accounts_kind_check;
alter table accounts add constraint accounts_kind_check
  check (kind in ('token_cost', 'provider_cost', 'receivable', 'revenue', 'suspense', 'reserve'));
alter table journals drop constraint journals_kind_check;
alter table journals add constraint journals_kind_check
  check (kind in ('settlement', 'suspense', 'result', 'correction', 'batch', 'draw'));

-- --- settlements: everything that a bill needs, without the hold --------------------------------------------------------------

create table settlements_with_context (
  attempt text not null,
  organisation text not null,
  call text not null,
  project text not null,
  key text,
  agent text,
  run text,
  model text not null,
  rate_card text not null,
  currency text not null,
  held_nano bigint not null check (held_nano >= 0),
  amount_nano bigint not null check (amount_nano >= 0),
  prompt_tokens bigint not null,
  cached_tokens bigint not null,
  cache_write_tokens bigint not null default 0,
  cache_write_long_tokens bigint not null default 0,
  output_tokens bigint not null,
  reasoning_tokens bigint not null default 0,
  -- Counts of what is priced by the unit, by name.
  units jsonb,
  usage_source text not null check (usage_source in ('engine', 'counted', 'estimated')),
  suspense_nano bigint not null default 0 check (suspense_nano >= 0),
  claimed_prompt_tokens bigint,
  claimed_output_tokens bigint,
  -- The moment of its hold by the database's clock, as its process knew that: it counts in the periods that this moment lies in.
  counted_at timestamptz not null,
  -- The journal that posted it; null: settlement:<attempt>, from before leases.
  batch text,
  created_at timestamptz not null
);
insert into settlements_with_context (attempt, organisation, call, project, key, agent, run, model, rate_card, currency, held_nano,
  amount_nano, prompt_tokens, cached_tokens, output_tokens, usage_source, suspense_nano, claimed_prompt_tokens, claimed_output_tokens,
  counted_at, created_at)
select s.attempt, s.organisation, h.call, h.project,
  (select substr(scope, 5) from unnest(h.scopes) as scope where scope like 'key:%' limit 1), h.agent, h.run, h.model, h.rate_card,
  h.currency, h.amount_nano, s.amount_nano, s.prompt_tokens, s.cached_tokens, s.output_tokens, s.usage_source, s.suspense_nano,
  s.claimed_prompt_tokens, s.claimed_output_tokens, s.created_at, s.created_at
from settlements s join holds h using (attempt);
drop function spent_since(text, timestamptz);
drop table settlements;
alter table settlements_with_context rename to settlements;
alter table settlements add primary key (attempt);
create index settlements_counted on settlements (organisation, counted_at);
create index settlements_in_suspense on settlements (organisation, counted_at) where suspense_nano > 0;
select make_append_only('settlements');

insert into suspense (id, organisation, kind, subject, attempt, model, amount_nano, currency, reason, created_at)
select 'over_hold:' || attempt, organisation, 'over_hold', model, attempt, model, suspense_nano, currency,
  'The engine claimed more than was held, or gave no answer.', created_at
from settlements where suspense_nano > 0;

-- --- clock and periods ----------------------------------------------------------------------------------------------------

-- The clock of periods and of liveness, in milliseconds, as processes know times. Tests that need another time replace this function.
create function ledger_now() returns timestamptz
language sql volatile as $$ select date_trunc('milliseconds', clock_timestamp()) $$;

-- The first moment of the next period; null for a total.
create function budget_period_end(period text, start timestamptz) returns timestamptz
language sql stable as $$
  select case period
    when 'month' then budget_period_start('month', start + interval '32 days')
    when 'day' then start + interval '1 day'
  end
$$;

-- What attempts of a scope cost, of those that count from a moment on: the truth that spent_nano projects.
create function spent_since(of_organisation text, kind text, of_id text, since timestamptz) returns numeric
language sql stable as $$
  select coalesce(sum(amount_nano), 0) from settlements
  where organisation = of_organisation and counted_at >= since and of_id = case kind
    when 'organisation' then organisation when 'project' then project when 'key' then key when 'agent' then agent else run end
$$;

-- Locks budgets in the order of their ids, and begins their new period where one has begun: the old one goes to budget_periods. A
-- clock that goes back begins no period again.
create function lock_budgets_by_id(ids text[]) returns void
language plpgsql as $$
declare
  moment timestamptz := ledger_now();
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

-- As before, and the ended period is kept.
create or replace function lock_budgets(scopes text[]) returns void
language sql as $$
  select lock_budgets_by_id(array(select id from budgets where scope = any(scopes)))
$$;

-- --- epochs -----------------------------------------------------------------------------------------------------------------

-- Begins the epoch of a process and its first spool.
create function begin_epoch(of_process bigint, of_machine text, of_spool text)
returns table (epoch bigint, incarnation bigint, budgets_seen bigint, now timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
  begun bigint;
  current_incarnation bigint;
  newest bigint;
  moment timestamptz := ledger_now();
begin
  select i.incarnation into current_incarnation from instance_incarnation i for share;
  select coalesce(max(seq), 0) into newest from budget_changes;
  insert into epochs (process, incarnation, machine, budgets_seen, started_at, seen_at)
  values (of_process, current_incarnation, of_machine, newest, moment, moment) returning id into begun;
  insert into spools (id, epoch) values (of_spool, begun);
  return query select begun, current_incarnation, newest, moment;
end
$$;

-- Adds the next spool of an epoch, after rotation or a failed sync ended `previous`, which must be posted to its end; raises LS002
-- otherwise. A fenced epoch may have further spools too: its records draw on what it lost. Repeating it changes nothing.
create function add_spool(of_epoch bigint, of_spool text, previous text, previous_end bigint) returns void
language plpgsql as $$
begin
  update spools set state = 'ended', ended_at = ledger_now() where id = previous and state = 'open' and position = previous_end;
  if not found and not exists (select from spools where id = previous and state = 'ended' and position = previous_end) then
    raise exception using errcode = 'LS002', message = format('Spool %s is not posted to its end.', previous);
  end if;
  insert into spools (id, epoch) values (of_spool, of_epoch) on conflict (id) do nothing;
end
$$;

-- Raises LS001 for an epoch that may not take any more; keeps it from being fenced until the transaction ends.
create function require_live(of_epoch bigint) returns void
language plpgsql as $$
begin
  perform from epochs where id = of_epoch and state = 'live' for key share;
  if not found then
    raise exception using errcode = 'LS001', message = format('Epoch %s is fenced or has ended.', of_epoch);
  end if;
end
$$;

-- Ends `pending` where every live epoch works by the change. Called after the caller's own epoch was updated. Two callers at once take
-- turns at the budgets' locks, and the second one sees what the first has done.
create function clear_pending() returns void
language plpgsql as $$
declare
  waiting text[] := array(select id from budgets where pending);
begin
  if waiting = '{}' then
    return;
  end if;
  perform from budgets where id = any(waiting) order by id for no key update;
  update budgets set pending = false
  where id = any(waiting) and pending and not exists (select from epochs where state = 'live' and budgets_seen < change);
end
$$;

-- Takes money from an epoch that seems to be dead, for ever: what it has out is booked to suspense by name, and counts as lost in its
-- budgets. What it posts later draws on that. Answers the named items; repeating it answers none.
create function fence_epoch(of_epoch bigint) returns table (id text, organisation text, budget text, amount_nano numeric, currency text)
language plpgsql as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger_now();
  items text[];
begin
  perform from instance_incarnation for share;
  -- Waits for the takes and postings of the epoch that are half way: they hold a share of its row.
  perform from epochs e where e.id = of_epoch and e.state = 'live' for update;
  if not found then
    return;
  end if;
  update epochs e set state = 'fenced', ended_at = moment where e.id = of_epoch;
  perform lock_budgets_by_id(array(select l.budget from leases l where l.epoch = of_epoch));
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
  perform clear_pending();
  return query select s.id, s.organisation, s.budget, s.amount_nano, s.currency from suspense s where s.id = any(items) order by s.id;
end
$$;

-- Posts named items of suspense, each in a journal of its own.
create function book_suspense(items text[]) returns void
language plpgsql as $$
begin
  insert into journals (id, organisation, kind)
  select 'suspense:' || id, organisation, 'suspense' from suspense where id = any(items) and amount_nano > 0;
  perform post_entries((
    select coalesce(jsonb_agg(jsonb_build_object('journal', 'suspense:' || s.id, 'account', s.organisation || '/' || side.kind || '/' || s.subject,
      'organisation', s.organisation, 'kind', side.kind, 'subject', s.subject, 'currency', s.currency, 'amount', s.amount_nano * side.sign)), '[]')
    from suspense s
    cross join lateral (values ('suspense', 1), (case when s.budget is null then 'provider_cost' else 'reserve' end, -1)) as side(kind, sign)
    where s.id = any(items) and s.amount_nano > 0));
end
$$;

-- Ends an epoch whose process is known to be dead, or asks itself: what it has out goes back to the budgets. Every spool of it must be
-- posted to its end: `ends` names the number of each spool's last record. Raises LS002 otherwise. A fenced epoch's lost leases stay lost.
create function close_epoch(of_epoch bigint, ends jsonb) returns void
language plpgsql as $$
declare
  moment timestamptz := ledger_now();
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
    perform lock_budgets_by_id(array(select budget from leases where epoch = of_epoch));
    with gone as (delete from leases where epoch = of_epoch returning budget, period_start, out_nano),
    current_ones as (
      update budgets b set leased_nano = b.leased_nano - g.out_nano from gone g where b.id = g.budget and b.period_start = g.period_start)
    update budget_periods p set leased_nano = p.leased_nano - g.out_nano
    from gone g where p.budget = g.budget and p.period_start = g.period_start;
    perform clear_pending();
    perform pg_notify('lineshaft_leases', json_build_object('what', 'returned')::text);
  end if;
end
$$;

-- --- budgets ----------------------------------------------------------------------------------------------------------------

drop function set_budget(text, text, text, text, text, bigint, text);

-- Sets the one budget of a scope, or changes its limit. Another kind of period makes another budget: what processes hold of the old one
-- is no part of its period. A month or day counts what was charged in it already. `fresh`: no call of the scope can have been admitted
-- yet, so no process needs to be told. Answers the number of the change, 0 without one. A new budget and a lowered limit are pending
-- until every live epoch has acknowledged that number or is fenced.
create function set_budget(new_id text, of_organisation text, kind text, of_id text, in_currency text, new_limit bigint, new_period text, fresh boolean)
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
    start := case new_period when 'total' then ledger_now() else budget_period_start(new_period, ledger_now()) end;
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

-- Removes a budget with its leases, so that calls under way go on without it. True when there was one.
create function remove_budget(of_organisation text, of_id text) returns boolean
language plpgsql as $$
declare
  of_scope text;
  number bigint;
begin
  perform from instance_incarnation for update;
  delete from budgets where organisation = of_organisation and id = of_id returning scope into of_scope;
  if not found then
    return false;
  end if;
  insert into budget_changes (budget, scope, at) values (of_id, of_scope, ledger_now()) returning seq into number;
  perform pg_notify('lineshaft_budgets', number::text);
  return true;
end
$$;

-- The epoch works by every change up to `seq`. held: [{budget, period_start, amount}], what it has held under budgets that were changed
-- since: that becomes leased, also beyond the limit. A number that was acknowledged already changes nothing.
create function acknowledge(of_epoch bigint, seq bigint, held jsonb) returns void
language plpgsql as $$
begin
  perform require_live(of_epoch);
  update epochs set budgets_seen = seq where id = of_epoch and budgets_seen < seq;
  if not found then
    return;
  end if;
  if held <> '[]' then
    perform lock_budgets_by_id(array(select i.budget from jsonb_to_recordset(held) as i(budget text)));
    with items as materialized (
      select b.id, i.period_start, sum(i.amount) as amount
      from jsonb_to_recordset(held) as i(budget text, period_start timestamptz, amount numeric) join budgets b on b.id = i.budget
      where i.period_start = b.period_start or exists (select from budget_periods p where p.budget = b.id and p.period_start = i.period_start)
      group by b.id, i.period_start
    ), leased as (
      insert into leases as l (epoch, budget, period_start, out_nano) select of_epoch, id, period_start, amount from items
      on conflict (epoch, budget, period_start) do update set out_nano = l.out_nano + excluded.out_nano
    ), past_ones as (
      update budget_periods p set leased_nano = p.leased_nano + i.amount from items i where p.budget = i.id and p.period_start = i.period_start
    )
    update budgets b set leased_nano = b.leased_nano + i.amount from items i where b.id = i.id and b.period_start = i.period_start;
  end if;
  perform clear_pending();
end
$$;

-- --- leases ------------------------------------------------------------------------------------------------------------------

-- The budgets of scopes, for an epoch, with their figures. A scope that is not answered had no budget when the change `as_of` was the
-- newest. One row with nulls is answered where no scope has one.
create function budgets_of(of_epoch bigint, scopes text[]) returns table (
  as_of bigint, now timestamptz, budget text, scope text, currency text, period text, period_start timestamptz, period_end timestamptz,
  limit_nano bigint, spent_nano numeric, leased_nano numeric, lost_nano numeric, out_nano numeric, change bigint, pending boolean, ended boolean
) language sql volatile as $$
  select (select coalesce(max(seq), 0) from budget_changes), ledger_now(), b.id, b.scope, b.currency, b.period, b.period_start,
    budget_period_end(b.period, b.period_start), b.limit_nano, b.spent_nano, b.leased_nano, b.lost_nano, coalesce(l.out_nano, 0), b.change, b.pending,
    b.ended_at is not null
  from (select) one
  left join budgets b on b.scope = any(scopes)
  left join leases l on l.epoch = of_epoch and l.budget = b.id and l.period_start = b.period_start
$$;

-- Takes money for an epoch. asks: [{ask, parts: [{budget, least, need, want, stuck_youngest}]}], least <= need <= want, taken in their
-- order: an ask gets at least `least` on each of its budgets, or nothing on any. Where there is more it gets `need`, and up to `want` as
-- far as half of an equal share of what is left goes; a run's budget that no other epoch has money of is given whole to an ask for more
-- than its need. stuck_youngest: all of the epoch's holders on the budget wait for money, and this is the start of the youngest.
--
-- Where an ask finds too little of a budget, the later asks of the statement get none of it either: the process serves its calls in
-- order, and what a later one got it would only give back.
--
-- A refused ask asks the money of other epochs back. Where all others that have money of the budget have answered within two seconds that
-- they can give none, and all are stuck, the one with the youngest holder is answered `cut`: it must end that holder, so that the oldest goes on.
--
-- `number` counts the takes and returns of the epoch from 1; the same number again is answered what it was answered first. The answer
-- is a list of {ask, granted, now, parts: [{budget, state, ...}]}; state is granted, short (this budget refused), spared (another one
-- did) or gone (there is no such budget any more).
create function take_leases(of_epoch bigint, number bigint, asks jsonb) returns jsonb
language plpgsql as $$
#variable_conflict use_column
declare
  given jsonb := '[]';
  earlier jsonb;
  moment timestamptz;
  live bigint;
  item jsonb;
  part record;
  refused boolean;
  parts jsonb;
  recalled boolean := false;
  short text[] := '{}';
  is_silent boolean;
  must_cut boolean;
begin
  perform require_live(of_epoch);
  select e.answer into earlier from epochs e where e.id = of_epoch and e.request = number;
  if found then
    return earlier;
  end if;
  perform lock_budgets_by_id(array(
    select distinct p.budget from jsonb_array_elements(asks) as a, jsonb_to_recordset(a -> 'parts') as p(budget text)));
  moment := ledger_now();
  select count(*) into live from epochs where state = 'live';
  for item in select value from jsonb_array_elements(asks) loop
    parts := '[]';
    refused := exists (
      select from jsonb_to_recordset(item -> 'parts') as p(budget text, least numeric)
      left join budgets b on b.id = p.budget
      where b.id is null or b.id = any(short) or b.limit_nano - b.spent_nano - b.leased_nano - b.lost_nano < p.least);
    for part in
      select p.budget, p.least, p.need, p.want, p.stuck_youngest, b.id is null as is_gone, b.scope, b.scope_kind, b.currency, b.period,
        b.period_start, b.limit_nano, b.spent_nano, b.leased_nano, b.lost_nano, b.limit_nano - b.spent_nano - b.leased_nano - b.lost_nano as left_nano,
        coalesce(l.out_nano, 0) as out_nano, 0::numeric as granted
      from jsonb_to_recordset(item -> 'parts') as p(budget text, least numeric, need numeric, want numeric, stuck_youngest timestamptz)
      left join budgets b on b.id = p.budget
      left join leases l on l.epoch = of_epoch and l.budget = b.id and l.period_start = b.period_start
      order by p.budget
    loop
      must_cut := false;
      if part.is_gone then
        parts := parts || jsonb_build_object('budget', part.budget, 'state', 'gone');
        continue;
      end if;
      if not refused then
        part.granted := case
          when part.scope_kind = 'run' and part.want > part.need and part.leased_nano = part.out_nano then greatest(part.left_nano, part.least)
          else greatest(least(part.need, part.left_nano), least(part.want, div(part.left_nano, 2 * live)), part.least)
        end;
        insert into leases as l (epoch, budget, period_start, out_nano) values (of_epoch, part.budget, part.period_start, part.granted)
        on conflict (epoch, budget, period_start) do update
          set out_nano = l.out_nano + excluded.out_nano, stuck_youngest = null, stuck_at = null, answered_at = null;
        update budgets b set leased_nano = b.leased_nano + part.granted where b.id = part.budget;
      else
        update leases l set stuck_youngest = part.stuck_youngest, stuck_at = moment
        where l.epoch = of_epoch and l.budget = part.budget and l.period_start = part.period_start;
        if part.left_nano < part.least then
          short := short || part.budget;
          must_cut := coalesce((
            select bool_and(l.stuck_youngest is not null and l.stuck_at > moment - interval '2 seconds')
              and bool_and(l.epoch = of_epoch or coalesce(l.answered_at > moment - interval '2 seconds', false))
              and (array_agg(l.epoch order by l.stuck_youngest desc, l.epoch desc))[1] = of_epoch
            from leases l where l.budget = part.budget and l.period_start = part.period_start and l.out_nano > 0), false);
          update leases l set recall_nano = greatest(l.recall_nano, part.need - part.left_nano),
            recalled_at = case when l.recall_nano > 0 then l.recalled_at else moment end
          where l.budget = part.budget and l.period_start = part.period_start and l.epoch <> of_epoch and l.out_nano > 0;
          recalled := recalled or found;
        end if;
      end if;
      is_silent := false;
      if refused then
        is_silent := exists (
          select from leases l where l.budget = part.budget and l.period_start = part.period_start
            and l.epoch <> of_epoch and l.out_nano > 0 and l.recall_nano > 0 and l.recalled_at < moment - interval '1 second');
      end if;
      parts := parts || jsonb_build_object(
        'budget', part.budget, 'scope', part.scope, 'currency', part.currency,
        'state', case when not refused then 'granted' when part.budget = any(short) then 'short' else 'spared' end,
        'period_start', part.period_start, 'period_end', budget_period_end(part.period, part.period_start),
        'granted', part.granted::text, 'limit', part.limit_nano::text, 'spent', part.spent_nano::text, 'lost', part.lost_nano::text,
        'leased_elsewhere', (part.leased_nano - part.out_nano)::text, 'left', (part.left_nano - part.granted)::text,
        'out', (part.out_nano + part.granted)::text, 'silent_elsewhere', is_silent, 'cut', must_cut);
    end loop;
    given := given || jsonb_build_object('ask', item -> 'ask', 'granted', not refused, 'now', moment, 'parts', parts);
  end loop;
  update epochs e set request = number, answer = given where e.id = of_epoch;
  if recalled then
    perform pg_notify('lineshaft_leases', json_build_object('what', 'recall', 'epoch', of_epoch)::text);
  end if;
  return given;
end
$$;

-- Gives money back: items [{budget, period_start, amount}]. It answers a recall, also with an amount of 0. `number` as for take_leases.
create function return_leases(of_epoch bigint, number bigint, items jsonb) returns void
language plpgsql as $$
declare
  recalled boolean;
begin
  perform require_live(of_epoch);
  perform from epochs where id = of_epoch and request = number;
  if found then
    return;
  end if;
  perform lock_budgets_by_id(array(select i.budget from jsonb_to_recordset(items) as i(budget text)));
  with given as materialized (
    select l.budget, l.period_start, l.recall_nano > 0 as recalled, sum(i.amount) as amount
    from jsonb_to_recordset(items) as i(budget text, period_start timestamptz, amount numeric)
    join leases l on l.epoch = of_epoch and l.budget = i.budget and l.period_start = i.period_start
    group by l.epoch, l.budget, l.period_start
  ), of_lease as (
    update leases l set out_nano = l.out_nano - g.amount, recall_nano = 0,
      stuck_youngest = case when g.amount = 0 then l.stuck_youngest end, stuck_at = case when g.amount = 0 then l.stuck_at end,
      answered_at = case when g.amount = 0 then ledger_now() end
    from given g where l.epoch = of_epoch and l.budget = g.budget and l.period_start = g.period_start
    returning l.budget, l.period_start, g.amount, g.recalled and g.amount > 0 as recalled
  ), current_ones as (
    update budgets b set leased_nano = b.leased_nano - o.amount from of_lease o where b.id = o.budget and b.period_start = o.period_start
  ), past_ones as (
    update budget_periods p set leased_nano = p.leased_nano - o.amount from of_lease o where p.budget = o.budget and p.period_start = o.period_start
  )
  select bool_or(o.recalled) into recalled from of_lease o;
  delete from leases where epoch = of_epoch and out_nano = 0 and budget = any(array(select i.budget from jsonb_to_recordset(items) as i(budget text)));
  update epochs set request = number, answer = null where id = of_epoch;
  if recalled then
    perform pg_notify('lineshaft_leases', json_build_object('what', 'returned', 'epoch', of_epoch)::text);
  end if;
end
$$;

-- --- the path before leases, which writes the new columns too -----------------------------------------------------------------

create or replace function settle_attempts(items jsonb)
returns table (attempt text, amount_nano bigint, suspense_nano bigint, currency text, repeated boolean)
language plpgsql as $$
#variable_conflict use_column
declare
  fresh text[];
begin
  fresh := array(
    select h.attempt from holds h
    where not h.settled and h.attempt = any(array(select i.attempt from jsonb_to_recordset(items) as i(attempt text)))
    order by h.attempt for update);
  insert into settlements (attempt, organisation, call, project, key, agent, run, model, rate_card, currency, held_nano, amount_nano,
    prompt_tokens, cached_tokens, output_tokens, usage_source, suspense_nano, claimed_prompt_tokens, claimed_output_tokens, counted_at, created_at)
  select i.attempt, h.organisation, h.call, h.project, (select substr(scope, 5) from unnest(h.scopes) as scope where scope like 'key:%' limit 1),
    h.agent, h.run, h.model, h.rate_card, h.currency, h.amount_nano, least(i.amount, h.amount_nano), i.prompt, i.cached, i.output, i.source,
    case when coalesce(a.balance_nano, 0) > 1000000000000000000 then 0
      else least(coalesce(i.suspense, 0) + greatest(i.amount - h.amount_nano, 0), 100000000000000) end,
    i.claimed_prompt, i.claimed_output, ledger_now(), ledger_now()
  from jsonb_to_recordset(items) as i(attempt text, amount bigint, prompt bigint, cached bigint, output bigint, source text,
    suspense bigint, claimed_prompt bigint, claimed_output bigint)
  join holds h on h.attempt = i.attempt
  left join accounts a on a.id = h.organisation || '/suspense/' || h.model
  where i.attempt = any(fresh);
  insert into suspense (id, organisation, kind, subject, attempt, model, amount_nano, currency, reason, created_at)
  select 'over_hold:' || s.attempt, s.organisation, 'over_hold', s.model, s.attempt, s.model, s.suspense_nano, s.currency,
    'The engine claimed more than was held, or gave no answer.', s.created_at
  from settlements s where s.attempt = any(fresh) and s.suspense_nano > 0;
  perform lock_budgets(array(select distinct scope from holds h cross join unnest(h.scopes) as scope where h.attempt = any(fresh)));
  update budgets b set spent_nano = b.spent_nano + s.spent
  from (
    select scope, sum(s.amount_nano) as spent
    from settlements s join holds h on h.attempt = s.attempt cross join unnest(h.scopes) as scope
    where s.attempt = any(fresh) group by scope
  ) s
  where b.scope = s.scope;
  update budgets b set held_nano = b.held_nano - s.held
  from (
    select budget, sum(h.amount_nano) as held
    from holds h cross join unnest(h.budgets) as budget
    where h.attempt = any(fresh) group by budget
  ) s
  where b.id = s.budget;
  insert into journals (id, organisation, kind)
  select j.kind || ':' || s.attempt, s.organisation, j.kind
  from settlements s cross join lateral (values ('settlement', s.amount_nano), ('suspense', s.suspense_nano)) as j(kind, amount)
  where s.attempt = any(fresh) and j.amount > 0;
  -- One posting for both kinds, since accounts are locked in the order of their ids.
  perform post_entries((
    select coalesce(jsonb_agg(line), '[]') from (
      select jsonb_build_object('journal', side.journal || ':' || h.attempt, 'account', h.organisation || '/' || side.kind || '/' || side.subject,
        'organisation', h.organisation, 'kind', side.kind, 'subject', side.subject, 'currency', h.currency,
        'amount', side.amount) as line
      from holds h join settlements s on s.attempt = h.attempt
      cross join lateral (values
        ('settlement', 'token_cost', h.project, s.amount_nano), ('settlement', 'provider_cost', h.model, -s.amount_nano),
        ('suspense', 'suspense', h.model, s.suspense_nano), ('suspense', 'provider_cost', h.model, -s.suspense_nano)
      ) as side(journal, kind, subject, amount)
      where h.attempt = any(fresh) and side.amount <> 0
    ) lines));
  update holds h set settled = true where h.attempt = any(fresh);
  perform count_usage(fresh);
  return query
    select s.attempt, s.amount_nano, s.suspense_nano, h.currency, s.attempt <> all(fresh)
    from settlements s join holds h on h.attempt = s.attempt
    where s.attempt = any(array(select i.attempt from jsonb_to_recordset(items) as i(attempt text)));
end
$$;

-- As before: rows are found by their keys whatever the statistics say.
alter function settle_attempts(jsonb) set enable_seqscan = off;
alter function settle_attempts(jsonb) set enable_hashjoin = off;
alter function settle_attempts(jsonb) set enable_mergejoin = off;
