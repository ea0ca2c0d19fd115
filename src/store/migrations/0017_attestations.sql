-- A person's word on an effect whose end is not known: whose word, what was said, and why. Rows are never changed, so an effect that
-- was attested twice (it did not happen, was tried again, and became unknown again) has two.
create table attestations (
  id text primary key,
  organisation text not null references organisations,
  project text not null references projects,
  run text not null references runs,
  effect text not null references effects,
  happened boolean not null,
  -- What the author looked at, in the author's words.
  note text not null check (note <> ''),
  -- The key that gave the word, and its name at that time.
  author text not null,
  author_name text not null,
  created_at timestamptz not null default now()
);
create index attestations_of_run on attestations (run);
select make_append_only('attestations');

-- Whether what was judged rests on a person's word about an effect.
alter table outcomes add column attested boolean not null default false;
