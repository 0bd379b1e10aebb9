use definition::NothingKnown;
use serde_json::{Value, json};

use super::*;
use crate::{Evaluator, Page, RunContext, Task, budget::Limits};

const NOW: &str = "2026-11-23T12:00:00Z";

fn profile(pages: &[Value]) -> Profile {
    let mut survey = Survey::new(NOW.parse().unwrap());
    for page in pages {
        survey.page(page.to_string().as_bytes()).unwrap();
    }
    survey.profile()
}

fn at<'p>(profile: &'p Profile, names: &[&str]) -> &'p Field {
    profile
        .root
        .at(names)
        .unwrap_or_else(|| panic!("{names:?}"))
}

/// Every suggestion must be a definition that is accepted and gives rows, none of them rejected.
fn all_work(page: &Value) -> Vec<Suggestion> {
    let found = suggestions(&profile(std::slice::from_ref(page)));
    for suggestion in &found {
        let document = json!([
            { "kind": "connection", "name": "api", "base_url": "https://api.example.com" },
            { "kind": "metric", "name": "m", "connection": "api", "request": { "path": "/x" },
              "select": suggestion.select, "type": suggestion.metric_type,
              "aggregation": suggestion.aggregation },
        ]);
        let text = document.to_string();
        let bundle =
            definition::parse(&text, "suggested").unwrap_or_else(|p| panic!("{p:?}\n{text}"));
        let problems = bundle.validate(&NothingKnown);
        assert!(
            !problems.iter().any(definition::Problem::is_error),
            "{problems:?}\n{text}"
        );
        assert!(crate::check_bundle(&bundle).is_empty(), "{text}");
        let definition::Definition::Metric(metric) = &bundle.definitions[1].definition else {
            panic!("a metric")
        };
        let task = Task::of(metric, None, 0);
        let expression = task.expression.clone();
        let (mut evaluator, problems) =
            Evaluator::new(vec![task], &RunContext::default(), Limits::default());
        assert!(problems.is_empty(), "{problems:?}");
        let body = page.to_string();
        let result = evaluator
            .eval_page(&Page {
                bytes: body.as_bytes(),
                number: 1,
                first: true,
                fetched_at: NOW.parse().unwrap(),
                parent: None,
            })
            .remove(0);
        assert_eq!(result.error, None, "{expression}");
        assert!(!result.rows.is_empty(), "{expression}");
        assert_eq!(
            result.rejected_count, 0,
            "{expression}: {:?}",
            result.rejected
        );
    }
    found
}

#[test]
fn a_tree_says_what_each_place_looks_like() {
    let record = |id: u64, state: &str, total: &str| {
        json!({ "id": id, "state": state, "email_address": format!("p{id}@example.com"), "total": total,
            "created_at": "2026-01-05T10:00:00Z", "paid": 1_767_600_000 + id, "paid_on": 1_767_600_000 + id,
            "share": "12 %", "currency": "usd", "tags": ["a", "b"], "site": "https://example.com" })
    };
    let profile = profile(&[
        json!({ "total_pages": 2, "people": [record(1, "active", "1.234,50"), record(2, "active", "3,5")] }),
        json!({ "total_pages": 2, "people": [record(3, "gone", "0,99"), Value::Null] }),
    ]);
    let people = at(&profile, &["people"]);
    assert_eq!(
        people.length,
        Some(Length {
            shortest: 2,
            longest: 2,
            total: 4
        })
    );
    let field = |name: &str| at(&profile, &["people", name]);
    assert_eq!(field("id").looks.meaning, Some(Meaning::Id));
    assert_eq!(field("id").path, "people.id");
    assert_eq!(field("email_address").looks.meaning, Some(Meaning::Email));
    assert_eq!(field("email_address").sample.as_deref(), Some("***@***"));
    assert_eq!(field("site").looks.meaning, Some(Meaning::Url));
    assert_eq!(field("currency").looks.meaning, Some(Meaning::Currency));
    assert_eq!(
        field("state").looks.members,
        [("active".to_owned(), 2), ("gone".to_owned(), 1)]
    );
    let number = |name: &str| field(name).looks.number.clone().unwrap();
    assert_eq!(number("total").format.as_deref(), Some("1.234,56"));
    assert!((number("total").largest - 1234.5).abs() < 1e-9);
    assert_eq!(number("share").format.as_deref(), Some("percent"));
    let date = field("created_at").looks.date.clone().unwrap();
    assert_eq!((date.format.as_str(), date.zoned), ("iso", true));
    assert_eq!(
        field("paid").looks.date,
        None,
        "its name says nothing of time"
    );
    assert_eq!(field("paid_on").looks.date.clone().unwrap().format, "unix");
    assert_eq!(field("tags").fields[0].name, "[]");
}

