//! Opening SQLite: durable, one writer, readers that do not wait for it.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::failure::failed;

/// How long to wait for another process (a second command line, a backup) to finish its write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for our own writer: a large commit takes a second or two, a queue of them longer.
const WRITER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a reader; queries take milliseconds.
const READER_TIMEOUT: Duration = Duration::from_secs(10);
/// Readers run in parallel in WAL mode; more than this only adds memory (2 MB of cache each).
const READERS: u32 = 4;
/// How often a file that somebody else is just making is opened again, and after what pause: a second in all.
const OPEN_TRIES: u32 = 50;
const OPEN_PAUSE: Duration = Duration::from_millis(20);
/// Prepared statements kept by each connection: all of ours, and the small many-row ones.
const STATEMENTS: usize = 256;

/// Opens (or makes) the database file.
pub(crate) async fn open(path: &str) -> Result<Database> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(":memory:") {
        return Err(Error::Address("SQLite needs the path of a file".into()));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    let mut tries = 0;
    let write = loop {
        let opened = writer(options.clone()).await;
        match opened.map_err(|e| failed("open the database file", &e)) {
            // Turning a new file to write-ahead logging does not wait for others who do the same.
            Err(error) if error.is_retryable() && tries < OPEN_TRIES => tries += 1,
            other => break other?,
        }
        tokio::time::sleep(OPEN_PAUSE).await;
    };
    let read = SqlitePoolOptions::new()
        .max_connections(READERS)
        .max_lifetime(None)
        .acquire_timeout(READER_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options.pragma("query_only", "on").row_buffer_size(1024));
    Ok(Database::Sqlite { write, read })
}

async fn writer(options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(WRITER_TIMEOUT)
        .test_before_acquire(false)
        .connect_with(options)
        .await
}
