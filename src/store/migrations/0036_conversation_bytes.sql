-- What an item takes in memory when it is read: bytes before they were compressed. A conversation is summed up by it before it is read.
alter table conversation_items add column bytes bigint not null default 0;
