//! One query layer for both databases: the same text, values and rows.
//!
//! Statements are written once, with `$1` placeholders. Three marks cover what the databases spell
//! differently: `§lock` (PostgreSQL: `FOR UPDATE`; SQLite: nothing, its writer is alone),
//! `§in($2)` (membership in a bound list), `§hex(name)` (bytes as text) and `§now` (the store's clock in unix
//! milliseconds).

use std::borrow::Cow;
use std::fmt::Write as _;

use sqlx::postgres::{PgPool, PgRow};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, SqlSafeStr as _, SqlStr, Sqlite, Transaction};

use crate::error::Result;
use crate::failure::failed;
pub(crate) use crate::value::{Value, values};

/// Both databases accept more (32,766 and 65,535), but SQLite looks each `$N` up in a list of those before it, so
/// that 30,000 of them cost seconds and 1,000 a millisecond.
const MAX_PARAMETERS: usize = 1_000;
/// Statements of many rows are rebuilt each time; past this many rows their text is not worth caching.
const CACHED_ROWS: usize = 8;

/// An open database.
pub(crate) enum Database {
    /// One writer, several readers.
    Sqlite {
        /// One connection: SQLite has one writer at a time anyway, and queueing here is fair.
        write: SqlitePool,
        /// Connections that refuse to write.
        read: SqlitePool,
    },
    /// A pool for everything.
    Postgres(PgPool),
}

/// A transaction on either database; dropping it rolls back.
pub(crate) enum Tx {
    /// Begun with `BEGIN IMMEDIATE` when it writes.
    Sqlite(Transaction<'static, Sqlite>),
    /// Read committed when it writes, repeatable read when it reads.
    Postgres(Transaction<'static, Postgres>),
}

/// A row of either database; columns are read by position.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Sqlite,
    Postgres,
}

macro_rules! query {
    ($database:ident, $sql:expr, $values:expr, $persistent:expr) => {{
        let mut query = sqlx::query::<$database>($sql).persistent($persistent);
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
                Value::Ints(value) => bind_list!($database, query, value),
                Value::Texts(value) => bind_list!($database, query, value),
            };
        }
        query
    }};
}
macro_rules! bind_list {
    (Sqlite, $query:expr, $list:expr) => {
        $query.bind(serde_json::Value::from($list).to_string())
    };
    (Postgres, $query:expr, $list:expr) => {
        $query.bind($list)
    };
}