#[test]
fn numbers_of_rows_are_ids_and_changes_are_instants() {
    let profile = profile(&[json!({ "items": [
        { "rowid": 7, "paid": 10, "last_modified": 1_795_522_675_444_u64 },
        { "rowid": 8, "paid": 20, "last_modified": 1_795_522_675_500_u64 },
        { "rowid": 9, "paid": 40, "last_modified": 1_795_522_675_611_u64 },
    ] })]);
    let looks = |name: &str| &at(&profile, &["items", name]).looks;
    assert_eq!(looks("rowid").meaning, Some(Meaning::Id));
    assert_eq!(looks("paid").meaning, None);
    assert!(looks("paid").number.is_some());
    let changed = looks("last_modified").date.clone().unwrap();
    assert_eq!(changed.format, "unix_ms");
}

#[test]
fn formats_of_dates_are_recognised_and_doubts_are_told() {
    for (texts, format, or) in [
        (["31/01/2026", "05/02/2026"], "%d/%m/%Y", None),
        (["01/31/2026", "05/02/2026"], "%m/%d/%Y", None),
        (["03/04/2026", "05/02/2026"], "%d/%m/%Y", Some("%m/%d/%Y")),
        (["31.01.2026", "05.02.2026"], "%d.%m.%Y", None),
        (
            [
                "Mon, 05 Jan 2026 10:00:00 +0000",
                "Tue, 06 Jan 2026 10:00:00 +0000",
            ],
            "%a, %d %b %Y %H:%M:%S %z",
            None,
        ),
        (["2026-01-05", "2026-01-06"], "iso", None),
        (["20260105", "20260106"], "%Y%m%d", None),
    ] {
        let page = json!({ "items": texts.map(|text| json!({ "date": text })) });
        let profile = profile(std::slice::from_ref(&page));
        let look = at(&profile, &["items", "date"]).looks.date.clone();
        let look = look.unwrap_or_else(|| panic!("{texts:?}"));
        assert_eq!(
            (look.format.as_str(), look.or.as_deref()),
            (format, or),
            "{texts:?}"
        );
        all_work(&page);
    }
}

#[test]
fn a_list_with_dates_and_amounts_offers_counts_sums_and_the_stated_total() {
    let record = |id: u64| {
        json!({ "id": id, "status": if id.is_multiple_of(2) { "paid" } else { "open" }, "currency": "USD",
            "transaction_time": "2026-01-05T10:00:00Z", "total": 12.5, "email": format!("a{id}@example.com"),
            "products": [{ "quantity": 1 }] })
    };
    let page = json!({ "total_purchases": 412, "page": 1, "total_pages": 9,
        "purchases": (1..=6).map(record).collect::<Vec<_>>() });
    let found = all_work(&page);
    let titles: Vec<&str> = found.iter().map(|one| one.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Count of purchases by transaction_time, split by status",
            "Sum of total by transaction_time, in its currency",
            "total_purchases, as the API states it",
        ]
    );
    assert_eq!(
        serde_json::to_value(&found[1].select).unwrap(),
        json!({ "records": "purchases", "value": { "path": "total" }, "dimensions": { "status": "status" },
            "unit": "currency", "date": { "path": "transaction_time" }, "key": "id" })
    );
    assert_eq!(
        serde_json::to_value(&found[2].select).unwrap()["value"],
        json!({ "path": "total_purchases", "page": "first" })
    );
}

