-- The row of an attempt is posted with its settlement, before that of its call, and without it where the call's record is refused.
alter table attempts drop constraint attempts_call_fkey;
