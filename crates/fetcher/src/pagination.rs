//! Decides, page by page, what to ask for next and when a run has everything. Pure: no sockets, no clock.
//!
//! A run goes on while something says that there is more and stops at the first rule that says there is not: the
//! stated total, `has_more`, a missing cursor or link, an empty page, a short one. What repeats itself (a cursor, an
//! address, a whole body) fails the run: it would count twice, or go on for ever.

mod fault;
mod link;
mod place;
mod whole;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use definition::Pagination;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;
use wire::run_manifest::RunEnd;

use crate::detect::Unread;
pub use fault::PaginationFault;
pub use link::{MalformedLink, next_of_link_headers};
pub use place::{Place, Position, parameters};
use whole::Tally;
pub use whole::Verdict;

/// Empty pages in a row that are borne while the API says that there is more.
const EMPTY_LIMIT: u32 = 3;

/// Cursors and addresses remembered over a checkpoint; within one attempt all are.
const REMEMBERED: usize = 1_000;

/// What a page told about itself and its followers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// How many records it holds, where they can be counted.
    pub records: Option<u64>,
    /// Whether they were counted where the records are, and not where they seem to be.
    pub is_counted: bool,
    /// A fingerprint of each record, where they can be told apart.
    pub prints: Vec<u64>,
    /// How many pages the API says there are.
    pub total_pages: Option<u64>,
    /// How many records the API says there are.
    pub total: Option<u64>,
    /// Whether the API says that there is more; nothing where it does not say.
    pub has_more: Option<bool>,
    /// The cursor or link to the next page; null where there is none.
    pub next: Value,
    /// Where its records should be and are not, though it holds another list.
    pub astray: Option<String>,
    /// What it says of records behind it, where nothing says how to ask for them.
    #[serde(skip)]
    pub unread: Option<Unread>,
    /// The charset that it declares and that was not gone by, since JSON is UTF-8.
    #[serde(skip)]
    pub overruled: Option<String>,
    /// SHA-256 of the body.
    pub hash: String,
}

/// What to do after a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Fetch these pages, in any order.
    Fetch(Vec<(u32, Position)>),
    /// Resolve this link, check it, and tell [`Walk::follow`].
    Follow(String),
    /// Other pages are still under way.
    Pending,
    /// Everything that may be fetched has been.
    End(RunEnd),
}

/// The way through the pages of one run; what of it must survive a checkpoint is [`Walk::checkpoint`].
#[derive(Debug, Clone)]
pub struct Walk {
    pagination: Pagination,
    max_pages: u32,
    bodies: HashMap<String, u32>,
    state: State,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// The highest page number handed out.
    handed_out: u32,
    /// Pages handed out and not yet done.
    outstanding: BTreeMap<u32, Position>,
    /// Whether the total is known, so that pages need not wait for one another.
    parallel: bool,
    /// Records in the first page: the step of offsets.
    first_records: Option<u64>,
    /// The most records of one page.
    largest: u64,
    /// Empty pages in a row.
    empties: u32,
    /// Where pages come in any order: the empty ones, each run of neighbours by its first and last.
    empty_runs: BTreeMap<u32, u32>,
    total_pages: Option<u64>,
    total: Option<u64>,
    /// What speaks for and against the run being whole.
    tally: Tally,
    /// The page that is asked for only to see whether a short first page was the last one.
    confirming: Option<u32>,
    /// Fingerprints of cursors and addresses seen.
    seen: Vec<String>,
}

impl Walk {
    /// Begins at the first page.
    pub fn begin(pagination: Pagination, max_pages: u32) -> (Self, Vec<(u32, Position)>) {
        let first = match &pagination {
            Pagination::Page(page) => Position::Page(page.start),
            Pagination::Offset(offset) => Position::Offset(offset.start),
            Pagination::None
            | Pagination::Auto
            | Pagination::Cursor(_)
            | Pagination::NextUrl(_)
            | Pagination::LinkHeader(_) => Position::Start,
        };
        let state = State {
            handed_out: 1,
            outstanding: BTreeMap::from([(1, first)]),
            ..State::default()
        };
        let walk = Walk {
            pagination,
            max_pages: max_pages.max(1),
            bodies: HashMap::new(),
            state,
        };
        let todo = walk.outstanding();
        (walk, todo)
    }

    /// Goes on behind the pages of an earlier attempt, or gives nothing where `checkpoint` is not one of ours.
    /// `pages` are the number and body hash of what was published.
    pub fn resume(
        pagination: Pagination,
        max_pages: u32,
        checkpoint: &Value,
        pages: impl IntoIterator<Item = (u32, String)>,
    ) -> Option<(Self, Vec<(u32, Position)>)> {
        let state: State = serde_json::from_value(checkpoint.get("walk")?.clone()).ok()?;
        if state.outstanding.is_empty() || state.handed_out == 0 {
            return None;
        }
        let bodies: HashMap<String, u32> = pages
            .into_iter()
            .map(|(number, hash)| (hash, number))
            .collect();
        let walk = Walk {
            pagination,
            max_pages: max_pages.max(1),
            bodies,
            state,
        };
        let todo = walk.outstanding();
        Some((walk, todo))
    }

