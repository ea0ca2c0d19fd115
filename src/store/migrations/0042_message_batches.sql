-- Batches of Anthropic's API say how many of their requests were not served before they were cancelled or their window was over.
-- `failed` counts these too, as OpenAI's API does.
alter table batches add column unserved integer not null default 0;
