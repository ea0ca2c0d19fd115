-- Several processes serve from one database, and keep some of its tables in memory: which engines there are, and what models cost. A change of one of these tables is told on one channel, with the table's name; a process that hears it reads the table again
-- (store/changes.ts). A trigger tells it, so that no writer can forget to. These tables change when a person changes something.
create function tell_change() returns trigger language plpgsql as $$
begin
  perform pg_notify('lineshaft_changes', tg_table_name);
  return null;
end $$;

create trigger tell_change after insert or update or delete on engines for each statement execute function tell_change();
create trigger tell_change after insert or update or delete on rate_cards for each statement execute function tell_change();
create trigger tell_change after insert or update or delete on price_policies for each statement execute function tell_change();

-- What was created under an `Idempotency-Key`, for a day: the row is made in the transaction that creates, so a second process that is
-- sent the same key waits for the first, and a crash leaves neither. The answer may hold the secret of a new key, so it is sealed with
-- the installation's key.
create table creations (
  organisation text not null references organisations,
  -- SHA-256 of the caller's key, method, path and Idempotency-Key.
  name bytea not null,
  -- SHA-256 of the body: the same key with another body is refused.
  digest bytea not null,
  sealed bytea not null,
  created_at timestamptz not null default now(),
  primary key (organisation, name)
);
create index creations_of_age on creations (organisation, created_at);