#[test]
fn maps_and_parallel_lists_are_opened() {
    let rates =
        json!({ "base": "EUR", "rates": { "USD": 1.1, "GBP": 0.9, "JPY": 160.0, "CHF": 1 } });
    assert_eq!(all_work(&rates)[0].title, "rates by key");
    let weather = json!({ "latitude": 52.5, "hourly": { "time": ["2026-01-05T00:00", "2026-01-05T01:00"],
        "rain": [0.1, 0.0], "temperature": [3, 4.5] } });
    let found = all_work(&weather);
    assert_eq!(found[0].title, "rain by time");
    assert_eq!(found[1].aggregation, definition::Aggregation::Average);
}

#[test]
fn small_odd_and_empty_answers_offer_something_that_works() {
    for page in [
        json!({ "stats": { "sent": 6, "open rate": 100.0 } }),
        json!([{ "n": 1 }, { "n": 2 }]),
        json!([{ "created_at": "2026-01-05" }]),
        json!({ "name": "Acme Corp." }),
        json!({ "a b": { "c-d": [{ "in": "1,234.50", "and": "2026-01-05" }, { "in": "7.5", "and": "2026-01-06" }] } }),
        json!(7),
    ] {
        assert!(!all_work(&page).is_empty(), "{page}");
    }
    assert!(!suggestions(&profile(&[json!({ "items": [] })])).is_empty());
    assert!(!suggestions(&profile(&[])).is_empty());
    let mut survey = Survey::new(NOW.parse().unwrap());
    assert!(survey.page(b"<html>").is_err());
}

#[test]
fn hostile_answers_are_bounded() {
    let wide: Value = (0..5_000)
        .map(|n| (format!("f{n}"), json!({ "x": n })))
        .collect();
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!({ "d": deep });
    }
    let long: Value = (0..20_000).map(|n| json!({ "id": n })).collect();
    let profile = profile(&[json!({ "wide": wide, "deep": deep, "long": long })]);
    assert!(profile.cut);
    assert_eq!(at(&profile, &["long"]).length.unwrap().total, 20_000);
    let text = serde_json::to_string(&profile).unwrap();
    assert!(text.len() < 400_000, "{}", text.len());
    let back: Profile = serde_json::from_str(&text).unwrap();
    assert_eq!(back, profile);
}

#[test]
fn answers_of_the_documentation_of_a_real_api_offer_something_that_works() {
    // The same shapes that the sample API serves, as the documentation of ConvertKit shows them.
    let subscribers = json!({ "total_subscribers": 3, "page": 1, "total_pages": 1, "subscribers": [
        { "id": 1, "first_name": "Jon", "email_address": "jonsnow@example.com", "state": "active",
          "created_at": "2016-02-28T08:07:00Z", "fields": { "last_name": "Snow" } }]});
    assert_eq!(
        all_work(&subscribers)[0].title,
        "Count of subscribers by created_at, split by state"
    );
    let stats = json!({ "broadcast": { "id": 1, "stats": { "recipients": 82, "open_rate": 60.97, "click_rate": 23.1,
        "unsubscribes": 9, "show_total_clicks": false, "status": "completed", "progress": 100.0 } } });
    assert!(all_work(&stats).len() >= 4);
}

#[test]
fn percentages_are_read_by_the_format_that_their_decimals_have() {
    for (texts, format) in [
        (["12 %", "3 %"], "percent"),
        (["12.5%", "3%"], "percent"),
        (["12,5 %", "1,234 %"], "1.234,56"),
        (["(1,234.56)", "12.00"], "1,234.56"),
    ] {
        let records: Vec<Value> = texts.iter().map(|text| json!({ "share": text })).collect();
        let profile = profile(&[json!({ "rows": records })]);
        let look = at(&profile, &["rows", "share"]).looks.number.clone();
        assert_eq!(
            look.and_then(|look| look.format).as_deref(),
            Some(format),
            "{texts:?}"
        );
    }
}
