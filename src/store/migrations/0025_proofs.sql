-- What the proof of the ledger found, and what it has proven already. The newest proof is what people, metrics and alarms are told of.
create table proofs (
  id bigint generated always as identity primary key,
  -- whole: everything was compared. incremental: what was posted since the proof before, with all counters.
  kind text not null check (kind in ('whole', 'incremental')),
  began_at timestamptz not null,
  ended_at timestamptz not null,
  -- How many rows of each kind were compared, by name.
  compared jsonb not null,
  discrepancy_count bigint not null,
  -- [{what, id, organisation, expected, found}], the first of them.
  discrepancies jsonb not null
);

-- Batches that were proven, with a checksum over their settlements. Batches never change, so an incremental proof leaves them out, and
-- the whole proof compares the checksum: a row that was changed together with everything that is computed from it is found by that.
create table proven_batches (
  batch text primary key,
  settlements bigint not null,
  checksum bigint not null
);

select make_append_only(of_table::regclass) from unnest(array['proofs', 'proven_batches']) as of_table;

create index settlements_of_batch on settlements (batch) where batch is not null;
-- Those of before there were batches.
create index settlements_without_batch on settlements (attempt) where batch is null;
