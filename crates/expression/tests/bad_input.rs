//! The cases of bad expressions and bad pages, against the real thing: a stable code, a text that
//! names the limit or the place, and no more harm than that.

use crate::support;

use expression::{Evaluator, Reading, check};
use support::{read, read_bytes};

/// What became of an expression used as the value of a record of `page`.
fn outcome(expression: &str, page: &str) -> String {
    if let Err(problem) = check(expression) {
        return format!("refused {}", problem.code);
    }
    let result = read(
        &format!("$.{{ \"value\": {expression} }}"),
        Reading::default(),
        page,
    );
    if let Some(error) = result.error {
        return format!("failed {}", error.code);
    }
    match (result.rows.first(), result.rejected.first()) {
        (_, Some(rejected)) => format!("rejected {}", rejected.code),
        (Some(row), None) => support::row_text(row),
        (None, None) => "nothing".to_owned(),
    }
}

#[test]
fn every_bad_expression_meets_its_code() {
    let sum = vec!["1"; 100_000].join("+");
    let cases: &[(&str, &str, &str)] = &[
        // area expr, in its order
        ("", "{}", "refused expression.syntax"),
        ("a.", "{}", "refused expression.syntax"),
        (&sum, "{}", "refused expression.too_long"),
        (
            "($f := function($x){ $f($x+1)+1 }; $f(1))",
            "{}",
            "failed expression.stack",
        ),
        ("[1..10000000]", "{}", "failed expression.sequence_limit"),
        (
            "$pad(\"x\", 1000000000)",
            "{}",
            "failed expression.string_limit",
        ),
        (
            "$match(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\", /^(a+)+$/)",
            "{}",
            "failed expression.timeout",
        ),
        (
            "$contains(\"x\", /(?:a{0,1000}){0,1000}/)",
            "{}",
            "refused expression.regex_too_large",
        ),
        (
            "$eval(\"1+1\")",
            "{}",
            "refused expression.function_refused",
        ),
        ("$millis()", "{}", "- 1795435200000"),
        ("$random()", "{}", "refused expression.function_refused"),
        ("$uuid()", "{}", "refused expression.function_refused"),
        ("$shuffle([1])", "{}", "refused expression.function_refused"),
        ("($x := $x + 1)", "{}", "rejected value.missing"),
        (
            "\"\".constructor.constructor(\"return 1\")()",
            "{}",
            "refused expression.syntax",
        ),
        ("1/0", "{}", "rejected value.not_finite"),
        ("0/0", "{}", "rejected value.not_finite"),
        ("\"12.5\"", "{}", "rejected value.not_number"),
        ("true", "{}", "rejected value.not_number"),
        ("{\"a\":1}", "{}", "rejected value.not_number"),
        ("$average([])", "{}", "rejected value.missing"),
        ("$sum(a)", r#"{"a":[0.1,0.2]}"#, "- 0.3"),
        ("id", r#"{"id":9007199254740993}"#, "- 9007199254740993"),
        ("$fromMillis(1e300)", "{}", "rejected expression.date"),
        // and their relatives
        ("-1/0", "{}", "rejected value.not_finite"),
        ("a * 1e308 * 10", r#"{"a":10}"#, "rejected value.not_finite"),
        ("null", "{}", "rejected value.missing"),
        ("[1,2]", "{}", "rejected value.list"),
        ("$number(\"abc\")", "{}", "rejected expression.cast"),
        ("\"a\" + 1", "{}", "rejected expression.type"),
        ("$toMillis(\"never\")", "{}", "rejected expression.date"),
        ("$error(\"stop\")", "{}", "rejected expression.raised"),
        (
            "($f := function(){ $f() }; $f())",
            "{}",
            "failed expression.timeout",
        ),
    ];
    for (expression, page, expected) in cases {
        let clipped: String = expression.chars().take(60).collect();
        assert_eq!(outcome(expression, page), *expected, "{clipped}");
    }
}

#[test]
fn a_bare_result_that_is_no_row_is_rejected_with_its_reason() {
    let code = |expression: &str| {
        let result = read(expression, Reading::default(), "{}");
        assert_eq!(result.rows, []);
        result.rejected.first().map(|row| row.code.clone())
    };
    assert_eq!(code("\"12.5\"").as_deref(), Some("value.not_number"));
    assert_eq!(code("true").as_deref(), Some("value.not_number"));
    assert_eq!(code("{\"a\":1}").as_deref(), Some("value.not_number"));
    assert_eq!(code("12").as_deref(), Some("value.not_a_row"));
    assert_eq!(code("[[1]]").as_deref(), Some("value.list"));
    assert_eq!(code("$average([])"), None);
    assert_eq!(code("null"), None);
    assert_eq!(code("missing"), None);
}

#[test]
fn a_calculation_that_is_not_finite_fails_where_no_record_is_to_blame() {
    for expression in ["1/0", "{ \"value\": 1/0 }", "{ \"value\": $sum(a.(1/n)) }"] {
        let error = read(expression, Reading::default(), r#"{"a":[{"n":0}]}"#)
            .error
            .unwrap();
        assert_eq!(error.code, "value.not_finite", "{expression}");
        assert!(error.message.contains("position"), "{error}");
    }
}

#[test]
fn limits_are_named_in_the_error() {
    for (expression, text) in [
        ("($f := function($x){ $f($x+1)+1 }; $f(1))", "4000 levels"),
        (
            "$match(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\", /^(a+)+$/)",
            "the pattern `/^(a+)+$/` repeats what repeats already",
        ),
        ("[1..10000000]", "100000 items"),
        ("$pad(\"x\", 2000000)", "1048576 bytes"),
        ("($f := function(){ $f() }; $f())", "500 ms"),
    ] {
        let error = read(expression, Reading::default(), "{}").error.unwrap();
        assert!(error.message.contains(text), "{error}");
    }
}

#[test]
fn output_deeper_than_64_levels_is_refused() {
    let nested = |levels: usize| {
        format!(
            "{{ \"value\": {}1{} }}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let error = read(&nested(100), Reading::default(), "{}").error.unwrap();
    assert_eq!(error.code, "expression.output_too_deep");
    assert!(error.message.contains("64"), "{error}");
    let grown = "($f := function($n, $v) { $n = 0 ? $v : $f($n - 1, {\"a\": $v}) }; {\"value\": $f(1100, 1)})";
    assert_eq!(
        read(grown, Reading::default(), "{}").error.unwrap().code,
        "expression.output_too_deep"
    );
    assert_eq!(
        read(&nested(20), Reading::default(), "{}").rejected[0].code,
        "value.list"
    );
}

#[test]
fn dimensions_are_short_plain_text() {
    let code = |dimension: &str, page: &str| {
        let expression = format!("$.{{ \"value\": 1, \"dimensions\": {{ \"d\": {dimension} }} }}");
        let result = read(&expression, Reading::default(), page);
        assert_eq!(result.error, None, "{dimension}");
        result.rejected.first().map_or_else(
            || support::row_text(&result.rows[0]),
            |row| row.code.clone(),
        )
    };
    assert_eq!(
        code("$pad(\"\", 1048576, \"d\")", "{}"),
        "value.dimension_too_long"
    );
    assert_eq!(
        code("$pad(\"\", 257, \"é\")", "{}"),
        "value.dimension_too_long"
    );
    assert_eq!(code("$length($pad(\"\", 256, \"é\"))", "{}"), "- 1 d=256");
    assert_eq!(code("a", r#"{"a":"x\u0000y"}"#), "value.dimension_control");
    assert_eq!(code("a", r#"{"a":["x","y"]}"#), "value.dimension_list");
    assert_eq!(code("a", r#"{"a":{"x":1}}"#), "value.dimension_object");
    assert_eq!(code("a", r#"{"a":true}"#), "- 1 d=true");
    assert_eq!(code("a", r#"{"a":12.50}"#), "- 1 d=12.5");
    assert_eq!(
        code("a", r#"{"a":9007199254740993}"#),
        "- 1 d=9007199254740993"
    );
    assert_eq!(code("a", r#"{"a":null}"#), "- 1 d=");
    let unnamed = "{ \"value\": 1, \"dimensions\": { \"Plan Type\": a } }";
    assert_eq!(
        read(unnamed, Reading::default(), r#"{"a":1}"#).rejected[0].code,
        "value.dimension_name"
    );
}

#[test]
fn every_bad_page_meets_its_code() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let cases: &[(&[u8], &str, &str)] = &[
        (b"", "upstream.not_json", "empty body"),
        (b"  \n", "upstream.not_json", "empty body"),
        (b"<html>login", "upstream.not_json", "column 1"),
        (b"{\"a\":[1,2", "upstream.not_json", "cut short"),
        (b"{\"a\":1}{\"b\":2}", "upstream.not_json", "column 8"),
        (b"{\"a\":1}\n{\"a\":2}\n", "upstream.not_json", "ndjson"),
        (b"\xff\xfe{\0}\0", "upstream.encoding", "UTF-16"),
        (b"{\"a\":\"\xc3\x28\"}", "upstream.encoding", "byte 6"),
        (b"{\"a\":\"\\ud800\"}", "upstream.encoding", "column 13"),
        (b"{\"a\":1e400}", "value.out_of_range", "column"),
        (b"[NaN]", "upstream.not_json", "column 2"),
        (deep.as_bytes(), "upstream.too_deep", "128"),
    ];
    for (body, code, text) in cases {
        let error = read_bytes("$.{ \"value\": a }", Reading::default(), body)
            .error
            .unwrap();
        let shown = String::from_utf8_lossy(body);
        assert_eq!(error.code, *code, "{shown}");
        assert!(error.message.contains(text), "{shown}: {error}");
    }
}

#[test]
fn odd_numbers_of_json_are_what_they_say() {
    let result = read("$.{ \"value\": $ }", Reading::default(), "[-0,1E+2,0.1e-5]");
    let texts: Vec<_> = result.rows.iter().map(support::row_text).collect();
    assert_eq!(texts, ["- 0", "- 100", "- 0.000001"]);
}

#[test]
fn a_page_of_a_million_keys_is_refused_before_it_is_parsed() {
    let keys: Vec<String> = (0..1_000_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let body = format!("{{{}}}", keys.join(","));
    let error = read("$.{ \"value\": a }", Reading::default(), &body)
        .error
        .unwrap();
    assert_eq!(error.code, "upstream.too_many_values");
    assert!(error.message.contains("2000000"), "{error}");
}

#[test]
fn one_broken_task_leaves_its_neighbours_alone() {
    let mut broken = support::task("$error(\"stop\")", Reading::default());
    broken.id = 1;
    let mut uncompiled = support::task("a.", Reading::default());
    uncompiled.id = 2;
    let sound = support::task("$.{ \"value\": a }", Reading::default());
    let (mut evaluator, problems): (Evaluator, _) =
        support::evaluator(vec![broken, uncompiled, sound]);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        (problems[0].0, problems[0].1.code.as_str()),
        (2, "expression.syntax")
    );
    let results = evaluator.eval_page(&support::page(r#"{"a":1}"#, 0));
    assert_eq!(
        results
            .iter()
            .map(|r| (r.id, r.error.is_some(), r.rows.len()))
            .collect::<Vec<_>>(),
        [(1, true, 0), (7, false, 1)]
    );
}
