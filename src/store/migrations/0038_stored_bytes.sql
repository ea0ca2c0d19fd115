-- How much a project keeps in stored responses and conversations, and what its owner has said of that.

-- What an owner has set; null, or no row: the installation's own.
create table response_settings (
  project text primary key,
  -- 0: nothing is kept.
  retention_days integer check (retention_days between 0 and 3650),
  most_bytes bigint check (most_bytes >= 0)
);

-- Bytes that a project keeps. A project has several rows, so that responses that end at once do not wait for each other's commit. One row
-- may be below 0; their sum is what counts.
create table stored_bytes (
  project text not null,
  shard smallint not null,
  bytes bigint not null,
  primary key (project, shard)
);

-- Events of a background response (items of the side `e`), in bytes as they are stored. They are not part of what a next turn reads.
alter table responses add column event_bytes bigint not null default 0;

-- Adds up what a statement has added, changed or removed. Deletions by cascade are statements too.
create function count_stored_bytes() returns trigger language plpgsql as $$
begin
  if tg_table_name = 'responses' then
    if tg_op = 'INSERT' then
      perform add_stored_bytes(project, sum(bytes + event_bytes + octet_length(head))::bigint) from added group by project order by project;
    elsif tg_op = 'DELETE' then
      perform add_stored_bytes(project, -sum(bytes + event_bytes + octet_length(head))::bigint) from removed group by project order by project;
    else
      perform add_stored_bytes(project, sum(change)::bigint)
        from (select project, bytes + event_bytes + octet_length(head) as change from added
              union all select project, -(bytes + event_bytes + octet_length(head)) from removed) changes
       group by project having sum(change) <> 0 order by project;
    end if;
  elsif tg_op = 'INSERT' then
    perform add_stored_bytes(project, sum(bytes)::bigint) from added group by project order by project;
  else
    perform add_stored_bytes(project, -sum(bytes)::bigint) from removed group by project order by project;
  end if;
  return null;
end $$;

create function add_stored_bytes(of_project text, change bigint) returns void language sql as $$
  insert into stored_bytes as known (project, shard, bytes) values (of_project, floor(random() * 8)::smallint, change)
  on conflict (project, shard) do update set bytes = known.bytes + excluded.bytes
$$;

create trigger count_added after insert on responses referencing new table as added
  for each statement execute function count_stored_bytes();
create trigger count_changed after update on responses referencing old table as removed new table as added
  for each statement execute function count_stored_bytes();
create trigger count_removed after delete on responses referencing old table as removed
  for each statement execute function count_stored_bytes();
create trigger count_added after insert on conversation_items referencing new table as added
  for each statement execute function count_stored_bytes();
create trigger count_removed after delete on conversation_items referencing old table as removed
  for each statement execute function count_stored_bytes();

insert into stored_bytes (project, shard, bytes)
select project, 0, sum(bytes)::bigint from (
  select project, bytes + octet_length(head) as bytes from responses
  union all select project, bytes from conversation_items) kept
group by project;
