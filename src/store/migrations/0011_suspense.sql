-- A budget pays up to the hold. What an engine claims beyond it is a payable in suspense, until it is compared with the provider's
-- bill. Suspense faces provider_cost, so that what the engine claims in all is there, in a journal of its own.

alter table journals drop constraint journals_kind_check;
alter table journals add constraint journals_kind_check check (kind in ('settlement', 'suspense', 'result', 'correction'));

alter table settlements add column suspense_nano bigint not null default 0 check (suspense_nano >= 0);
-- What the engine claimed, where it is not what was billed; cut to 53 bits.
alter table settlements add column claimed_prompt_tokens bigint;
alter table settlements add column claimed_output_tokens bigint;
create index settlements_in_suspense on settlements (organisation, created_at) where suspense_nano > 0;

alter table attempts add column suspense_nano bigint not null default 0;
alter table attempts add column claimed_prompt_tokens bigint;
alter table attempts add column claimed_output_tokens bigint;

drop function settle_attempts(jsonb);

-- Settles a batch of attempts, each once: a second settlement of an attempt changes nothing and answers the first.
-- items: [{attempt, amount, prompt, cached, output, source, suspense, claimed_prompt, claimed_output}]; the last three may be
-- absent. An attempt without a hold gets no row in the answer. No amount passes its hold: the rest of it goes to suspense as well.
-- An attempt adds at most 10^14 to suspense, and an account of more than 10^18 takes no more: so no claim makes a sum overflow.
create function settle_attempts(items jsonb)
returns table (attempt text, amount_nano bigint, suspense_nano bigint, currency text, repeated boolean)
language plpgsql as $$
#variable_conflict use_column
declare
  fresh text[];
begin
  fresh := array(
    select h.attempt from holds h
    where not h.settled and h.attempt = any(array(select i.attempt from jsonb_to_recordset(items) as i(attempt text)))
    order by h.attempt for update);
  insert into settlements (attempt, organisation, amount_nano, prompt_tokens, cached_tokens, output_tokens, usage_source,
    suspense_nano, claimed_prompt_tokens, claimed_output_tokens)
  select i.attempt, h.organisation, least(i.amount, h.amount_nano), i.prompt, i.cached, i.output, i.source,
    case when coalesce(a.balance_nano, 0) > 1000000000000000000 then 0
      else least(coalesce(i.suspense, 0) + greatest(i.amount - h.amount_nano, 0), 100000000000000) end,
    i.claimed_prompt, i.claimed_output
  from jsonb_to_recordset(items) as i(attempt text, amount bigint, prompt bigint, cached bigint, output bigint, source text,
    suspense bigint, claimed_prompt bigint, claimed_output bigint)
  join holds h on h.attempt = i.attempt
  left join accounts a on a.id = h.organisation || '/suspense/' || h.model
  where i.attempt = any(fresh);
  perform lock_budgets(array(select distinct scope from holds h cross join unnest(h.scopes) as scope where h.attempt = any(fresh)));
  update budgets b set spent_nano = b.spent_nano + s.spent
  from (
    select scope, sum(s.amount_nano) as spent
    from settlements s join holds h on h.attempt = s.attempt cross join unnest(h.scopes) as scope
    where s.attempt = any(fresh) group by scope
  ) s
  where b.scope = s.scope;
  update budgets b set held_nano = b.held_nano - s.held
  from (
    select budget, sum(h.amount_nano) as held
    from holds h cross join unnest(h.budgets) as budget
    where h.attempt = any(fresh) group by budget
  ) s
  where b.id = s.budget;
  insert into journals (id, organisation, kind)
  select j.kind || ':' || s.attempt, s.organisation, j.kind
  from settlements s cross join lateral (values ('settlement', s.amount_nano), ('suspense', s.suspense_nano)) as j(kind, amount)
  where s.attempt = any(fresh) and j.amount > 0;
  -- One posting for both kinds, since accounts are locked in the order of their ids.
  perform post_entries((
    select coalesce(jsonb_agg(line), '[]') from (
      select jsonb_build_object('journal', side.journal || ':' || h.attempt, 'account', h.organisation || '/' || side.kind || '/' || side.subject,
        'organisation', h.organisation, 'kind', side.kind, 'subject', side.subject, 'currency', h.currency,
        'amount', side.amount) as line
      from holds h join settlements s on s.attempt = h.attempt
      cross join lateral (values
        ('settlement', 'token_cost', h.project, s.amount_nano), ('settlement', 'provider_cost', h.model, -s.amount_nano),
        ('suspense', 'suspense', h.model, s.suspense_nano), ('suspense', 'provider_cost', h.model, -s.suspense_nano)
      ) as side(journal, kind, subject, amount)
      where h.attempt = any(fresh) and side.amount <> 0
    ) lines));
  update holds h set settled = true where h.attempt = any(fresh);
  return query
    select s.attempt, s.amount_nano, s.suspense_nano, h.currency, s.attempt <> all(fresh)
    from settlements s join holds h on h.attempt = s.attempt
    where s.attempt = any(array(select i.attempt from jsonb_to_recordset(items) as i(attempt text)));
end
$$;

-- As before: rows are found by their keys whatever the statistics say.
alter function settle_attempts(jsonb) set enable_seqscan = off;
alter function settle_attempts(jsonb) set enable_hashjoin = off;
alter function settle_attempts(jsonb) set enable_mergejoin = off;
