//! Contributions: what each record of a metric counts for, kept by the record's key.
//!
//! A record has one place, its bucket and series, or none when it is known to be gone. What is here is written by
//! the commit that writes the cells, so that the two never differ.

use std::collections::{BTreeSet, HashMap};

use crate::Store;
use crate::cells::{self, add_series};
use crate::commit::Commit;
use crate::database::{Row, values};
use crate::error::Result;
use crate::points::{CellPlace, series_keys};

/// Records read, looked up or touched with one statement.
pub const RECORDS_A_STATEMENT: usize = 2_000;

/// What a record counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What makes the record itself.
    pub key: String,
    /// Where it counts; `None`: the record is gone.
    pub place: Option<CellPlace>,
    /// When it was seen so, unix milliseconds.
    pub seen_at: i64,
    /// The run that saw it.
    pub run: String,
    /// The page it was on.
    pub page: i64,
    /// What it adds, of the caller's making; empty for one that is gone.
    pub value: Vec<u8>,
}

/// Where a walk over records goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCursor {
    start: i64,
    series: i64,
    key: String,
}

/// How many records of a point each run brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRun {
    /// The run.
    pub run: String,
    /// The newest time at which it saw one of them.
    pub seen_at: i64,
    /// The series.
    pub series: String,
    /// How many.
    pub records: i64,
}

impl Commit {
    /// The revision by which the metric's records were placed; `None` when it keeps none.
    pub fn records_revision(&mut self, metric: &str) -> Result<Option<i64>> {
        Ok(self.parts(metric)?.1.records_revision)
    }

    /// Notes by which revision the metric's records are placed. With `None` its records are deleted.
    pub async fn set_records_revision(
        &mut self,
        metric: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        let step = "note how records are placed";
        let (tx, held) = self.parts(metric)?;
        if revision.is_none() {
            tx.run(
                step,
                "DELETE FROM records WHERE metric_id = $1",
                values![held.id],
            )
            .await?;
        }
        held.records_revision = revision;
        let sql = "UPDATE metrics SET records_revision = $2 WHERE id = $1";
        tx.run(step, sql, values![held.id, revision])
            .await
            .map(drop)
    }

    /// Reads the records of these keys, at most [`RECORDS_A_STATEMENT`], that there are.
    pub async fn records(
        &mut self,
        metric: &str,
        keys: Vec<String>,
    ) -> Result<HashMap<String, Record>> {
        let (tx, held) = self.parts(metric)?;
        let sql = "SELECT start_at, series_id, key, seen_at, run, page, value FROM records \
                   WHERE metric_id = $1 AND key §in($2)";
        let rows = tx.rows("read records", sql, values![held.id, keys]).await?;
        let known = cells::series(tx, held).await?;
        let read = rows.iter().map(|row| {
            let record = read(row, &known.keys)?;
            Ok((record.key.clone(), record))
        });
        read.collect()
    }

    /// Reads up to [`RECORDS_A_STATEMENT`] records that count in buckets from `from` on and before `to`, by
    /// bucket, series and key, behind `after`; the cursor goes on, until there is none.
    pub async fn records_in(
        &mut self,
        metric: &str,
        from: i64,
        to: i64,
        after: Option<&RecordCursor>,
    ) -> Result<(Vec<Record>, Option<RecordCursor>)> {
        let (tx, held) = self.parts(metric)?;
        let sql = "SELECT start_at, series_id, key, seen_at, run, page, value FROM records \
                   WHERE metric_id = $1 AND start_at >= $2 AND start_at < $3 \
                   AND (start_at, series_id, key) > ($2, $4, $5) ORDER BY start_at, series_id, key LIMIT $6";
        let limit = i64::try_from(RECORDS_A_STATEMENT).unwrap_or(i64::MAX);
        let values = match after {
            Some(after) => values![held.id, after.start, to, after.series, &after.key, limit],
            None => values![held.id, from, to, -1i64, "", limit],
        };
        let rows = tx.rows("read records", sql, values).await?;
        let next = match rows.last() {
            Some(last) if rows.len() >= RECORDS_A_STATEMENT => Some(RecordCursor {
                start: last.int(0)?,
                series: last.int(1)?,
                key: last.text(2)?,
            }),
            _ => None,
        };
        let known = cells::series(tx, held).await?;
        let records = rows
            .iter()
            .map(|row| read(row, &known.keys))
            .collect::<Result<Vec<_>>>()?;
        Ok((records, next))
    }

    /// Keeps records as given, over what is there. Those of a series for which there is no room count
    /// nowhere; returns how many.
    pub async fn put_records(&mut self, metric: &str, records: &[Record]) -> Result<u64> {
        let limit = self.series_limit();
        let (tx, held) = self.parts(metric)?;
        let id = held.id;
        let known = cells::series(tx, held).await?;
        let places = records.iter().filter_map(|record| record.place.as_ref());
        let names: BTreeSet<&str> = places.map(|place| place.series.as_str()).collect();
        add_series(tx, id, known, limit, names).await?;
        let mut overflow = 0;
        let rows = records.iter().map(|record| {
            let place = record.place.as_ref();
            let series = place.and_then(|place| known.ids.get(&place.series).copied());
            overflow += u64::from(place.is_some() && series.is_none());
            let start = place.filter(|_| series.is_some()).map(|place| place.start);
            let value = if start.is_some() {
                record.value.as_slice()
            } else {
                &[]
            };
            let (key, run) = (&record.key, &record.run);
            values![
                id,
                key,
                start,
                series,
                record.seen_at,
                run,
                record.page,
                value
            ]
        });
        let rows = rows.collect();
        let sql = "INSERT INTO records (metric_id, key, start_at, series_id, seen_at, run, page, value) VALUES §values \
                   ON CONFLICT (metric_id, key) DO UPDATE SET start_at = excluded.start_at, \
                   series_id = excluded.series_id, seen_at = excluded.seen_at, run = excluded.run, \
                   page = excluded.page, value = excluded.value";
        tx.many("write records", sql, &[], rows).await?;
        Ok(overflow)
    }

