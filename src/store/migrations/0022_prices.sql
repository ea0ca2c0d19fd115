-- Prices of more kinds than three, moments of validity, and what an organisation does where a model has no price.

-- What a card has beyond its three prices: cache writes, reasoning, tiers, the fee of a call, units, batch prices (ledger/cards.ts).
alter table rate_cards add column more jsonb not null default '{}';

-- The card that began last prices a call, of those that are valid at the moment of its hold; of two that began together the newer
-- version. Cards of before have been valid since ever. Rows are never updated, so the default of old rows is what writes theirs.
alter table rate_cards add column valid_from timestamptz not null default '-infinity';
alter table rate_cards alter column valid_from set default now();
alter table rate_cards add column valid_until timestamptz check (valid_until > valid_from);
create index rate_cards_by_validity on rate_cards (organisation, model, valid_from desc, version desc);

-- An organisation without a row refuses calls of models without a price.
create table price_policies (
  organisation text primary key references organisations,
  -- The model whose rate card prices calls of models that have none. What it bills is an estimate.
  fallback text not null,
  set_at timestamptz not null default now()
);