    /// Returns what a later attempt needs to go on behind the pages that are done.
    pub fn checkpoint(&self) -> Value {
        let mut state = self.state.clone();
        let forgotten = state.seen.len().saturating_sub(REMEMBERED);
        state.seen.drain(..forgotten);
        serde_json::json!({ "walk": state })
    }

    /// Pages handed out and not yet done.
    pub fn outstanding(&self) -> Vec<(u32, Position)> {
        self.state
            .outstanding
            .iter()
            .map(|(number, position)| (*number, position.clone()))
            .collect()
    }

    /// How many pages there will be, as far as the API said.
    pub fn stated_pages(&self) -> Option<u64> {
        self.state.total_pages.or_else(|| self.known_pages())
    }

    /// How many records there will be, as far as the API said.
    pub fn stated_total(&self) -> Option<u64> {
        self.state.total
    }

    /// Tells whether a run that ended by `end` is whole, and what a person should know about it.
    pub fn verdict(&self, end: RunEnd) -> Verdict {
        let is_numbered = matches!(self.pagination, Pagination::Page(_) | Pagination::Offset(_));
        self.state.tally.verdict(end, self.max_pages, is_numbered)
    }

    /// Decides what follows page `number`.
    pub fn after(&mut self, number: u32, facts: &Facts) -> Result<Step, PaginationFault> {
        let is_first = number == 1;
        let is_empty = facts.records == Some(0);
        if !is_empty
            && let Some(earlier) = self
                .bodies
                .insert(facts.hash.clone(), number)
                .filter(|n| *n != number)
        {
            if self.state.confirming == Some(number) {
                self.state.outstanding.remove(&number);
                return Ok(Step::End(RunEnd::ShortPage));
            }
            return Err(PaginationFault::Loop(format!(
                "page {number} is the same as page {earlier}: does the API know the pagination parameter?"
            )));
        }
        let position = self
            .state
            .outstanding
            .remove(&number)
            .unwrap_or(Position::Start);
        self.note_totals(facts);
        self.state.tally.page(number, facts, self.max_pages);
        let earlier_largest = self.state.largest;
        self.state.largest = earlier_largest.max(facts.records.unwrap_or(0));
        self.state.empties = if is_empty { self.state.empties + 1 } else { 0 };
        if is_first {
            self.state.first_records = facts.records;
        }
        match self.pagination.clone() {
            Pagination::None | Pagination::Auto => Ok(Step::End(RunEnd::SinglePage)),
            Pagination::Page(page) => {
                if let Some(step) = self.known_total(number, is_empty && facts.is_counted)? {
                    return Ok(step);
                }
                let sent = page.size_param.is_some();
                if let Some(end) =
                    self.sequential_end(number, facts, page.size, sent, earlier_largest)?
                {
                    return Ok(Step::End(end));
                }
                let Position::Page(at) = position else {
                    return Err(lost());
                };
                Ok(self.hand_out(Position::Page(at.saturating_add(1))))
            }
            Pagination::Offset(offset) => {
                if let Some(step) = self.known_total(number, is_empty && facts.is_counted)? {
                    return Ok(step);
                }
                let sent = offset.limit_param.is_some();
                if let Some(end) =
                    self.sequential_end(number, facts, offset.limit, sent, earlier_largest)?
                {
                    return Ok(Step::End(end));
                }
                let Position::Offset(at) = position else {
                    return Err(lost());
                };
                let step = facts
                    .records
                    .filter(|records| *records > 0)
                    .or(offset.limit.map(u64::from))
                    .or(Some(self.state.largest).filter(|largest| *largest > 0))
                    .ok_or_else(|| {
                        PaginationFault::Unreadable(
                            "the records of a page cannot be counted, so the next offset is unknown: set `limit`".to_owned(),
                        )
                    })?;
                Ok(self.hand_out(Position::Offset(at.saturating_add(step))))
            }
            Pagination::Cursor(_) => self.after_cursor(facts, is_empty),
            Pagination::NextUrl(_) | Pagination::LinkHeader(_) => {
                if facts.has_more == Some(false) {
                    return Ok(Step::End(RunEnd::HasMoreFalse));
                }
                let Some(link) = link(&facts.next)? else {
                    return match facts.has_more {
                        Some(true) => Err(PaginationFault::Unreadable(
                            "the API says that there is more, but gives no link".to_owned(),
                        )),
                        _ => Ok(Step::End(RunEnd::NoNext)),
                    };
                };
                self.bear_empties()?;
                if self.state.handed_out >= self.max_pages {
                    return Ok(Step::End(RunEnd::PageCap));
                }
                Ok(Step::Follow(link))
            }
        }
    }

