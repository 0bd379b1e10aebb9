//! What is generated from a selection evaluates to the rows that a person expects.

use crate::support;

use definition::{DateSelect, Definition, MetricType, Records, Select, ValuePage, ValueSelect};
use expression::{Reading, Task, TaskResult, generate};
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

fn zipped(paths: &[&str], value: &str) -> Select {
    Select {
        records: Some(Records::Zip {
            zip: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        value: Some(ValueSelect::path(value)),
        date: Some(dated("time")),
        ..Select::default()
    }
}

/// What becomes of a page under what is generated from a selection.
fn selected(select: &Select, body: &str) -> TaskResult {
    let metric = format!(
        "kind: metric\nname: m\nconnection: c\nrequest: {{ path: /p }}\nselect: {}\n",
        serde_json::json!(select)
    );
    let bundle = definition::parse(&metric, "m.yaml").unwrap();
    let Definition::Metric(metric) = &bundle.definitions[0].definition else {
        panic!("a metric");
    };
    let (mut evaluator, problems) = support::evaluator(vec![Task::of(metric, None, 0)]);
    assert_eq!(problems, []);
    evaluator.eval_page(&support::page(body, 0)).remove(0)
}

#[test]
fn a_renamed_array_of_a_zip_is_missing_records_whichever_it_is() {
    let select = zipped(&["hourly.time", "hourly.rain"], "rain");
    for (body, gone) in [
        (
            r#"{"hourly":{"time":["2026-01-01"],"precip":[1]}}"#,
            "`rain` is not in `hourly`, which has `time`, `precip`",
        ),
        (
            r#"{"hourly":{"hours":["2026-01-01"],"rain":[1]}}"#,
            "`time` is not in `hourly`",
        ),
        (
            r#"{"hourly":{"time":["2026-01-01"],"rain":null}}"#,
            "`hourly.rain` is null",
        ),
        (r#"{"hourly":[]}"#, "`hourly` is an empty list"),
    ] {
        let result = selected(&select, body);
        let said = result.records_missing.unwrap_or_default();
        assert!(said.contains(gone), "{body}: {said}");
    }
    let empty = selected(&select, r#"{"hourly":{"time":[],"rain":[]}}"#);
    assert_eq!((empty.records_missing, empty.rejected_count), (None, 0));
}

#[test]
fn what_has_no_partner_in_a_zip_is_rejected_and_not_left_out() {
    let select = zipped(&["hourly.time", "hourly.rain"], "rain");
    let body = r#"{"hourly":{"time":["2026-01-01","2026-01-02","2026-01-03"],"rain":[1,2]}}"#;
    let result = selected(&select, body);
    assert_eq!((result.rows.len(), result.rejected_count), (2, 1));
    let rejected = &result.rejected[0];
    assert_eq!(
        (rejected.code.as_str(), rejected.index),
        ("records.unequal", 2)
    );
    assert_eq!(
        rejected.reason,
        "`hourly.time` has 3 items and `hourly.rain` 2: this one has no partner"
    );
    assert_eq!(rejected.sample, r#"{"time":"2026-01-03"}"#);
    let none = selected(
        &select,
        r#"{"hourly":{"time":["2026-01-01","2026-01-02"],"rain":[]}}"#,
    );
    assert_eq!(
        (none.rows.len(), none.rejected_by["records.unequal"]),
        (0, 2)
    );
}

#[test]
fn entries_of_what_is_no_map_say_what_is_there() {
    let select = Select {
        records: Some(Records::Entries {
            entries: "rates".to_owned(),
        }),
        value: Some(ValueSelect::path("value")),
        ..Select::default()
    };
    for (body, said) in [
        (r#"{"rates":null}"#, "`rates` is null"),
        (
            r#"{"rates":[]}"#,
            "`rates` is an empty list, where `entries` needs an object",
        ),
        (
            r#"{"quotes":{}}"#,
            "`rates` is not in the answer, which has `quotes`",
        ),
    ] {
        let result = selected(&select, body);
        let reason = result.records_missing.unwrap_or_default();
        assert!(reason.contains(said), "{body}: {reason}");
    }
    for (body, said) in [
        (
            r#"{"rates":[{"EUR":1},{"USD":2}]}"#,
            "`rates` is a list of 2 items, and `entries` needs an object",
        ),
        (
            r#"{"rates":"soon"}"#,
            "`rates` is a text, and `entries` needs an object",
        ),
    ] {
        let error = selected(&select, body).error.unwrap();
        assert_eq!(error.code, "records.shape");
        assert!(error.message.contains(said), "{body}: {error}");
    }
    let full = selected(&select, r#"{"rates":{"EUR":1,"USD":2}}"#);
    assert_eq!((full.rows.len(), full.records_missing), (2, None));
    let none = selected(&select, r#"{"rates":{}}"#);
    assert_eq!((none.rows.len(), none.records_missing), (0, None));
}
