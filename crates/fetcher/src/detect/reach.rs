//! How far the pages of an API reach, as its first answer states it.

use super::fields::Field;
use super::stated::{TOTAL_PAGES, TOTAL_PAGES_HEADERS, header_number, total};
use super::{FirstAnswer, Seen};

/// Returns how many pages like this one the answer states: by their number, else by the number of all records over
/// those that it brought. Nothing where it states neither.
pub fn stated_pages(first: &FirstAnswer<'_>) -> Option<u64> {
    let seen = Seen::of(first);
    let by_field = seen
        .fields
        .find(TOTAL_PAGES, |field| field.value.is_u64())
        .and_then(Field::whole);
    let by_header = || header_number(&seen, TOTAL_PAGES_HEADERS).map(|stated| stated.number);
    let by_records = || {
        let records = seen.records().filter(|records| *records > 0)?;
        Some(total(&seen)?.number.div_ceil(records))
    };
    by_field.or_else(by_header).or_else(by_records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use serde_json::json;
    use url::Url;

    fn pages(body: &serde_json::Value) -> Option<u64> {
        stated_pages(&FirstAnswer {
            url: &Url::parse("https://api.example.com/items").unwrap(),
            sent: None,
            headers: &HeaderMap::new(),
            body,
            records: None,
        })
    }

    #[test]
    fn pages_are_stated_by_number_or_by_records() {
        let items = json!([{ "n": 1 }, { "n": 2 }]);
        assert_eq!(
            pages(&json!({ "items": items, "page": 1, "total_pages": 412 })),
            Some(412)
        );
        assert_eq!(pages(&json!({ "items": items, "total": 7 })), Some(4));
        assert_eq!(pages(&json!({ "items": items })), None);
        assert_eq!(pages(&json!({ "items": [], "total": 0 })), None);
    }
}
