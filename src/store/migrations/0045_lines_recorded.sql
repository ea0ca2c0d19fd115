-- A line of a batch stays with its process after its result is written, until the record of its call can be read: `owner` is null only then.
-- A batch waits for such lines before it ends.
drop index batch_lines_claimed;
create index batch_lines_owned on batch_lines (project, batch, owner) where owner is not null;

-- What a batch has cost goes with the batch. One that is posted later finds no batch and adds nothing (gateway/calls/post.ts).
create function forget_batch_price() returns trigger language plpgsql as $$
begin
  delete from batch_prices where batch = old.id;
  return null;
end $$;
create trigger batch_gone after delete on batches for each row execute function forget_batch_price();
delete from batch_prices p where not exists (select from batches b where b.id = p.batch);

create index batches_ended on batches (expires_at) where status in ('failed', 'completed', 'expired', 'cancelled');
