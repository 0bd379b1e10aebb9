//! Numbered pages and offsets: totals, current places, and the parameters that were asked with.

use definition::{Offset, PageNumber, Pagination, Placement, Source};

use super::fields::{Field, plain_name};
use super::links::{changed_parameter, header_name};
use super::{Candidate, Certainty, Ranked, Seen};

const TOTAL_PAGES: &[&str] = &[
    "totalpages",
    "totalpage",
    "pagestotal",
    "pagetotal",
    "totalpagecount",
    "pagecount",
    "pagescount",
    "numpages",
    "numberofpages",
    "nbpages",
    "lastpage",
    "maxpage",
    "pages",
];
const CURRENT_PAGE: &[&str] = &[
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
const TOTALS: &[&str] = &[
    "total",
    "totalcount",
    "totalitems",
    "totalresults",
    "totalrecords",
    "totalrows",
    "totalelements",
    "totalhits",
    "totalsize",
    "totalentries",
    "totalobjects",
    "recordcount",
    "numfound",
    "nbhits",
    "itemcount",
    "count",
];
const TOTAL_HEADERS: &[&str] = &[
    "xtotalcount",
    "xtotal",
    "totalcount",
    "xwptotal",
    "totalrecords",
    "totalobjects",
    "xtotalitems",
    "xpaginationtotal",
    "paginationcount",
    "contentrange",
];
const TOTAL_PAGES_HEADERS: &[&str] = &[
    "xtotalpages",
    "xwptotalpages",
    "xpagecount",
    "xpaginationtotalpages",
    "totalpages",
    "paginationpagecount",
];
const HAS_MORE: &[&str] = &[
    "hasmore",
    "hasmorepage",
    "hasmorepages",
    "hasnext",
    "hasnextpage",
    "moreitemsincollection",
    "morerecords",
    "moreavailable",
    "more",
];
/// The same the other way round.
const IS_LAST: &[&str] = &["islast", "islastpage", "lastpage", "last", "done"];
const SIZES: &[&str] = &[
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
const OFFSETS: &[&str] = &[
    "offset",
    "skip",
    "startat",
    "startindex",
    "startposition",
    "start",
    "from",
    "first",
];

/// A number that an answer states, and what was seen.
#[derive(Clone)]
pub(super) struct Stated {
    pub(super) source: Source,
    number: u64,
    pub(super) reason: String,
}

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
    let records = seen.fields.record_count().unwrap_or_default();
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
    if seen.fields.record_count().is_none() {
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

/// Where the answer states how many records there are, and what was seen.
pub(super) fn total(seen: &Seen<'_>) -> Option<Stated> {
    let records = seen.fields.record_count()?;
    let fits = |field: &Field<'_>| {
        field.value.is_u64()
            && field
                .whole()
                .is_some_and(|total| total >= records && (records > 0 || total == 0))
            && !(field.plain() == "count" && is_page_count(seen, field, records))
    };
    let field = seen.fields.find(TOTALS, fits).or_else(|| {
        // `total_subscribers` beside `subscribers`.
        let name = seen.fields.records_name();
        let named = format!("total{name}");
        seen.fields
            .all()
            .iter()
            .find(|field| !name.is_empty() && field.plain() == named && fits(field))
    });
    if let Some(field) = field {
        let number = field.whole().unwrap_or_default();
        let reason = format!(
            "`{}` = {number} states the total ({records} records on this page)",
            field.path()
        );
        return Some(Stated {
            source: field.source(),
            number,
            reason,
        });
    }
    total_of_headers(seen)
}

/// Whether a `count` may be that of this page alone: as large as the page, and nothing says that this was all.
fn is_page_count(seen: &Seen<'_>, field: &Field<'_>, records: u64) -> bool {
    let beside = |names: &[&str]| seen.fields.find(names, |other| other.is_beside(field));
    let was_all = beside(&["next"]).is_some_and(|next| next.value.is_null())
        && beside(&["previous", "prev"]).is_some();
    field.whole() == Some(records) && !was_all
}

/// A header that states how many records there are.
pub(super) fn total_of_headers(seen: &Seen<'_>) -> Option<Stated> {
    header_number(seen, TOTAL_HEADERS)
}

fn header_number(seen: &Seen<'_>, names: &[&str]) -> Option<Stated> {
    names.iter().find_map(|wanted| {
        seen.first.headers.iter().find_map(|(name, value)| {
            if plain_name(name.as_str()) != *wanted {
                return None;
            }
            let text = value.to_str().ok()?;
            let number: u64 = text.rsplit('/').next()?.trim().parse().ok()?;
            if *wanted == "contentrange" && (!text.contains('/') || text.starts_with("bytes")) {
                return None;
            }
            let name = header_name(name.as_str());
            Some(Stated {
                reason: format!("header `{name}` = {number}"),
                source: Source::Header(name),
                number,
            })
        })
    })
}

/// Where the answer says whether there are more pages, and what was seen.
pub(super) fn more(seen: &Seen<'_>) -> Option<(Source, String)> {
    let flag = |field: &Field<'_>| field.value.is_boolean();
    let shown = |field: &Field<'_>| field.value.as_bool().unwrap_or_default();
    if let Some(field) = seen.fields.find(HAS_MORE, flag) {
        let reason = format!("`{}` = {}", field.path(), shown(field));
        return Some((field.source(), reason));
    }
    let field = seen.fields.find(IS_LAST, flag)?;
    let reason = format!("`{}` = {}", field.path(), shown(field));
    Some((Source::Body(format!("$not({})", field.path())), reason))
}