impl Database {
    /// Reads all rows, outside of any transaction.
    pub(crate) async fn rows(
        &self,
        step: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite { read, .. } => {
                let sql = render(sql.into(), Dialect::Sqlite);
                let rows = query!(Sqlite, sql, values, true).fetch_all(read).await;
                Ok(rows
                    .map_err(|e| failed(step, &e))?
                    .into_iter()
                    .map(Row::Sqlite)
                    .collect())
            }
            Self::Postgres(pool) => {
                let sql = render(sql.into(), Dialect::Postgres);
                let rows = query!(Postgres, sql, values, true).fetch_all(pool).await;
                Ok(rows
                    .map_err(|e| failed(step, &e))?
                    .into_iter()
                    .map(Row::Postgres)
                    .collect())
            }
        }
    }

    /// Reads the first row, outside of any transaction.
    pub(crate) async fn row(
        &self,
        step: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>> {
        Ok(self.rows(step, sql, values).await?.into_iter().next())
    }

    /// Runs one writing statement with `RETURNING` as its own transaction; returns its rows.
    pub(crate) async fn write_rows(
        &self,
        step: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let Self::Sqlite { write, .. } = self else {
            return self.rows(step, sql, values).await;
        };
        let sql = render(sql.into(), Dialect::Sqlite);
        let rows = query!(Sqlite, sql, values, true).fetch_all(write).await;
        let rows = rows.map_err(|e| failed(step, &e))?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    /// Runs one writing statement as its own transaction; returns the number of rows it touched.
    pub(crate) async fn run(
        &self,
        step: &'static str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64> {
        match self {
            Self::Sqlite { write, .. } => {
                let sql = render(sql.into(), Dialect::Sqlite);
                let done = query!(Sqlite, sql, values, true).execute(write).await;
                Ok(done.map_err(|e| failed(step, &e))?.rows_affected())
            }
            Self::Postgres(pool) => {
                let sql = render(sql.into(), Dialect::Postgres);
                let done = query!(Postgres, sql, values, true).execute(pool).await;
                Ok(done.map_err(|e| failed(step, &e))?.rows_affected())
            }
        }
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self, step: &'static str) -> Result<Tx> {
        match self {
            Self::Sqlite { write, .. } => write.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Self::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        }
        .map_err(|e| failed(step, &e))
    }

    /// Begins a transaction that sees one instant of the store and writes nothing.
    pub(crate) async fn begin_read(&self, step: &'static str) -> Result<Tx> {
        match self {
            Self::Sqlite { read, .. } => read.begin().await.map(Tx::Sqlite),
            Self::Postgres(pool) => pool
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await
                .map(Tx::Postgres),
        }
        .map_err(|e| failed(step, &e))
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl Tx {
    /// Reads all rows (of a query, or of a writing statement with `RETURNING`).
    pub(crate) async fn rows(
        &mut self,
        step: &'static str,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>> {
        self.fetch(step, sql.into(), values, true).await
    }

    /// Reads the first row.
    pub(crate) async fn row(
        &mut self,
        step: &'static str,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<Option<Row>> {
        Ok(self
            .fetch(step, sql.into(), values, true)
            .await?
            .into_iter()
            .next())
    }

    /// Runs one statement; returns the number of rows it touched.
    pub(crate) async fn run(
        &mut self,
        step: &'static str,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) -> Result<u64> {
        match self {
            Self::Sqlite(tx) => {
                let sql = render(sql.into(), Dialect::Sqlite);
                let done = query!(Sqlite, sql, values, true).execute(&mut **tx).await;
                Ok(done.map_err(|e| failed(step, &e))?.rows_affected())
            }
            Self::Postgres(tx) => {
                let sql = render(sql.into(), Dialect::Postgres);
                let done = query!(Postgres, sql, values, true).execute(&mut **tx).await;
                Ok(done.map_err(|e| failed(step, &e))?.rows_affected())
            }
        }
    }

    /// Runs `{before} ($f…) VALUES-list {after}` for many rows in as few statements as fit.
    ///
    /// `fixed` are bound first (`$1`…); the text `§values` stands for `(…), (…)`. Returns what the
    /// statements return.
    pub(crate) async fn many(
        &mut self,
        step: &'static str,
        template: &'static str,
        fixed: &[Value],
        rows: Vec<Vec<Value>>,
    ) -> Result<Vec<Row>> {
        let Some(width) = rows.first().map(Vec::len) else {
            return Ok(Vec::new());
        };
        let chunk = (MAX_PARAMETERS / width.max(1)).max(1);
        let mut answers = Vec::new();
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let batch: Vec<Vec<Value>> = rows.by_ref().take(chunk).collect();
            // SQLite looks a numbered one up among those before it; that is quadratic.
            let numbered = matches!(self, Self::Postgres(_)) || !fixed.is_empty();
            let first = numbered.then_some(fixed.len() + 1);
            let sql = template.replace("§values", &placeholders(first, width, batch.len()));
            let cached = batch.len() <= CACHED_ROWS;
            let values = fixed
                .iter()
                .cloned()
                .chain(batch.into_iter().flatten())
                .collect();
            answers.extend(self.fetch(step, sql.into(), values, cached).await?);
        }
        Ok(answers)
    }

    /// Ends the transaction and makes it visible.
    pub(crate) async fn commit(self, step: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(|e| failed(step, &e))
    }

    /// Ends the transaction and leaves nothing behind.
    pub(crate) async fn roll_back(self, step: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
        .map_err(|e| failed(step, &e))
    }

    /// Runs several statements without parameters (a migration).
    pub(crate) async fn script(&mut self, step: &'static str, sql: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
            Self::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
        }
        .map_err(|e| failed(step, &e))
    }

    /// The store's clock, unix milliseconds.
    pub(crate) async fn now(&mut self) -> Result<i64> {
        match self {
            Self::Sqlite(_) => Ok(system_now()),
            Self::Postgres(_) => match self.row("read the clock", CLOCK, vec![]).await? {
                Some(row) => row.int(0),
                None => Ok(system_now()),
            },
        }
    }

    async fn fetch(
        &mut self,
        step: &'static str,
        sql: Cow<'static, str>,
        values: Vec<Value>,
        persistent: bool,
    ) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(tx) => {
                let sql = render(sql, Dialect::Sqlite);
                let rows = query!(Sqlite, sql, values, persistent)
                    .fetch_all(&mut **tx)
                    .await;
                Ok(rows
                    .map_err(|e| failed(step, &e))?
                    .into_iter()
                    .map(Row::Sqlite)
                    .collect())
            }
            Self::Postgres(tx) => {
                let sql = render(sql, Dialect::Postgres);
                let rows = query!(Postgres, sql, values, persistent)
                    .fetch_all(&mut **tx)
                    .await;
                Ok(rows
                    .map_err(|e| failed(step, &e))?
                    .into_iter()
                    .map(Row::Postgres)
                    .collect())
            }
        }
    }
}

