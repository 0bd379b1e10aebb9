-- What a run spent, and what it did to a metric in detail: rejected rows by reason, changed points, rows left out.

ALTER TABLE runs ADD COLUMN requests BIGINT;
-- JSON of the evaluator's making.
ALTER TABLE outcomes ADD COLUMN details TEXT;
