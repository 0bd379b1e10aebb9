//! Cells, coverage and syncs, as they are read.

use std::collections::HashMap;

use crate::Store;
use crate::calculated;
use crate::database::{Row, Tx, values};
use crate::error::{Error, Result};
use crate::packed::packed_cells;
use crate::runs::Outcome;
use crate::workspaces::{Entry, audit};

/// Room for versions within one epoch: a thousand a second for thirty years.
const EPOCH_STEP: i64 = 1_000_000_000_000;

/// One stored value: a bucket of one series, or one sample of a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The series key in canonical JSON.
    pub series: String,
    /// The bucket's first instant, or the sample's instant.
    pub start: i64,
    /// The encoded mergeable state.
    pub state: Vec<u8>,
    /// True when the bucket may be incomplete.
    pub partial: bool,
}

/// Where a cell is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellPlace {
    /// The bucket's first instant.
    pub start: i64,
    /// The series key in canonical JSON.
    pub series: String,
}

/// A cell that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellChange {
    /// The series key in canonical JSON.
    pub series: String,
    /// The bucket's first instant.
    pub start: i64,
    /// The state before; `None`: there was none.
    pub old: Option<Vec<u8>>,
    /// The state now; `None`: the cell is gone.
    pub new: Option<Vec<u8>>,
}

/// What a metric knows about a range of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The first instant.
    pub start: i64,
    /// The first instant past it.
    pub end: i64,
    /// The slot of the run that covered it.
    pub as_of: i64,
    /// That run.
    pub run: String,
    /// The revision it was evaluated at.
    pub revision: i64,
    /// False when the run was cut short.
    pub complete: bool,
}

/// The points of one series, by start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesPoints {
    /// The series key in canonical JSON.
    pub key: String,
    /// Its points, by start.
    pub points: Vec<Point>,
}

/// One point of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The bucket's first instant, or the sample's instant.
    pub start: i64,
    /// The encoded mergeable state.
    pub state: Vec<u8>,
    /// True when the bucket may be incomplete.
    pub partial: bool,
}

/// Everything needed to answer a query, read at one instant of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRows {
    /// The version of the data.
    pub version: i64,
    /// The revision in force.
    pub revision: i64,
    /// Series that have points in the range, by key.
    pub series: Vec<SeriesPoints>,
    /// The metric's whole coverage, by start.
    pub coverage: Vec<Coverage>,
    /// Levels: the instants of syncs in the range.
    pub syncs: Vec<i64>,
}

/// How a metric stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricState {
    /// Its name.
    pub metric: String,
    /// The dataset that feeds it; calculated metrics have none.
    pub dataset: Option<String>,
    /// The version of the data.
    pub version: i64,
    /// The revision in force.
    pub revision: i64,
    /// The canonical document.
    pub document: String,
    /// Its coverage, by start.
    pub coverage: Vec<Coverage>,
    /// When a run was last applied to it.
    pub last_success_at: Option<i64>,
    /// The run that last had an outcome for it.
    pub last_run: Option<String>,
    /// That outcome: `applied`, `failed` or `dead`.
    pub last_outcome: Option<crate::runs::Outcome>,
    /// What went wrong then: JSON, redacted.
    pub last_error: Option<String>,
    /// When its dataset is due next.
    pub next_due_at: Option<i64>,
    /// Why its dataset needs a person.
    pub attention_reason: Option<String>,
    /// Since when a recompute waits or goes on.
    pub recompute_since: Option<i64>,
}

impl Store {
    /// Reads a metric's cells that start in `[from, to)` with its coverage and syncs; `None` when
    /// there is no such metric.
    pub async fn series(
        &self,
        ws: &str,
        metric: &str,
        from: i64,
        to: i64,
    ) -> Result<Option<SeriesRows>> {
        let step = "read a series";
        let mut tx = self.database.begin_read(step).await?;
        let sql = "SELECT id, version, revision FROM metrics WHERE workspace = $1 AND name = $2";
        let Some(row) = tx.row(step, sql, values![ws, metric]).await? else {
            return Ok(None);
        };
        let (id, version, revision) = (row.int(0)?, row.int(1)?, row.int(2)?);
        let keys = series_keys(&mut tx, id).await?;
        let mut places: HashMap<i64, usize> = HashMap::with_capacity(keys.len());
        let mut series: Vec<SeriesPoints> = Vec::new();
        for packed in packed_cells(&mut tx, id, from, to).await? {
            let place = *places.entry(packed.series).or_insert_with(|| {
                let key = keys.get(&packed.series).cloned().unwrap_or_default();
                series.push(SeriesPoints {
                    key,
                    points: Vec::new(),
                });
                series.len() - 1
            });
            series[place].points.push(packed.point);
        }
        series.sort_by(|a, b| a.key.cmp(&b.key));
        let coverage = coverage(&mut tx, id).await?;
        let sql = "SELECT at FROM syncs WHERE metric_id = $1 AND at >= $2 AND at < $3 ORDER BY at";
        let syncs = tx.rows(step, sql, values![id, from, to]).await?;
        let syncs = syncs.iter().map(|row| row.int(0)).collect::<Result<_>>()?;
        tx.commit(step).await?;
        Ok(Some(SeriesRows {
            version,
            revision,
            series,
            coverage,
            syncs,
        }))
    }

