-- Alarms that an owner has not dismissed yet: they outlive a restart. Conditions that a process watches itself (a full disk) are not
-- here, because the process raises them again while they last.
create table alarms (
  -- Made of code, organisation and subject: raising the same alarm again is the same row.
  id text primary key,
  -- Null: it concerns the instance, and every owner sees it.
  organisation text references organisations,
  code text not null,
  message text not null,
  subject text,
  count bigint not null check (count > 0),
  first_at timestamptz not null,
  last_at timestamptz not null
);
