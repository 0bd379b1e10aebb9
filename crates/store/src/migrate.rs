//! Bringing the schema up to date.

use sha2::{Digest as _, Sha256};

use crate::database::{Database, system_now, values};
use crate::error::{Error, Result};

/// One step of the schema: version, name, text for SQLite, text for PostgreSQL. Never edit one that
/// was released: add the next.
const MIGRATIONS: &[Migration] = &[
    (
        1,
        "first",
        include_str!("../migrations/sqlite/0001_first.sql"),
        include_str!("../migrations/postgres/0001_first.sql"),
    ),
    (
        2,
        "gone_notes",
        include_str!("../migrations/sqlite/0002_gone_notes.sql"),
        include_str!("../migrations/postgres/0002_gone_notes.sql"),
    ),
    (
        3,
        "completeness",
        include_str!("../migrations/sqlite/0003_completeness.sql"),
        include_str!("../migrations/postgres/0003_completeness.sql"),
    ),
    (
        4,
        "run_log",
        include_str!("../migrations/sqlite/0004_run_log.sql"),
        include_str!("../migrations/postgres/0004_run_log.sql"),
    ),
    (
        5,
        "watched",
        include_str!("../migrations/sqlite/0005_watched.sql"),
        include_str!("../migrations/postgres/0005_watched.sql"),
    ),
    (
        6,
        "records",
        include_str!("../migrations/sqlite/0006_records.sql"),
        include_str!("../migrations/postgres/0006_records.sql"),
    ),
    (
        7,
        "calculated",
        include_str!("../migrations/sqlite/0007_calculated.sql"),
        include_str!("../migrations/postgres/0007_calculated.sql"),
    ),
    (
        8,
        "windows",
        include_str!("../migrations/sqlite/0008_windows.sql"),
        include_str!("../migrations/postgres/0008_windows.sql"),
    ),
    (
        9,
        "notes",
        include_str!("../migrations/sqlite/0009_notes.sql"),
        include_str!("../migrations/postgres/0009_notes.sql"),
    ),
];

/// The advisory lock that one migrating process holds; any number that nobody else uses.
const ADVISORY_LOCK: i64 = 0x7469_6465_6d61_726b;

/// Applies what is missing in one transaction, one process at a time.
pub(crate) async fn migrate(database: &Database) -> Result<()> {
    migrate_with(database, MIGRATIONS).await
}

/// A step of the schema, as in [`MIGRATIONS`].
type Migration = (i64, &'static str, &'static str, &'static str);

async fn migrate_with(database: &Database, migrations: &[Migration]) -> Result<()> {
    let step = "migrate";
    let mut tx = database.begin(step).await?;
    if database.is_postgres() {
        tx.rows(
            step,
            "SELECT pg_advisory_xact_lock($1)",
            values![ADVISORY_LOCK],
        )
        .await?;
    }
    tx.run(
        step,
        "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, \
         checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)",
        vec![],
    )
    .await?;
    let mut applied = Vec::new();
    for row in tx
        .rows(
            step,
            "SELECT version, checksum FROM schema_migrations ORDER BY version",
            vec![],
        )
        .await?
    {
        applied.push((row.int(0)?, row.text(1)?));
    }
    let newest = migrations.last().map_or(0, |(version, ..)| *version);
    if let Some((version, _)) = applied.iter().find(|(version, _)| *version > newest) {
        return Err(Error::Schema(format!(
            "it is at version {version}, this program knows {newest}"
        )));
    }
    for (version, name, sqlite, postgres) in migrations {
        let text = if database.is_postgres() {
            postgres
        } else {
            sqlite
        };
        let checksum = checksum(text);
        match applied.iter().find(|(applied, _)| applied == version) {
            Some((_, known)) if *known == checksum => {}
            Some(_) => {
                return Err(Error::Schema(format!(
                    "migration {version} is not the one that was applied"
                )));
            }
            None => {
                tx.script(step, text).await?;
                let at = system_now();
                tx.run(
                    step,
                    "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
                    values![*version, *name, checksum, at],
                )
                .await?;
                tracing::info!(version, name, "applied a migration");
            }
        }
    }
    let at = tx.now().await?;
    tx.run(
        step,
        "INSERT INTO workspaces (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        values![crate::DEFAULT_WORKSPACE, at],
    )
    .await?;
    tx.commit(step).await
}

fn checksum(text: &str) -> String {
    crate::identity::hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a metric with a revision, and one that was deleted, leave in a table that is made anew.
    const BEFORE: &str = "INSERT INTO datasets (workspace, id, connection, identity_hash, epoch, created_at, \
        identity, document) VALUES ('default', 'd', 'c', 'h', 0, 1, '{}', '{}'); \
        INSERT INTO metrics (workspace, name, dataset, revision, version, created_at, evaluation) \
        VALUES ('default', 'a', 'd', 2, 7, 1, '{}'), ('default', 'b', 'd', 1, 3, 1, '{}'); \
        INSERT INTO revisions SELECT id, 1, 1, 'x', '{}', '{}' FROM metrics; \
        DELETE FROM metrics WHERE name = 'b';";

    #[tokio::test]
    async fn metrics_keep_ids_and_revisions_when_their_table_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let database = crate::sqlite::open(path.to_str().unwrap()).await.unwrap();
        migrate_with(&database, &MIGRATIONS[..6]).await.unwrap();
        let mut tx = database.begin("fill").await.unwrap();
        tx.script("fill", BEFORE).await.unwrap();
        tx.commit("fill").await.unwrap();
        migrate(&database).await.unwrap();
        let sql = "SELECT m.id, m.version, r.revision FROM metrics m JOIN revisions r ON r.metric_id = m.id";
        let rows = database.rows("look", sql, values![]).await.unwrap();
        let found: Vec<(i64, i64, i64)> = rows
            .iter()
            .map(|row| {
                (
                    row.int(0).unwrap(),
                    row.int(1).unwrap(),
                    row.int(2).unwrap(),
                )
            })
            .collect();
        assert_eq!(found, [(1, 7, 1)]);
        // The next id is not that of the deleted one, whose points may still be there.
        let sql = "INSERT INTO metrics (workspace, name, revision, version, created_at, evaluation) \
                   VALUES ('default', 'c', 1, 1, 1, '{}') RETURNING id";
        let mut tx = database.begin("add").await.unwrap();
        let row = tx.row("add", sql, values![]).await.unwrap().unwrap();
        assert_eq!(row.int(0).unwrap(), 3);
        tx.commit("add").await.unwrap();
        let gone = "DELETE FROM metrics WHERE name = 'a'";
        database.run("delete", gone, values![]).await.unwrap();
        let left = database
            .rows("look", "SELECT 1 FROM revisions", values![])
            .await
            .unwrap();
        assert!(left.is_empty(), "revisions still go with their metric");
    }
}
