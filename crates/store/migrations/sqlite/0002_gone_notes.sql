-- Runs listed by metric, what a run has to say, datasets that rest because their address is gone, and recomputes
-- that go over runs which are evaluated already.

CREATE INDEX outcomes_by_metric ON outcomes (metric, run);

-- JSON list of sentences.
ALTER TABLE runs ADD COLUMN notes TEXT;

-- Answers 410 in a row, and why nothing is scheduled any more.
ALTER TABLE datasets ADD COLUMN gone_in_a_row BIGINT NOT NULL DEFAULT 0;
ALTER TABLE datasets ADD COLUMN paused_reason TEXT;

ALTER TABLE recomputes ADD COLUMN is_whole BIGINT NOT NULL DEFAULT 0;
