//! Numbered pages and offsets: current places, and the parameters that were asked with.

use definition::{Offset, PageNumber, Pagination, Placement};

use super::fields::{Field, plain_name};
use super::links::changed_parameter;
use super::stated::{
    Stated, TOTAL_PAGES, TOTAL_PAGES_HEADERS, header_number, more, total, total_of_headers,
};
use super::{Candidate, Certainty, Ranked, Seen};

pub(super) const CURRENT_PAGE: &[&str] = &[
    "page",
    "currentpage",
    "pagenumber",
    "pageno",
    "pagenum",
    "pageindex",
    "number",
    "current",
    "p",
];
pub(super) const SIZES: &[&str] = &[
    "perpage",
    "pagesize",
    "limit",
    "size",
    "maxresults",
    "itemsperpage",
    "hitsperpage",
    "resultsperpage",
    "count",
    "rows",
    "take",
    "top",
];
pub(super) const OFFSETS: &[&str] = &[
    "offset",
    "skip",
    "startat",
    "startindex",
    "startposition",
    "start",
    "from",
    "first",
];

pub(super) fn look(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    pages(seen, ranked);
    offsets(seen, ranked);
    asked_only(seen, ranked);
}

/// Pages with a total, or with a word on whether there are more.
fn pages(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    let current = seen
        .fields
        .find(CURRENT_PAGE, |field| field.whole().is_some());
    let total_pages = seen.fields.find(TOTAL_PAGES, |field| {
        field.value.is_u64()
            && current.is_none_or(|page| page.whole() <= field.whole().map(|n| n + 1))
    });
    let stated = match total_pages {
        Some(field) => {
            let beside = current
                .and_then(|page| Some((page.path(), page.whole()?)))
                .map(|(path, number)| format!(" beside `{path}` = {number}"))
                .unwrap_or_default();
            let number = field.whole().unwrap_or_default();
            Some(Stated {
                source: field.source(),
                number,
                reason: format!("`{}` = {number}{beside}", field.path()),
            })
        }
        None => header_number(seen, TOTAL_PAGES_HEADERS),
    };
    let more = more(seen);
    let pages = total_pages.and_then(Field::whole).unwrap_or_default();
    let records = seen.records().unwrap_or_default();
    // A total that the first of several pages already holds is a total of something else.
    let total = total(seen).filter(|total| pages <= 1 || total.number > records);
    // A page number alone says nothing: a total or a word on more pages must stand with it.
    let has_size = seen.fields.find(SIZES, |field| field.whole().is_some());
    let by_total = stated.is_none() && current.is_some() && has_size.is_some() && total.is_some();
    let by_more = stated.is_none() && current.is_some() && more.is_some();
    if stated.is_none() && !by_total && !by_more {
        return;
    }
    let mut reasons = Vec::new();
    let mut doubts = Vec::new();
    if let Some(stated) = &stated {
        reasons.push(stated.reason.clone());
    } else if let Some(page) = current {
        let number = page.whole().unwrap_or_default();
        reasons.push(format!("`{}` = {number} is the page's number", page.path()));
    }
    let (param, placement, sent) = page_parameter(seen, current, &mut reasons, &mut doubts);
    let certainty = if current.is_some() && (doubts.is_empty() || stated.is_some()) {
        Certainty::Sure
    } else {
        Certainty::Likely
    };
    let start = start_of(current, sent);
    if start == 0 {
        reasons.push("pages are numbered from 0".to_owned());
    }
    let total_pages = stated.map(|stated| stated.source);
    let has_more = if total_pages.is_none() { more } else { None };
    if let Some((_, reason)) = &has_more {
        reasons.push(reason.clone());
    }
    reasons.extend(total.as_ref().map(|total| total.reason.clone()));
    let weight = if total_pages.is_some() { 95 } else { 80 };
    ranked.push(Ranked {
        candidate: Candidate {
            pagination: Pagination::Page(PageNumber {
                param,
                placement,
                start,
                size_param: None,
                size: None,
                total_pages,
                total: total.map(|total| total.source),
                has_more: has_more.map(|(source, _)| source),
                next: None,
            }),
            certainty,
            reasons,
            doubts,
        },
        weight,
    });
}

/// The parameter that holds the page's number: sent, seen in the next address, or named like the field.
fn page_parameter(
    seen: &Seen<'_>,
    current: Option<&Field<'_>>,
    reasons: &mut Vec<String>,
    doubts: &mut Vec<String>,
) -> (String, Placement, Option<String>) {
    let known: Vec<&str> = CURRENT_PAGE
        .iter()
        .copied()
        .filter(|name| *name != "number" && *name != "current")
        .collect();
    if let Some((name, placement, value)) = seen.asked.find(&known) {
        reasons.push(format!("`{name}` was sent"));
        return (name, placement, Some(value));
    }
    if let Some((name, value)) = changed_parameter(seen)
        && value.parse::<u64>().is_ok()
        && plain_name(&name).contains('p')
        && !plain_name(&name).contains("offset")
    {
        reasons.push(format!("the next address has `{name}={value}`"));
        return (name, Placement::Query, None);
    }
    let named = current.map(Field::name).filter(|name| {
        !matches!(
            plain_name(name).as_str(),
            "currentpage" | "number" | "current"
        )
    });
    let param = named.unwrap_or("page").to_owned();
    if param != "page" {
        doubts.push(format!(
            "the parameter is taken to be `{param}`, as the answer calls it"
        ));
    } else if current.is_none_or(|page| page.name() != "page") {
        doubts.push("the parameter is taken to be `page`".to_owned());
    }
    (param, seen.asked.placement(), None)
}

