-- Ends attempts of which it is not known whether their holds were taken: the connection broke while hold_attempts worked.
-- items: as for hold_attempts. An attempt without a hold is given one of nothing, so that a hold_attempts that is still on its way
-- finds the attempt's place taken and fails as a whole, however late it comes. Then each is settled for nothing, once.
create function void_holds(owner_id bigint, items jsonb) returns void
language plpgsql as $$
begin
  insert into holds (attempt, call, organisation, project, agent, run, model, amount_nano, currency, scopes, budgets, rate_card, owner)
  select i.attempt, i.call, i.organisation, i.project, i.agent, i.run, i.model, 0, i.currency, i.scopes, '{}', i.rate_card, owner_id
  from jsonb_to_recordset(items) as i(
    attempt text, call text, organisation text, project text, agent text, run text, model text,
    currency text, scopes text[], rate_card text)
  on conflict (attempt) do nothing;
  perform settle_attempts((
    select jsonb_agg(jsonb_build_object('attempt', i.attempt, 'amount', 0, 'prompt', 0, 'cached', 0, 'output', 0, 'source', 'counted'))
    from jsonb_to_recordset(items) as i(attempt text)));
end
$$;
