-- Agents, their immutable versions, and runs. Postgres is the truth: a run can be started again from here into an empty Restate.
create table agents (
  id text primary key,
  organisation text not null references organisations,
  project text not null references projects,
  name text not null,
  created_at timestamptz not null default now(),
  unique (project, name)
);

create table agent_versions (
  id text primary key,
  agent text not null references agents,
  number integer not null,
  -- The published manifest as a blob of the project: the manifest with everything it was pinned to (model, tool definitions,
  -- verifier). Publishing what is the newest version already is a no-op.
  manifest_ref text not null,
  created_at timestamptz not null default now(),
  unique (agent, number)
);

create table runs (
  id text primary key,
  organisation text not null,
  project text not null,
  agent text not null references agents,
  version text not null references agent_versions,
  key text,
  -- Creating a run again with the same key answers the same run.
  idempotency_key text,
  input_ref text not null,
  status text not null check (status in ('queued', 'running', 'waiting', 'completed', 'failed', 'stopped')),
  -- Steps taken so far; the next turn begins there.
  next_step integer not null default 0,
  -- Failures in a row of the step that is next, and when a waiting run goes on by itself (null: a person or an event decides).
  retries integer not null default 0,
  wake_at timestamptz,
  -- Time that it waited for a person, which does not count against its limit of seconds.
  paused_ms bigint not null default 0,
  -- Who works on it: the process (its life is an advisory lock) and a number that grows with every activation. A step is
  -- written only by the activation that holds the newest fence, so two never do the same step twice.
  owner integer,
  fence bigint not null default 0,
  output_ref text,
  error_code text,
  error_message text,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  updated_at timestamptz not null default now(),
  unique (project, idempotency_key)
);
create index runs_recent on runs (organisation, id desc);
create index runs_unfinished on runs (status) where status in ('queued', 'running', 'waiting');

create table steps (
  run text not null references runs,
  number integer not null,
  kind text not null check (kind in ('model', 'tool', 'wait', 'verify')),
  name text not null,
  status text not null check (status in ('completed', 'failed')),
  input_ref text,
  output_ref text,
  call text,
  effect text,
  error_message text,
  started_at timestamptz not null,
  ended_at timestamptz not null,
  primary key (run, number)
);

-- Tool calls that change something outside: exactly one row per logical step and ordinal, whatever is retried (DESIGN section 7).
create table effects (
  -- organisation:run:step:ordinal, also what the tool is given to recognise a repetition.
  key text primary key,
  organisation text not null,
  project text not null,
  run text not null references runs,
  step integer not null,
  ordinal integer not null,
  tool text not null,
  arguments_ref text not null,
  state text not null check (state in ('planned', 'claimed', 'done', 'unknown')),
  result_ref text,
  attempts integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index effects_of_run on effects (run);
