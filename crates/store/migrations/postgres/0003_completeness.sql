-- What a run fetched against what the API stated; null where neither is known.

ALTER TABLE runs ADD COLUMN records BIGINT;
ALTER TABLE runs ADD COLUMN stated_total BIGINT;
