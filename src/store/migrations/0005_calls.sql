-- One row per call and per attempt, written when it has ended (a running call lives in memory and in its hold).
create table calls (
  id text primary key,
  organisation text not null,
  project text not null,
  key text,
  agent text,
  run text,
  program text,
  endpoint text not null check (endpoint in ('chat', 'completions')),
  model text not null,
  stream boolean not null,
  -- completed, refused (before any engine), failed (by the engine), cancelled (client gone)
  status text not null check (status in ('completed', 'refused', 'failed', 'cancelled')),
  error_code text,
  finish_reason text,
  prompt_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  price_nano bigint not null default 0,
  currency text not null,
  started_at timestamptz not null,
  first_token_ms real,
  duration_ms real not null
);
create index calls_recent on calls (organisation, id desc);
create index calls_of_run on calls (run) where run is not null;

create table attempts (
  id text primary key,
  call text not null references calls deferrable initially deferred,
  number integer not null,
  engine text not null,
  status text not null check (status in ('completed', 'failed', 'cancelled')),
  error_code text,
  -- The recorded choice of the endpoint: candidates, numbers, runner-up.
  decision jsonb,
  cached_by_tier jsonb,
  -- Milliseconds from the call's start: queue, place, connect, restore, prefill, decode, settle.
  timings jsonb not null,
  prompt_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  price_nano bigint not null default 0
);
create index attempts_of_call on attempts (call);
