-- Tenants and who may act in them. A key's secret is never stored, only its HMAC.
create table organisations (
  id text primary key,
  name text not null unique,
  -- One currency per organisation: its ledger, budgets and contracts are in it.
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  created_at timestamptz not null default now()
);

create table projects (
  id text primary key,
  organisation text not null references organisations,
  name text not null,
  created_at timestamptz not null default now(),
  unique (organisation, name)
);

create table keys (
  id text primary key,
  organisation text not null references organisations,
  project text not null references projects,
  name text not null,
  -- owner: everything; member: calls, runs and reads of its project.
  role text not null check (role in ('owner', 'member')),
  secret_hmac bytea not null unique,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
