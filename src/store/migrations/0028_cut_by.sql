-- The budget whose end cut an answer short, in the record of the call.
alter table calls add column cut_by text;
