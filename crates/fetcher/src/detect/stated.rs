//! What an answer states of all its pages: how many records and pages there are, and whether there are more.

use definition::Source;

use super::Seen;
use super::fields::{Field, plain_name};
use super::links::header_name;
use super::numbers::CURRENT_PAGE;

pub(super) const TOTAL_PAGES: &[&str] = &[
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
pub(super) const TOTAL_PAGES_HEADERS: &[&str] = &[
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

/// A number that an answer states, and what was seen.
#[derive(Clone)]
pub(super) struct Stated {
    pub(super) source: Source,
    pub(super) number: u64,
    pub(super) reason: String,
}

/// Where the answer states how many records there are, and what was seen.
pub(super) fn total(seen: &Seen<'_>) -> Option<Stated> {
    let records = seen.records()?;
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

/// The first header of these names that states a number.
pub(super) fn header_number(seen: &Seen<'_>, names: &[&str]) -> Option<Stated> {
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
    let (field, is_turned) = more_field(seen)?;
    let shown = field.value.as_bool().unwrap_or_default();
    let path = field.path();
    let reason = format!("`{path}` = {shown}");
    let source = if is_turned {
        Source::Body(format!("$not({path})"))
    } else {
        field.source()
    };
    Some((source, reason))
}

/// Whether the answer says that there are more pages, or that there are none, and where.
pub(super) fn says_more<'a>(seen: &'a Seen<'_>) -> Option<(bool, &'a Field<'a>)> {
    let (field, is_turned) = more_field(seen)?;
    Some((field.value.as_bool()? != is_turned, field))
}

/// The field that says whether there are more pages, and whether it says so the other way round.
fn more_field<'a>(seen: &'a Seen<'_>) -> Option<(&'a Field<'a>, bool)> {
    let flag = |field: &Field<'_>| field.value.is_boolean();
    let more = seen.fields.find(HAS_MORE, flag).map(|field| (field, false));
    more.or_else(|| seen.fields.find(IS_LAST, flag).map(|field| (field, true)))
}

/// Says that pages follow this one, where the answer counts them; `counts` judges a plain name.
pub(super) fn further_pages(
    seen: &Seen<'_>,
    counts: impl Fn(&Field<'_>) -> bool,
) -> Option<String> {
    let current = seen
        .fields
        .find(CURRENT_PAGE, |field| field.value.is_u64())
        .and_then(Field::whole);
    let counted = seen.fields.find(TOTAL_PAGES, |field| {
        field.value.is_u64() && (field.plain() != "pages" || current.is_some() && counts(field))
    });
    let (number, reason) = if let Some(field) = counted {
        let number = field.whole()?;
        (number, format!("`{}` = {number}", field.path()))
    } else {
        let stated = header_number(seen, TOTAL_PAGES_HEADERS)?;
        (stated.number, stated.reason)
    };
    (number > 1 && current.is_none_or(|current| current < number)).then_some(reason)
}
