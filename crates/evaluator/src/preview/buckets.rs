//! The buckets that a draft's rows would make.

use jiff::Timestamp;
use rollup::{Folded, Rules};
use serde_json::{Value, json};

/// Buckets listed, the newest: they are what people compare with what they know.
const LISTED: usize = 200;

/// Returns the newest buckets, oldest of them first, and how many there are.
pub(super) fn newest(folded: &Folded, rules: &Rules) -> (Vec<Value>, u64) {
    let mut all: Vec<_> = folded
        .cells
        .iter()
        .flat_map(|(key, cells)| cells.iter().map(move |(start, state)| (*start, key, state)))
        .collect();
    // By time, then by series, as they are sorted already.
    all.sort_by_key(|(start, ..)| *start);
    let total = all.len() as u64;
    let listed = all.split_off(all.len().saturating_sub(LISTED));
    let shown = listed.into_iter().map(|(start, key, state)| {
        let at = Timestamp::from_millisecond(start).unwrap_or_default();
        // A sample of a level is kept at its instant, and shown in its bucket.
        let start = rules.resolution.start_of(at, &rules.zone, rules.week_start);
        let end = rules.resolution.next(start, &rules.zone, rules.week_start);
        json!({
            "start": start.to_string(),
            "end": end.to_string(),
            "dimensions": key.dimensions,
            "unit": key.unit,
            "value": state.finish(rules.aggregation),
            "rows": state.count(),
        })
    });
    (shown.collect(), total)
}
