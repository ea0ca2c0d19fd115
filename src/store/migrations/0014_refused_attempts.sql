-- An attempt that its engine refused for the request's own sake (a prompt that is too long, a field that it does not take) is refused,
-- as its call is: it is no failure of the engine. Rows of before are within the new rule, so they are not read again.
alter table attempts drop constraint attempts_status_check;
alter table attempts add constraint attempts_status_check
  check (status in ('completed', 'refused', 'failed', 'cancelled')) not valid;
