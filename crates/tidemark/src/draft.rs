//! From one answer of an unknown API to a draft: what is in it, what could be a metric, YAML to apply.

mod find;
pub(crate) mod select;
pub(crate) mod tree;
mod yaml;

use definition::Response;
use http::HeaderMap;
use serde_json::Value;
use url::Url;

pub(crate) use find::Findings;
pub(crate) use yaml::{
    is_secret_header, is_secret_parameter, name_from, quoted, title, write_select,
};

/// One answer, and how it was asked for.
pub(crate) struct Answer<'a> {
    /// The address.
    pub(crate) url: &'a Url,
    /// The headers that were sent, by name.
    pub(crate) headers: &'a [(String, String)],
    /// The decoded body.
    pub(crate) body: &'a Value,
    /// The headers of the answer.
    pub(crate) answered: &'a HeaderMap,
    /// What the body was before it was JSON.
    pub(crate) response: &'a Response,
}

/// Returns the whole draft: tree and suggestions as YAML comments, then the definitions.
pub(crate) fn draft(answer: &Answer<'_>) -> String {
    let findings = Findings::of(answer);
    let mut text = String::new();
    for line in tree::lines(&findings.profile) {
        push_comment(&mut text, &line);
    }
    push_comment(&mut text, "");
    for line in findings.suggestions() {
        push_comment(&mut text, &line);
    }
    push_comment(&mut text, "");
    text.push_str(&yaml::definitions(answer, &findings));
    text
}

