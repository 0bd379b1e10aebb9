//! The records of a number, where the metric keeps each of them (`mode: upsert`).

use std::collections::BTreeMap;

use expression::masked_row_json;
use rollup::{Contribution, Row, SeriesKey};
use serde_json::{Value, json};
use store::Record;
use wire::provenance::PageRows;
use wire::{Json, RowsFound};

use super::question::Question;
use super::{Part, RUNS};
use crate::problem::Problem;
use crate::router::Gateway;

/// Records looked at for samples and their pages; of the rest only the number is told.
const RECORDS: u32 = 2_000;
/// Combinations of run and series counted.
const COUNTED: u32 = 10_000;

/// Returns the runs that saw the records of a number, with those records; `None` when none are kept.
pub(super) async fn parts(
    gateway: &Gateway,
    workspace: &str,
    metric: &str,
    question: &Question,
    revision: i64,
) -> Result<Option<Vec<Part>>, Problem> {
    let store = gateway.store();
    let (from, to) = (
        question.range.start.as_millisecond(),
        question.range.end.as_millisecond(),
    );
    let Some(counted) = store
        .record_runs(workspace, metric, from, to, COUNTED)
        .await?
    else {
        return Ok(None);
    };
    let mut runs: BTreeMap<String, (i64, RowsFound)> = BTreeMap::new();
    for one in counted.iter().filter(|one| is_asked(question, &one.series)) {
        let (seen_at, found) = runs.entry(one.run.clone()).or_default();
        *seen_at = one.seen_at.max(*seen_at);
        found.rows_total += u64::try_from(one.records).unwrap_or(0);
    }
    let records = store
        .records_of(workspace, metric, from, to, RECORDS)
        .await?;
    for record in &records {
        let series = record.place.as_ref().map(|place| place.series.as_str());
        if series.is_some_and(|series| is_asked(question, series))
            && let Some((_, found)) = runs.get_mut(&record.run)
        {
            show(found, record, question.limit as usize);
        }
    }
    let mut parts = Vec::with_capacity(runs.len().min(RUNS));
    for (run_id, (seen_at, found)) in runs {
        let run = store.run(workspace, &run_id).await?;
        parts.push(Part {
            complete: run.as_ref().is_none_or(|run| !run.partial),
            run_id,
            run,
            as_of: seen_at,
            start: from,
            end: to,
            revision,
            kept: Some(found),
        });
    }
    Ok(Some(parts))
}

fn is_asked(question: &Question, series: &str) -> bool {
    let Ok(key) = SeriesKey::parse(series) else {
        return false;
    };
    let mut members = question.dimensions.iter();
    let unit = question.unit.as_deref();
    members.all(|(name, member)| key.dimensions.get(name) == Some(member.as_str()))
        && unit.is_none_or(|unit| key.unit.as_deref() == Some(unit))
}

fn show(found: &mut RowsFound, record: &Record, limit: usize) {
    let page = u32::try_from(record.page).unwrap_or(0);
    match found.pages.iter_mut().find(|one| one.page == page) {
        Some(one) => one.rows += 1,
        None => found.pages.push(PageRows { page, rows: 1 }),
    }
    let Ok(contribution) = Contribution::decode(&record.value) else {
        return;
    };
    let key = record
        .place
        .as_ref()
        .map(|place| SeriesKey::parse(&place.series));
    let key = key.and_then(Result::ok).unwrap_or_default();
    if found.rows.len() < limit {
        let row = Row {
            value: contribution.value,
            at: Some(contribution.at),
            dimensions: key.dimensions,
            unit: key.unit,
            key: Some(record.key.as_str().into()),
            page,
            index: 0,
        };
        let mut shown = json!({ "page": page });
        if let (Value::Object(shown), Value::Object(own)) = (&mut shown, masked_row_json(&row)) {
            shown.extend(own);
        }
        found.rows.push(Json::from(shown));
    }
}
