//! Opening PostgreSQL, or a database that speaks its protocol.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::failure::failed;

/// Connections of one process; four services of two replicas stay below PostgreSQL's default of 100.
const CONNECTIONS: u32 = 10;
/// How long to wait for a connection before answering "unavailable".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept by each connection: all of ours, and the small many-row ones.
const STATEMENTS: usize = 256;
/// No statement of ours takes seconds; a lock held longer than this belongs to a stuck transaction;
/// a transaction that says nothing for a minute has lost its owner.
const LIMITS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '60s'";

/// Connects to the database.
pub(crate) async fn open(url: &str) -> Result<Database> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| Error::Address("the postgres address cannot be read".into()))?
        .application_name("tidemark")
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(LIMITS).await.map(drop) })
        })
        .connect_with(options)
        .await
        .map_err(|e| failed("connect", &e))?;
    Ok(Database::Postgres(pool))
}
