-- A run's budget is archived with the run: it stays, and lists leave it out.

-- Called in the transaction that ends the run. A scope without a budget, or with one that was archived, is left as it is.
create function end_budget(of_scope text) returns void
language sql as $$
  update budgets set ended_at = now() where scope = of_scope and ended_at is null
$$;

update budgets b set ended_at = coalesce(r.ended_at, r.updated_at)
from runs r
where b.scope_kind = 'run' and r.id = b.scope_id and r.status in ('completed', 'failed', 'stopped');

create index budgets_listed on budgets (organisation, id desc) where ended_at is null;
