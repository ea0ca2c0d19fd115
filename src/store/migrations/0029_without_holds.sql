-- The path before leases ends: a hold lives in the memory and in the spool of its process now. What was held when the version before
-- stopped is settled in full, because it is not known any more what was used of it.

select settle_attempts((
  select coalesce(jsonb_agg(jsonb_build_object('attempt', attempt, 'amount', amount_nano, 'prompt', 0, 'cached', 0, 'output', 0, 'source', 'estimated')), '[]')
  from holds where not settled));

drop function hold_attempts(bigint, jsonb);
drop function void_holds(bigint, jsonb);
drop function settle_attempts(jsonb);
drop function lock_budgets(text[]);
drop table holds;
drop function check_hold_move();
alter table budgets drop column held_nano;
