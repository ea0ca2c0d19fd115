// What stands in accounts, outcomes, leases and suspense against the entries and items that it must be the sum of.
import { both, type Check } from "./check.ts";

export const balances: Check = {
  kinds: both,
  sql: () => `
    select 'balance' as rule, coalesce(a.id, e.account) as id, a.organisation,
      coalesce(e.amount, 0) as expected, coalesce(a.balance_nano, 0) as found
    from accounts a full join (select account, sum(amount_nano) as amount from entries group by 1) e on e.account = a.id
    where coalesce(e.amount, 0) <> coalesce(a.balance_nano, 0)`,
};

export const outcomesPosted: Check = {
  kinds: both,
  sql: () => `
    select 'outcome_price' as rule, o.run as id, o.organisation, o.price_nano as expected,
      coalesce(max(e.amount_nano), 0) as found
    from outcomes o left join entries e on e.journal = 'result:' || o.run
    group by o.id having coalesce(max(e.amount_nano), 0) <> o.price_nano`,
};

export const leasesAndLosses: Check = {
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

export const suspenseNamed: Check = {
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