    /// The start of the newest cell of any of these metrics that does not start after `upto`; `None` when there is none.
    pub async fn newest_start(&self, ws: &str, metrics: &[&str], upto: i64) -> Result<Option<i64>> {
        let step = "find the newest cell";
        let sql = "SELECT max(c.start_at) FROM metrics m JOIN cells c ON c.metric_id = m.id \
                   WHERE m.workspace = $1 AND m.name = $2 AND c.start_at <= $3";
        let mut newest = None;
        for metric in metrics {
            let row = self
                .database
                .row(step, sql, values![ws, *metric, upto])
                .await?;
            let start = row.map(|row| row.int_or_null(0)).transpose()?.flatten();
            newest = newest.max(start);
        }
        Ok(newest)
    }

    /// The version of a metric's data alone: the key of a cache.
    pub async fn metric_version(&self, ws: &str, metric: &str) -> Result<Option<i64>> {
        let sql = "SELECT version FROM metrics WHERE workspace = $1 AND name = $2";
        let row = self
            .database
            .row("read a metric's version", sql, values![ws, metric])
            .await?;
        row.map(|row| row.int(0)).transpose()
    }

    /// The version of a metric's data and the revision in force.
    pub async fn metric_standing(&self, ws: &str, metric: &str) -> Result<Option<(i64, i64)>> {
        let sql = "SELECT version, revision FROM metrics WHERE workspace = $1 AND name = $2";
        let row = self
            .database
            .row("read a metric's version", sql, values![ws, metric])
            .await?;
        row.map(|row| Ok((row.int(0)?, row.int(1)?))).transpose()
    }

    /// How many milliseconds of a metric's coverage are not of `revision`. While that is in force it only falls, so
    /// it tells whether what was made with earlier ones is still what it was.
    pub async fn outdated_ms(&self, ws: &str, metric: &str, revision: i64) -> Result<i64> {
        let sql = "SELECT CAST(COALESCE(SUM(c.end_at - c.start_at), 0) AS BIGINT) FROM coverage c \
                   JOIN metrics m ON m.id = c.metric_id \
                   WHERE m.workspace = $1 AND m.name = $2 AND c.revision <> $3";
        let values = values![ws, metric, revision];
        let row = self
            .database
            .row("read what is outdated", sql, values)
            .await?;
        row.map_or(Ok(0), |row| row.int(0))
    }