/// Reads the store's clock in unix milliseconds.
pub(crate) const CLOCK: &str = "SELECT §now";
/// The clock as each database spells it: the instant of the statement, not of its transaction.
const SQLITE_NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
const POSTGRES_NOW: &str = "CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)";

/// The system's clock in unix milliseconds.
pub(crate) fn system_now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

macro_rules! column {
    ($name:ident, $type:ty) => {
        /// Reads the column at a position.
        pub(crate) fn $name(&self, at: usize) -> Result<$type> {
            match self {
                Self::Sqlite(row) => row.try_get(at),
                Self::Postgres(row) => row.try_get(at),
            }
            .map_err(|e| failed("decode a row", &e))
        }
    };
}

impl Row {
    column!(int, i64);
    column!(int_or_null, Option<i64>);
    column!(text, String);
    column!(text_or_null, Option<String>);
    column!(bytes, Vec<u8>);

    /// Reads a 0 or 1.
    pub(crate) fn is(&self, at: usize) -> Result<bool> {
        Ok(self.int(at)? != 0)
    }

    /// Reads a count that fits 32 bits.
    pub(crate) fn count(&self, at: usize) -> Result<u32> {
        Ok(u32::try_from(self.int(at)?).unwrap_or(u32::MAX))
    }
}

/// Writes `($1, $2), ($3, $4)` …, counting from `first`; without it, `(?, ?), (?, ?)` ….
fn placeholders(first: Option<usize>, width: usize, rows: usize) -> String {
    let mut text = String::with_capacity(rows * (width * 7 + 4));
    let mut number = first;
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..width {
            let comma = if column == 0 { "" } else { ", " };
            match &mut number {
                None => {
                    let _ = write!(text, "{comma}?");
                }
                Some(number) => {
                    let _ = write!(text, "{comma}${number}");
                    *number += 1;
                }
            }
        }
        text.push(')');
    }
    text
}

/// Resolves the marks `§lock`, `§now`, `§hex(name)` and `§in($n)`.
fn render(sql: Cow<'static, str>, dialect: Dialect) -> SqlStr {
    if !sql.contains('§') {
        return match sql {
            Cow::Borrowed(text) => text.into_sql_str(),
            Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
        };
    }
    let mut text = String::with_capacity(sql.len() + 40);
    let mut rest: &str = &sql;
    while let Some((before, after)) = rest.split_once('§') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix("lock") {
            text.push_str(if dialect == Dialect::Postgres {
                "FOR UPDATE"
            } else {
                ""
            });
            rest = after;
        } else if let Some(after) = after.strip_prefix("now") {
            text.push_str(if dialect == Dialect::Postgres {
                POSTGRES_NOW
            } else {
                SQLITE_NOW
            });
            rest = after;
        } else if let Some((bytes, after)) = after
            .strip_prefix("hex(")
            .and_then(|after| after.split_once(')'))
        {
            let _ = match dialect {
                Dialect::Sqlite => write!(text, "hex({bytes})"),
                Dialect::Postgres => write!(text, "encode({bytes}, 'hex')"),
            };
            rest = after;
        } else if let Some((list, after)) = after
            .strip_prefix("in(")
            .and_then(|after| after.split_once(')'))
        {
            let _ = match dialect {
                Dialect::Sqlite => write!(text, "IN (SELECT value FROM json_each({list}))"),
                Dialect::Postgres => write!(text, "= ANY({list})"),
            };
            rest = after;
        } else {
            rest = after;
        }
    }
    text.push_str(rest);
    AssertSqlSafe(text).into_sql_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_each_databases_words() {
        let text = "SELECT 1 WHERE a §in($2) AND b §in($3) §lock";
        assert_eq!(
            render(text.into(), Dialect::Postgres).as_str(),
            "SELECT 1 WHERE a = ANY($2) AND b = ANY($3) FOR UPDATE"
        );
        assert_eq!(
            render(text.into(), Dialect::Sqlite).as_str(),
            "SELECT 1 WHERE a IN (SELECT value FROM json_each($2)) AND b IN (SELECT value FROM json_each($3)) "
        );
    }

    #[test]
    fn placeholders_count_on_from_the_fixed_ones_or_stand_in_order() {
        assert_eq!(placeholders(Some(2), 2, 2), "($2, $3), ($4, $5)");
        assert_eq!(placeholders(None, 2, 2), "(?, ?), (?, ?)");
    }
}
