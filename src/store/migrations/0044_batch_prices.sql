-- What the calls of each batch have cost, added up as they are posted: a batch has up to 50,000 calls, so a list of batches cannot sum them. It
-- is no column of batches, because the row of a batch is locked for minutes while its output is written, and posting must not wait for that.
create table batch_prices (
  batch text primary key,
  price_nano bigint not null
);
insert into batch_prices select batch, sum(price_nano) from calls where batch is not null group by batch;

drop index calls_of_batch;
create index calls_of_batch on calls (batch, id) where batch is not null;
