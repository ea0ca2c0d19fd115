-- Fields of a request beyond the list of its software that an engine's owner lets it be sent (engines/fields.ts). An engine that was
-- added before has none; a call that needs one is refused with the command that allows it.
alter table engines add column allow_fields text[] not null default '{}' check (cardinality(allow_fields) <= 64);
