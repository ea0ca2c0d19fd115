// The statements of the proof. Each compares what is computed from settlements, which never change, with what stands elsewhere, as sets,
// and answers a row for each thing that differs: what must hold, the thing by name, what was expected and what was found.
//
// A whole proof reads every settlement. An incremental one reads the batches that were not proven yet (proven_batches), and the days and
// budgets that these touch.

import { proofLimits } from "../limits.ts";

export type ProofKind = "whole" | "incremental";

interface Check {
  kinds: readonly ProofKind[];
  /** The statement; `$1`, where it has one, is the time at which suspense came. */
  sql: (kind: ProofKind) => string;
  takesTime?: true;
  /** What it finds is wrong with batches, so that these are not remembered as proven. */
  isOfBatches?: true;
}

const both = ["whole", "incremental"] as const;
const whole = ["whole"] as const;
const incremental = ["incremental"] as const;

/** Batches to prove: all, or those that were not proven. */
const todo = (kind: ProofKind): string =>
  kind === "whole"
    ? "select id from journals where kind = 'batch'"
    : "select id from journals j where kind = 'batch' and not exists (select from proven_batches p where p.batch = j.id)";

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
  ...["held_nano", "amount_nano", "suspense_nano", "prompt_tokens", "cached_tokens", "cache_write_tokens"],
  ...["cache_write_long_tokens", "output_tokens", "reasoning_tokens"],
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

