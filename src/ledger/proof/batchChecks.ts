// Settlements against journals: each posted batch has the entries that its settlements say, no batch has changed since it was proven, and
// every journal sums to zero.
import { both, todo, whole, type Check } from "./check.ts";

/** What a settlement says, from which its number is made: texts and numbers. */
const hashedTexts = [
  "attempt",
  "call",
  "project",
  "key",
  "agent",
  "run",
  "model",
  "rate_card",
  "currency",
  "usage_source",
];
const hashedNumbers = [
  "held_nano",
  "amount_nano",
  "suspense_nano",
  "prompt_tokens",
  "cached_tokens",
  "cache_write_tokens",
  "cache_write_long_tokens",
  "output_tokens",
  "reasoning_tokens",
];

/** A number for everything that a settlement says. Hashes of single columns are chained, at half the cost of hashing a record. */
const settlementHash = [
  ...hashedTexts.map((name) => (seed: string) => `hashtextextended(coalesce(s.${name}, ''), ${seed})`),
  ...hashedNumbers.map((name) => (seed: string) => `hashint8extended(s.${name}, ${seed})`),
].reduce((seed, hash) => hash(seed), "timestamp_hash_extended(s.counted_at at time zone 'UTC', 0)");

/** Checksums of the batches that were not proven before, at most `$1` of them. */
export const checksums = `
  select s.batch, count(*) as settlements, bit_xor(${settlementHash}) as checksum
  from settlements s join (${todo("incremental")} limit $1) todo on todo.id = s.batch
  group by s.batch`;

export const batches: Check = {
  kinds: both,
  isOfBatches: true,
  sql: (kind) => `
    with todo as materialized (${todo(kind)}), lines as materialized (
      select s.batch, s.organisation, s.project, s.model, count(*) as settlements, sum(s.amount_nano) as amount,
        sum(s.suspense_nano) as suspense, bit_xor(${settlementHash}) as checksum,
        count(*) filter (where s.amount_nano > s.held_nano) as over_hold
      from settlements s where s.batch is not null and ${kind === "whole" ? "true" : "s.batch in (select id from todo)"}
      group by 1, 2, 3, 4
    ), expected as (
      select batch as journal, organisation, organisation || '/token_cost/' || project as account, sum(amount) as amount
      from lines group by 1, 2, 3 having sum(amount) <> 0
      union all
      select batch, organisation, organisation || '/provider_cost/' || model, -sum(amount + suspense)
      from lines group by 1, 2, 3 having sum(amount + suspense) <> 0
      union all
      select batch, organisation, organisation || '/suspense/' || model, sum(suspense)
      from lines group by 1, 2, 3 having sum(suspense) <> 0
    ), found as (
      select e.journal, e.account, e.amount_nano as amount, j.organisation
      from entries e join todo on todo.id = e.journal join journals j on j.id = e.journal
    )
    select 'batch_entries' as rule, coalesce(x.journal, f.journal) || ', ' || coalesce(x.account, f.account) as id,
      coalesce(x.organisation, f.organisation) as organisation, coalesce(x.amount, 0) as expected, coalesce(f.amount, 0) as found
    from expected x full join found f on f.journal = x.journal and f.account = x.account
    where x.amount is distinct from f.amount
    union all
    select 'batch_journal', l.batch, l.organisation, 1, 0
    from lines l where not exists (select from journals j where j.id = l.batch) group by l.batch, l.organisation
    union all
    select 'over_hold', s.attempt, s.organisation, s.held_nano, s.amount_nano
    from settlements s where s.batch in (select batch from lines where over_hold > 0) and s.amount_nano > s.held_nano
    union all
    select 'batch_changed', p.batch, c.organisation, p.checksum, coalesce(c.checksum, 0)
    from proven_batches p
    left join (select batch, min(organisation) as organisation, sum(settlements) as settlements, bit_xor(checksum) as checksum from lines group by 1) c
      using (batch)
    where ${kind === "whole" ? "true" : "false"} and (c.checksum, c.settlements) is distinct from (p.checksum, p.settlements::numeric)`,
};

/** Until there were batches, each attempt had journals of its own. */
export const journalsOfAttempts: Check = {
  kinds: whole,
  takesTime: true,
  sql: () => `
    with expected as (
      select side.kind || ':' || s.attempt as journal, s.organisation, s.organisation || '/' || side.account as account, side.amount
      from settlements s cross join lateral (values
        ('settlement', 'token_cost/' || s.project, s.amount_nano), ('settlement', 'provider_cost/' || s.model, -s.amount_nano),
        ('suspense', 'suspense/' || s.model, s.suspense_nano), ('suspense', 'provider_cost/' || s.model, -s.suspense_nano)
      ) as side(kind, account, amount)
      where s.batch is null and side.amount <> 0
    )
    select 'attempt_entries' as rule, x.journal || ', ' || x.account as id, x.organisation, x.amount as expected,
      coalesce(e.amount_nano, 0) as found
    from expected x left join entries e on e.journal = x.journal and e.account = x.account
    where e.amount_nano is distinct from x.amount
    union all
    -- Attempts of before there was suspense were settled by another rule.
    select 'over_hold', attempt, organisation, held_nano, amount_nano
    from settlements where batch is null and amount_nano > held_nano
      and created_at >= $1
    union all
    select 'journal_orphan', j.id, j.organisation, 1, 0
    from journals j where j.kind = 'settlement'
      and not exists (select from settlements s where s.batch is null and s.attempt = substr(j.id, length('settlement:') + 1))`,
};

export const journalsSumToZero: Check = {
  kinds: both,
  sql: (kind) => `
    select 'journal_sum' as rule, e.journal as id, min(j.organisation) as organisation, 0 as expected,
      sum(e.amount_nano) as found
    from entries e left join journals j on j.id = e.journal
    where ${kind === "whole" ? "true" : `j.kind <> 'batch' or e.journal in (${todo(kind)})`}
    group by e.journal having sum(e.amount_nano) <> 0`,
};
