-- A settlement finds every row by its key, and its plans must say so: a connection keeps the plans it made while the tables were
-- small, and one that reads them whole costs milliseconds a call once they have grown, until somebody analyses them.
alter function settle_attempts(jsonb) set enable_seqscan = off;
alter function settle_attempts(jsonb) set enable_hashjoin = off;
alter function settle_attempts(jsonb) set enable_mergejoin = off;