/// The number of the first page: 0 where the first answer says that it was page 0.
fn start_of(current: Option<&Field<'_>>, sent: Option<String>) -> i64 {
    let number = current
        .and_then(Field::whole)
        .or_else(|| sent.and_then(|sent| sent.parse().ok()));
    i64::from(number != Some(0))
}

fn offsets(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    let total = total(seen);
    let more = more(seen);
    let at = seen.fields.find(OFFSETS, |field| {
        field.value.is_u64() && field.whole().is_some_and(|at| at < 1_000_000_000)
    });
    let Some(at) = at else { return };
    let size = seen.fields.find(SIZES, |field| {
        field.value.is_u64() && field.whole() != Some(0)
    });
    let asked = seen.asked.find(OFFSETS);
    if total.is_none() && more.is_none() || size.is_none() && asked.is_none() && total.is_none() {
        return;
    }
    let mut reasons = vec![format!(
        "`{}` = {} is the number of the first record",
        at.path(),
        at.whole().unwrap_or_default()
    )];
    let mut doubts = Vec::new();
    let (param, placement) = if let Some((name, placement, _)) = asked {
        reasons.push(format!("`{name}` was sent"));
        (name, placement)
    } else {
        let name = at.name();
        if !matches!(name, "offset" | "skip" | "startAt" | "start") {
            doubts.push(format!(
                "the parameter is taken to be `{name}`, as the answer calls it"
            ));
        }
        (name.to_owned(), seen.asked.placement())
    };
    // A limit that is in the address already stays there.
    let limit = size
        .filter(|_| seen.asked.find(SIZES).is_none())
        .filter(|size| !matches!(size.plain().as_str(), "count" | "size" | "itemsperpage"));
    let limit_number = limit
        .and_then(Field::whole)
        .and_then(|n| u32::try_from(n).ok());
    if let Some(size) = size {
        reasons.push(format!(
            "`{}` = {} is the size of a page",
            size.path(),
            size.whole().unwrap_or_default()
        ));
    }
    reasons.extend(total.as_ref().map(|total| total.reason.clone()));
    let has_more = if total.is_none() { more } else { None };
    reasons.extend(has_more.as_ref().map(|(_, reason)| reason.clone()));
    // One answer in a thousand counts records from 1 (SCIM); its first record then has this number.
    let start = match (at.plain().as_str(), at.whole()) {
        ("startindex" | "startposition", Some(1)) => 1,
        _ => 0,
    };
    ranked.push(Ranked {
        candidate: Candidate {
            pagination: Pagination::Offset(Offset {
                param,
                placement,
                start,
                limit_param: limit_number.and(limit).map(|size| size.name().to_owned()),
                limit: limit_number,
                total: total.map(|total| total.source),
                has_more: has_more.map(|(source, _)| source),
                next: None,
            }),
            certainty: if doubts.is_empty() {
                Certainty::Sure
            } else {
                Certainty::Likely
            },
            reasons,
            doubts,
        },
        weight: 85,
    });
}

/// Nothing in the answer speaks of pages, but the address does: the end is then an empty or a short page.
fn asked_only(seen: &Seen<'_>, ranked: &mut Vec<Ranked>) {
    if seen.records().is_none() {
        return;
    }
    let total = total(seen).or_else(|| total_of_headers(seen));
    let certainty = if total.is_some() {
        Certainty::Likely
    } else {
        Certainty::Possible
    };
    let pages = ["page", "pageno", "pagenumber", "pagenum", "pageindex", "p"];
    let mut push = |pagination, name: &str, weight| {
        let mut reasons = vec![format!("`{name}` was sent")];
        let mut doubts = Vec::new();
        match &total {
            Some(total) => reasons.push(total.reason.clone()),
            None => doubts
                .push("nothing in the answer says how many pages there are: the end is a short or empty page".to_owned()),
        }
        ranked.push(Ranked {
            candidate: Candidate {
                pagination,
                certainty,
                reasons,
                doubts,
            },
            weight,
        });
    };
    let stated = total.as_ref().map(|total| total.source.clone());
    if let Some((param, placement, value)) = seen.asked.find(&pages) {
        let start = i64::from(value != "0");
        let name = param.clone();
        let page = PageNumber {
            param,
            placement,
            start,
            size_param: None,
            size: None,
            total_pages: None,
            total: stated.clone(),
            has_more: None,
            next: None,
        };
        push(Pagination::Page(page), &name, 40);
    }
    if let Some((param, placement, value)) = seen.asked.find(OFFSETS)
        && value.parse::<u64>().is_ok()
    {
        let name = param.clone();
        let offset = Offset {
            param,
            placement,
            start: 0,
            limit_param: None,
            limit: None,
            total: stated,
            has_more: None,
            next: None,
        };
        push(Pagination::Offset(offset), &name, 35);
    }
}
