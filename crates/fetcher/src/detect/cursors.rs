//! Cursors and tokens: what the next page is asked with, where it stands, and the parameter it goes into.

use definition::{Cursor, NextRequest, Pagination, Placement, Source};
use serde_json::Value;

use super::fields::{Field, plain_name};
use super::links::header_name;
use super::stated::{Stated, more, total};
use super::{Asked, Candidate, Certainty, Ranked, Seen};

/// Fields that hold a cursor, and the parameter it usually goes into; `None` means that the field's own name,
/// without `next`, is the parameter's.
const NAMES: &[(&str, Option<&str>)] = &[
    ("endcursor", Some("after")),
    ("nextcursor", Some("cursor")),
    ("nextcursorstr", Some("cursor")),
    ("nextpagetoken", None),
    ("nexttoken", None),
    ("pagetoken", None),
    ("nextcursormark", None),
    ("nextmarker", None),
    ("nextcontinuationtoken", None),
    ("continuationtoken", None),
    ("continuation", None),
    ("resumptiontoken", None),
    ("nextoffset", None),
    ("nextstart", None),
    ("nextkey", None),
    ("aftercursor", Some("after")),
    ("startingafter", None),
    ("pagingtoken", None),
    ("scrollid", Some("scroll_id")),
    ("bookmark", None),
    ("nextpageid", Some("page")),
    ("nextpage", Some("page")),
    ("after", None),
    ("cursor", None),
    ("next", Some("cursor")),
    ("offset", None),
];

/// Parameters in which cursors are sent.
const PARAMETERS: &[&str] = &[
    "after",
    "cursor",
    "startcursor",
    "startingafter",
    "pagetoken",
    "nexttoken",
    "paginationtoken",
    "continuationtoken",
    "continuation",
    "marker",
    "cursormark",
    "scrollid",
    "bookmark",
    "resumptiontoken",
    "offset",
];

/// Headers that hold a cursor, without a leading `x`.
const HEADERS: &[(&str, Option<&str>)] = &[
    ("nextpage", Some("page")),
    ("nextcursor", Some("cursor")),
    ("nexttoken", Some("next_token")),
    ("nextpagetoken", Some("page_token")),
    ("cursor", Some("cursor")),
    ("mscontinuation", None),
    ("continuationtoken", Some("continuationToken")),
];

pub(super) fn look(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    headers(seen, ranked);
    fields(seen, ranked);
    last_record(seen, ranked);
}

fn headers(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    for (name, value) in seen.first.headers {
        let plain = plain_name(name.as_str());
        let plain = plain.strip_prefix('x').unwrap_or(&plain);
        let known = HEADERS.iter().find(|(known, _)| *known == plain);
        let (Some((_, param)), Ok(text)) = (known, value.to_str()) else {
            continue;
        };
        if text.contains("://") || text.starts_with('/') {
            continue;
        }
        let name = header_name(name.as_str());
        let total = total(seen);
        let mut reasons = vec![if text.is_empty() {
            format!("header `{name}` is empty, as on a last page")
        } else {
            format!("header `{name}` holds what the next page is asked with")
        }];
        reasons.extend(total.as_ref().map(|total| total.reason.clone()));
        // Where no parameter is known, the header goes back as it came.
        let (param, placement) = match param {
            Some(param) => ((*param).to_owned(), seen.asked.placement()),
            None => (name.clone(), Placement::Header),
        };
        let doubts = vec![format!("the parameter is taken to be `{param}`")];
        ranked.push(Ranked {
            candidate: Candidate {
                pagination: cursor(Source::Header(name), param, placement, None, total, None),
                certainty: Certainty::Likely,
                reasons,
                doubts,
            },
            weight: 82,
        });
    }
}

