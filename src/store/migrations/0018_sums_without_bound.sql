-- A single amount is bounded, by its hold; the sum of many is not. An account or a budget whose sum no longer fitted 64 bits refused
-- every further settlement of its model, so sums are kept in numeric, which no sum of amounts fills.
alter table accounts alter column balance_nano type numeric(38, 0);
alter table budgets alter column spent_nano type numeric(38, 0);
alter table budgets alter column held_nano type numeric(38, 0);

drop function spent_since(text, timestamptz);
drop function hold_attempts(bigint, jsonb);

-- What attempts of a scope were charged from a moment on: the truth that spent_nano projects.
create function spent_since(of_scope text, since timestamptz) returns numeric
language sql stable as $$
  select coalesce(sum(s.amount_nano), 0) from settlements s join holds h using (attempt)
  where s.created_at >= since and of_scope = any(h.scopes)
$$;

-- Admits a batch of attempts, in the order given: each gets its hold on every budget concerned, or none at all.
-- items: [{attempt, call, organisation, project, agent, run, model, amount, currency, scopes: ["kind:id"], rate_card}]
-- Answers a row per item: the tightest budget after the hold, or the one that refused; nulls without any.
-- No rows at all: no budget concerns the batch, as is so for most, and all of it is held by one insert.
create function hold_attempts(owner_id bigint, items jsonb) returns table (
  attempt text, admitted boolean, budget text, scope text, currency text, limit_nano bigint, left_nano numeric, held_nano numeric
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
    select b.id, b.scope, b.currency, b.limit_nano, b.limit_nano - b.spent_nano - b.held_nano as left_nano, b.held_nano
    into tight
    from budgets b
    where b.scope = any(item.scopes)
      and (b.currency <> item.currency or b.spent_nano + b.held_nano + item.amount > b.limit_nano)
    order by b.currency = item.currency and b.spent_nano + item.amount <= b.limit_nano, b.id limit 1;
    if found then
      return query select item.attempt, false, tight.id, tight.scope, tight.currency, tight.limit_nano, tight.left_nano, tight.held_nano;
      continue;
    end if;
    update budgets b set held_nano = b.held_nano + item.amount where b.scope = any(item.scopes);
    insert into holds (attempt, call, organisation, project, agent, run, model, amount_nano, currency, scopes, budgets, rate_card, owner)
    values (item.attempt, item.call, item.organisation, item.project, item.agent, item.run, item.model, item.amount, item.currency, item.scopes,
      array(select b.id from budgets b where b.scope = any(item.scopes) order by b.id), item.rate_card, owner_id);
    select b.id, b.scope, b.currency, b.limit_nano, b.limit_nano - b.spent_nano - b.held_nano as left_nano, b.held_nano
    into tight
    from budgets b where b.scope = any(item.scopes)
    order by b.limit_nano - b.spent_nano - b.held_nano, b.id limit 1;
    return query select item.attempt, true, tight.id, tight.scope, tight.currency, tight.limit_nano, tight.left_nano, tight.held_nano;
  end loop;
end
$$;
