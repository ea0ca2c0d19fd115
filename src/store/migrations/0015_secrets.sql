-- Credentials of tools, each of one project and for its hosts only (src/governance/secrets.ts).
create table secrets (
  id text primary key,
  organisation text not null references organisations,
  project text not null references projects,
  name text not null,
  -- As src/engines/hosts.ts spells them. They are part of what the seal covers: changed hosts cannot be unsealed.
  hosts text[] not null check (cardinality(hosts) between 1 and 16),
  -- AES-256-GCM under the installation's key: nonce, tag, ciphertext. Erased when the secret is replaced or removed.
  sealed bytea,
  -- Key that set it; null: carried over from what the instance held before secrets belonged to projects.
  created_by text references keys,
  created_at timestamptz not null default now(),
  removed_at timestamptz,
  check ((sealed is null) = (removed_at is not null))
);
-- One that counts per name; those before it stay as a record of when it changed.
create unique index secrets_in_force on secrets (project, name) where removed_at is null;
create index secrets_of_organisation on secrets (organisation, id);

-- Engines that were added before environment variables had hosts keep their key, for the addresses that they had. Null: added since;
-- the key then goes to the hosts of its variable only (src/gateway/keyEnvs.ts).
alter table engines add column carried_key_urls text[];
update engines set carried_key_urls = urls where key_env is not null;
