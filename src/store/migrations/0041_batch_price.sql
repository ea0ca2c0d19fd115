-- The batch whose line a call is, so that what a batch costs can be summed, and its calls listed. Null for other calls, which the index
-- leaves out.
alter table calls add column batch text;
create index calls_of_batch on calls (batch, id) include (price_nano) where batch is not null;
