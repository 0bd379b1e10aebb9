//! Whether a first answer says that there is more than it brought, and how that would be read.
//!
//! It is asked where nobody told how the API pages. Saying it wrongly costs a note; saying nothing costs records that
//! nobody misses, so everything that names a next page or a larger total counts. A record of its own that happens to
//! have a `total` does not.

use definition::Pagination;

use super::fields::{Field, plain_name};
use super::numbers::{CURRENT_PAGE, OFFSETS, SIZES};
use super::stated::{further_pages, says_more, total};
use super::{Certainty, FirstAnswer, Seen, candidates};

/// Objects that hold what is about pages.
const ABOUT_PAGES: &[&str] = &[
    "meta",
    "metadata",
    "page",
    "paging",
    "pagination",
    "pageinfo",
    "paginginfo",
    "info",
    "cursor",
    "cursors",
    "links",
];

/// Names of totals that are so plain that they may be a record's own: an order has a `total`, too.
const PLAIN_TOTALS: &[&str] = &["total", "count", "totalsize", "pages", "number"];

/// Fields beside a plain total in an answer that is about its list alone.
const FEW: usize = 4;

/// More than the answer brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Unread {
    /// What the answer says, in a few words.
    pub said: String,
    /// How it would be read, where that can be seen.
    pub pagination: Option<Pagination>,
}

/// Names of words on more pages that are plain, too: a task is `done`.
const PLAIN_WORDS: &[&str] = &["done", "last", "more"];

/// Returns what the answer says of further pages; nothing where it says nothing, or that this was all.
pub fn unread(first: &FirstAnswer<'_>) -> Option<Unread> {
    let seen = Seen::of(first);
    let counts = |field: &Field<'_>, plain: &[&str]| {
        !plain.contains(&field.plain().as_str()) || is_about_pages(&seen, field)
    };
    let says_more = says_more(&seen).filter(|(_, field)| counts(field, PLAIN_WORDS));
    if matches!(says_more, Some((false, _))) {
        return None;
    }
    let candidates = candidates(&seen);
    // A link or cursor that is there leads on; what is sure of itself by its absence was filtered by its certainty.
    let leads_on = candidates.iter().find(|candidate| {
        candidate.certainty == Certainty::Sure
            && matches!(
                candidate.pagination,
                Pagination::LinkHeader(_) | Pagination::NextUrl(_) | Pagination::Cursor(_)
            )
    });
    let by_list = || {
        let records = seen.records()?;
        let flagged = says_more.map(|(_, field)| format!("`{}` = {}", field.path(), field.value));
        flagged
            .or_else(|| further_pages(&seen, |field| is_about_pages(&seen, field)))
            .or_else(|| {
                let total = total(&seen).filter(|total| total.number > records)?;
                let fields = seen.fields.all();
                let own = fields.iter().find(|field| field.source() == total.source);
                own.is_none_or(|field| counts(field, PLAIN_TOTALS))
                    .then_some(total.reason)
            })
    };
    let said = by_list().or_else(|| leads_on?.reasons.first().cloned())?;
    Some(Unread {
        said,
        pagination: leads_on
            .or_else(|| candidates.first())
            .map(|candidate| candidate.pagination.clone()),
    })
}

/// Whether a field stands among others that are about pages, and not in a record.
fn is_about_pages(seen: &Seen<'_>, field: &Field<'_>) -> bool {
    if ABOUT_PAGES.contains(&field.parent().as_str()) {
        return true;
    }
    let beside: Vec<String> = seen
        .fields
        .all()
        .iter()
        .filter(|other| other.is_beside(field))
        .map(|other| plain_name(other.name()))
        .collect();
    let has = |names: &[&str]| {
        beside
            .iter()
            .any(|name| *name != field.plain() && names.contains(&name.as_str()))
    };
    let is_record = has(&["id", "uuid", "createdat", "created"]);
    !is_record && (beside.len() <= FEW || has(SIZES) || has(OFFSETS) || has(CURRENT_PAGE))
}
