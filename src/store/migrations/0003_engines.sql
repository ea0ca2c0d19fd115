-- How models are served by this machine itself.
create table deployments (
  name text primary key,
  organisation text not null references organisations,
  -- kind: Deployment, checked, with its defaults (fleet/deployments/manifest.ts).
  manifest jsonb not null,
  -- `environment`: a start made it of its environment, and the next one makes it anew; `published`: a person did, and it stays.
  source text not null check (source in ('environment', 'published')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- Engines that users added.
create table engines (
  name text primary key,
  organisation text not null references organisations,
  kind text not null check (kind in ('openai')),
  -- One address per endpoint; all of them serve the same model.
  urls text[] not null check (cardinality(urls) between 1 and 32),
  -- The engine's own name of the model; people ask for `name`.
  model text not null,
  -- Name of the environment variable that holds the provider's key; the key itself is never stored.
  key_env text,
  created_at timestamptz not null default now()
);

-- Prices, immutable and versioned: a change is a new row. Nano-currency per million tokens.
create table rate_cards (
  id text primary key,
  organisation text not null references organisations,
  -- What people ask for: an engine's or a deployment's name.
  model text not null,
  version integer not null,
  currency text not null,
  input_nano_per_million bigint not null check (input_nano_per_million >= 0),
  cached_nano_per_million bigint not null check (cached_nano_per_million >= 0),
  output_nano_per_million bigint not null check (output_nano_per_million >= 0),
  created_at timestamptz not null default now(),
  unique (organisation, model, version)
);
