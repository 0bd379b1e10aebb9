//! What is generated from a selection evaluates to the rows that a person expects.

mod support;

use definition::{DateSelect, MetricType, Records, Select, ValuePage, ValueSelect};
use expression::{Reading, generate};
use support::{name, read, rows, task};

const SUBSCRIBERS: &str = include_str!("samples/subscribers.json");
const PURCHASES: &str = include_str!("samples/purchases.json");
const BROADCASTS: &str = include_str!("samples/broadcasts.json");
const GROWTH: &str = include_str!("samples/growth.json");

fn dated(path: &str) -> DateSelect {
    DateSelect {
        path: path.to_owned(),
        format: None,
        zone: None,
    }
}

fn path(path: &str) -> Records {
    Records::Path(path.to_owned())
}

fn generated(select: &Select) -> String {
    generate(select, MetricType::Events)
}

#[test]
fn a_selection_reads_as_a_person_would_write_it() {
    let select = Select {
        records: Some(path("subscribers")),
        where_: Some("state != \"cancelled\"".to_owned()),
        value: Some(ValueSelect::Count),
        dimensions: [(name("state"), "state".to_owned())].into_iter().collect(),
        date: Some(dated("created_at")),
        key: Some("id".to_owned()),
        ..Select::default()
    };
    let text = generated(&select);
    assert_eq!(
        text,
        "subscribers[state != \"cancelled\"].{ \"date\": created_at, \"value\": 1, \
         \"dimensions\": { \"state\": state }, \"key\": id }[]"
    );
    let reading = Reading {
        dated: true,
        ..Reading::default()
    };
    assert_eq!(
        rows(&text, reading, SUBSCRIBERS),
        [
            "2016-02-28T08:07:00Z 1 state=active #1",
            "2016-02-29T23:30:00Z 1 state=active #2"
        ]
    );
}

#[test]
fn units_and_parents_are_read_per_record() {
    let select = Select {
        records: Some(path("purchases.products")),
        value: Some(ValueSelect::path("unit_price * quantity")),
        dimensions: [
            (name("product"), "name".to_owned()),
            (name("status"), "%.status".to_owned()),
        ]
        .into_iter()
        .collect(),
        unit: Some("%.currency".to_owned()),
        date: Some(dated("%.transaction_time")),
        ..Select::default()
    };
    assert_eq!(
        rows(&generated(&select), Reading::default(), PURCHASES),
        [
            "2018-03-17T11:28:04Z 10 JPY product=Disk status=paid",
            "2018-03-17T11:28:04Z 10 JPY product=Cord status=paid",
            "2018-03-18T11:28:04Z 0.3 USD product=Review status=paid",
        ]
    );
}

#[test]
fn a_total_on_every_page_is_taken_once() {
    let select = Select {
        records: Some(path("subscribers")),
        value: Some(ValueSelect::Path {
            path: "total_subscribers".to_owned(),
            page: Some(ValuePage::First),
            number: None,
            scale: None,
        }),
        ..Select::default()
    };
    let text = generated(&select);
    assert_eq!(text, "{ \"value\": total_subscribers }");
    let task = task(
        &text,
        Reading {
            first_page_only: true,
            ..Reading::default()
        },
    );
    let (mut evaluator, _) = support::evaluator(vec![task]);
    assert_eq!(support::page_rows(&mut evaluator, SUBSCRIBERS, 0), ["- 3"]);
    assert_eq!(support::page_rows(&mut evaluator, SUBSCRIBERS, 1), [""; 0]);
}

