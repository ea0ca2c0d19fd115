-- Money: double entry between accounts, budgets as counters, one hold and one settlement per attempt (DESIGN section 8).
-- Amounts are signed 64-bit nano-currency. Journals and entries are never updated or deleted; what was wrong is corrected
-- by a further journal that names the one it corrects.
--
-- Locks are always taken in this order, rows of a kind in the order of their ids: holds, settlements (the table), budgets,
-- accounts. So no two of the functions below can wait for each other.

create table accounts (
  -- organisation/kind/subject: deterministic, so that whoever needs an account first makes it.
  id text primary key,
  organisation text not null references organisations,
  -- token_cost and provider_cost face each other for what calls cost; receivable and revenue for results that were sold.
  kind text not null check (kind in ('token_cost', 'provider_cost', 'receivable', 'revenue', 'suspense')),
  subject text not null,
  currency text not null,
  -- Projection of the entries, checked by the proof.
  balance_nano bigint not null default 0
);

create table journals (
  -- kind:subject, for example settlement:att_…: an event can be posted once only.
  id text primary key,
  organisation text not null,
  kind text not null check (kind in ('settlement', 'result', 'correction')),
  corrects text references journals,
  created_at timestamptz not null default now()
);

create table entries (
  journal text not null references journals,
  account text not null references accounts,
  amount_nano bigint not null,
  primary key (journal, account)
);
create index entries_of_account on entries (account);

create table budgets (
  id text primary key,
  organisation text not null references organisations,
  scope_kind text not null check (scope_kind in ('organisation', 'project', 'key', 'agent', 'run')),
  scope_id text not null,
  scope text not null unique generated always as (scope_kind || ':' || scope_id) stored,
  currency text not null,
  limit_nano bigint not null check (limit_nano >= 0),
  spent_nano bigint not null default 0,
  held_nano bigint not null default 0 check (held_nano >= 0),
  -- total counts from when it was set; month and day from midnight UTC, and what is held then counts where it is settled.
  period text not null check (period in ('total', 'month', 'day')),
  period_start timestamptz not null,
  created_at timestamptz not null default now()
);

create table holds (
  attempt text primary key,
  call text not null,
  organisation text not null,
  project text not null,
  agent text,
  run text,
  model text not null,
  amount_nano bigint not null check (amount_nano >= 0),
  currency text not null,
  -- Every scope the attempt belongs to, as kind:id; its settlement is charged to whatever budgets they have then.
  scopes text[] not null,
  -- The budgets that `amount` was added to, and is taken from again.
  budgets text[] not null,
  rate_card text not null references rate_cards,
  -- The process that took it. When it is gone (its advisory lock is free) the sweeper settles the hold in full.
  owner bigint not null,
  settled boolean not null default false,
  created_at timestamptz not null default now()
);
create index holds_open on holds (owner) where not settled;

create table settlements (
  attempt text primary key references holds,
  organisation text not null,
  amount_nano bigint not null check (amount_nano >= 0),
  prompt_tokens bigint not null,
  cached_tokens bigint not null,
  output_tokens bigint not null,
  -- engine: it said so; counted: by us; estimated: nobody knows any more, the hold was taken as the truth.
  usage_source text not null check (usage_source in ('engine', 'counted', 'estimated')),
  created_at timestamptz not null default now()
);
create index settlements_by_time on settlements (organisation, created_at);

create table outcomes (
  id text primary key,
  organisation text not null,
  project text not null,
  -- One outcome per run: a run is judged, and sold, once.
  run text not null unique,
  agent text not null,
  contract text not null,
  verifier text not null,
  verdict text not null check (verdict in ('passed', 'failed')),
  reason text not null,
  evidence_ref text not null,
  price_nano bigint not null check (price_nano >= 0),
  currency text not null,
  created_at timestamptz not null default now()
);
create index outcomes_by_time on outcomes (organisation, created_at);

-- The first moment of a budget's period that `moment` lies in.
create function budget_period_start(period text, moment timestamptz) returns timestamptz
language sql stable as $$
  select case period
    when 'month' then date_trunc('month', moment at time zone 'UTC') at time zone 'UTC'
    when 'day' then date_trunc('day', moment at time zone 'UTC') at time zone 'UTC'
    else '-infinity'::timestamptz
  end
