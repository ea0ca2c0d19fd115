-- A process's next spool file is complete through what the one before it was. Without that the process counted as complete through its
-- start until its first word of the new file, and bills that were final opened again.
create or replace function add_spool(of_epoch bigint, of_spool text, previous text, previous_end bigint) returns void
language plpgsql as $$
begin
  update spools set state = 'ended', ended_at = ledger_now() where id = previous and state = 'open' and position = previous_end;
  if not found and not exists (select from spools where id = previous and state = 'ended' and position = previous_end) then
    raise exception using errcode = 'LS002', message = format('Spool %s is not posted to its end.', previous);
  end if;
  insert into spools (id, epoch, complete_through)
  select of_spool, of_epoch, p.complete_through from spools p where p.id = previous
  on conflict (id) do nothing;
end
$$;