fn fields(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    for (rank, (wanted, param)) in (0_u32..).zip(NAMES) {
        let Some(field) = seen
            .fields
            .all()
            .iter()
            .find(|field| field.plain() == *wanted && is_cursor(seen, field, wanted))
        else {
            continue;
        };
        let more = more(seen);
        let is_there = !matches!(field.value, Value::Null)
            && field.value.as_str().is_none_or(|text| !text.is_empty());
        let path = field.path();
        let mut reasons = vec![if is_there {
            format!("`{path}` holds what the next page is asked with")
        } else {
            format!("`{path}` is empty, as on a last page")
        }];
        reasons.extend(more.as_ref().map(|(_, reason)| reason.clone()));
        let total = total(seen);
        reasons.extend(total.as_ref().map(|total| total.reason.clone()));
        let mut doubts = Vec::new();
        let (param, placement) = parameter(seen, field, *param, &mut doubts);
        let further = continuation(seen, wanted, &mut reasons);
        let certainty = match (is_there, &more) {
            (true, Some(_)) => Certainty::Sure,
            (true, None) if doubts.is_empty() => Certainty::Sure,
            (false, None) if !doubts.is_empty() => Certainty::Possible,
            _ => Certainty::Likely,
        };
        ranked.push(Ranked {
            candidate: Candidate {
                pagination: cursor(
                    field.source(),
                    param,
                    placement,
                    more.map(|(source, _)| source),
                    total,
                    further,
                ),
                certainty,
                reasons,
                doubts,
            },
            weight: 78_u32.saturating_sub(rank),
        });
    }
}

fn cursor(
    from: Source,
    param: String,
    placement: Placement,
    has_more: Option<Source>,
    total: Option<Stated>,
    next: Option<NextRequest>,
) -> Pagination {
    Pagination::Cursor(Cursor {
        from,
        param,
        placement,
        has_more,
        total: total.map(|total| total.source),
        size_param: None,
        size: None,
        next,
    })
}

