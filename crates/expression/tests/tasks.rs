//! What a worker is told about a metric, from definition to rows.

use crate::support;

use definition::{Dataset, Definition, Metric};
use expression::{DateForm, NumberStyle, RecordsAt, Task};
use support::{evaluator, page, page_rows};

fn parsed(text: &str) -> (Metric, Option<Dataset>) {
    let bundle = definition::parse(text, "test.yaml").unwrap();
    let (mut metric, mut dataset) = (None, None);
    for located in bundle.definitions {
        match located.definition {
            Definition::Metric(found) => metric = Some(found),
            Definition::Dataset(found) => dataset = Some(found),
            _ => {}
        }
    }
    (metric.unwrap(), dataset)
}

fn task(text: &str) -> Task {
    let (metric, dataset) = parsed(text);
    Task::of(&metric, dataset.as_ref(), 1)
}

#[test]
fn a_metric_of_a_dataset_reads_what_the_dataset_says() {
    let task = task(
        r#"
kind: dataset
name: orders
connection: shop
request: { path: /orders }
records: orders
where: paid
date: { path: at, format: unix }
key: id
---
kind: metric
name: revenue
dataset: orders
timezone: Europe/Berlin
unit: EUR
select:
  value: { path: total, number: "1.234,56", scale: 0.01 }
  dimensions: { shop: shop }
"#,
    );
    assert_eq!(
        task.expression,
        "orders[$boolean(paid)].{ \"date\": at, \"value\": total, \"dimensions\": { \"shop\": shop }, \"key\": id }[]"
    );
    let reading = &task.reading;
    assert_eq!(
        (reading.number, reading.scale),
        (NumberStyle::CommaDecimal, Some(0.01))
    );
    assert_eq!(
        (&reading.date, reading.zone.as_str(), reading.dated),
        (&DateForm::Unix, "Europe/Berlin", true)
    );
    assert_eq!(
        (&reading.records, reading.missing_is_empty),
        (&Some(RecordsAt::Path("orders".to_owned())), false)
    );
    let (mut evaluator, problems) = evaluator(vec![task]);
    assert_eq!(problems, []);
    let body = r#"{"orders":[{"id":1,"paid":true,"at":1700000000,"total":"1.999,00","shop":"a"},{"id":2,"paid":true,"at":1700000001,"total":5},{"id":3}]}"#;
    assert_eq!(
        page_rows(&mut evaluator, body, 0),
        [
            "2023-11-14T22:13:20Z 19.99 EUR shop=a #1",
            "2023-11-14T22:13:21Z 0.05 EUR shop= #2"
        ]
    );
}

#[test]
fn an_expression_of_ones_own_is_read_as_its_text_says() {
    let task = task(
        r#"
kind: metric
name: own
connection: shop
request: { path: /orders }
scope: run
aggregation: count_distinct
expression: 'data.orders.{ "value": id, "date": at, "dimensions": { "plan": p } }[]'
"#,
    );
    assert!(task.whole_run && task.reading.dated && task.reading.text_values);
    assert_eq!(task.reading.dimensions, ["plan"]);
    assert_eq!(
        task.reading.records,
        Some(RecordsAt::Path("data.orders".to_owned()))
    );
}

#[test]
fn a_total_of_the_first_page_is_asked_of_no_other() {
    let task = task(
        r"
kind: metric
name: total
connection: shop
request: { path: /orders }
select: { records: orders, value: { path: total, page: first }, missing: empty }
",
    );
    assert!(task.reading.first_page_only && task.reading.missing_is_empty && !task.reading.dated);
    let (mut evaluator, _) = evaluator(vec![task]);
    assert_eq!(
        page_rows(&mut evaluator, r#"{"total":12,"orders":[{}]}"#, 0),
        ["- 12"]
    );
    assert!(
        evaluator
            .eval_page(&page(r#"{"total":12,"orders":[{}]}"#, 1))
            .is_empty()
    );
}
