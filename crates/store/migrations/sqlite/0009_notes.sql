-- What people note of a metric's points and ranges.

CREATE TABLE notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    metric_id BIGINT NOT NULL,
    start_at BIGINT NOT NULL,
    end_at BIGINT NOT NULL,
    text TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX notes_by_metric ON notes (metric_id, start_at);
