//! The answer that a document describes, as that of a list of many pages.
//!
//! An example made of types states nonsense (a total of 1 beside two records), and examples in documents mostly show a short
//! list. How a list is paged is recognised from numbers that could be true, so those of the whole are made large.

use serde_json::{Value, json};

/// What a described list holds in all: far more than the records of any example.
const RECORDS: u64 = 1_000_000;
const PAGES: u64 = 10_000;

/// Deeper objects state nothing of pages.
const DEPTH: usize = 6;

/// Returns the described answer with totals that more than its records could have.
pub(super) fn of_many_pages(body: &Value) -> Value {
    let mut body = body.clone();
    raise(&mut body, 0);
    body
}

fn raise(value: &mut Value, depth: usize) {
    let Value::Object(fields) = value else { return };
    if depth > DEPTH {
        return;
    }
    for (name, value) in fields {
        match (value.is_u64() || value.is_null(), counts_all(name)) {
            (true, Some(number)) => *value = json!(number),
            _ => raise(value, depth + 1),
        }
    }
}

/// What a field of this name states of the whole list, if it does.
fn counts_all(name: &str) -> Option<u64> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let of_pages = matches!(
        plain.as_str(),
        "pages"
            | "lastpage"
            | "maxpage"
            | "pagecount"
            | "pagescount"
            | "numpages"
            | "numberofpages"
            | "nbpages"
    );
    let of_records = matches!(
        plain.as_str(),
        "recordcount" | "itemcount" | "numfound" | "nbhits" | "count"
    );
    if of_pages || plain.contains("total") && plain.contains("page") {
        Some(PAGES)
    } else if of_records || plain.contains("total") {
        Some(RECORDS)
    } else {
        None
    }
}

/// Takes the values out of what was seen, since nobody saw them: `` `total` = 2 states … `` is `` `total` states … ``.
pub(super) fn without_values(reason: &str) -> String {
    let mut text = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some(at) = rest.find("` = ") {
        text.push_str(&rest[..=at]);
        let value = &rest[at + "` = ".len()..];
        let end = value.find([' ', ';', ',']).unwrap_or(value.len());
        rest = &value[end..];
    }
    text.push_str(rest);
    match text.rfind(" (") {
        Some(at) if text.ends_with("on this page)") => text[..at].to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_those_of_a_long_list_and_all_else_stays() {
        let body = json!({ "meta": { "total": 1, "lastPage": 1, "page": 1, "per_page": 2 }, "total_sum": "12", "rows": [{ "total": 3 }] });
        assert_eq!(
            of_many_pages(&body),
            json!({ "meta": { "total": RECORDS, "lastPage": PAGES, "page": 1, "per_page": 2 }, "total_sum": "12", "rows": [{ "total": 3 }] })
        );
    }

    #[test]
    fn reasons_do_not_tell_values_that_nobody_saw() {
        for (reason, expected) in [
            (
                "`total` = 1000000 states the total (2 records on this page)",
                "`total` states the total",
            ),
            (
                "`total_pages` = 10000 beside `page` = 1",
                "`total_pages` beside `page`",
            ),
            ("`page` was sent", "`page` was sent"),
        ] {
            assert_eq!(without_values(reason), expected);
        }
    }
}
