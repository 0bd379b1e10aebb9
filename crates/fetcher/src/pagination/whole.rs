//! Whether a run is whole: what came against what the API states, and records that came twice.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::run_manifest::RunEnd;

use super::Facts;
use crate::detect::Unread;

/// What is to be said about a run that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records may be missing anywhere, not only behind the last page.
    pub has_gaps: bool,
    /// Records that came again on a neighbouring page.
    pub overlap: u64,
    /// What a person should know, in sentences.
    pub notes: Vec<String>,
}

/// What speaks for and against a run being whole; grows page by page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Tally {
    /// Records that came, repeated ones included.
    records: u64,
    /// Whether some page's records could not be counted for certain.
    uncounted: bool,
    /// The total that the first page stated.
    total: Option<u64>,
    /// The smallest and the largest total stated after it, where they differ from it.
    fell_to: Option<u64>,
    grew_to: Option<u64>,
    /// The number of pages that the first page stated, and the last one stated that differs from it.
    pages: Option<u64>,
    pages_became: Option<u64>,
    overlap: u64,
    /// Whether a page said that there is more than may be fetched.
    says_more: bool,
    /// The first page without records, and the last one with some.
    empty: Option<u32>,
    filled: u32,
    /// A page with the very records of its neighbour, and that one.
    twin: Option<(u32, u32)>,
    /// A page whose records are not where they should be, and where that is.
    astray: Option<(u32, String)>,
    /// A page that declares another charset than it was read in, and that charset.
    overruled: Option<(u32, String)>,
    /// What the only page said of others, as a sentence.
    unread: Option<String>,
    /// Fingerprints of pages whose neighbours have not both come; not kept over a checkpoint.
    #[serde(skip)]
    borders: HashMap<u32, HashSet<u64>>,
    #[serde(skip)]
    held: usize,
}

/// Fingerprints held at a time: 16 MiB. Pages whose neighbours never come do not gather without bounds.
const HELD: usize = 500_000;

impl Tally {
    /// Takes in a page that counts.
    pub(super) fn page(&mut self, number: u32, facts: &Facts, max_pages: u32) {
        match facts.records.filter(|_| facts.is_counted) {
            Some(0) => {
                self.empty = Some(self.empty.map_or(number, |empty| empty.min(number)));
            }
            Some(records) => {
                self.records += records;
                self.filled = self.filled.max(number);
            }
            None => self.uncounted = true,
        }
        // A page in the middle says so as well; what the last one of those allowed says is what counts.
        self.says_more |= (number >= max_pages && facts.has_more == Some(true))
            || facts
                .total_pages
                .is_some_and(|pages| pages > u64::from(max_pages));
        if let Some(stated) = facts.total {
            match self.total {
                None => self.total = Some(stated),
                Some(first) if stated < first => {
                    self.fell_to = Some(self.fell_to.map_or(stated, |known| known.min(stated)));
                }
                Some(first) if stated > first => {
                    self.grew_to = Some(self.grew_to.map_or(stated, |known| known.max(stated)));
                }
                Some(_) => {}
            }
        }
        if let Some(stated) = facts.total_pages {
            let first = *self.pages.get_or_insert(stated);
            if stated != first {
                // Pages come in any order: what is furthest from the first is told.
                let known = self.pages_became.unwrap_or(first);
                if stated.abs_diff(first) >= known.abs_diff(first) {
                    self.pages_became = Some(stated);
                }
            }
        }
        if let (Some(path), None) = (&facts.astray, &self.astray) {
            self.astray = Some((number, path.clone()));
        }
        if let (Some(charset), None) = (&facts.overruled, &self.overruled) {
            self.overruled = Some((number, charset.clone()));
        }
        if let Some(unread) = &facts.unread {
            self.unread = Some(only_the_first(unread));
        }
        self.compare(number, &facts.prints);
    }

    /// Counts what a page shares with its neighbours.
    fn compare(&mut self, number: u32, prints: &[u64]) {
        let own: HashSet<u64> = prints.iter().copied().collect();
        // Records that are alike within a page cannot be told apart between pages either.
        if own.len() < prints.len() || own.is_empty() {
            return;
        }
        for neighbour in [number.checked_sub(1), number.checked_add(1)] {
            let Some(neighbour) = neighbour else { continue };
            if let Some(other) = self.borders.get(&neighbour) {
                let shared = own.intersection(other).count();
                self.overlap += shared as u64;
                // A lone record may well be like the one before.
                if shared == own.len() && shared == other.len() && shared > 1 {
                    self.twin = Some((number.max(neighbour), number.min(neighbour)));
                }
            }
        }
        if self.held > HELD {
            self.borders.clear();
            self.held = 0;
        }
        self.held += own.len();
        self.borders.insert(number, own);
        let is_between = |at: u32| {
            let around = [at.checked_sub(1), at.checked_add(1)];
            at == 1 && self.borders.contains_key(&2)
                || around
                    .iter()
                    .all(|one| one.is_some_and(|one| self.borders.contains_key(&one)))
        };
        let done: Vec<u32> = (number.saturating_sub(1)..=number.saturating_add(1))
            .filter(|at| is_between(*at))
            .collect();
        // A page is needed until both its neighbours were compared with it; emptied, it still tells that it came.
        for at in done {
            if let Some(prints) = self.borders.get_mut(&at) {
                self.held = self.held.saturating_sub(prints.len());
                *prints = HashSet::new();
            }
        }
    }

