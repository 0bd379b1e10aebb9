-- One contribution for each record of a metric that is kept by keys.

CREATE TABLE records (
    metric_id BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    -- Where it counts; null: the record is known to be gone.
    start_at BIGINT,
    series_id BIGINT,
    -- When it was seen so.
    seen_at BIGINT NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    page BIGINT NOT NULL,
    value BYTEA NOT NULL,
    PRIMARY KEY (metric_id, key)
);
CREATE INDEX records_by_bucket ON records (metric_id, start_at, series_id, key) WHERE start_at IS NOT NULL;
CREATE INDEX records_gone ON records (seen_at) WHERE start_at IS NULL;

-- The revision by which a metric's records were placed last; null: it keeps none.
ALTER TABLE metrics ADD COLUMN records_revision BIGINT;