    /// Notes that records were seen again as they are, at most [`RECORDS_A_STATEMENT`] at a time.
    pub async fn see_records(
        &mut self,
        metric: &str,
        keys: Vec<String>,
        seen: (i64, &str, i64),
    ) -> Result<()> {
        let (tx, held) = self.parts(metric)?;
        let (at, run, page) = seen;
        let sql = "UPDATE records SET seen_at = $3, run = $4, page = $5 \
                   WHERE metric_id = $1 AND key §in($2) AND seen_at < $3";
        let values = values![held.id, keys, at, run, page];
        tx.run("see records again", sql, values).await.map(drop)
    }

    /// Takes out the records that were last seen before `before`, and returns where they counted.
    pub async fn drop_unseen_records(
        &mut self,
        metric: &str,
        before: i64,
    ) -> Result<Vec<CellPlace>> {
        let step = "drop records";
        let (tx, held) = self.parts(metric)?;
        let id = held.id;
        let sql = "SELECT DISTINCT start_at, series_id FROM records \
                   WHERE metric_id = $1 AND seen_at < $2 AND start_at IS NOT NULL";
        let rows = tx.rows(step, sql, values![id, before]).await?;
        let known = cells::series(tx, held).await?;
        let mut places = Vec::with_capacity(rows.len());
        for row in &rows {
            places.push(CellPlace {
                start: row.int(0)?,
                series: known.keys.get(&row.int(1)?).cloned().unwrap_or_default(),
            });
        }
        let sql = "DELETE FROM records WHERE metric_id = $1 AND seen_at < $2";
        tx.run(step, sql, values![id, before]).await?;
        Ok(places)
    }
}

impl Store {
    /// Tells which runs saw the records that count from `from` on and before `to`, the newest first; `None`
    /// when the metric keeps no records.
    pub async fn record_runs(
        &self,
        ws: &str,
        metric: &str,
        from: i64,
        to: i64,
        limit: u32,
    ) -> Result<Option<Vec<RecordRun>>> {
        let step = "read who saw records";
        let mut tx = self.database.begin_read(step).await?;
        let sql = "SELECT id FROM metrics WHERE workspace = $1 AND name = $2 AND records_revision IS NOT NULL";
        let Some(row) = tx.row(step, sql, values![ws, metric]).await? else {
            return Ok(None);
        };
        let sql = "SELECT r.run, MAX(r.seen_at), s.key, COUNT(*) FROM records r JOIN series s ON s.id = r.series_id \
                   WHERE r.metric_id = $1 AND r.start_at >= $2 AND r.start_at < $3 \
                   GROUP BY r.run, s.key ORDER BY MAX(r.seen_at) DESC, r.run, s.key LIMIT $4";
        let rows = tx
            .rows(step, sql, values![row.int(0)?, from, to, limit])
            .await?;
        let read = |row: &Row| {
            Ok(RecordRun {
                run: row.text(0)?,
                seen_at: row.int(1)?,
                series: row.text(2)?,
                records: row.int(3)?,
            })
        };
        rows.iter().map(read).collect::<Result<_>>().map(Some)
    }
}

impl Store {
    /// Reads up to `limit` records that count from `from` on and before `to`, by bucket, series and key.
    pub async fn records_of(
        &self,
        ws: &str,
        metric: &str,
        from: i64,
        to: i64,
        limit: u32,
    ) -> Result<Vec<Record>> {
        let step = "read records";
        let mut tx = self.database.begin_read(step).await?;
        let sql = "SELECT id FROM metrics WHERE workspace = $1 AND name = $2";
        let Some(row) = tx.row(step, sql, values![ws, metric]).await? else {
            return Ok(Vec::new());
        };
        let id = row.int(0)?;
        let sql = "SELECT start_at, series_id, key, seen_at, run, page, value FROM records \
                   WHERE metric_id = $1 AND start_at >= $2 AND start_at < $3 \
                   ORDER BY start_at, series_id, key LIMIT $4";
        let rows = tx.rows(step, sql, values![id, from, to, limit]).await?;
        let known = series_keys(&mut tx, id).await?;
        rows.iter().map(|row| read(row, &known)).collect()
    }
}

fn read(row: &Row, series: &HashMap<i64, String>) -> Result<Record> {
    let place = match (row.int_or_null(0)?, row.int_or_null(1)?) {
        (Some(start), Some(id)) => Some(CellPlace {
            start,
            series: series.get(&id).cloned().unwrap_or_default(),
        }),
        _ => None,
    };
    Ok(Record {
        place,
        key: row.text(2)?,
        seen_at: row.int(3)?,
        run: row.text(4)?,
        page: row.int(5)?,
        value: row.bytes(6)?,
    })
}
