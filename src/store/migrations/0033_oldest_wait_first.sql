-- A process that asks for more than an equal part of a limit was kept back while another one waited for its part. Two processes whose calls
-- each need more than an equal part kept each other back until their calls were given up. Now a process is kept back only by one that has
-- waited for longer.
alter table limit_shares add column waits_since timestamptz;

create or replace function sync_limit_shares(of_process int, this_turn bigint, items jsonb)
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
  since timestamptz;
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
    since := case when mine.waits_at > now() - interval '1 second' then mine.waits_since else now() end;
    kept_back := kept + item.least > fair and exists (
      select from limit_shares s where s.usage_limit = item.number and s.process <> of_process
        and s.units < fair and s.waits_at > now() - interval '1 second' and (s.waits_since, s.process) < (since, of_process));
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
    insert into limit_shares as s (usage_limit, process, turn, units, used, waits_at, waits_since)
      values (item.number, of_process, this_turn, held, greatest(item.used - gone, 0),
              case when granted < item.least then now() end, case when granted < item.least then since end)
      on conflict (usage_limit, process) do update
        set turn = excluded.turn, units = excluded.units, used = excluded.used, waits_at = excluded.waits_at,
            waits_since = excluded.waits_since, gone_at = null;
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