    /// Whether page `number` has the very body of an earlier page.
    pub fn repeats(&self, number: u32, hash: &str) -> bool {
        self.bodies
            .get(hash)
            .is_some_and(|earlier| *earlier != number)
    }

    /// Tells that the API refused page `number` (404 and the like); the end, where that page was asked for only to
    /// see whether it exists.
    pub fn refused(&mut self, number: u32) -> Option<Step> {
        (self.state.confirming == Some(number)).then(|| {
            self.state.outstanding.remove(&number);
            Step::End(RunEnd::ShortPage)
        })
    }

    /// Whether an address was already fetched in this run.
    pub fn has_seen(&self, url: &Url) -> bool {
        self.state.seen.contains(&fingerprint(url.as_str()))
    }

    /// Tells where a link leads, after it was checked. `from` is the address of the page that held it.
    pub fn follow(&mut self, from: &Url, to: &Url) -> Step {
        let from = fingerprint(from.as_str());
        if !self.state.seen.contains(&from) {
            self.state.seen.push(from);
        }
        self.state.seen.push(fingerprint(to.as_str()));
        self.hand_out(Position::Url(to.as_str().to_owned()))
    }

    fn after_cursor(&mut self, facts: &Facts, is_empty: bool) -> Result<Step, PaginationFault> {
        if facts.has_more == Some(false) {
            return Ok(Step::End(RunEnd::HasMoreFalse));
        }
        let cursor = match &facts.next {
            Value::Null | Value::Bool(false) => None,
            Value::String(text) if text.is_empty() => None,
            value @ (Value::String(_) | Value::Number(_)) => Some(value.clone()),
            _ => {
                return Err(PaginationFault::Unreadable(
                    "the cursor is neither text nor a number".to_owned(),
                ));
            }
        };
        let Some(cursor) = cursor else {
            return match facts.has_more {
                Some(true) => Err(PaginationFault::Unreadable(
                    "the API says that there is more, but gives no cursor".to_owned(),
                )),
                _ => Ok(Step::End(RunEnd::NoNext)),
            };
        };
        let mark = fingerprint(&cursor.to_string());
        if self.state.seen.contains(&mark) {
            return match facts.has_more {
                // Feeds answer like this at their end: nothing new, the same cursor.
                None if is_empty => Ok(Step::End(RunEnd::EmptyPage)),
                _ => Err(PaginationFault::Loop(
                    "the API gives the same cursor again".to_owned(),
                )),
            };
        }
        self.bear_empties()?;
        self.state.seen.push(mark);
        Ok(self.hand_out(Position::Cursor(cursor)))
    }

    /// The end of a sequence of numbered pages, where nothing states a total.
    fn sequential_end(
        &mut self,
        number: u32,
        facts: &Facts,
        size: Option<u32>,
        size_is_sent: bool,
        earlier_largest: u64,
    ) -> Result<Option<RunEnd>, PaginationFault> {
        let was_confirming = self.state.confirming.take() == Some(number);
        if facts.has_more == Some(false) {
            return Ok(Some(RunEnd::HasMoreFalse));
        }
        if facts.records == Some(0) {
            if facts.has_more == Some(true) {
                self.bear_empties()?;
                return Ok(None);
            }
            return Ok(Some(if was_confirming {
                RunEnd::ShortPage
            } else {
                RunEnd::EmptyPage
            }));
        }
        if facts.has_more == Some(true) {
            return Ok(None);
        }
        let Some(records) = facts.records else {
            return Ok(None);
        };
        let size = size.map(u64::from);
        if number == 1 {
            // An API may cap the size that we asked for: then "short" is its full page. One more request tells.
            return Ok(match size {
                Some(size) if records < size && !size_is_sent => Some(RunEnd::ShortPage),
                Some(size) if records < size => {
                    self.state.confirming = Some(2);
                    None
                }
                _ => None,
            });
        }
        let full = size.map_or(earlier_largest, |size| size.min(earlier_largest));
        Ok((records < full).then_some(RunEnd::ShortPage))
    }

    fn note_totals(&mut self, facts: &Facts) {
        for (stated, known) in [
            (facts.total_pages, &mut self.state.total_pages),
            (facts.total, &mut self.state.total),
        ] {
            let Some(stated) = stated else { continue };
            match known {
                Some(known) if *known == stated => {}
                Some(known) => *known = (*known).max(stated),
                None => *known = Some(stated),
            }
        }
    }

