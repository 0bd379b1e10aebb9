//! Recognises how an API pages from its first answer. Pure: previews and `tidemark try` ask the same.
//!
//! What an answer says of its own pages outweighs what its address suggests, and a link outweighs a guess. Each
//! candidate tells what was seen, so that a person can judge it.

mod cursors;
mod fields;
mod links;
mod numbers;
mod outline;
mod reach;
mod stated;
mod unread;

use definition::Pagination;
use http::header::HeaderMap;
use serde_json::Value;
use url::Url;

use fields::Fields;
pub use outline::outline;
pub use reach::stated_pages;
pub use unread::{Unread, unread};

/// More ways than this help nobody choose.
const CANDIDATES: usize = 5;

/// The first answer of an API, and how it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct FirstAnswer<'a> {
    /// The address that was asked, with its query.
    pub url: &'a Url,
    /// The JSON body that was sent, if any.
    pub sent: Option<&'a Value>,
    /// The headers of the answer.
    pub headers: &'a HeaderMap,
    /// The body of the answer, as JSON, or its [`outline`].
    pub body: &'a Value,
    /// How many records it brought, where that is known better than by its longest list.
    pub records: Option<u64>,
}

/// A way in which the API may page, and what speaks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// How it is written in a definition.
    pub pagination: Pagination,
    /// How much speaks for it.
    pub certainty: Certainty,
    /// What was seen, one sentence each.
    pub reasons: Vec<String>,
    /// What is not certain and should be compared with the API's documentation.
    pub doubts: Vec<String>,
}

/// How much speaks for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Something like it was seen.
    Possible,
    /// The answer looks like it; a name is guessed, or it was the last page.
    Likely,
    /// The answer says so.
    Sure,
}

impl Certainty {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Certainty::Possible => "possible",
            Certainty::Likely => "likely",
            Certainty::Sure => "sure",
        }
    }
}

/// A candidate with its place among others.
struct Ranked {
    candidate: Candidate,
    /// Decides between equally certain ones; the larger is first.
    weight: u32,
}

/// Returns the ways in which the API may page, the best first; empty when nothing speaks of pages.
pub fn detect(first: &FirstAnswer<'_>) -> Vec<Candidate> {
    candidates(&Seen::of(first))
}

fn candidates(seen: &Seen<'_>) -> Vec<Candidate> {
    let mut ranked = Vec::new();
    links::look(seen, &mut ranked);
    numbers::look(seen, &mut ranked);
    cursors::look(seen, &mut ranked);
    ranked.sort_by_key(|one| std::cmp::Reverse((one.candidate.certainty, one.weight)));
    let mut candidates: Vec<Candidate> = Vec::new();
    for Ranked { candidate, .. } in ranked {
        let is_new = candidates
            .iter()
            .all(|known| known.pagination != candidate.pagination);
        if is_new && candidates.len() < CANDIDATES {
            candidates.push(candidate);
        }
    }
    candidates
}

/// Everything that the rules look at.
struct Seen<'a> {
    first: &'a FirstAnswer<'a>,
    fields: Fields<'a>,
    asked: Asked,
}

impl<'a> Seen<'a> {
    fn of(first: &'a FirstAnswer<'a>) -> Self {
        Seen {
            first,
            fields: Fields::of(first.body),
            asked: Asked::of(first),
        }
    }

    /// How many records the answer brought, where it holds a list.
    fn records(&self) -> Option<u64> {
        let counted = self.fields.record_count()?;
        Some(self.first.records.unwrap_or(counted))
    }
}

/// The parameters that were sent: in the query, and by dotted paths in the body.
struct Asked {
    query: Vec<(String, String)>,
    body: Vec<(String, Value)>,
    has_body: bool,
}

impl Asked {
    fn of(first: &FirstAnswer<'_>) -> Self {
        let query = first.url.query_pairs();
        let mut body = Vec::new();
        if let Some(sent) = first.sent {
            fields::leaves(sent, &mut Vec::new(), &mut |path, value| {
                body.push((path.join("."), value.clone()));
            });
        }
        Asked {
            query: query
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            body,
            has_body: first.sent.is_some(),
        }
    }

    /// The first of `names` that was sent, with its placement and value; spelling apart from case and `_` counts.
    fn find(&self, names: &[&str]) -> Option<(String, definition::Placement, String)> {
        let is_one = |name: &str| {
            let last = name.rsplit('.').next().unwrap_or(name);
            let last = fields::plain_name(last);
            names.iter().any(|known| *known == last)
        };
        let queried = self.query.iter().find(|(name, _)| is_one(name));
        if let Some((name, value)) = queried {
            return Some((name.clone(), definition::Placement::Query, value.clone()));
        }
        let (name, value) = self.body.iter().find(|(name, _)| is_one(name))?;
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Some((name.clone(), definition::Placement::Body, value))
    }

    /// Where a parameter goes that was not sent: into the body of a request that has one.
    fn placement(&self) -> definition::Placement {
        if self.has_body {
            definition::Placement::Body
        } else {
            definition::Placement::Query
        }
    }
}

#[cfg(test)]
mod tests;
