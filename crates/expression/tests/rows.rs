//! How the rows of an expression are read: values, dates, units, keys, what is missing.

use crate::support;

use definition::Interval;
use expression::budget::Limits;
use expression::{DateForm, Evaluator, NumberStyle, Reading, RecordsAt, RunContext, Task};
use support::{fetched_at, page, read, row_text, rows, task};

#[test]
fn keys_and_values_keep_every_digit_of_large_integers() {
    let body =
        r#"{"items":[{"id":9007199254740993,"n":123456789012345678901234567890},{"id":7,"n":1}]}"#;
    assert_eq!(
        rows(
            "items.{ \"value\": n, \"key\": id }",
            Reading::default(),
            body
        ),
        [
            "- 123456789012345678901234567890 #9007199254740993",
            "- 1 #7"
        ]
    );
}

#[test]
fn decimals_stay_as_printed() {
    let body = r#"{"items":[0.1,0.30000000000000004,1234567.89,1e21,0.12345678901234567891]}"#;
    assert_eq!(
        rows("items.{ \"value\": $ }", Reading::default(), body),
        [
            "- 0.1",
            "- 0.30000000000000004",
            "- 1234567.89",
            "- 1000000000000000000000",
            "- 0.12345678901234567891"
        ]
    );
}

#[test]
fn text_is_a_number_only_where_that_was_said() {
    let body = r#"{"total":"1,234.50"}"#;
    let rejected = &read("$.{ \"value\": total }", Reading::default(), body).rejected[0];
    assert_eq!(rejected.code, "value.not_number");
    assert!(
        rejected.reason.contains("the text \"1,234.50\"") && rejected.reason.contains("number:"),
        "{rejected:?}"
    );
    let reading = |number, scale| Reading {
        number,
        scale,
        ..Reading::default()
    };
    assert_eq!(
        rows(
            "$.{ \"value\": total }",
            reading(NumberStyle::PointDecimal, None),
            body
        ),
        ["- 1234.5"]
    );
    let cents = reading(NumberStyle::PointDecimal, Some(0.01));
    assert_eq!(rows("$.{ \"value\": total }", cents, body), ["- 12.345"]);
    let any = Reading {
        text_values: true,
        ..Reading::default()
    };
    assert_eq!(rows("$.{ \"value\": total }", any, body), ["- '1,234.50'"]);
}

#[test]
fn a_scale_is_exact() {
    let reading = Reading {
        scale: Some(0.01),
        ..Reading::default()
    };
    assert_eq!(
        rows(
            "items.{ \"value\": $ }",
            reading,
            r#"{"items":[1999,5,9007199254740993]}"#
        ),
        ["- 19.99", "- 0.05", "- 90071992547409.93"]
    );
}

