-- Goals, alerts, boards and scorecards: what they refer to, how they stand, and what was sent to people.

-- A definition and what it names; what is named cannot be deleted.
CREATE TABLE definition_uses (
    workspace TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    used_kind TEXT NOT NULL,
    used_name TEXT NOT NULL,
    PRIMARY KEY (workspace, kind, name, used_kind, used_name),
    FOREIGN KEY (workspace, kind, name) REFERENCES definitions (workspace, kind, name) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX definition_uses_by_used ON definition_uses (workspace, used_kind, used_name);

-- Goals, alerts and scorecards are judged when their metric's version rises, and when their time comes.
CREATE TABLE watches (
    workspace TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    metric TEXT,
    -- What of the definition the state belongs to; when it changes, the state begins anew.
    subject TEXT NOT NULL,
    -- The version of the metric's data that was judged last.
    judged_version BIGINT NOT NULL,
    next_at BIGINT,
    -- Raised by every judgement and edit: of two that judge at once, one finds it changed.
    revision BIGINT NOT NULL,
    phase TEXT NOT NULL,
    since BIGINT,
    state TEXT NOT NULL,
    PRIMARY KEY (workspace, kind, name),
    FOREIGN KEY (workspace, kind, name) REFERENCES definitions (workspace, kind, name) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX watches_by_metric ON watches (workspace, metric);
CREATE INDEX watches_by_time ON watches (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL REFERENCES workspaces (name),
    -- Which fact it tells and whom: told twice, it is one row.
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    event TEXT NOT NULL,
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    status BIGINT,
    error TEXT,
    target TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (workspace, key)
);
CREATE INDEX deliveries_open ON deliveries (not_before) WHERE state IN ('waiting', 'queued');
CREATE INDEX deliveries_by_name ON deliveries (workspace, kind, name, id);
CREATE INDEX deliveries_by_workspace ON deliveries (workspace, id);
CREATE INDEX deliveries_by_time ON deliveries (created_at);