    pub(super) fn verdict(&self, end: RunEnd, max_pages: u32, is_numbered: bool) -> Verdict {
        let mut verdict = Verdict {
            overlap: self.overlap,
            ..Verdict::default()
        };
        let distinct = self.records.saturating_sub(self.overlap);
        let stated = self.total.filter(|_| !self.uncounted);
        if end == RunEnd::PageCap {
            let of = stated.map_or_else(String::new, |total| {
                format!(": {distinct} of the {total} records that the API states")
            });
            let pages = match max_pages {
                1 => "1 page".to_owned(),
                _ => format!("{max_pages} pages"),
            };
            let knows_more = stated.is_some_and(|total| distinct < total) || self.says_more;
            verdict.notes.push(if knows_more || !is_numbered {
                format!("stopped after {pages} (`max_pages`), and there is more{of}")
            } else {
                format!(
                    "stopped after {pages} (`max_pages`), and whether there is more is not known: \
                     the API states neither a total nor that there is more"
                )
            });
        } else if let Some(total) = stated.filter(|total| distinct < *total) {
            verdict.has_gaps = true;
            verdict.notes.push(format!(
                "fetched {distinct} of the {total} records that the API states; \
                 if it counts something else, leave `total` out of `pagination`"
            ));
        }
        // A list that grew while it was read states more by then; what came twice is told below.
        let most = stated.map(|total| total.max(self.grew_to.unwrap_or(0)));
        if let Some(total) = most.filter(|total| distinct > *total) {
            verdict.notes.push(format!(
                "fetched {distinct} records, more than the {total} that the API states; \
                 if it counts something else, leave `total` out of `pagination`"
            ));
        }
        if let (Some(total), Some(fell_to)) = (self.total, self.fell_to) {
            verdict.has_gaps = true;
            verdict.notes.push(format!(
                "the API's stated total changed during the run, from {total} to {fell_to} records: \
                 what followed a record that is gone may have been passed over"
            ));
        } else if let (Some(total), Some(grew_to)) = (self.total, self.grew_to) {
            verdict.notes.push(format!(
                "the API's stated total changed during the run, from {total} to {grew_to} records"
            ));
        }
        if let (Some(pages), Some(became)) = (self.pages, self.pages_became) {
            // A list that shrank may have moved records to a page that was read before.
            let shrank = became < pages;
            verdict.has_gaps |= shrank;
            let behind = if shrank {
                ": what followed a record that is gone may have been passed over"
            } else {
                ""
            };
            verdict.notes.push(format!(
                "the API's stated total changed during the run, from {pages} to {became} pages{behind}"
            ));
        }
        // What the API itself says to be the end leaves no room for a gap.
        let is_met = end == RunEnd::HasMoreFalse || stated.is_some_and(|total| distinct >= total);
        if let Some(empty) = self
            .empty
            .filter(|empty| is_numbered && !is_met && *empty < self.filled)
        {
            verdict.has_gaps = true;
            verdict.notes.push(format!(
                "page {empty} had no records, and page {} had some",
                self.filled
            ));
        }
        if let Some((page, other)) = self.twin {
            verdict.has_gaps = true;
            verdict.notes.push(format!(
                "page {page} has the very records of page {other}: its own may be missing"
            ));
        }
        if let Some((page, path)) = &self.astray {
            verdict.notes.push(format!(
                "page {page} has no `{path}`, but a list elsewhere: was the field renamed?"
            ));
        }
        if let Some((page, charset)) = &self.overruled {
            verdict.notes.push(format!(
                "page {page} declares the charset {charset} and was read as UTF-8, which JSON has to be; \
                 write `encoding` in `response` if it is really another"
            ));
        }
        verdict.notes.extend(self.unread.clone());
        if self.overlap > 0 {
            verdict.notes.push(format!(
                "{} {} came again on a neighbouring page: the list shifted during the run, \
                 and only a `key` in `select` counts each of them once",
                self.overlap,
                if self.overlap == 1 {
                    "record"
                } else {
                    "records"
                }
            ));
        }
        verdict
    }
}

/// Says that an answer had more than one page, and how the others would be read.
fn only_the_first(unread: &Unread) -> String {
    let how = unread
        .pagination
        .as_ref()
        .and_then(|pagination| serde_json::to_value(pagination).ok())
        .map(|pagination| flow(&pagination))
        .map_or_else(
            || "look up in its documentation how it pages".to_owned(),
            |pagination| format!("`pagination: {pagination}` would read on"),
        );
    format!(
        "only the first page was read (no `pagination`), and the API says that there is more: {}; {how}",
        unread.said
    )
}

/// A value as YAML on one line, as definitions are written.
fn flow(value: &Value) -> String {
    let plain = |text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !text.is_empty() && text.chars().all(fits) {
            text.to_owned()
        } else {
            Value::from(text).to_string()
        }
    };
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", plain(name), flow(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}
