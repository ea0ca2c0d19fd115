-- Why a run did not go on, kept after it went on: a wait for an engine, a tool server, a budget or a person. Waits for one step and
-- one reason are one row, so that a run that is tried again a thousand times has a thousand in `times` and not a thousand rows.
create table run_waits (
  run text not null references runs,
  -- Number of the step that could not be done; a later try of it did it, or the run ended.
  step integer not null,
  -- Code and sentence of the failure that made the run wait; the sentence is that of the newest wait.
  code text not null,
  message text not null,
  times integer not null default 1,
  waited_ms bigint not null default 0,
  began_at timestamptz not null default now(),
  -- While the run waits: since when, and when it goes on by itself (null: a person decides).
  open_since timestamptz,
  until timestamptz,
  primary key (run, step, code)
);
