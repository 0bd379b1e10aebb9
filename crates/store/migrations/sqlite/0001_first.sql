-- The first schema: definitions, ledger, points, outbox, tokens, secrets, audit.
-- Instants are unix milliseconds; booleans are 0 and 1; documents are JSON text.

CREATE TABLE workspaces (
    name TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- One row for each thing that only one process may do at a time.
CREATE TABLE locks (name TEXT NOT NULL PRIMARY KEY);
INSERT INTO locks (name) VALUES ('dispatch'), ('first_admin');

CREATE TABLE definitions (
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    search TEXT NOT NULL,
    version BIGINT NOT NULL,
    origin TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (workspace, kind, name)
);

CREATE TABLE datasets (
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    id TEXT NOT NULL,
    name TEXT,
    connection TEXT NOT NULL,
    identity_hash TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    next_due_at BIGINT,
    -- When the scheduler should look: next_due_at, or 0 after a change of definitions.
    wake_at BIGINT,
    last_success_at BIGINT,
    last_window_end BIGINT,
    attention_reason TEXT,
    created_at BIGINT NOT NULL,
    identity TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX datasets_by_name ON datasets (workspace, name) WHERE name IS NOT NULL;
CREATE UNIQUE INDEX datasets_by_identity ON datasets (workspace, identity_hash) WHERE name IS NULL;
CREATE INDEX datasets_by_connection ON datasets (workspace, connection);
CREATE INDEX datasets_by_wake ON datasets (wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    name TEXT NOT NULL,
    dataset TEXT NOT NULL,
    revision BIGINT NOT NULL,
    version BIGINT NOT NULL,
    last_success_at BIGINT,
    last_run TEXT,
    last_outcome TEXT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    evaluation TEXT NOT NULL,
    UNIQUE (workspace, name),
    FOREIGN KEY (workspace, dataset) REFERENCES datasets (workspace, id)
);
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

-- Versions and revisions of deleted metrics, so that they never go backwards when the name returns.
CREATE TABLE former_metrics (
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    workspace TEXT NOT NULL,
    dataset TEXT NOT NULL,
    connection TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    slot BIGINT NOT NULL,
    kind TEXT NOT NULL,
    window_token TEXT NOT NULL,
    window_start BIGINT,
    window_end BIGINT,
    state TEXT NOT NULL,
    priority BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    evaluations BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    dispatched_at BIGINT,
    fetched_at BIGINT,
    ended_at BIGINT,
    pages BIGINT NOT NULL,
    rows_used BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    partial BIGINT NOT NULL,
    ended TEXT,
    reason TEXT,
    error TEXT,
    resume TEXT,
    manifest TEXT
);
CREATE UNIQUE INDEX runs_by_slot ON runs (workspace, dataset, slot, window_token);
CREATE INDEX runs_by_dataset ON runs (workspace, dataset, id);
CREATE INDEX runs_open ON runs (dataset, window_token, workspace) WHERE state IN ('waiting', 'dispatched', 'fetched');
CREATE INDEX runs_waiting ON runs (not_before) WHERE state = 'waiting';
CREATE INDEX runs_dispatched ON runs (dispatched_at) WHERE state = 'dispatched';
CREATE INDEX runs_fetched ON runs (fetched_at) WHERE state = 'fetched';
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE outcomes (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    metric TEXT NOT NULL,
    revision BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    rows_used BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    overflow BIGINT NOT NULL,
    version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    error TEXT,
    PRIMARY KEY (run, metric, revision)
);

CREATE TABLE rejected_rows (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    metric TEXT NOT NULL,
    place BIGINT NOT NULL,
    page BIGINT NOT NULL,
    row_index BIGINT NOT NULL,
    at BIGINT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    sample TEXT NOT NULL,
    PRIMARY KEY (run, metric, place)
);
CREATE INDEX rejected_rows_by_time ON rejected_rows (at);

CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    metric_id BIGINT NOT NULL,
    key_hash TEXT NOT NULL,
    key TEXT NOT NULL,
    UNIQUE (metric_id, key_hash)
);

CREATE TABLE cells (
    metric_id BIGINT NOT NULL,
    start_at BIGINT NOT NULL,
    series_id BIGINT NOT NULL,
    partial BIGINT NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (metric_id, start_at, series_id)
) WITHOUT ROWID;

CREATE TABLE coverage (
    metric_id BIGINT NOT NULL,
    start_at BIGINT NOT NULL,
    end_at BIGINT NOT NULL,
    as_of BIGINT NOT NULL,
    run TEXT NOT NULL,
    revision BIGINT NOT NULL,
    complete BIGINT NOT NULL,
    PRIMARY KEY (metric_id, start_at)
) WITHOUT ROWID;

CREATE TABLE syncs (
    metric_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (metric_id, at)
) WITHOUT ROWID;

-- Deleted metrics whose points the next sweeps take away.
CREATE TABLE doomed_metrics (metric_id BIGINT NOT NULL PRIMARY KEY);

CREATE TABLE recomputes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    metric TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    leased_until BIGINT NOT NULL,
    UNIQUE (workspace, metric)
);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    metric TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    payload TEXT NOT NULL
);

CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    workspace TEXT REFERENCES workspaces (name),
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);

CREATE TABLE secrets (
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    origins TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    detail TEXT
);
CREATE INDEX audit_by_workspace ON audit (workspace, id);
CREATE INDEX audit_by_time ON audit (at);
