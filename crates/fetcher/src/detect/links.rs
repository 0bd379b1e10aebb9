//! Addresses of the next page: the `Link` header, other headers, and fields of the body.

use definition::{LinkHeader, NextUrl, Pagination, Source};
use http::header;
use serde_json::Value;
use url::Url;

use super::fields::{Field, plain_name};
use super::stated::{total, total_of_headers};
use super::{Candidate, Certainty, Ranked, Seen};
use crate::pagination::next_of_link_headers;

/// Fields that hold the address of the next page.
const NAMES: &[&str] = &[
    "nexturl",
    "nextpageurl",
    "nextlink",
    "nextpagelink",
    "nexthref",
    "odatanextlink",
    "nextrecordsurl",
    "nextpageuri",
    "nexturi",
    "next",
    "nextpage",
    "nextresults",
    "nextpath",
];

/// Names that are so telling that they count even where the value is null.
const TELLING: &[&str] = &[
    "nexturl",
    "nextpageurl",
    "nextlink",
    "nextpagelink",
    "odatanextlink",
    "nextrecordsurl",
    "nextpageuri",
    "nexturi",
];

pub(super) fn look(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    link_header(seen, ranked);
    other_headers(seen, ranked);
    fields(seen, ranked);
}

fn link_header(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    let values: Vec<&str> = seen
        .first
        .headers
        .get_all(header::LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let next = next_of_link_headers(values.iter().copied()).unwrap_or_default();
    let (certainty, reason, weight) = match next {
        Some(next) => {
            if same_origin(seen, &next).is_none() {
                return;
            }
            let reason = "the `Link` header has a link with rel=next";
            (Certainty::Sure, reason, 100)
        }
        None if values.iter().any(|value| names_other_pages(value)) => {
            let reason =
                "the `Link` header names first, last or previous pages; this was the last one";
            (Certainty::Likely, reason, 90)
        }
        None => return,
    };
    let total = total_of_headers(seen);
    let mut reasons = vec![reason.to_owned()];
    reasons.extend(total.as_ref().map(|total| total.reason.clone()));
    ranked.push(Ranked {
        candidate: Candidate {
            pagination: Pagination::LinkHeader(LinkHeader {
                total: total.map(|total| total.source),
                next: None,
            }),
            certainty,
            reasons,
            doubts: Vec::new(),
        },
        weight,
    });
}

/// Whether a `Link` header has links to other pages than the next one.
fn names_other_pages(value: &str) -> bool {
    let value = value.to_ascii_lowercase().replace('"', "");
    ["rel=first", "rel=prev", "rel=last"]
        .iter()
        .any(|link| value.contains(link))
}

/// `Next-Page: https://…` and the like.
fn other_headers(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    for (name, value) in seen.first.headers {
        let plain = plain_name(name.as_str());
        let plain = plain.strip_prefix('x').unwrap_or(&plain);
        let (Ok(text), true) = (value.to_str(), NAMES.contains(&plain)) else {
            continue;
        };
        if !looks_like_address(text) || same_origin(seen, text).is_none() {
            continue;
        }
        let name = header_name(name.as_str());
        let mut reasons = vec![format!(
            "header `{name}` holds an address of the same origin"
        )];
        let total = total_of_headers(seen);
        reasons.extend(total.as_ref().map(|total| total.reason.clone()));
        ranked.push(Ranked {
            candidate: Candidate {
                pagination: Pagination::NextUrl(NextUrl {
                    from: Source::Header(name),
                    has_more: None,
                    total: total.map(|total| total.source),
                    next: None,
                }),
                certainty: Certainty::Sure,
                reasons,
                doubts: Vec::new(),
            },
            weight: 98,
        });
    }
}

fn fields(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    let mut linked = false;
    for field in seen.fields.all() {
        let plain = field.plain();
        let Some(rank) = rank_of(&plain, field) else {
            continue;
        };
        let total = total(seen);
        let candidate = |certainty, reasons: Vec<String>, doubts| Candidate {
            pagination: Pagination::NextUrl(NextUrl {
                from: field.source(),
                has_more: None,
                total: total.as_ref().map(|total| total.source.clone()),
                next: None,
            }),
            certainty,
            reasons,
            doubts,
        };
        let path = field.path();
        match field.value {
            Value::String(text) if looks_like_address(text) => {
                if same_origin(seen, text).is_none() {
                    continue;
                }
                let is_relative = !text.starts_with("http");
                let kind = if is_relative { "a relative" } else { "an" };
                let mut reasons = vec![format!("`{path}` holds {kind} address of the same origin")];
                reasons.extend(total.as_ref().map(|total| total.reason.clone()));
                linked = true;
                ranked.push(Ranked {
                    candidate: candidate(Certainty::Sure, reasons, Vec::new()),
                    weight: 90 - rank,
                });
            }
            Value::Null if !linked && is_last_page_of_links(seen, field, &plain) => {
                let reasons = vec![format!(
                    "`{path}` is null, as the address of the next page is on a last page"
                )];
                let doubts = vec!["ask for a page that has a next one to be sure".to_owned()];
                ranked.push(Ranked {
                    candidate: candidate(Certainty::Likely, reasons, doubts),
                    weight: 60 - rank,
                });
            }
            _ => {}
        }
    }
}

/// How far behind the best name a field's is; nothing where it is none of them.
fn rank_of(plain: &str, field: &Field<'_>) -> Option<u32> {
    let known = NAMES.iter().position(|name| *name == plain);
    // `_links.next.href`, `paging.next.link`.
    let below_next = field.parent() == "next" && matches!(plain, "href" | "link" | "url" | "uri");
    known
        .or(below_next.then_some(1))
        .and_then(|rank| u32::try_from(rank).ok())
}

/// Whether a null stands where an answer with more pages has an address.
fn is_last_page_of_links(seen: &Seen<'_>, field: &Field<'_>, plain: &str) -> bool {
    if TELLING.contains(&plain) || matches!(field.parent().as_str(), "links" | "link") {
        return true;
    }
    let beside = |names: &[&str]| {
        seen.fields
            .find(names, |other| other.is_beside(field))
            .is_some()
    };
    match plain {
        "next" => beside(&["previous", "prev"]),
        "nextpage" => {
            beside(&["previouspage", "prevpage"]) && !beside(&["totalpages", "currentpage", "page"])
        }
        _ => false,
    }
}

fn looks_like_address(text: &str) -> bool {
    text.starts_with("http://")
        || text.starts_with("https://")
        || text.starts_with('?')
        || (text.starts_with('/') && text.len() > 1)
}

/// The address a link leads to, where it stays on the origin that was asked.
fn same_origin(seen: &Seen<'_>, link: &str) -> Option<Url> {
    let to = seen.first.url.join(link.trim()).ok()?;
    (to.origin() == seen.first.url.origin()).then_some(to)
}

/// The parameter in which the next address of the answer differs from the one that was asked, and its value.
pub(super) fn changed_parameter(seen: &Seen<'_>) -> Option<(String, String)> {
    let links = seen.first.headers.get_all(header::LINK).iter();
    let header = next_of_link_headers(links.filter_map(|value| value.to_str().ok()));
    let header = header.unwrap_or_default();
    let field = || {
        let field = seen.fields.all().iter().find(|field| {
            rank_of(&field.plain(), field).is_some()
                && field.value.as_str().is_some_and(looks_like_address)
        })?;
        field.value.as_str().map(str::to_owned)
    };
    let next = same_origin(seen, &header.or_else(field)?)?;
    let asked: Vec<_> = seen.first.url.query_pairs().collect();
    let mut changed = next.query_pairs().filter(|pair| !asked.contains(pair));
    let (name, value) = changed.next()?;
    match changed.next() {
        None => Some((name.into_owned(), value.into_owned())),
        Some(_) => next
            .query_pairs()
            .filter(|pair| !asked.contains(pair))
            .find(|(name, _)| {
                plain_name(name).contains("page")
                    && !plain_name(name).contains("size")
                    && !plain_name(name).contains("per")
            })
            .map(|(name, value)| (name.into_owned(), value.into_owned())),
    }
}

/// A header's name as people write it: `x-total-count` becomes `X-Total-Count`.
pub(super) fn header_name(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let shown = if start { c.to_ascii_uppercase() } else { c };
            start = c == '-';
            shown
        })
        .collect()
}