    /// The number of pages, where what the API stated gives it.
    fn known_pages(&self) -> Option<u64> {
        if !matches!(self.pagination, Pagination::Page(_) | Pagination::Offset(_)) {
            return None;
        }
        let by_total = || {
            let total = self.state.total?;
            let per_page = self.state.first_records.filter(|records| *records > 0)?;
            let already = match &self.pagination {
                // A run may begin behind the first record or page.
                Pagination::Offset(offset) => offset.start,
                _ => 0,
            };
            Some(total.saturating_sub(already).div_ceil(per_page))
        };
        match &self.pagination {
            Pagination::Page(_) => self.state.total_pages.or_else(by_total),
            _ => by_total(),
        }
    }

    /// Hands out all pages at once where their number is known, and ends when they are done.
    fn known_total(
        &mut self,
        number: u32,
        is_empty: bool,
    ) -> Result<Option<Step>, PaginationFault> {
        let step = self.parallel(number == 1);
        if is_empty && self.state.parallel {
            self.bear_empties_around(number)?;
        }
        Ok(step)
    }

    /// Counts the empty pages around `number`, in page order: the same whatever the order in which they came.
    ///
    /// They are borne like those of sequential pages: the last page stated may be empty, and no row before it.
    fn bear_empties_around(&mut self, number: u32) -> Result<(), PaginationFault> {
        let last = self.known_pages().unwrap_or(0);
        let runs = &mut self.state.empty_runs;
        let before = runs
            .range(..number)
            .next_back()
            .map(|(from, to)| (*from, *to));
        let from = match before {
            Some((from, to)) if to.saturating_add(1) == number => from,
            _ => number,
        };
        let to = runs.remove(&number.saturating_add(1)).unwrap_or(number);
        runs.insert(from, to);
        let behind = u64::from(to).min(last.saturating_sub(1));
        if (behind + 1).saturating_sub(u64::from(from)) >= u64::from(EMPTY_LIMIT) {
            return Err(PaginationFault::EmptyLoop);
        }
        Ok(())
    }

    fn parallel(&mut self, is_first: bool) -> Option<Step> {
        if !is_first && !self.state.parallel {
            return None;
        }
        let Some(known) = self.known_pages() else {
            let nothing = self.state.total == Some(0);
            return (is_first && nothing).then_some(Step::End(RunEnd::TotalReached));
        };
        self.state.parallel = true;
        let last = u32::try_from(known).unwrap_or(u32::MAX).min(self.max_pages);
        if last > self.state.handed_out {
            let more: Vec<(u32, Position)> = (self.state.handed_out + 1..=last)
                .filter_map(|number| Some((number, self.numbered(number)?)))
                .collect();
            self.state.outstanding.extend(more.iter().cloned());
            self.state.handed_out = last;
            return Some(Step::Fetch(more));
        }
        if !self.state.outstanding.is_empty() {
            return Some(Step::Pending);
        }
        let capped = known > u64::from(self.max_pages);
        Some(Step::End(if capped {
            RunEnd::PageCap
        } else {
            RunEnd::TotalReached
        }))
    }

    /// Where page `number` stands, when pages are numbered evenly.
    fn numbered(&self, number: u32) -> Option<Position> {
        let behind = u64::from(number.saturating_sub(1));
        match &self.pagination {
            Pagination::Page(page) => Some(Position::Page(
                page.start.saturating_add(i64::try_from(behind).ok()?),
            )),
            Pagination::Offset(offset) => {
                Some(Position::Offset(offset.start.saturating_add(
                    behind.saturating_mul(self.state.first_records?),
                )))
            }
            _ => None,
        }
    }

    fn hand_out(&mut self, position: Position) -> Step {
        if self.state.handed_out >= self.max_pages {
            return Step::End(RunEnd::PageCap);
        }
        self.state.handed_out += 1;
        self.state
            .outstanding
            .insert(self.state.handed_out, position.clone());
        Step::Fetch(vec![(self.state.handed_out, position)])
    }

    fn bear_empties(&self) -> Result<(), PaginationFault> {
        if self.state.empties >= EMPTY_LIMIT {
            Err(PaginationFault::EmptyLoop)
        } else {
            Ok(())
        }
    }
}

fn lost() -> PaginationFault {
    PaginationFault::Unreadable("the checkpoint belongs to another pagination".to_owned())
}

fn link(next: &Value) -> Result<Option<String>, PaginationFault> {
    match next {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(PaginationFault::Unreadable(
            "the next link is no text".to_owned(),
        )),
    }
}

fn fingerprint(text: &str) -> String {
    let mut mark = String::with_capacity(16);
    for byte in Sha256::digest(text.as_bytes()).iter().take(8) {
        let _ = write!(mark, "{byte:02x}");
    }
    mark
}

#[cfg(test)]
mod tests;
