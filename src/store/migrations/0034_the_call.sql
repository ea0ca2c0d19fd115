-- A call comes by any protocol and may be served by a model other than the one that was asked for. Beside the records of calls this file
-- makes the tables of stored responses and conversations, of routes between models, of kept answers, of files and of batches.

-- The gateway checks which protocols there are, so a new one needs no change here.
alter table calls drop constraint calls_endpoint_check;
-- The model that was asked for, where an alias or a fallback served the call; null: `model` itself.
alter table calls add column asked_model text;
-- Prompt and output tokens that a kept or shared answer did not cost.
alter table calls add column saved_tokens bigint;

-- The model and the rate card of an attempt; null in older rows, whose model is that of the call.
alter table attempts add column model text;
alter table attempts add column rate_card text;
-- Why it was made: first, retry, fallback, hedge, continued; null in older rows.
alter table attempts add column why text;

-- The gateway checks which kinds of engines there are.
alter table engines drop constraint engines_kind_check;
alter table engines
  add column preset text,
  -- The provider's own version of its API.
  add column version text,
  add column connect_ms integer check (connect_ms > 0),
  add column first_token_ms integer check (first_token_ms > 0),
  add column idle_ms integer check (idle_ms > 0),
  -- Calls that each of its endpoints is sent at once, at most.
  add column concurrency integer check (concurrency > 0);

-- Stored responses: what `previous_response_id` goes on from. A response does not change once it has ended. Prompts and answers are
-- sealed with the installation's key. The project stands first in every key, so that no project reads another's.
create table responses (
  project text not null,
  id text not null,
  organisation text not null,
  key text,
  -- The response that it goes on from, or the conversation that it belongs to.
  previous text,
  conversation text,
  call text,
  model text not null,
  status text not null check (status in ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')),
  background boolean not null default false,
  -- The process that computes it, and when that process was seen last.
  owner text,
  seen_at timestamptz,
  -- Sealed: the response as it is answered, without its output.
  head bytea not null,
  items bigint not null default 0,
  bytes bigint not null default 0,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (project, id)
);
create index responses_expire on responses (expires_at);
create index responses_open on responses (owner) where status in ('queued', 'in_progress');

create table response_items (
  project text not null,
  response text not null,
  -- `i`: input of this turn, `o`: output.
  side "char" not null,
  ordinal integer not null,
  id text,
  -- Sealed and compressed.
  item bytea not null,
  primary key (project, response, side, ordinal),
  foreign key (project, response) references responses on delete cascade
);

create table conversations (
  project text not null,
  id text not null,
  organisation text not null,
  metadata jsonb not null default '{}',
  -- The response that writes to it now, and until when its lock holds.
  locked_by text,
  locked_until timestamptz,
  created_at timestamptz not null default now(),
  primary key (project, id)
);

create table conversation_items (
  project text not null,
  conversation text not null,
  ordinal bigint generated always as identity,
  id text not null,
  item bytea not null,
  primary key (project, conversation, ordinal),
  foreign key (project, conversation) references conversations on delete cascade
);

-- What happens to calls of a model: which model serves its name, and what is tried when it fails. A name may end with `*`.
create table model_routes (
  organisation text not null references organisations,
  model text not null,
  route jsonb not null,
  updated_at timestamptz not null default now(),
  primary key (organisation, model)
);
create trigger tell_change after insert or update or delete on model_routes for each statement execute function tell_change();

-- Answers that are kept for identical calls of the same project, sealed.
create table kept_answers (
  project text not null,
  key bytea not null,
  model text not null,
  answer bytea not null,
  bytes integer not null,
  expires_at timestamptz not null,
  primary key (project, key)
);
create index kept_answers_expire on kept_answers (expires_at);

-- Files of batches, sealed in chunks.
create table files (
  project text not null,
  id text not null,
  organisation text not null,
  key text,
  purpose text not null,
  name text not null,
  bytes bigint not null,
  chunks integer not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  primary key (project, id)
);
create table file_chunks (
  project text not null,
  file text not null,
  ordinal integer not null,
  data bytea not null,
  primary key (project, file, ordinal),
  foreign key (project, file) references files on delete cascade
);

create table batches (
  project text not null,
  id text not null,
  organisation text not null,
  key text,
  endpoint text not null,
  input_file text not null,
  output_file text,
  error_file text,
  status text not null,
  metadata jsonb,
  total integer not null default 0,
  completed integer not null default 0,
  failed integer not null default 0,
  -- Moments of its states, by their names.
  times jsonb not null default '{}',
  errors jsonb,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (project, id)
);
create table batch_lines (
  project text not null,
  batch text not null,
  number integer not null,
  custom_id text not null,
  state text not null,
  call text,
  -- The process that runs it; its fence grows with each claim, so that a late owner writes nothing.
  owner text,
  fence bigint not null default 0,
  claimed_at timestamptz,
  request bytea not null,
  result bytea,
  primary key (project, batch, number),
  foreign key (project, batch) references batches on delete cascade
);
create index batch_lines_open on batch_lines (project, batch, number) where state in ('waiting', 'claimed');