$$;

-- What attempts of a scope were charged from a moment on: the truth that spent_nano projects.
create function spent_since(of_scope text, since timestamptz) returns bigint
language sql stable as $$
  select coalesce(sum(s.amount_nano), 0)::bigint from settlements s join holds h using (attempt)
  where s.created_at >= since and of_scope = any(h.scopes)
$$;

-- Sets the one budget of a scope, or changes its limit and period. A new month or day counts what was charged in it already.
create function set_budget(new_id text, of_organisation text, kind text, of_id text, in_currency text, new_limit bigint, new_period text) returns text
language plpgsql as $$
declare
  start timestamptz := case new_period when 'total' then now() else budget_period_start(new_period, now()) end;
begin
  -- No settlement may be half way: one that is not counted here must see the budget.
  lock table settlements in share row exclusive mode;
  insert into budgets as b (id, organisation, scope_kind, scope_id, currency, limit_nano, period, period_start, spent_nano)
  values (new_id, of_organisation, kind, of_id, in_currency, new_limit, new_period, start, spent_since(kind || ':' || of_id, start))
  on conflict (scope) do update set
    limit_nano = excluded.limit_nano,
    period = excluded.period,
    period_start = case when b.period = excluded.period then b.period_start else excluded.period_start end,
    spent_nano = case when b.period = excluded.period then b.spent_nano else excluded.spent_nano end
  returning b.id into new_id;
  return new_id;
end
$$;

-- Locks the budgets of these scopes in id order and begins their new period where one has begun.
create function lock_budgets(scopes text[]) returns void
language plpgsql as $$
begin
  perform from budgets where scope = any(scopes) order by id for update;
  update budgets set spent_nano = 0, period_start = budget_period_start(period, now())
  where scope = any(scopes) and period_start < budget_period_start(period, now());
end
$$;

-- Admits a batch of attempts, in the order given: each gets its hold on every budget concerned, or none at all.
-- items: [{attempt, call, organisation, project, agent, run, model, amount, currency, scopes: ["kind:id"], rate_card}]
-- Answers a row per item: the tightest budget after the hold, or the one (first by id) that refused; nulls without any.
-- No rows at all: no budget concerns the batch, as is so for most, and all of it is held by one insert.
create function hold_attempts(owner_id bigint, items jsonb) returns table (
  attempt text, admitted boolean, budget text, scope text, currency text, limit_nano bigint, left_nano bigint
) language plpgsql as $$
#variable_conflict use_column
declare
  item record;
  tight record;
begin
  if not exists (
    select from jsonb_to_recordset(items) as i(scopes text[]) join budgets b on b.scope = any(i.scopes)
  ) then
    insert into holds (attempt, call, organisation, project, agent, run, model, amount_nano, currency, scopes, budgets, rate_card, owner)
    select i.attempt, i.call, i.organisation, i.project, i.agent, i.run, i.model, i.amount, i.currency, i.scopes, '{}', i.rate_card, owner_id
    from jsonb_to_recordset(items) as i(
      attempt text, call text, organisation text, project text, agent text, run text, model text,
      amount bigint, currency text, scopes text[], rate_card text);
    return;
  end if;
  perform lock_budgets(array(select distinct jsonb_array_elements_text(i.scopes) from jsonb_to_recordset(items) as i(scopes jsonb)));
  for item in
    select * from jsonb_to_recordset(items) as i(
      attempt text, call text, organisation text, project text, agent text, run text, model text,
      amount bigint, currency text, scopes text[], rate_card text)
  loop
    select b.id, b.scope, b.currency, b.limit_nano, b.limit_nano - b.spent_nano - b.held_nano as left_nano into tight
    from budgets b
    where b.scope = any(item.scopes)
      and (b.currency <> item.currency or b.spent_nano + b.held_nano + item.amount > b.limit_nano)
    order by b.id limit 1;
    if found then
      return query select item.attempt, false, tight.id, tight.scope, tight.currency, tight.limit_nano, tight.left_nano;
      continue;
    end if;
    update budgets b set held_nano = b.held_nano + item.amount where b.scope = any(item.scopes);
    insert into holds (attempt, call, organisation, project, agent, run, model, amount_nano, currency, scopes, budgets, rate_card, owner)
    values (item.attempt, item.call, item.organisation, item.project, item.agent, item.run, item.model, item.amount, item.currency, item.scopes,
      array(select b.id from budgets b where b.scope = any(item.scopes) order by b.id), item.rate_card, owner_id);
    select b.id, b.scope, b.currency, b.limit_nano, b.limit_nano - b.spent_nano - b.held_nano as left_nano into tight
    from budgets b where b.scope = any(item.scopes)
    order by b.limit_nano - b.spent_nano - b.held_nano, b.id limit 1;
    return query select item.attempt, true, tight.id, tight.scope, tight.currency, tight.limit_nano, tight.left_nano;
  end loop;
