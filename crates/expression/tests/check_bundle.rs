//! Every expression of a definition is checked, and what is wrong is shown where it was written.

use definition::Severity;
use expression::check_bundle;

fn problems(text: &str) -> Vec<String> {
    let bundle = definition::parse(text, "metrics.yaml").unwrap();
    let show = |problem: definition::Problem| {
        let place = format!("{}:{}", problem.source, problem.line);
        let warning = if problem.severity == Severity::Warning {
            " (warning)"
        } else {
            ""
        };
        format!("{place} {} {}{warning}", problem.path, problem.code)
    };
    check_bundle(&bundle).into_iter().map(show).collect()
}

#[test]
fn all_that_is_wrong_is_found_at_once_and_in_its_place() {
    let text = r#"kind: metric
name: broken
connection: kit
request:
  path: /v3/subscribers
  pagination: { page: { param: page, total_pages: "meta.[" } }
select:
  records: subscribers[
  where: $eval("1")
  value: { path: $summ(a) }
  dimensions: { state: "state", plan: "sum(x)" }
  date: created_at
  key: "id."
---
kind: dataset
name: things
connection: kit
request: { path: /things, pagination: { cursor: { from: "a b", param: after } } }
records: "items["
date: "$nothing"
"#;
    assert_eq!(
        problems(text),
        [
            "metrics.yaml:6 request.pagination.page.total_pages expression.syntax",
            "metrics.yaml:8 select.records expression.syntax",
            "metrics.yaml:9 select.where expression.function_refused",
            "metrics.yaml:10 select.value.path expression.unknown_function",
            "metrics.yaml:11 select.dimensions.plan expression.syntax",
            "metrics.yaml:13 select.key expression.syntax",
            "metrics.yaml:18 request.pagination.cursor.from expression.syntax",
            "metrics.yaml:19 records expression.syntax",
            "metrics.yaml:20 date.path expression.unknown_variable",
        ]
    );
}

#[test]
fn a_field_that_is_almost_one_of_a_row_is_warned_of() {
    let text = "kind: metric\nname: typo\nconnection: kit\nrequest: { path: /a }\n\
                expression: 'a.{ \"value\": 1, \"dimension\": { \"s\": s } }'\n";
    assert_eq!(
        problems(text),
        ["metrics.yaml:5 expression expression.row_field (warning)"]
    );
}

#[test]
fn what_is_sound_is_not_spoken_of() {
    let text = "kind: metric\nname: fine\nconnection: kit\nrequest: { path: /a }\n\
                select: { records: a, value: { count: true }, dimensions: { s: \"%.s\" }, date: d }\n";
    assert_eq!(problems(text), [""; 0]);
}