    /// Reads how a metric stands.
    pub async fn metric_state(&self, ws: &str, metric: &str) -> Result<Option<MetricState>> {
        let sql = "SELECT m.dataset, m.version, m.revision, f.document, m.last_success_at, m.last_run, \
                   m.last_outcome, m.last_error, d.next_due_at, d.attention_reason, \
                   c.start_at, c.end_at, c.as_of, c.run, c.revision, c.complete, r.requested_at \
                   FROM metrics m \
                   JOIN definitions f ON f.workspace = m.workspace AND f.kind = 'metric' AND f.name = m.name \
                   LEFT JOIN datasets d ON d.workspace = m.workspace AND d.id = m.dataset \
                   LEFT JOIN coverage c ON c.metric_id = m.id \
                   LEFT JOIN recomputes r ON r.workspace = m.workspace AND r.metric = m.name \
                   WHERE m.workspace = $1 AND m.name = $2 ORDER BY c.start_at";
        let rows = self
            .database
            .rows("read how a metric stands", sql, values![ws, metric])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let mut coverage = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.int_or_null(10)?.is_some() {
                coverage.push(covered(row, 10)?);
            }
        }
        Ok(Some(MetricState {
            metric: metric.to_owned(),
            dataset: row.text_or_null(0)?,
            version: row.int(1)?,
            revision: row.int(2)?,
            document: row.text(3)?,
            coverage,
            last_success_at: row.int_or_null(4)?,
            last_run: row.text_or_null(5)?,
            last_outcome: row.text_or_null(6)?.as_deref().and_then(Outcome::parse),
            last_error: row.text_or_null(7)?,
            next_due_at: row.int_or_null(8)?,
            attention_reason: row.text_or_null(9)?,
            recompute_since: row.int_or_null(16)?,
        }))
    }

    /// Deletes a metric's points and coverage and raises its version, which it returns and announces without points. The
    /// next sync asks for all that it would ask for without a success.
    pub async fn purge(&self, ws: &str, actor: &str, metric: &str) -> Result<i64> {
        let step = "purge a metric";
        let mut tx = self.database.begin(step).await?;
        let gone = || Error::NotFound {
            kind: "metric",
            name: metric.to_owned(),
        };
        // The dataset's row first, as everywhere.
        let sql = "SELECT id FROM datasets WHERE workspace = $1 AND id = (SELECT dataset FROM metrics \
                   WHERE workspace = $1 AND name = $2) §lock";
        tx.row(step, sql, values![ws, metric])
            .await?
            .ok_or_else(gone)?;
        let sql = "SELECT id, version FROM metrics WHERE workspace = $1 AND name = $2 §lock";
        let row = tx
            .row(step, sql, values![ws, metric])
            .await?
            .ok_or_else(gone)?;
        let (id, version) = (row.int(0)?, row.int(1)?);
        for sql in [
            "DELETE FROM cells WHERE metric_id = $1",
            "DELETE FROM series WHERE metric_id = $1",
            "DELETE FROM coverage WHERE metric_id = $1",
            "DELETE FROM syncs WHERE metric_id = $1",
            "DELETE FROM records WHERE metric_id = $1",
        ] {
            tx.run(step, sql, values![id]).await?;
        }
        let epoch = calculated::epoch(&mut tx).await?;
        let version = next_version(version, epoch);
        let sql = "UPDATE metrics SET version = $2, last_success_at = NULL, records_revision = NULL, windows = NULL \
                   WHERE id = $1";
        tx.run(step, sql, values![id, version]).await?;
        let sql = "UPDATE datasets SET last_window_end = NULL WHERE workspace = $1 AND id = (SELECT dataset \
                   FROM metrics WHERE id = $2)";
        tx.run(step, sql, values![ws, id]).await?;
        let sql = "INSERT INTO outbox (workspace, metric, version, created_at, payload) VALUES ($1, $2, $3, $4, $5)";
        let now = tx.now().await?;
        tx.run(step, sql, values![ws, metric, version, now, ""])
            .await?;
        let entry = Entry {
            action: "purged",
            kind: "metric",
            name: metric,
            detail: None,
        };
        audit(&mut tx, Some(ws), actor, &entry).await?;
        calculated::raise_dependents(&mut tx, ws, &[metric.to_owned()], epoch, now).await?;
        tx.commit(step).await?;
        Ok(version)
    }
}

/// The version after `version` in an epoch: versions only grow.
pub(crate) fn next_version(version: i64, epoch: i64) -> i64 {
    version.max(epoch * EPOCH_STEP) + 1
}

/// Reads the keys of a metric's series.
pub(crate) async fn series_keys(tx: &mut Tx, metric: i64) -> Result<HashMap<i64, String>> {
    let sql = "SELECT id, key FROM series WHERE metric_id = $1";
    let rows = tx.rows("read series", sql, values![metric]).await?;
    rows.iter()
        .map(|row| Ok((row.int(0)?, row.text(1)?)))
        .collect()
}

/// Reads the coverage of a metric, by start.
pub(crate) async fn coverage(tx: &mut Tx, metric: i64) -> Result<Vec<Coverage>> {
    let sql = "SELECT start_at, end_at, as_of, run, revision, complete FROM coverage \
               WHERE metric_id = $1 ORDER BY start_at";
    let rows = tx.rows("read coverage", sql, values![metric]).await?;
    rows.iter().map(|row| covered(row, 0)).collect()
}

fn covered(row: &Row, first: usize) -> Result<Coverage> {
    Ok(Coverage {
        start: row.int(first)?,
        end: row.int(first + 1)?,
        as_of: row.int(first + 2)?,
        run: row.text(first + 3)?,
        revision: row.int(first + 4)?,
        complete: row.is(first + 5)?,
    })
}