#[test]
fn the_answer_itself_may_be_the_record_or_hold_them() {
    let select = |value: &str| Select {
        value: Some(ValueSelect::path(value)),
        ..Select::default()
    };
    let rows_of = |select: &Select, page: &str| rows(&generated(select), Reading::default(), page);
    assert_eq!(rows_of(&select("stats.subscribers"), GROWTH), ["- 3"]);
    assert_eq!(
        rows_of(&select("n"), r#"[{"n":1},{"n":2}]"#),
        ["- 1", "- 2"]
    );
    assert_eq!(rows_of(&select("n"), r#"[{"n":1}]"#), ["- 1"]);
    assert_eq!(rows_of(&select("n"), "[]"), [""; 0]);
    let root = Select {
        records: Some(path("$")),
        ..select("n")
    };
    assert_eq!(rows_of(&root, r#"[{"n":1},{"n":2}]"#), ["- 1", "- 2"]);
    let scalars = Select {
        records: Some(path("values")),
        ..select("$")
    };
    assert_eq!(
        rows_of(&scalars, r#"{"values":[1,2,2.5]}"#),
        ["- 1", "- 2", "- 2.5"]
    );
}

#[test]
fn a_map_becomes_records() {
    let select = Select {
        records: Some(Records::Entries {
            entries: "rates".to_owned(),
        }),
        where_: Some("value > 1".to_owned()),
        value: Some(ValueSelect::path("value")),
        dimensions: [(name("currency"), "key".to_owned())].into_iter().collect(),
        ..Select::default()
    };
    let rows_of = |page: &str| rows(&generated(&select), Reading::default(), page);
    assert_eq!(
        rows_of(r#"{"rates":{"USD":1.1,"EUR":1,"JPY":160.5}}"#),
        ["- 1.1 currency=USD", "- 160.5 currency=JPY"]
    );
    assert_eq!(rows_of(r#"{"rates":{"USD":1.1}}"#), ["- 1.1 currency=USD"]);
    assert_eq!(rows_of(r#"{"rates":{}}"#), [""; 0]);
    assert_eq!(rows_of("{}"), [""; 0]);
}

#[test]
fn parallel_arrays_become_records() {
    let select = Select {
        records: Some(Records::Zip {
            zip: vec!["hourly.time".to_owned(), "hourly.`rain mm`".to_owned()],
        }),
        where_: Some("`rain mm` != null".to_owned()),
        value: Some(ValueSelect::path("`rain mm`")),
        date: Some(dated("time")),
        ..Select::default()
    };
    let rows_of = |page: &str| rows(&generated(&select), Reading::default(), page);
    assert_eq!(
        rows_of(
            r#"{"hourly":{"time":["2026-01-01T00:00","2026-01-01T01:00","2026-01-01T02:00"],"rain mm":[0.5,null,2]}}"#
        ),
        ["2026-01-01T00:00:00Z 0.5", "2026-01-01T02:00:00Z 2"]
    );
    assert_eq!(
        rows_of(r#"{"hourly":{"time":["2026-01-01T00:00"],"rain mm":[0.5]}}"#),
        ["2026-01-01T00:00:00Z 0.5"]
    );
    assert_eq!(rows_of(r#"{"hourly":{"time":[],"rain mm":[]}}"#), [""; 0]);
}

#[test]
fn a_condition_that_is_a_number_is_a_truth_and_not_an_index() {
    let select = Select {
        records: Some(path("items")),
        where_: Some("active".to_owned()),
        value: Some(ValueSelect::path("n")),
        ..Select::default()
    };
    let text = generated(&select);
    assert!(text.contains("[$boolean(active)]"), "{text}");
    let page = r#"{"items":[{"active":1,"n":1},{"active":0,"n":2},{"active":true,"n":4},{"n":8}]}"#;
    assert_eq!(rows(&text, Reading::default(), page), ["- 1", "- 4"]);
}

#[test]
fn records_that_are_more_than_a_path_stay_whole() {
    for records in [
        "a ~> $filter(function($v) { $v.n > 1 })",
        "a ? a : b",
        "(a)",
        "$append(a, [])[n > 1]",
    ] {
        let select = Select {
            records: Some(path(records)),
            where_: Some("n > 1".to_owned()),
            value: Some(ValueSelect::path("n")),
            ..Select::default()
        };
        let page = r#"{"a":[{"n":1},{"n":2},{"n":3}]}"#;
        assert_eq!(
            rows(&generated(&select), Reading::default(), page),
            ["- 2", "- 3"],
            "{records}"
        );
    }
}

#[test]
fn a_date_that_does_not_exist_is_rejected_and_the_rest_counts() {
    let select = Select {
        records: Some(path("broadcasts")),
        date: Some(dated("created_at")),
        ..Select::default()
    };
    let result = read(
        &generated(&select),
        Reading {
            dated: true,
            ..Reading::default()
        },
        BROADCASTS,
    );
    assert_eq!(result.rows.len(), 2);
    assert_eq!(result.rejected_count, 1);
    assert_eq!(result.rejected[0].code, "date.unreadable");
    assert_eq!(result.rejected[0].index, 2);
    assert!(
        result.rejected[0].sample.contains("2014-02-29"),
        "{:?}",
        result.rejected[0]
    );
}
