-- What was written down stays written down: no role changes or removes rows of these tables with ordinary statements, the owner
-- included. What the runtime role may do at all is granted by src/store/access.ts; docs/security.md says how retention and
-- erasure are done.

create function refuse_change() returns trigger
language plpgsql as $$
begin
  raise exception using
    errcode = 'integrity_constraint_violation',
    message = format('%s on %s is refused: its rows are append-only.', tg_op, tg_table_name),
    hint = 'Write a further row that corrects the first. For retention or erasure see "Retention and erasure" in docs/security.md.';
end
$$;

-- To be called by the migration that makes an append-only table.
create function make_append_only(of_table regclass) returns void
language plpgsql as $$
begin
  execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function refuse_change()', of_table);
end
$$;

select make_append_only(of_table::regclass) from unnest(array[
  'blobs', 'rate_cards', 'journals', 'entries', 'settlements', 'outcomes', 'calls', 'attempts', 'agent_versions', 'steps'
]) as of_table;

-- Holds and effects move, forward only, and stay.
create trigger kept before delete or truncate on holds for each statement execute function refuse_change();
create trigger kept before delete or truncate on effects for each statement execute function refuse_change();

-- An open hold becomes settled once. Nothing else of it ever changes.
create function check_hold_move() returns trigger
language plpgsql as $$
declare
  settled_row holds := old;
begin
  settled_row.settled := true;
  if old.settled or new is distinct from settled_row then
    raise exception using
      errcode = 'integrity_constraint_violation',
      message = format('Hold %s cannot change so: an open hold becomes settled once, and nothing else of it changes.', old.attempt);
  end if;
  return new;
end
$$;
create trigger moves before update on holds for each row execute function check_hold_move();

-- planned -> claimed -> done or unknown, as src/agents/effects.ts draws it. What is done is final.
create function check_effect_move() returns trigger
language plpgsql as $$
begin
  if (new.key, new.organisation, new.project, new.run, new.step, new.ordinal, new.tool, new.arguments_ref, new.created_at)
       is distinct from
     (old.key, old.organisation, old.project, old.run, old.step, old.ordinal, old.tool, old.arguments_ref, old.created_at)
  then
    raise exception using
      errcode = 'integrity_constraint_violation',
      message = format('Effect %s cannot change so: what was planned stays as it was planned.', old.key);
  end if;
  if (old.state, new.state) not in (
       ('planned', 'claimed'), ('planned', 'unknown'),
       ('claimed', 'claimed'), ('claimed', 'planned'), ('claimed', 'done'), ('claimed', 'unknown'),
       ('unknown', 'unknown'), ('unknown', 'planned'), ('unknown', 'done'),
       ('done', 'done'))
     or (old.state = 'done' and new.result_ref is distinct from old.result_ref)
     or (new.result_ref is not null and new.state <> 'done')
     or (new.result_ref is null and new.state = 'done')
     or new.attempts < old.attempts
  then
    raise exception using
      errcode = 'integrity_constraint_violation',
      message = format('Effect %s cannot go from %s to %s.', old.key, old.state, new.state);
  end if;
  return new;
end
$$;
create trigger moves before update on effects for each row execute function check_effect_move();