const batches: Check = {
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
const journalsOfAttempts: Check = {
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

const journalsSumToZero: Check = {
  kinds: both,
  sql: (kind) => `
    select 'journal_sum' as rule, e.journal as id, min(j.organisation) as organisation, 0 as expected,
      sum(e.amount_nano) as found
    from entries e left join journals j on j.id = e.journal
    where ${kind === "whole" ? "true" : `j.kind <> 'batch' or e.journal in (${todo(kind)})`}
    group by e.journal having sum(e.amount_nano) <> 0`,
};

const balances: Check = {
  kinds: both,
  sql: () => `
    select 'balance' as rule, coalesce(a.id, e.account) as id, a.organisation,
      coalesce(e.amount, 0) as expected, coalesce(a.balance_nano, 0) as found
    from accounts a full join (select account, sum(amount_nano) as amount from entries group by 1) e on e.account = a.id
    where coalesce(e.amount, 0) <> coalesce(a.balance_nano, 0)`,
};

const outcomesPosted: Check = {
  kinds: both,
  sql: () => `
    select 'outcome_price' as rule, o.run as id, o.organisation, o.price_nano as expected,
      coalesce(max(e.amount_nano), 0) as found
    from outcomes o left join entries e on e.journal = 'result:' || o.run
    group by o.id having coalesce(max(e.amount_nano), 0) <> o.price_nano`,
};

const leasesAndLosses: Check = {
  kinds: both,
  sql: () => `
    with periods as (
      select id as budget, period_start, leased_nano, lost_nano from budgets
      union all select budget, period_start, leased_nano, lost_nano from budget_periods
    ), items as (
      select budget, period_start, sum(amount_nano - drawn_nano) as lost from suspense where budget is not null group by 1, 2
    ), out as (
      select budget, period_start, sum(out_nano) as leased from leases group by 1, 2
    )
    select 'lease_epoch' as rule, format('epoch %s, %s', l.epoch, l.budget) as id,
      (select organisation from budgets b where b.id = l.budget) as organisation, 0 as expected, l.out_nano as found
    from leases l left join epochs e on e.id = l.epoch where e.state is distinct from 'live'
    union all
    select 'leased', coalesce(o.budget, p.budget),
      (select organisation from budgets b where b.id = coalesce(o.budget, p.budget)), coalesce(o.leased, 0), coalesce(p.leased_nano, 0)
    from periods p full join out o on o.budget = p.budget and o.period_start = p.period_start
    where coalesce(o.leased, 0) <> coalesce(p.leased_nano, 0)
    union all
    -- Items of a budget that was removed stay in suspense.
    select 'lost', p.budget, (select organisation from budgets b where b.id = p.budget),
      coalesce(i.lost, 0), p.lost_nano
    from periods p left join items i on i.budget = p.budget and i.period_start = p.period_start
    where coalesce(i.lost, 0) <> p.lost_nano`,
};

const suspenseNamed: Check = {
  kinds: both,
  sql: () => `
    select 'suspense_balance' as rule, coalesce(a.id, i.account) as id,
      coalesce(a.organisation, i.organisation) as organisation, coalesce(i.amount, 0) as expected, coalesce(a.balance_nano, 0) as found
    from (select id, organisation, balance_nano from accounts where kind = 'suspense') a
    full join (select organisation, organisation || '/suspense/' || subject as account, sum(amount_nano - drawn_nano) as amount from suspense group by 1, 2) i
      on i.account = a.id
    where coalesce(i.amount, 0) <> coalesce(a.balance_nano, 0)
    union all
    select 'suspense_entry', s.id, s.organisation, s.amount_nano, coalesce(e.amount_nano, 0)
    from suspense s left join entries e on e.journal = 'suspense:' || s.id and e.account = s.organisation || '/suspense/' || s.subject
    where s.kind in ('lost_lease', 'quarantine') and coalesce(e.amount_nano, 0) <> s.amount_nano
    union all
    select 'suspense_item', coalesce(s.attempt, i.attempt), coalesce(s.organisation, i.organisation),
      coalesce(s.suspense_nano, 0), coalesce(i.amount_nano, 0)
    from (select attempt, organisation, suspense_nano from settlements where suspense_nano > 0) s
    full join (select attempt, organisation, amount_nano from suspense where kind in ('over_hold', 'unanswered')) i on i.attempt = s.attempt
    where coalesce(s.suspense_nano, 0) <> coalesce(i.amount_nano, 0)
    union all
    -- A record of an unknown organisation is in quarantine without an item, because no account could hold it.
    select 'quarantine_item', i.id, i.organisation, coalesce(q.amount_nano, 0), i.amount_nano
    from suspense i left join quarantine q on i.id = format('quarantine:%s:%s', q.spool, q.number)
    where i.kind = 'quarantine' and i.budget is null and coalesce(q.amount_nano, 0) <> i.amount_nano`,
};

/** The columns of usage_days that are compared, with the expression that they must be. */
const usageColumns = [
  "attempts",
  "calls",
  "runs",
  "prompt_tokens",
  "cached_tokens",
  "output_tokens",
  "amount_nano",
  "suspense_nano",
];

/**
 * Settlements summed up once, as fine as rollup and budgets need: a row for each run (or key's calls outside runs) and day. A run or a
 * key has far fewer of these than it has attempts.
 */
const groups = (where: string): string => `
  groups as materialized (
    select organisation, project, key, agent, run, usage_day(day) as day, attempts, prompt_tokens, cached_tokens, output_tokens,
      amount_nano, suspense_nano, first, last
    from (
      select s.organisation, s.project, s.key, s.agent, s.run, date_bin('1 day', s.counted_at, '2000-01-01 00:00:00+00') as day,
        count(*) as attempts, sum(s.prompt_tokens) as prompt_tokens, sum(s.cached_tokens) as cached_tokens,
        sum(s.output_tokens) as output_tokens, sum(s.amount_nano) as amount_nano, sum(s.suspense_nano) as suspense_nano,
        min(s.counted_at) as first, max(s.counted_at) as last
      from settlements s where ${where} group by 1, 2, 3, 4, 5, 6) days
  ), several as materialized (
    -- Calls with several attempts are few; an index has them.
    select call from settlements group by call having count(*) > 1
  ), call_days as materialized (
    select s.organisation, s.project, coalesce(s.agent, '') as agent, s.call, usage_day(s.counted_at) as day, count(*) as attempts
    from several cross join lateral (select * from settlements of_call where of_call.call = several.call offset 0) s
    where ${where} group by 1, 2, 3, 4, 5
  ), expected_days as (
    select g.*, g.attempts - coalesce(r.repeats, 0) as calls from (
      select organisation, day, project, agent, sum(attempts) as attempts, count(run) as runs, sum(prompt_tokens) as prompt_tokens,
        sum(cached_tokens) as cached_tokens, sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano,
        sum(suspense_nano) as suspense_nano
      from (
        -- A run may have used several keys.
        select organisation, day, project, coalesce(agent, '') as agent, run, sum(attempts) as attempts, sum(prompt_tokens) as prompt_tokens,
          sum(cached_tokens) as cached_tokens, sum(output_tokens) as output_tokens, sum(amount_nano) as amount_nano,
          sum(suspense_nano) as suspense_nano
        from groups group by 1, 2, 3, 4, 5) of_runs
      group by 1, 2, 3, 4) g
    left join (select organisation, day, project, agent, sum(attempts - 1) as repeats from call_days group by 1, 2, 3, 4) r
      using (organisation, day, project, agent)
  )`;

const daysDiffer = (where: string): string => `
  select 'usage_day' as rule,
    format('%s, %s, %s: %s', coalesce(x.day, u.day), coalesce(x.project, u.project), coalesce(nullif(coalesce(x.agent, u.agent), ''), 'calls'), c.name) as id,
    coalesce(x.organisation, u.organisation) as organisation, c.expected, c.found
  from expected_days x
  full join (select * from usage_days where ${where}) u
    on u.organisation = x.organisation and u.day = x.day and u.project = x.project and u.agent = x.agent
  cross join lateral (values ${usageColumns.map((name) => `('${name}', coalesce(x.${name}, 0)::numeric, coalesce(u.${name}, 0)::numeric)`).join(", ")})
    as c(name, expected, found)
  where c.expected <> c.found`;

/** What every budget's scope has spent, from `groups`: `cut` where the period begins inside a group, which only the settlements tell. */
const charged = `
  charged as (
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start) as amount, bool_or(g.first < b.period_start and g.last >= b.period_start) as is_cut
    from budgets b join groups g on b.scope_kind = 'organisation' and g.organisation = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'project' and g.project = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'key' and g.key = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'agent' and g.agent = b.scope_id group by b.id
    union all
    select b.id, sum(g.amount_nano) filter (where g.first >= b.period_start), bool_or(g.first < b.period_start and g.last >= b.period_start)
    from budgets b join groups g on b.scope_kind = 'run' and g.run = b.scope_id group by b.id
  ), past as materialized (
    select p.budget as id, p.period_start, p.spent_nano, p.period, b.organisation, b.scope_kind, b.scope_id
    from budget_periods p join budgets b on b.id = p.budget
  ), past_charged as (
    select p.id, p.period_start, sum(g.amount_nano) as amount
    from past p join groups g on g.organisation = p.organisation
      and g.day >= usage_day(p.period_start) and g.day < usage_day(budget_period_end(p.period, p.period_start))
      and p.scope_id = case p.scope_kind when 'organisation' then g.organisation when 'project' then g.project when 'key' then g.key
        when 'agent' then g.agent else g.run end
    group by 1, 2
  )`;

const rollupAndBudgets: Check = {
  kinds: whole,
  sql: () => `
    with ${groups("true")}, ${charged}, spans as (
      select 'run' as kind, run as subject, day, min(organisation) as organisation from groups
      where run in (select run from groups where run is not null group by run having count(distinct day) > 1) group by 2, 3
      union all
      select 'call', call, day, min(organisation) from call_days
      where call in (select call from call_days group by call having count(distinct day) > 1) group by 2, 3
    )
    ${daysDiffer("true")}
    union all
    select 'usage_span', format('%s on %s', coalesce(x.subject, u.subject), coalesce(x.day, u.day)),
      coalesce(x.organisation, u.organisation), (x.subject is not null)::int, (u.subject is not null)::int
    from spans x full join usage_spans u on u.kind = x.kind and u.subject = x.subject and u.day = x.day
    where x.subject is null or u.subject is null
    union all
    select 'budget_spent', id, organisation, expected, found from (
      select b.id, b.organisation, b.spent_nano as found,
        case when c.is_cut then spent_since(b.organisation, b.scope_kind, b.scope_id, b.period_start) else coalesce(c.amount, 0) end as expected
      from budgets b left join charged c on c.id = b.id
      where c.is_cut or coalesce(c.amount, 0) <> b.spent_nano) b
    where expected <> found
    union all
    select 'past_spent', format('%s, from %s', p.id, p.period_start), p.organisation,
      coalesce(c.amount, 0), p.spent_nano
    from past p left join past_charged c on c.id = p.id and c.period_start = p.period_start
    where coalesce(c.amount, 0) <> p.spent_nano`,
};

/** Days that unproven batches have settlements on. Budgets by day and month of what the rollup has a row for are compared with it. */
const touchedDays: Check = {
  kinds: incremental,
  sql: (kind) => `
    with todo as materialized (${todo(kind)}), touched as materialized (
      select distinct s.organisation, usage_day(s.counted_at) as day from settlements s where s.batch in (select id from todo)
    ), range as materialized (select min(day) as first, max(day) as last from touched
    ), ${groups(
      `s.counted_at >= (select first from range)::timestamp at time zone 'UTC' and s.counted_at < ((select last from range) + 1)::timestamp at time zone 'UTC'`,
    )}
    ${daysDiffer("day >= (select first from range) and day <= (select last from range)")}
    union all
    select 'budget_spent', b.id, b.organisation, coalesce(sum(u.amount_nano), 0), b.spent_nano
    from budgets b left join usage_days u on u.organisation = b.organisation and u.day >= usage_day(b.period_start)
      and b.scope_id = case b.scope_kind when 'organisation' then u.organisation when 'project' then u.project else u.agent end
    where b.period <> 'total' and b.scope_kind in ('organisation', 'project', 'agent')
    group by b.id having coalesce(sum(u.amount_nano), 0) <> b.spent_nano
    union all
    select 'budget_spent', b.id, b.organisation, r.amount, b.spent_nano
    from (select distinct s.run from settlements s where s.batch in (select id from todo) and s.run is not null) t
    join budgets b on b.scope = 'run:' || t.run
    cross join lateral (
      select coalesce(sum(s.amount_nano), 0) as amount from settlements s where s.run = t.run and s.counted_at >= b.period_start) r
    where r.amount <> b.spent_nano`,
};

const checks: readonly Check[] = [
  batches,
  journalsOfAttempts,
  journalsSumToZero,
  balances,
  outcomesPosted,
  leasesAndLosses,
  suspenseNamed,
  rollupAndBudgets,
  touchedDays,
];

interface Statement {
  sql: string;
  takesTime: boolean;
  isOfBatches: boolean;
}

/** The statements of a kind of proof. */
export function statementsOf(kind: ProofKind): Statement[] {
  return checks
    .filter(({ kinds }) => kinds.includes(kind))
    .map(({ sql, takesTime = false, isOfBatches = false }) => ({
      sql: `${sql(kind)}\nlimit ${proofLimits.discrepanciesRead}`,
      takesTime,
      isOfBatches,
    }));
}

/** How much there is to compare, by name. */
export const comparedSql = (kind: ProofKind): string => `
  with todo as materialized (${todo(kind)})
  select (select count(*) from settlements s where ${kind === "whole" ? "true" : "s.batch in (select id from todo)"}) as settlements,
    (select count(*) from todo) as batches, (select count(*) from entries) as entries, (select count(*) from accounts) as accounts,
    (select count(*) from budgets) as budgets, (select count(*) from usage_days) as days, (select count(*) from suspense) as suspense`;

/** The smallest and largest id among the attempts to prove; nulls without any. */
export const attemptRangeSql = (kind: ProofKind): string =>
  kind === "whole"
    ? "select null as first, null as last"
    : `select min(attempt) as first, max(attempt) as last from settlements s where s.batch in (${todo(kind)})`;
