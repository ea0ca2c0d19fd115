-- What a batch and its files need beside 0034: files that are still being written, why a batch ends early, and when a line that could not
-- be served is tried again.

-- False while its bytes are written; such a file is shown to nothing, and is removed where its writer has gone.
alter table files add column complete boolean not null default false;
create index files_expire on files (expires_at);

alter table batches
  -- Why it ends before all its lines were served: the code that the other lines get. Null while it goes on.
  add column ends text,
  -- How long its output is kept.
  add column output_kept_seconds integer;
create index batches_open on batches (status) where status in ('validating', 'in_progress', 'cancelling');

alter table batch_lines
  add constraint batch_lines_state check (state in ('waiting', 'claimed', 'done', 'failed')),
  -- It is not tried again before.
  add column not_before timestamptz,
  -- Tries that failed, and processes that ended while they ran it.
  add column tries integer not null default 0;
create index batch_lines_claimed on batch_lines (owner) where state = 'claimed';
