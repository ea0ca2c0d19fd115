-- Limits on use (requests, tokens, calls and bytes by scope) and the shares that processes hold of them.
--
-- The limits are configuration and are kept like any row. Shares and counts are of the moment: they are unlogged, so that a share that
-- is taken or returned costs no write-ahead log. A crash of Postgres empties them, and every process that lives says its use again with
-- its next statement.

create table usage_limits (
  id text primary key,
  number int generated always as identity unique,
  organisation text not null references organisations (id),
  scope_kind text not null check (scope_kind in ('organisation', 'project', 'key')),
  scope_id text not null,
  model text,
  dimension text not null check (dimension in
    ('requests_per_minute', 'tokens_per_minute', 'tokens_per_day', 'concurrent_calls', 'bytes_in_flight')),
  amount bigint not null check (amount >= 0),
  created_at timestamptz not null default now(),
  unique nulls not distinct (organisation, scope_kind, scope_id, model, dimension)
);

create unlogged table limit_shares (
  usage_limit int not null,
  process int not null,
  -- The statement that wrote the row last: one that comes late does not undo a later one.
  turn bigint not null,
  units bigint not null check (units >= 0),
  used bigint not null check (used >= 0),
  recalled_at timestamptz,
  waits_at timestamptz,
  gone_at timestamptz,
  primary key (usage_limit, process)
);

-- Use that still counts and is no process's share any more: slots of a day that are over, and what processes had used that have ended.
create unlogged table limit_counted (
  usage_limit int not null,
  process int not null,
  slot bigint not null,
  amount bigint not null check (amount > 0),
  until timestamptz not null,
  primary key (usage_limit, process, slot)
);

-- One turn of a process: for each limit it says what it has used and keeps, and may ask for more. The shares of a limit and what is
-- counted of it are never granted beyond its amount. Limits are locked in the order of their numbers.
--
-- A grant is all of `least` or nothing. Beyond it a process gets what it wants up to its part of half of what is free, so that shares
-- become exact where little is free. While another process waits that has less than an equal part, one that has an equal part gets nothing.
create function sync_limit_shares(of_process int, this_turn bigint, items jsonb)
returns table (number int, amount bigint, units bigint, others bigint, unused bigint, recalled boolean, refused boolean)
language plpgsql as $$
declare
  item record;
  mine limit_shares;
  gone bigint;
  kept bigint;
  free bigint;
  granted bigint;
  held bigint;
  claimants bigint;
  fair bigint;
  kept_back boolean;
begin
  for item in
    select * from jsonb_to_recordset(items)
      as i (number int, used bigint, kept bigint, least bigint, want bigint, moved jsonb)
    order by i.number
  loop
    perform pg_advisory_xact_lock(40700005, item.number);
    number := item.number;
    select l.amount into amount from usage_limits l where l.number = item.number;
    if not found then
      delete from limit_shares s where s.usage_limit = item.number;
      delete from limit_counted c where c.usage_limit = item.number;
      amount := null; units := 0; others := 0; unused := 0; recalled := false; refused := false;
      return next;
      continue;
    end if;
    select * into mine from limit_shares s where s.usage_limit = item.number and s.process = of_process;
    continue when mine.turn >= this_turn;
    delete from limit_counted c where c.usage_limit = item.number and c.until <= now();
    insert into limit_counted
      select item.number, of_process, m.slot, m.amount, now() + m."forMs" * interval '1 millisecond'
      from jsonb_to_recordset(item.moved) as m (slot bigint, amount bigint, "forMs" double precision)
      on conflict do nothing;
    -- A share whose row was taken away (its process was believed dead) is worth what was used of it.
    select coalesce(sum((m ->> 'amount')::bigint), 0) into gone from jsonb_array_elements(item.moved) m;
    kept := greatest(item.used - gone, least(item.kept, coalesce(mine.units, 0)) - gone, 0);
    select coalesce(sum(s.units), 0), coalesce(sum(greatest(s.units - s.used, 0)), 0),
           1 + count(*) filter (where s.units > 0 or s.waits_at > now() - interval '1 second')
      into others, unused, claimants
      from limit_shares s where s.usage_limit = item.number and s.process <> of_process;
    others := others + coalesce((select sum(c.amount) from limit_counted c where c.usage_limit = item.number), 0);
    free := amount - others - kept;
    fair := amount / claimants;
    kept_back := kept + item.least > fair and exists (
      select from limit_shares s where s.usage_limit = item.number and s.process <> of_process
        and s.units < fair and s.waits_at > now() - interval '1 second');
    granted := 0;
    if free >= item.least and not (item.least > 0 and kept_back) then
      granted := item.least;
      if not kept_back then
        granted := granted + greatest(0, least(item.want - item.least, (free - item.least) / (2 * claimants)));
      end if;
    end if;
    held := kept + granted;
    -- Use that passed the limit (output that came, a limit that was lowered) counts until it leaves the window, and gives no right to more.
    units := least(held, greatest(amount - others, 0));
    recalled := coalesce(mine.recalled_at > now() - interval '1 second', false);
    insert into limit_shares as s (usage_limit, process, turn, units, used, waits_at)
      values (item.number, of_process, this_turn, held, greatest(item.used - gone, 0),
              case when granted < item.least then now() end)
      on conflict (usage_limit, process) do update
        set turn = excluded.turn, units = excluded.units, used = excluded.used, waits_at = excluded.waits_at, gone_at = null;
    if held = 0 and item.least = 0 then
      delete from limit_shares s where s.usage_limit = item.number and s.process = of_process;
    end if;
    refused := granted < item.least;
    if refused then
      -- Those that have more than they use, or more than an equal part, return it. They hear it once in a while, not for every call.
      update limit_shares s set recalled_at = now()
        where s.usage_limit = item.number and s.process <> of_process and s.units > 0
          and (s.recalled_at is null or s.recalled_at < now() - interval '50 milliseconds');
      if found then
        perform pg_notify('lineshaft_usage', 'recall ' || item.number);
      end if;
    end if;
    return next;
  end loop;
end;
$$;

-- Takes the shares of processes away whose lock has been free for five seconds. What they had counts for a window more (`window_ms` of
-- the limit's dimension), because all of it may have been used at the last moment. A process that lives all the same takes its share up
-- again with its next turn.
create function reclaim_limit_shares(window_ms jsonb) returns void
language plpgsql as $$
begin
  update limit_shares s
    set gone_at = case when exists (
      select from pg_locks l where l.locktype = 'advisory' and l.classid = 40700002 and l.objid = s.process::oid
        and l.objsubid = 2 and l.granted
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
    ) then null else coalesce(s.gone_at, now()) end
    where (s.gone_at is null) = not exists (
      select from pg_locks l where l.locktype = 'advisory' and l.classid = 40700002 and l.objid = s.process::oid
        and l.objsubid = 2 and l.granted
        and l.database = (select d.oid from pg_database d where d.datname = current_database()));
  with gone as (
    delete from limit_shares s where s.gone_at < now() - interval '5 seconds'
    returning s.usage_limit, s.process, s.turn, s.units
  )
  insert into limit_counted
    select g.usage_limit, g.process, -1 - g.turn, g.units,
           now() + coalesce((window_ms ->> l.dimension)::double precision, 0) * interval '1 millisecond'
    from gone g join usage_limits l on l.number = g.usage_limit
    where g.units > 0 and (window_ms ->> l.dimension)::double precision > 0
    on conflict do nothing;
end;
$$;
