-- Content-addressed payloads of a project. Body is canonical JSON; ref its SHA-256.
create table blobs (
  project text not null,
  ref text not null,
  body text not null,
  created_at timestamptz not null default now(),
  primary key (project, ref)
);
