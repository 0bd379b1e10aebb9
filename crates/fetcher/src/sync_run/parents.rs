//! The records of a parent dataset, for each of which the request is made.

use std::collections::HashSet;

use definition::{Parent, Select};
use serde_json::{Map, Value};
use wire::run_manifest::RunEnd;
use wire::{PageEntry, ParentRecords};

use super::Outlet;
use crate::error::PageError;
use crate::pagination::Verdict;

/// Pages of the parent read at a time: each may be large.
const PAGES_AT_ONCE: usize = 8;

/// Longest record that templates see; longer ones are no records.
const RECORD_BYTES: usize = 64 * 1024;

/// All records together.
const ALL_BYTES: usize = 64 * 1024 * 1024;

/// Notes told of all walks together.
const MOST_NOTES: usize = 10;

/// How much of a record's key is shown in an error.
const SHOWN_KEY: usize = 80;

/// How much of a record travels with its pages, for `$parent`.
const KEPT_BYTES: usize = 4 * 1024;

/// The records of a parent and how far a run has come with them.
#[derive(Debug)]
pub(super) struct Parents {
    /// The parent's run.
    run: String,
    /// Changes when the records, or their order, do.
    fingerprint: String,
    records: Vec<Value>,
    select: Select,
    /// How many have been begun.
    pub(super) begun: u32,
    /// There are more than may be asked for.
    pub(super) is_cut: bool,
    /// Whether a record that the API does not know is passed over.
    pub(super) skips_missing: bool,
    /// How many were.
    pub(super) skipped: u32,
    /// A record had more pages than are fetched.
    pub(super) is_capped: bool,
    /// What is to be said about the walks that are through.
    pub(super) verdict: Verdict,
}

/// Why there are no records.
pub(super) enum NoParents {
    /// The pages are no longer in the stream.
    Gone,
    /// They cannot be used.
    Failed(PageError),
}

impl Parents {
    /// Reads the records that `order` names from the stream.
    pub(super) async fn load<O: Outlet>(
        order: &ParentRecords,
        outlet: &O,
    ) -> Result<Self, NoParents> {
        let failed = |reason: String| NoParents::Failed(PageError::Parent(reason));
        let select = order.select.as_ref().map(|select| &select.0);
        let select = match select {
            None => Select::default(),
            Some(document) => Select::from_document(document)
                .map_err(|_| failed("its selection cannot be read".to_owned()))?,
        };
        let most = match order.max_parents {
            0 => Parent::DEFAULT_MAX_PARENTS,
            most => most.min(Parent::MAX_MAX_PARENTS),
        };
        let mut parents = Parents {
            run: order.run.clone(),
            fingerprint: String::new(),
            records: Vec::new(),
            select: Select::default(),
            begun: 0,
            is_cut: false,
            skips_missing: order.skip_missing,
            skipped: 0,
            is_capped: false,
            verdict: Verdict::default(),
        };
        let (mut seen, mut bytes, mut identities) = (HashSet::new(), 0, String::new());
        let pages: Vec<PageEntry> = order
            .pages
            .iter()
            .filter(|page| !page.duplicate && page.bytes > 0)
            .cloned()
            .collect();
        'pages: for some in pages.chunks(PAGES_AT_ONCE) {
            let bodies = match outlet.kept(some).await {
                Ok(Some(bodies)) => bodies,
                Ok(None) => return Err(NoParents::Gone),
                Err(reason) => return Err(failed(reason)),
            };
            for body in bodies {
                let records = expression::select_records(&select, &body)
                    .map_err(|error| failed(error.to_string()))?;
                for record in records {
                    let identity = identity(&select, &record);
                    if seen.contains(&identity) {
                        continue;
                    }
                    if parents.records.len() >= most as usize {
                        parents.is_cut = true;
                        break 'pages;
                    }
                    identities.push_str(&identity);
                    seen.insert(identity);
                    let length = record.to_string().len();
                    bytes += length;
                    if length > RECORD_BYTES || bytes > ALL_BYTES {
                        return Err(failed("its records are too large".to_owned()));
                    }
                    parents.records.push(record);
                }
            }
        }
        parents.fingerprint = wire::page::hash(identities.as_bytes());
        parents.select = select;
        Ok(parents)
    }

    /// What a later attempt needs to go on: which run the records are of, and the walks under way.
    pub(super) fn checkpoint(&self, walks: impl Iterator<Item = (u32, Value)>) -> Value {
        let walks: Map<String, Value> = walks
            .map(|(index, walk)| (index.to_string(), walk))
            .collect();
        serde_json::json!({ "parents": {
            "run": self.run,
            "fingerprint": self.fingerprint,
            "begun": self.begun,
            "skipped": self.skipped,
            "capped": self.is_capped,
            "gaps": self.verdict.has_gaps,
            "overlap": self.verdict.overlap,
            "walks": walks,
        } })
    }

    /// Goes to where an earlier attempt stopped and returns its walks; nothing when the records are others by now.
    pub(super) fn resume(&mut self, next: &Value) -> Option<Vec<(u32, Value)>> {
        let state = next.get("parents")?;
        if state.get("fingerprint")?.as_str()? != self.fingerprint {
            return None;
        }
        let number = |key: &str| u32::try_from(state.get(key)?.as_u64()?).ok();
        (self.begun, self.skipped) = (number("begun")?, number("skipped")?);
        self.is_capped = state.get("capped")?.as_bool()?;
        self.verdict.has_gaps = state.get("gaps")?.as_bool()?;
        self.verdict.overlap = state.get("overlap")?.as_u64()?;
        let walks = state.get("walks")?.as_object()?;
        walks
            .iter()
            .map(|(index, walk)| Some((index.parse().ok()?, walk.clone())))
            .collect()
    }

    /// Takes in how the walk of a record ended.
    pub(super) fn ended(&mut self, index: u32, end: RunEnd, verdict: Verdict) {
        self.is_capped |= end == RunEnd::PageCap;
        self.verdict.has_gaps |= verdict.has_gaps;
        self.verdict.overlap += verdict.overlap;
        let room = MOST_NOTES.saturating_sub(self.verdict.notes.len());
        let notes = verdict.notes.into_iter().take(room);
        let notes = notes.map(|note| format!("record {} of the parent: {note}", index + 1));
        self.verdict.notes.extend(notes);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.records.len()
    }

    /// The record of a number, from 0.
    pub(super) fn record(&self, index: u32) -> Option<&Value> {
        self.records.get(index as usize)
    }

    /// Says for which record, and with which of its requests, the run failed, and what would let it go on.
    pub(super) fn failure(&self, index: u32, request: u32, error: &PageError) -> String {
        let known = self
            .record(index)
            .and_then(|record| key_of(&self.select, record));
        let known = known.map_or_else(String::new, |key| {
            let key: String = key.to_string().chars().take(SHOWN_KEY).collect();
            let name = self.select.key.as_deref().unwrap_or("id");
            format!(" (`{name}`: {key})")
        });
        let cure = if Self::may_skip(request, error.http_status()) && !self.skips_missing {
            "; `skip_missing: true` in `parent` passes over records that the API does not know"
        } else {
            ""
        };
        let number = index + 1;
        format!(
            "for record {number} of the parent dataset{known}, request {request}: {error}{cure}"
        )
    }

    /// Whether a failed request says that the API does not know its record.
    pub(super) fn may_skip(request: u32, status: Option<u16>) -> bool {
        request == 1 && matches!(status, Some(404 | 410))
    }

    /// Whether all were begun.
    pub(super) fn are_through(&self) -> bool {
        self.begun as usize >= self.records.len()
    }
}

