//! Reads many cells as one text: as rows of their own they cost five times as much to hand over.
//!
//! The databases join them, each as `series start partial state`, the state in hex.

use crate::Point;
use crate::database::{Tx, values};
use crate::error::{Error, Result};

/// Cells read with one statement. The largest states, sketches, take some kilobytes each.
const CELLS_A_STATEMENT: u32 = 5_000;

const CELLS: &str = "SELECT string_agg(series_id || ' ' || start_at || ' ' || partial || ' ' || §hex(state), ';') \
     FROM (SELECT series_id, start_at, partial, state FROM cells \
     WHERE metric_id = $1 AND start_at >= $2 AND start_at < $3 AND (start_at > $2 OR series_id > $4) \
     ORDER BY start_at, series_id LIMIT $5) AS part";

/// A point with the number of its series.
#[derive(Debug, PartialEq)]
pub(crate) struct PackedCell {
    pub(crate) series: i64,
    pub(crate) point: Point,
}

/// Reads the cells of a metric that start in `[from, to)`, by start and series.
pub(crate) async fn packed_cells(
    tx: &mut Tx,
    metric: i64,
    from: i64,
    to: i64,
) -> Result<Vec<PackedCell>> {
    let mut cells = Vec::new();
    let mut behind = (from, -1);
    loop {
        let values = values![metric, behind.0, to, behind.1, CELLS_A_STATEMENT];
        let row = tx.row("read cells", CELLS, values).await?;
        let text = row.map(|row| row.text_or_null(0)).transpose()?.flatten();
        let read = unpack(&text.unwrap_or_default())?;
        let is_last = read.len() < CELLS_A_STATEMENT as usize;
        if let Some(last) = read.last() {
            behind = (last.point.start, last.series);
        }
        if cells.is_empty() {
            cells = read;
        } else {
            cells.extend(read);
        }
        if is_last {
            return Ok(cells);
        }
    }
}

fn unpack(text: &str) -> Result<Vec<PackedCell>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut cells = Vec::with_capacity(text.len() / 40);
    for one in text.split(';') {
        let cell = unpack_one(one);
        cells.push(cell.ok_or_else(|| Error::Invalid("a stored cell is unreadable".into()))?);
    }
    let place = |cell: &PackedCell| (cell.point.start, cell.series);
    // Databases join in the order of the rows, though they do not promise it.
    if !cells.is_sorted_by_key(place) {
        cells.sort_by_key(place);
    }
    Ok(cells)
}

fn unpack_one(text: &str) -> Option<PackedCell> {
    let mut parts = text.split(' ');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (series, start, partial) = (number()?, number()?, number()?);
    let state = parts.next()?.as_bytes();
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let (pairs, []) = state.as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    Some(PackedCell {
        series,
        point: Point {
            start,
            partial: partial != 0,
            state: bytes.collect::<Option<Vec<u8>>>()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_out_of_their_text_in_order() {
        let cell = |series, start, partial, state: &[u8]| PackedCell {
            series,
            point: Point {
                start,
                partial,
                state: state.to_vec(),
            },
        };
        assert_eq!(
            unpack("7 86400000 0 00fF;3 -5 1 ").unwrap(),
            [
                cell(3, -5, true, b""),
                cell(7, 86_400_000, false, b"\x00\xff")
            ]
        );
        assert_eq!(unpack("").unwrap(), []);
    }

    #[test]
    fn what_is_no_cell_is_refused() {
        for text in ["x", "1 2 0", "1 2 0 f", "1 2 0 gg", "1 2 0 ff;"] {
            assert!(unpack(text).is_err(), "{text}");
        }
    }
}
