//! Writing cells: the difference between what is stored and what a run brings.

use std::collections::{BTreeMap, HashMap};

use crate::Point;
use crate::commit::{Held, Replaced};
use crate::database::{Tx, Value, values};
use crate::error::{Error, Result};
use crate::identity;
use crate::points::{self, Cell, CellChange};
use crate::runs::Interval;

/// The series of a metric, both ways.
#[derive(Default)]
pub(crate) struct Series {
    pub(crate) keys: HashMap<i64, String>,
    pub(crate) ids: HashMap<String, i64>,
}

/// Writes the difference between the stored cells and the new ones, and tells it.
pub(crate) async fn write(
    tx: &mut Tx,
    held: &mut Held,
    series_limit: usize,
    mut old: BTreeMap<(i64, i64), Point>,
    cells: &[Cell],
) -> Result<Replaced> {
    let metric = held.id;
    let known = series(tx, held).await?;
    let names = cells.iter().map(|cell| cell.series.as_str());
    let overflow = add_series(tx, metric, known, series_limit, names).await?;
    let mut changes = Vec::new();
    let mut upserts: BTreeMap<(i64, i64), &Cell> = BTreeMap::new();
    for cell in cells {
        // A series beyond the limit has no id: its cells are left out, and counted above.
        let Some(&id) = known.ids.get(&cell.series) else {
            continue;
        };
        if upserts.insert((cell.start, id), cell).is_some() {
            return Err(Error::Invalid(
                "two cells of one series start at one instant".into(),
            ));
        }
    }
    upserts.retain(|place, cell| {
        let before = old.remove(place);
        let is_same = before
            .as_ref()
            .is_some_and(|before| before.state == cell.state && before.partial == cell.partial);
        if !is_same {
            changes.push(CellChange {
                series: cell.series.clone(),
                start: cell.start,
                old: before.map(|before| before.state),
                new: Some(cell.state.clone()),
            });
        }
        !is_same
    });
    let rows = upserts
        .iter()
        .map(|((start, id), cell)| {
            values![metric, *start, *id, cell.partial, cell.state.as_slice()]
        })
        .collect();
    let sql = "INSERT INTO cells (metric_id, start_at, series_id, partial, state) VALUES §values \
               ON CONFLICT (metric_id, start_at, series_id) DO UPDATE SET \
               partial = excluded.partial, state = excluded.state";
    tx.many("write cells", sql, &[], rows).await?;
    // The bounds keep the search to the range that was replaced.
    let bounds = (old.keys().next(), old.keys().next_back());
    let (first, last) = (bounds.0.map_or(0, |k| k.0), bounds.1.map_or(0, |k| k.0));
    let mut gone: Vec<Vec<Value>> = Vec::with_capacity(old.len());
    for ((start, id), point) in old {
        gone.push(values![start, id]);
        changes.push(CellChange {
            series: known.keys.get(&id).cloned().unwrap_or_default(),
            start,
            old: Some(point.state),
            new: None,
        });
    }
    let sql = "DELETE FROM cells WHERE metric_id = $1 AND start_at BETWEEN $2 AND $3 \
               AND (start_at, series_id) IN (VALUES §values)";
    tx.many(
        "delete cells",
        sql,
        &[metric.into(), first.into(), last.into()],
        gone,
    )
    .await?;
    changes.sort_by(|a, b| (a.start, &a.series).cmp(&(b.start, &b.series)));
    Ok(Replaced { changes, overflow })
}

pub(crate) async fn series<'a>(tx: &mut Tx, held: &'a mut Held) -> Result<&'a mut Series> {
    if held.series.is_none() {
        let keys = points::series_keys(tx, held.id).await?;
        let ids = keys.iter().map(|(id, key)| (key.clone(), *id)).collect();
        held.series = Some(Series { keys, ids });
    }
    Ok(held.series.get_or_insert_default())
}

/// Joins intervals that touch or overlap, so that every cell is read once.
pub(crate) fn merge(intervals: &[Interval]) -> Vec<Interval> {
    let mut sorted: Vec<Interval> = intervals
        .iter()
        .copied()
        .filter(|i| i.start < i.end)
        .collect();
    sorted.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(sorted.len());
    for interval in sorted {
        match merged.last_mut() {
            Some(last) if interval.start <= last.end => last.end = last.end.max(interval.end),
            _ => merged.push(interval),
        }
    }
    merged
}

/// Makes the series that are new, up to the limit; returns how many had no room.
pub(crate) async fn add_series<'a>(
    tx: &mut Tx,
    metric: i64,
    known: &mut Series,
    limit: usize,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<u64> {
    let step = "add series";
    let names: Vec<&str> = names.into_iter().collect();
    let mut fresh = unknown(known, names.iter().copied());
    if fresh.is_empty() {
        return Ok(0);
    }
    if known.ids.len() + fresh.len() > limit {
        // Make room: series that have neither cells nor records left.
        let sql = "DELETE FROM series WHERE metric_id = $1 AND id NOT IN \
                   (SELECT DISTINCT series_id FROM cells WHERE metric_id = $1) AND id NOT IN \
                   (SELECT series_id FROM records WHERE metric_id = $1 AND start_at IS NOT NULL) RETURNING id";
        for row in tx.rows(step, sql, values![metric]).await? {
            if let Some(key) = known.keys.remove(&row.int(0)?) {
                known.ids.remove(&key);
            }
        }
        // One that made room may be among those that come.
        fresh = unknown(known, names);
    }
    let room = limit.saturating_sub(known.ids.len());
    let overflow = fresh.len().saturating_sub(room);
    let rows = fresh
        .iter()
        .take(room)
        .map(|(hash, key)| values![metric, hash, *key])
        .collect::<Vec<_>>();
    let sql = "INSERT INTO series (metric_id, key_hash, key) VALUES §values RETURNING id, key_hash";
    for row in tx.many(step, sql, &[], rows).await? {
        let (id, hash) = (row.int(0)?, row.text(1)?);
        if let Some(key) = fresh.get(&hash) {
            known.keys.insert(id, (*key).to_owned());
            known.ids.insert((*key).to_owned(), id);
        }
    }
    Ok(overflow as u64)
}

/// The series of cells that have no number yet, by the hash of their key.
fn unknown<'a>(
    known: &Series,
    names: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, &'a str> {
    let names = names.into_iter();
    let fresh = names.filter(|name| !known.ids.contains_key(*name));
    fresh.map(|name| (identity::hash(name), name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_intervals_become_one() {
        let interval = |start, end| Interval { start, end };
        let merged = merge(&[
            interval(5, 9),
            interval(0, 3),
            interval(3, 4),
            interval(8, 8),
        ]);
        assert_eq!(merged, [interval(0, 4), interval(5, 9)]);
    }
}