/// Whether a field with the name of a cursor is one: what is an address, a count or a date is none.
fn is_cursor(seen: &Seen<'_>, field: &Field<'_>, name: &str) -> bool {
    let beside = |names: &[&str]| {
        seen.fields
            .find(names, |other| other.is_beside(field))
            .is_some()
    };
    match field.value {
        Value::String(text) => {
            !text.contains("://")
                && !text.starts_with('/')
                && !text.starts_with('?')
                && text.len() <= 4_096
                && (name != "after" || is_in_paging(field) || beside(&["before"]))
        }
        Value::Number(number) => {
            // A number that goes on is named as the next of something; an offset beside a limit is where we are.
            number.is_u64() && name.starts_with("next")
        }
        Value::Null => match name {
            "nextcursor" | "nextpagetoken" | "endcursor" | "nexttoken" | "startingafter"
            | "aftercursor" => true,
            "nextpage" | "cursor" => more(seen).is_some() && !beside(&["previouspage", "prevpage"]),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a field stands in an object that is about pages.
fn is_in_paging(field: &Field<'_>) -> bool {
    let parent = field.parent();
    ["page", "paging", "pagination", "cursor", "next", "meta"]
        .iter()
        .any(|word| parent.contains(word))
}

/// The parameter that a cursor goes into, and where.
fn parameter(
    seen: &Seen<'_>,
    field: &Field<'_>,
    usual: Option<&str>,
    doubts: &mut Vec<String>,
) -> (String, Placement) {
    let by_field = usual.map_or_else(|| without_next(field.name()), str::to_owned);
    let wanted = plain_name(&by_field);
    if let Some((name, placement, _)) = seen.asked.find(&[wanted.as_str()]) {
        return (name, placement);
    }
    if let Some(param) = variable(seen) {
        return (param, Placement::Body);
    }
    if let Some((name, placement, _)) = seen.asked.find(PARAMETERS) {
        return (name, placement);
    }
    // Notion's lists call it so.
    let is_list_object = seen
        .fields
        .find(&["object"], |field| field.value.as_str() == Some("list"))
        .is_some();
    if is_list_object && field.plain() == "nextcursor" {
        return ("start_cursor".to_owned(), seen.asked.placement());
    }
    // What it is called elsewhere in such an answer: `paging.next.link` has the parameter in its address.
    if let Some(param) = in_an_address(seen, field) {
        return (param, Placement::Query);
    }
    let is_usual = matches!(
        field.plain().as_str(),
        "endcursor"
            | "nextpagetoken"
            | "startingafter"
            | "scrollid"
            | "nextcursor"
            | "after"
            | "nextoffset"
            | "nextstart"
            | "offset"
            | "nextcursormark"
    );
    if !is_usual {
        doubts.push(format!("the parameter is taken to be `{by_field}`"));
    }
    (by_field, seen.asked.placement())
}

/// The variable of a GraphQL request that the cursor goes into.
fn variable(seen: &Seen<'_>) -> Option<String> {
    let text = seen.first.sent?.get("query")?.as_str()?;
    let named = ["after", "cursor", "endCursor", "afterCursor"]
        .into_iter()
        .find(|name| {
            text.match_indices(&format!("${name}")).any(|(at, found)| {
                !text[at + found.len()..]
                    .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            })
        });
    named.map(|name| format!("variables.{name}"))
}

/// The parameter that holds the cursor in some next address of the same answer.
fn in_an_address(seen: &Seen<'_>, field: &Field<'_>) -> Option<String> {
    let cursor = match field.value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let addresses = seen
        .fields
        .all()
        .iter()
        .filter_map(|other| other.value.as_str())
        .filter(|text| text.contains('?'));
    addresses
        .filter_map(|text| seen.first.url.join(text).ok())
        .find_map(|url| {
            let found = url.query_pairs().find(|(_, value)| *value == cursor);
            found.map(|(name, _)| name.into_owned())
        })
}

/// A name without a leading `next`, in its own style: `nextPageToken` becomes `pageToken`.
fn without_next(name: &str) -> String {
    let rest = name
        .strip_prefix("next")
        .or_else(|| name.strip_prefix("Next"))
        .unwrap_or(name);
    let rest = rest.trim_start_matches(['_', '-']);
    if rest.is_empty() {
        return name.to_owned();
    }
    let mut letters = rest.chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// APIs that go on at another path: the further requests of a scroll or of a `…/continue`.
fn continuation(seen: &Seen<'_>, name: &str, reasons: &mut Vec<String>) -> Option<NextRequest> {
    let path = seen.first.url.path();
    if name == "scrollid" && path.ends_with("/_search") {
        reasons.push("a scroll goes on at `/_search/scroll`".to_owned());
        let kept = seen
            .asked
            .value("scroll")
            .unwrap_or_else(|| "1m".to_owned());
        return Some(NextRequest {
            method: Some(definition::Method::Post),
            path: Some("/_search/scroll".to_owned()),
            query: Some(indexmap::IndexMap::new()),
            body: Some(serde_json::json!({ "scroll": kept })),
            form: None,
        });
    }
    if name == "cursor" && seen.asked.has_body && path.ends_with("/list_folder") {
        reasons.push("a folder goes on at `…/continue`".to_owned());
        return Some(NextRequest {
            path: Some(format!("{path}/continue")),
            body: Some(serde_json::json!({})),
            ..NextRequest::default()
        });
    }
    None
}

/// `has_more` beside a list of records with an `id`, and no cursor: the last record's id is it.
fn last_record(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    let Some((has_more, more_reason)) = more(seen) else {
        return;
    };
    let Some((records, items)) = seen.fields.records() else {
        return;
    };
    // Of an outline only the first records are there; the places of the others are null.
    let has_ids = !items.is_empty()
        && items
            .iter()
            .filter(|record| !record.is_null())
            .all(|record| {
                record
                    .get("id")
                    .is_some_and(|id| id.is_string() || id.is_number())
            });
    let is_list_object = seen
        .fields
        .find(&["object"], |field| field.value.as_str() == Some("list"))
        .is_some();
    let asked = seen
        .asked
        .find(&["startingafter", "after", "sinceid", "afterid"]);
    if !has_ids || (!is_list_object && asked.is_none()) {
        return;
    }
    // Anthropic and OpenAI name the last id themselves.
    let last_id = seen
        .fields
        .find(&["lastid"], |field| field.value.is_string());
    let from = match last_id {
        Some(field) => field.path(),
        None if records == "$" => "$[-1].id".to_owned(),
        None => format!("{records}[-1].id"),
    };
    let has_cursor = seen.fields.all().iter().any(|field| {
        matches!(
            field.plain().as_str(),
            "nextcursor" | "endcursor" | "nextpage" | "nextpagetoken"
        )
    });
    let (param, placement) = match (asked, last_id) {
        (Some((name, placement, _)), _) => (name, placement),
        (None, Some(_)) => ("after".to_owned(), seen.asked.placement()),
        (None, None) => ("starting_after".to_owned(), seen.asked.placement()),
    };
    ranked.push(Ranked {
        candidate: Candidate {
            pagination: cursor(
                Source::Body(from.clone()),
                param.clone(),
                placement,
                Some(has_more),
                None,
                None,
            ),
            certainty: if has_cursor {
                Certainty::Possible
            } else {
                Certainty::Likely
            },
            reasons: vec![
                more_reason,
                format!("records have an `id`, and `{from}` is the last one's"),
            ],
            doubts: vec![format!("the parameter is taken to be `{param}`")],
        },
        weight: 60,
    });
}

impl Asked {
    fn value(&self, name: &str) -> Option<String> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }
}