fn push_comment(text: &mut String, line: &str) {
    text.push('#');
    if !line.is_empty() {
        text.push(' ');
        text.push_str(line);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use definition::NothingKnown;

    fn drafted(
        address: &str,
        headers: &[(String, String)],
        body: &Value,
        link: Option<&str>,
    ) -> String {
        drafted_of(address, headers, body, link, &Response::default())
    }

    fn drafted_of(
        address: &str,
        headers: &[(String, String)],
        body: &Value,
        link: Option<&str>,
        response: &Response,
    ) -> String {
        let url = Url::parse(address).unwrap();
        let mut answered = HeaderMap::new();
        if let Some(link) = link {
            answered.insert("link", link.parse().unwrap());
        }
        draft(&Answer {
            url: &url,
            headers,
            body,
            answered: &answered,
            response,
        })
    }

    fn check(text: &str) {
        let bundle = definition::parse(text, "draft")
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let problems = bundle.validate(&NothingKnown);
        let errors: Vec<_> = problems
            .iter()
            .filter(|one| one.severity == definition::Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{errors:?}\n{text}");
        assert!(expression::check_bundle(&bundle).is_empty(), "{text}");
    }

    #[test]
    fn a_paged_list_becomes_a_metric_that_counts_and_pages() {
        let record = |id: u32, state: &str| {
            serde_json::json!({ "id": id, "state": state, "created_at": "2026-01-05T10:00:00Z",
                "email_address": format!("p{id}@example.com"), "amount": id })
        };
        let body = serde_json::json!({ "total_subscribers": 3, "page": 1, "total_pages": 2,
            "subscribers": [record(1, "active"), record(2, "active"), record(3, "cancelled")] });
        let text = drafted(
            "https://api.example.com/v3/subscribers?api_secret=hush&sort=asc",
            &[],
            &body,
            None,
        );
        check(&text);
        assert!(!text.contains("hush"), "{text}");
        for part in [
            "page: { param: page, total_pages: total_pages }",
            "records: subscribers",
            "date: created_at",
            "state: state",
            "key: id",
            "secret: api_secret",
            "sort: \"asc\"",
            "name: api_example_com",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
    }

    #[test]
    fn a_draft_reads_all_that_the_api_states() {
        let body = |pages: u32| serde_json::json!({ "items": [{ "n": 1 }], "page": 1, "total_pages": pages });
        let draft = |pages| drafted("https://a.example.com/items", &[], &body(pages), None);
        assert!(!draft(100).contains("max_pages"));
        for (pages, cap) in [(200, 400), (9_000, 10_000), (50_000, 10_000)] {
            let text = draft(pages);
            check(&text);
            assert!(
                text.contains(&format!("max_pages: {cap}  # the API states {pages} pages")),
                "{text}"
            );
        }
        assert!(draft(50_000).contains("window of dates"));
    }

    #[test]
    fn two_addresses_in_numbers_get_two_names_and_no_credential_is_dropped_silently() {
        let name = |address: &str| {
            let text = drafted(address, &[], &serde_json::json!({ "n": 1 }), None);
            check(&text);
            text.lines()
                .find(|line| line.starts_with("name: "))
                .unwrap()
                .to_owned()
        };
        assert_eq!(name("http://127.0.0.1:3911/x"), "name: local_3911");
        assert_eq!(name("http://[::1]:3912/x"), "name: local_3912");
        assert_eq!(name("http://localhost:3913/x"), "name: local_3913");
        assert_eq!(name("http://10.1.2.3/x"), "name: api_10_1_2_3");
        let headers = vec![("Authorization".to_owned(), "Bearer hush".to_owned())];
        let text = drafted(
            "https://a.example.com/items?api_key=hush",
            &headers,
            &serde_json::json!({ "n": 1 }),
            None,
        );
        check(&text);
        assert!(
            text.contains("# `api_key` of the address is left out") && !text.contains("hush"),
            "{text}"
        );
    }

    #[test]
    fn a_cursor_a_next_url_and_a_link_header_are_recognised() {
        let cursor = serde_json::json!({ "items": [{ "n": 1 }], "pagination": { "has_next_page": true, "end_cursor": "x" } });
        let text = drafted("https://a.example.com/items", &[], &cursor, None);
        check(&text);
        assert!(text.contains("cursor: { from: pagination.end_cursor, param: after, has_more: pagination.has_next_page }"), "{text}");

        let next = serde_json::json!({ "rows": [{ "n": 1.5 }], "next_url": "https://a.example.com/items?_next=1" });
        let text = drafted("https://a.example.com/items", &[], &next, None);
        check(&text);
        assert!(text.contains("next_url: { from: next_url }"), "{text}");

        let bare = serde_json::json!([{ "n": 1 }]);
        let text = drafted(
            "https://a.example.com/items",
            &[],
            &bare,
            Some("<https://a.example.com/items?page=2>; rel=\"next\""),
        );
        check(&text);
        assert!(text.contains("pagination: link_header"), "{text}");
    }

    #[test]
    fn a_lone_number_becomes_a_level_and_a_token_becomes_a_secret() {
        let headers = vec![("Authorization".to_owned(), "Bearer hush".to_owned())];
        let body = serde_json::json!({ "stats": { "sent": 6, "open rate": 100.0 } });
        let text = drafted("http://127.0.0.1:3000/stats", &headers, &body, None);
        check(&text);
        assert!(!text.contains("hush"), "{text}");
        assert!(
            text.contains("value: stats.sent") && text.contains("bearer:"),
            "{text}"
        );
    }

    #[test]
    fn a_name_and_a_password_are_told_apart() {
        let body = serde_json::json!({ "sent": 6 });
        let drafted = |encoded: &str| {
            let headers = vec![("Authorization".to_owned(), format!("Basic {encoded}"))];
            let text = drafted("http://127.0.0.1:3000/stats", &headers, &body, None);
            check(&text);
            assert!(!text.contains(encoded), "{text}");
            text
        };
        // reader:hush
        let text = drafted("cmVhZGVyOmh1c2g=");
        assert!(
            text.contains(
                "auth: { basic: { username: \"reader\", password: { secret: local_3000_password } } }  # give it its value: \
                 tidemark secret set local_3000_password"
            ) && !text.contains("hush"),
            "{text}"
        );
        // sk_hush: and no password: the name is the key.
        let text = drafted("c2tfaHVzaDo=");
        assert!(
            text.contains("username: { secret: local_3000_key }, password: \"\"")
                && !text.contains("hush"),
            "{text}"
        );
        // What cannot be decoded stays whole.
        assert!(drafted("not-base64!").contains("prefix: \"Basic \""));
    }

    #[test]
    fn a_table_is_drafted_with_its_format_and_its_numbers_as_written() {
        let body = serde_json::json!([
            { "id": "1", "day": "2026-01-05", "amount": "1.234,50" },
            { "id": "2", "day": "2026-01-06", "amount": "12,00" },
        ]);
        let response = Response {
            format: definition::ResponseFormat::Csv,
            delimiter: Some(';'),
            ..Response::default()
        };
        let text = drafted_of(
            "https://a.example.com/sales.csv",
            &[],
            &body,
            None,
            &response,
        );
        check(&text);
        for part in [
            "response: { format: csv, delimiter: \";\" }",
            "number: \"1.234,56\"",
            "date: day",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
    }
}