end
$$;

-- Adds entries {journal, account, organisation, kind, subject, currency, amount}: makes missing accounts, posts, projects balances.
create function post_entries(items jsonb) returns void
language plpgsql as $$
begin
  insert into accounts (id, organisation, kind, subject, currency)
  select distinct i.account, i.organisation, i.kind, i.subject, i.currency
  from jsonb_to_recordset(items) as i(account text, organisation text, kind text, subject text, currency text)
  where not exists (select from accounts a where a.id = i.account)
  order by i.account
  on conflict do nothing;
  -- Locked before the entries refer to them: an entry's foreign key takes a share lock on its account, and two transactions
  -- that hold such a share and both want more would wait for each other.
  perform from accounts
  where id = any(array(select distinct i.account from jsonb_to_recordset(items) as i(account text)))
  order by id for no key update;
  insert into entries (journal, account, amount_nano)
  select i.journal, i.account, i.amount from jsonb_to_recordset(items) as i(journal text, account text, amount bigint);
  update accounts a set balance_nano = a.balance_nano + s.amount
  from (select i.account, sum(i.amount) as amount from jsonb_to_recordset(items) as i(account text, amount bigint) group by 1) s
  where a.id = s.account;
end
$$;

-- Settles a batch of attempts, each once: a second settlement of an attempt changes nothing and answers the first.
-- items: [{attempt, amount, prompt, cached, output, source}]; an attempt without a hold gets no row in the answer.
create function settle_attempts(items jsonb) returns table (attempt text, amount_nano bigint, currency text, repeated boolean)
language plpgsql as $$
#variable_conflict use_column
declare
  fresh text[];
begin
  fresh := array(
    select h.attempt from holds h
    where not h.settled and h.attempt = any(array(select i.attempt from jsonb_to_recordset(items) as i(attempt text)))
    order by h.attempt for update);
  insert into settlements (attempt, organisation, amount_nano, prompt_tokens, cached_tokens, output_tokens, usage_source)
  select i.attempt, h.organisation, i.amount, i.prompt, i.cached, i.output, i.source
  from jsonb_to_recordset(items) as i(attempt text, amount bigint, prompt bigint, cached bigint, output bigint, source text)
  join holds h on h.attempt = i.attempt
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
  select 'settlement:' || s.attempt, s.organisation, 'settlement' from settlements s where s.attempt = any(fresh) and s.amount_nano > 0;
  perform post_entries((
    select coalesce(jsonb_agg(line), '[]') from (
      select jsonb_build_object('journal', 'settlement:' || h.attempt, 'account', h.organisation || '/' || side.kind || '/' || side.subject,
        'organisation', h.organisation, 'kind', side.kind, 'subject', side.subject, 'currency', h.currency,
        'amount', s.amount_nano * side.sign) as line
      from holds h join settlements s on s.attempt = h.attempt
      cross join lateral (values ('token_cost', h.project, 1), ('provider_cost', h.model, -1)) as side(kind, subject, sign)
      where h.attempt = any(fresh) and s.amount_nano > 0
    ) lines));
  update holds h set settled = true where h.attempt = any(fresh);
  return query
    select s.attempt, s.amount_nano, h.currency, s.attempt <> all(fresh)
    from settlements s join holds h on h.attempt = s.attempt
    where s.attempt = any(array(select i.attempt from jsonb_to_recordset(items) as i(attempt text)));
end
$$;
