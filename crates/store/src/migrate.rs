//! Bringing the schema up to date.

use sha2::{Digest as _, Sha256};

use crate::database::{Database, system_now, values};
use crate::error::{Error, Result};

/// One step of the schema: version, name, text for SQLite, text for PostgreSQL. Never edit one that
/// was released: add the next.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
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
];

/// The advisory lock that one migrating process holds; any number that nobody else uses.
const ADVISORY_LOCK: i64 = 0x7469_6465_6d61_726b;

/// Applies what is missing in one transaction, one process at a time.
pub(crate) async fn migrate(database: &Database) -> Result<()> {
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
    let newest = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    if let Some((version, _)) = applied.iter().find(|(version, _)| *version > newest) {
        return Err(Error::Schema(format!(
            "it is at version {version}, this program knows {newest}"
        )));
    }
    for (version, name, sqlite, postgres) in MIGRATIONS {
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
