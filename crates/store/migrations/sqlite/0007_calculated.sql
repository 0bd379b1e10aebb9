-- Calculated metrics: they have no dataset; what they are made of is in definition_uses.

-- SQLite cannot drop NOT NULL from a column, so the table is made anew. Dropping it would take its revisions with
-- it, so these step aside; and ids go on where they were, as points of deleted metrics may still be there.
CREATE TABLE metrics_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    name TEXT NOT NULL,
    dataset TEXT,
    revision BIGINT NOT NULL,
    version BIGINT NOT NULL,
    last_success_at BIGINT,
    last_run TEXT,
    last_outcome TEXT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    evaluation TEXT NOT NULL,
    records_revision BIGINT,
    UNIQUE (workspace, name),
    FOREIGN KEY (workspace, dataset) REFERENCES datasets (workspace, id)
);
INSERT INTO metrics_new SELECT id, workspace, name, dataset, revision, version, last_success_at, last_run,
    last_outcome, last_error, created_at, evaluation, records_revision FROM metrics;
DELETE FROM sqlite_sequence WHERE name = 'metrics_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'metrics_new', seq FROM sqlite_sequence WHERE name = 'metrics';
CREATE TABLE revisions_kept AS SELECT * FROM revisions;
DROP TABLE revisions;
DROP TABLE metrics;
ALTER TABLE metrics_new RENAME TO metrics;
CREATE INDEX metrics_by_dataset ON metrics (workspace, dataset, name);
CREATE TABLE revisions (
    metric_id BIGINT NOT NULL REFERENCES metrics (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    document TEXT NOT NULL,
    evaluation TEXT NOT NULL,
    PRIMARY KEY (metric_id, revision)
);
INSERT INTO revisions SELECT metric_id, revision, created_at, actor, document, evaluation FROM revisions_kept;
DROP TABLE revisions_kept;