/// What tells a record from others: its key, else its `id`, else all of it. A list that shifts while it is paged
/// through shows a record twice.
fn identity(select: &Select, record: &Value) -> String {
    match key_of(select, record) {
        Some(key) => format!("key {key}"),
        None => format!("all {}", wire::page::hash(record.to_string().as_bytes())),
    }
}

/// The key of a record, else its `id`.
fn key_of(select: &Select, record: &Value) -> Option<Value> {
    let key = match &select.key {
        Some(path) => expression::select_value(path, record).ok().flatten(),
        None => record
            .get("id")
            .filter(|id| id.is_string() || id.is_number())
            .cloned(),
    };
    key.filter(|key| !key.is_null())
}

/// A record as it travels with its pages: whole, or without its longest fields where it is too long.
pub(super) fn kept_of(record: &Value) -> Value {
    if record.to_string().len() <= KEPT_BYTES {
        return record.clone();
    }
    let Value::Object(fields) = record else {
        return Value::Null;
    };
    let length = |name: &str, value: &Value| name.len() + value.to_string().len() + 4;
    let mut by_length: Vec<(usize, &String)> = fields
        .iter()
        .map(|(name, value)| (length(name, value), name))
        .collect();
    by_length.sort_unstable();
    let mut room = KEPT_BYTES - 2;
    let fitting: HashSet<&String> = by_length
        .into_iter()
        .take_while(|(length, _)| {
            let fits = *length <= room;
            room = room.saturating_sub(*length);
            fits
        })
        .map(|(_, name)| name)
        .collect();
    let kept = fields.iter().filter(|(name, _)| fitting.contains(name));
    Value::Object(
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_record_travels_without_its_longest_fields() {
        let short = json!({"id": 1, "name": "a"});
        assert_eq!(kept_of(&short), short);
        let long =
            json!({"id": 1, "html": "x".repeat(5_000), "name": "a", "text": "y".repeat(3_000)});
        let kept = kept_of(&long);
        assert_eq!(
            (
                kept["id"].clone(),
                kept["name"].clone(),
                kept["html"].clone()
            ),
            (json!(1), json!("a"), Value::Null)
        );
        assert!(kept.to_string().len() <= KEPT_BYTES && kept.get("text").is_some());
        assert_eq!(kept_of(&json!("z".repeat(5_000))), Value::Null);
    }
}