#[test]
fn dates_follow_their_format_and_zone() {
    let zoned = |date, zone: &str| Reading {
        date,
        zone: zone.to_owned(),
        dated: true,
        ..Reading::default()
    };
    let expression = "$.{ \"value\": 1, \"date\": d }";
    for (date, zone, body, expected) in [
        (
            DateForm::Iso,
            "",
            r#"{"d":"2026-01-31T08:30:00+0100"}"#,
            "2026-01-31T07:30:00Z 1",
        ),
        (
            DateForm::Iso,
            "Europe/Berlin",
            r#"{"d":"2026-01-31 08:30"}"#,
            "2026-01-31T07:30:00Z 1",
        ),
        (
            DateForm::Iso,
            "America/Los_Angeles",
            r#"{"d":"2024-03-10T02:30:00"}"#,
            "2024-03-10T10:30:00Z 1",
        ),
        (
            DateForm::Unix,
            "",
            r#"{"d":1700000000}"#,
            "2023-11-14T22:13:20Z 1",
        ),
        (
            DateForm::UnixMs,
            "",
            r#"{"d":"1700000000000"}"#,
            "2023-11-14T22:13:20Z 1",
        ),
        (
            DateForm::Pattern("%d.%m.%Y".into()),
            "Europe/Berlin",
            r#"{"d":"31.01.2026"}"#,
            "2026-01-30T23:00:00Z 1",
        ),
    ] {
        assert_eq!(
            rows(expression, zoned(date, zone), body),
            [expected],
            "{body}"
        );
    }
    let code = |body: &str| {
        read(expression, zoned(DateForm::Iso, ""), body).rejected[0]
            .code
            .clone()
    };
    assert_eq!(code(r#"{"d":1700000000}"#), "date.needs_format");
    assert_eq!(code("{}"), "date.missing");
    assert_eq!(code(r#"{"d":null}"#), "date.missing");
    assert_eq!(code(r#"{"d":""}"#), "date.missing");
    assert_eq!(code(r#"{"d":"soon"}"#), "date.unreadable");
    assert_eq!(code(r#"{"d":true}"#), "date.unreadable");
    assert_eq!(code(r#"{"d":"1812-01-01"}"#), "date.out_of_range");
    assert_eq!(code(r#"{"d":"2037-01-01"}"#), "date.out_of_range");
}

#[test]
fn a_row_without_a_date_belongs_to_the_sync_where_none_is_declared() {
    assert_eq!(
        rows("$.{ \"value\": 1 }", Reading::default(), "{}"),
        ["- 1"]
    );
}

#[test]
fn units_come_from_the_row_or_from_the_metric_and_are_never_guessed() {
    let reading = || Reading {
        unit: Some("EUR".to_owned()),
        ..Reading::default()
    };
    let expression = "items.{ \"value\": n, \"unit\": u }";
    let body = r#"{"items":[{"n":1,"u":"USD"},{"n":2},{"n":3,"u":null},{"n":4,"u":" "}]}"#;
    assert_eq!(
        rows(expression, reading(), body),
        ["- 1 USD", "- 2 EUR", "- 3 EUR", "- 4 EUR"]
    );
    assert_eq!(
        rows(expression, Reading::default(), r#"{"items":[{"n":2}]}"#),
        ["- 2"]
    );
    let rejected = read(expression, reading(), r#"{"items":[{"n":1,"u":["USD"]}]}"#).rejected;
    assert_eq!(rejected[0].code, "unit.unusable");
}

#[test]
fn a_declared_dimension_that_is_missing_is_the_empty_text() {
    let reading = Reading {
        dimensions: vec!["plan".into(), "state".into()],
        ..Reading::default()
    };
    let expression = "items.{ \"value\": 1, \"dimensions\": { \"plan\": plan, \"state\": state } }";
    let body = r#"{"items":[{"plan":"pro","state":"on"},{"plan":"pro"},{"state":null},{}]}"#;
    assert_eq!(
        rows(expression, reading, body),
        [
            "- 1 plan=pro state=on",
            "- 1 plan=pro state=",
            "- 1 plan= state=",
            "- 1 plan= state="
        ]
    );
}

#[test]
fn a_renamed_field_is_missing_records_and_an_empty_list_is_not() {
    let reading = |records: &str| Reading {
        records: Some(RecordsAt::Path(records.to_owned())),
        ..Reading::default()
    };
    let missing = |records: &str, body: &str| {
        let result = read(
            &format!("{records}.{{ \"value\": 1 }}[]"),
            reading(records),
            body,
        );
        assert_eq!(result.error, None);
        (result.records_missing.is_some(), result.rows.len())
    };
    assert_eq!(
        missing("data.items", r#"{"data":{"items":[{"a":1}]}}"#),
        (false, 1)
    );
    assert_eq!(
        missing("data.items", r#"{"data":{"items":[]}}"#),
        (false, 0)
    );
    assert_eq!(
        missing("data.items", r#"{"data":{"items":null}}"#),
        (true, 0)
    );
    assert_eq!(
        missing("data.items", r#"{"data":{"things":[]}}"#),
        (true, 0)
    );
    assert_eq!(missing("data.items", r#"{"data":null}"#), (true, 0));
    assert_eq!(missing("data.items", r#"{"data":[]}"#), (true, 0));
    assert_eq!(
        missing("data.items", r#"{"data":[{"items":[]}]}"#),
        (false, 0)
    );
    assert_eq!(missing("data.items", "{}"), (true, 0));
    assert_eq!(
        missing("data.items[a = 1]", r#"{"data":{"items":[{"a":2}]}}"#).1,
        0
    );
    let empty = Reading {
        missing_is_empty: true,
        ..reading("items")
    };
    let result = read("items.{ \"value\": 1 }[]", empty, r#"{"items":null}"#);
    assert_eq!((result.records_missing, result.rows.len()), (None, 0));
    // On later pages it is an empty page.
    let (mut evaluator, _) =
        support::evaluator(vec![task("items.{ \"value\": 1 }[]", reading("items"))]);
    assert!(
        evaluator.eval_page(&page("{}", 0))[0]
            .records_missing
            .is_some()
    );
    let later = evaluator.eval_page(&page(r#"{"items":null}"#, 1)).remove(0);
    assert_eq!((later.records_missing, later.rows.len()), (None, 0));
}

#[test]
fn an_empty_list_where_an_object_should_be_is_missing_records() {
    for (records, body, reason) in [
        (
            "items",
            "[]",
            "the answer is an empty list, and `items` should be in it",
        ),
        (
            "data.items",
            r#"{"data":[]}"#,
            "`data` is an empty list, and `items` should be in it",
        ),
        (
            "groups.items",
            r#"{"groups":[]}"#,
            "`groups` is an empty list",
        ),
        (
            "groups.items",
            r#"{"groups":[{"things":[]}]}"#,
            "`items` is not in `groups`, which has `things`",
        ),
        (
            "items",
            r#"{"error":"no","code":7}"#,
            "`items` is not in the answer, which has `error`, `code`",
        ),
        ("items", r#""later""#, "the answer is a text"),
        ("$", "null", "the answer is null"),
    ] {
        let reading = Reading {
            records: Some(RecordsAt::Path(records.to_owned())),
            ..Reading::default()
        };
        let result = read(&format!("{records}.{{ \"value\": 1 }}[]"), reading, body);
        let said = result.records_missing.unwrap_or_default();
        assert!(said.contains(reason), "{records} of {body}: {said}");
        assert_eq!((result.rows.len(), result.rejected_count), (0, 0));
    }
    for (records, body) in [
        ("$", "[]"),
        ("groups.items", r#"{"groups":[{"items":[]}]}"#),
    ] {
        let reading = Reading {
            records: Some(RecordsAt::Path(records.to_owned())),
            ..Reading::default()
        };
        let result = read(&format!("{records}.{{ \"value\": 1 }}[]"), reading, body);
        assert_eq!(result.records_missing, None, "{records} of {body}");
    }
}

#[test]
fn the_clock_is_the_fetch_and_the_window_and_the_parent_are_bound() {
    let context = RunContext {
        window: Some(Interval::new(
            "2026-01-01T00:00:00Z".parse().unwrap(),
            "2026-02-01T00:00:00Z".parse().unwrap(),
        )),
        parent: Some(serde_json::json!({"id": 5})),
    };
    let expression = "{ \"value\": $parent.id, \"date\": $window.start, \"dimensions\": { \"end\": $window.end, \"now\": $now() } }";
    let (mut evaluator, problems) = Evaluator::new(
        vec![task(expression, Reading::default())],
        &context,
        Limits::default(),
    );
    assert_eq!(problems, []);
    let results = evaluator.eval_page(&page("{}", 0));
    assert_eq!(
        row_text(&results[0].rows[0]),
        "2026-01-01T00:00:00Z 5 end=2026-02-01T00:00:00Z now=2026-11-23T12:00:00.000Z"
    );
}

#[test]
fn nothing_is_kept_between_evaluations() {
    let expression = "{ \"value\": ($x := $x ? $x + 1 : 1; $x) }";
    let (mut evaluator, _) = support::evaluator(vec![task(expression, Reading::default())]);
    for number in 0..3 {
        assert_eq!(support::page_rows(&mut evaluator, "{}", number), ["- 1"]);
    }
}

#[test]
fn a_run_is_seen_whole_by_those_who_ask_for_it() {
    let whole = Task {
        whole_run: true,
        ..task("{ \"value\": $sum(items.n) }", Reading::default())
    };
    let each = Task {
        id: 8,
        ..task("{ \"value\": $sum(items.n) }", Reading::default())
    };
    let (mut evaluator, _) = support::evaluator(vec![whole, each]);
    assert!(evaluator.needs_run());
    let bodies = [r#"{"items":[{"n":1},{"n":2}]}"#, r#"{"items":[{"n":4}]}"#];
    let pages: Vec<_> = (0..)
        .zip(bodies)
        .map(|(number, body)| page(body, number))
        .collect();
    let results = evaluator.eval_run(&pages);
    assert_eq!((results.len(), results[0].id), (1, 7));
    assert_eq!(row_text(&results[0].rows[0]), "- 7");
    assert_eq!(
        evaluator
            .eval_page(&pages[1])
            .iter()
            .map(|r| r.id)
            .collect::<Vec<_>>(),
        [8]
    );
    let broken = [page(r#"{"items":[]}"#, 0), page("{},{}", 1)];
    let error = evaluator.eval_run(&broken)[0].error.clone().unwrap();
    assert_eq!(error.code, "upstream.not_json");
    assert!(error.message.contains("page 1"), "{error}");
}

#[test]
fn a_sample_shows_the_row_masked_and_short() {
    let body = r#"{"items":[{"n":"ada@example.org","t":"sk_live_0123456789abcdefghijklmnop"}]}"#;
    let expression = "items.{ \"value\": n, \"dimensions\": { \"t\": t } }";
    let rejected = read(expression, Reading::default(), body)
        .rejected
        .remove(0);
    assert_eq!(
        rejected.sample,
        r#"{"value":"***@***","dimensions":{"t":"sk_l***"}}"#
    );
    assert!(!rejected.reason.contains("ada"), "{rejected:?}");
    let long = "items.{ \"value\": $pad(\"\", 5000, \"é \") }";
    let rejected = read(long, Reading::default(), body).rejected.remove(0);
    assert!(rejected.sample.len() <= 1024, "{}", rejected.sample.len());
}

#[test]
fn rejected_rows_are_all_counted_and_the_first_are_kept() {
    let body = format!("{{\"items\":[{}]}}", vec!["{}"; 50].join(","));
    let result = read("items.{ \"value\": n }", Reading::default(), &body);
    assert_eq!(
        (
            result.rejected_count,
            result.rejected.len(),
            result.rows.len()
        ),
        (50, 20, 0)
    );
    assert_eq!(result.rejected[3].index, 3);
    assert_eq!(result.returned(), 50);
}

#[test]
fn a_record_on_which_the_evaluation_fails_is_rejected_and_the_others_count() {
    let body = r#"{"items":[{"n":1},{"n":0},{"n":4},{"n":"ada@example.org"},{"n":8},{}]}"#;
    let result = read("items.{ \"value\": 8 / n }[]", Reading::default(), body);
    assert_eq!(result.error, None);
    let rows: Vec<_> = result
        .rows
        .iter()
        .map(|row| (row.index, row_text(row)))
        .collect();
    assert_eq!(
        rows,
        [
            (0, "- 8".to_owned()),
            (2, "- 2".to_owned()),
            (4, "- 1".to_owned())
        ]
    );
    let rejected: Vec<_> = result
        .rejected
        .iter()
        .map(|row| (row.index, row.code.as_str(), row.sample.as_str()))
        .collect();
    assert_eq!(
        rejected,
        [
            (1, "value.not_finite", r#"{"n":0}"#),
            (3, "expression.type", r#"{"n":"***@***"}"#),
            (5, "value.missing", "{}"),
        ]
    );
    assert_eq!(result.rejected_count, 3);
    let filtered = "items[$exists(n)].{ \"value\": $number(n) }";
    let result = read(filtered, Reading::default(), body);
    assert_eq!(
        (
            result.rows.len(),
            result.rejected[0].code.as_str(),
            result.rejected[0].index
        ),
        (4, "expression.cast", 3)
    );
}

#[test]
fn an_expression_that_fails_on_most_records_fails() {
    let body = format!("{{\"items\":[{}]}}", vec![r#"{"n":"x"}"#; 50].join(","));
    let result = read("items.{ \"value\": n + 1 }", Reading::default(), &body);
    assert_eq!(result.error.unwrap().code, "expression.type");
    assert_eq!((result.rows.len(), result.rejected_count), (0, 0));
}

#[test]
fn a_null_row_among_others_is_rejected_and_not_dropped() {
    let body = r#"{"items":[{"n":1},{"n":0},{"n":4}]}"#;
    let result = read(
        "items.(n = 0 ? null : { \"value\": n })",
        Reading::default(),
        body,
    );
    assert_eq!(
        (
            result.rows.len(),
            result.rejected[0].code.as_str(),
            result.rejected[0].index
        ),
        (2, "value.missing", 1)
    );
}

#[test]
fn keys_are_texts_of_one_value() {
    let keyed = |body: &str| {
        let result = read("$.{ \"value\": 1, \"key\": k }", Reading::default(), body);
        result
            .rejected
            .first()
            .map_or_else(|| row_text(&result.rows[0]), |row| row.code.clone())
    };
    assert_eq!(keyed(r#"{"k":12}"#), "- 1 #12");
    assert_eq!(keyed(r#"{"k":"a b"}"#), "- 1 #a b");
    assert_eq!(keyed(r#"{"k":null}"#), "key.missing");
    assert_eq!(keyed(r#"{"k":[1]}"#), "key.not_text");
    assert_eq!(keyed(r#"{"k":""}"#), "key.missing");
    assert_eq!(fetched_at().to_string(), "2026-11-23T12:00:00Z");
}

#[test]
fn a_row_without_its_declared_key_is_rejected_with_its_reason() {
    let source = "items.{ \"value\": 1, \"key\": id }[]";
    let body = r#"{"items":[{"id":7},{"id":null},{"id":""},{"nr":4},{"id":0},{"id":false}]}"#;
    let result = read(source, Reading::default(), body);
    let keys: Vec<_> = result.rows.iter().map(|row| row.key.as_deref()).collect();
    assert_eq!(keys, [Some("7"), Some("0"), Some("false")]);
    let reasons: Vec<_> = result
        .rejected
        .iter()
        .map(|row| (row.index, row.code.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [(1, "key.missing"), (2, "key.missing"), (3, "key.missing")]
    );
    assert!(
        result.rejected[0].reason.contains("`id` gives none"),
        "{:?}",
        result.rejected[0]
    );
}

#[test]
fn a_long_number_is_exact_where_it_is_passed_on_and_a_double_where_it_is_worked_with() {
    let page = r#"{"items":[{"id":9007199254740993,"v":9007199254740994,"n":1,"big":18446744073709551617},{"id":5,"v":4,"n":2,"big":3}]}"#;
    for (expression, expected) in [
        (
            r#"items[id > 100].{ "value": 1, "key": id }[]"#,
            vec!["- 1 #9007199254740993"],
        ),
        (
            r#"items.{ "value": v / 2, "key": "no " & id }[]"#,
            vec!["- 4503599627370497 #no 9007199254740993", "- 2 #no 5"],
        ),
        (
            r#"items.{ "value": id, "dimensions": { "big": big, "text": $string(id) } }[]"#,
            vec![
                "- 9007199254740993 big=18446744073709551617 text=9007199254740993",
                "- 5 big=3 text=5",
            ],
        ),
        (r#"{ "value": $sum(items.v) }"#, vec!["- 9007199254740998"]),
        (
            r#"items[id = 9007199254740993 or n in [2, 3]]^(>v).{ "value": n }[]"#,
            vec!["- 1", "- 2"],
        ),
        (
            r#"items.($x := id; { "value": $x + 0, "key": $x })[]"#,
            vec!["- 9007199254740992 #9007199254740993", "- 5 #5"],
        ),
        (
            r#"$map(items, function($i) { { "value": $max([$i.id, 7]), "key": $i.id } })"#,
            vec!["- 9007199254740992 #9007199254740993", "- 7 #5"],
        ),
        (
            r#"items ~> $map(function($i) { { "value": -$i.n } })"#,
            vec!["- -1", "- -2"],
        ),
        (
            r#"{ "value": $count(items.id), "key": $join(items.($string(id)), "+") }"#,
            vec!["- 2 #9007199254740993+5"],
        ),
    ] {
        let reading = Reading {
            dimensions: Vec::new(),
            ..Reading::default()
        };
        assert_eq!(rows(expression, reading, page), expected, "{expression}");
    }
}

#[test]
fn a_long_number_among_other_fields_changes_nothing_for_them() {
    let page = r#"{"items":[{"a":1,"b":"x","c":[1,2],"d":{"e":0.1}},{"a":2.5,"c":[],"d":null}],"id":9007199254740993}"#;
    let short = page.replace("9007199254740993", "1");
    for expression in [
        r#"items[a > 1 or b = "x"].{ "value": a * 2 + $sum(c), "key": b & "-" & d.e }[]"#,
        r#"items^(<a).{ "value": a, "dimensions": { "b": b, "n": $count(c) } }[]"#,
        r#"items.{ "value": $exists(b) ? 1 : -a, "key": $string(c) }[]"#,
        r#"{ "value": $reduce(items.a, function($x, $y) { $x + $y }) }"#,
        r#"{ "value": items.a ~> $sum }"#,
        r#"items.(a).{ "value": $ + 1 }[]"#,
        r#"items.c.{ "value": $ }[]"#,
        r#"items.{ "value": $number(a), "key": $uppercase(b) }[]"#,
        r#"items[1].{ "value": a % 2, "key": $type(d) }"#,
        r#"items.{ "value": a in [1, 2] ? 1 : 0 }[]"#,
    ] {
        let here = |body: &str| {
            let result = read(expression, Reading::default(), body);
            let rejected: Vec<String> = result.rejected.into_iter().map(|row| row.code).collect();
            let error = result.error.map(|error| error.code);
            (
                result.rows.iter().map(row_text).collect::<Vec<_>>(),
                rejected,
                error,
            )
        };
        assert_eq!(here(page), here(&short), "{expression}");
    }
}
