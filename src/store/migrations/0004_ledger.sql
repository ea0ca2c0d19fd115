-- Money: double entry between accounts, budgets as counters, one hold and one settlement per attempt (DESIGN section 8).
-- Amounts are signed 64-bit nano-currency. Entries and journals are never updated or deleted.
create table accounts (
  id text primary key,
  organisation text not null references organisations,
  -- token_cost and provider_cost face each other for what calls cost; receivable and revenue for results that were sold.
  kind text not null check (kind in ('token_cost', 'provider_cost', 'receivable', 'revenue', 'suspense')),
  -- What the account is of: a project's id for token_cost, an engine's name for provider_cost, and so on.
  subject text not null,
  currency text not null,
  balance_nano bigint not null default 0,
  unique (organisation, kind, subject, currency)
);

create table journals (
  id text primary key,
  organisation text not null references organisations,
  kind text not null check (kind in ('settlement', 'result', 'correction')),
  -- The attempt, the outcome or the journal corrected; with kind it makes every event bill once.
  subject text not null,
  corrects text references journals,
  created_at timestamptz not null default now(),
  unique (kind, subject)
);

create table entries (
  journal text not null references journals,
  account text not null references accounts,
  amount_nano bigint not null,
  primary key (journal, account)
);

create table budgets (
  id text primary key,
  organisation text not null references organisations,
  scope_kind text not null check (scope_kind in ('organisation', 'project', 'key', 'agent', 'run')),
  scope_id text not null,
  currency text not null,
  limit_nano bigint not null check (limit_nano >= 0),
  spent_nano bigint not null default 0,
  held_nano bigint not null default 0 check (held_nano >= 0),
  -- month and day begin anew at UTC midnight; total never does.
  period text not null check (period in ('total', 'month', 'day')),
  period_start timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (scope_kind, scope_id)
);

create table holds (
  attempt text primary key,
  call text not null,
  organisation text not null references organisations,
  amount_nano bigint not null check (amount_nano >= 0),
  currency text not null,
  budgets text[] not null,
  rate_card text not null references rate_cards,
  -- Who took it: a hold whose owner is gone is settled in full by the sweeper.
  owner text not null,
  state text not null check (state in ('held', 'settled')) default 'held',
  created_at timestamptz not null default now()
);
create index holds_open on holds (owner) where state = 'held';

create table settlements (
  attempt text primary key references holds,
  journal text not null references journals,
  amount_nano bigint not null check (amount_nano >= 0),
  prompt_tokens bigint not null,
  cached_tokens bigint not null,
  output_tokens bigint not null,
  -- engine: it said so; counted: by us; estimated: nobody knows, the hold was taken as the truth.
  usage_source text not null check (usage_source in ('engine', 'counted', 'estimated')),
  created_at timestamptz not null default now()
);
