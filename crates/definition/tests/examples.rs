//! The examples are what the documentation says: they parse, hold, and fit the schema.

use crate::support;

use definition::{Definition, Fetch, Metric, MetricType, Request};
use support::{Catalogue, check, examples};

#[test]
fn every_example_is_valid_without_a_warning() {
    for (file, text) in examples() {
        let bundle =
            definition::parse(&text, &file).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!(bundle.validate(&Catalogue), vec![], "{file}");
        assert!(!bundle.definitions.is_empty());
    }
}

#[test]
fn every_example_survives_its_document_and_fits_the_schema() {
    let schema = definition::json_schema();
    for (file, text) in examples() {
        for located in definition::parse(&text, &file).unwrap().definitions {
            let document = located.definition.to_document();
            assert_eq!(
                Definition::from_document(&document).unwrap(),
                located.definition,
                "{document}"
            );
            check(&schema, &document, &schema).unwrap_or_else(|error| panic!("{file}: {error}"));
            let again = definition::parse(&document.to_string(), "document.json").unwrap();
            assert_eq!(again.definitions[0].definition, located.definition);
        }
    }
}

#[test]
fn every_example_fits_the_schema_as_it_was_written() {
    let schema = definition::json_schema();
    for (file, text) in examples() {
        for document in text.split("\n---\n") {
            let value: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            check(&schema, &value, &schema).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
}

#[test]
fn a_bundle_may_be_json() {
    let one = r#"{"kind":"connection","name":"a","base_url":"https://a.example.com"}"#;
    let two = r#"{"kind":"connection","name":"b","base_url":"https://b.example.com"}"#;
    for (text, count) in [
        (one.to_owned(), 1),
        (format!("[{one},{two}]"), 2),
        (format!("{{\"definitions\":[{one},\n{two}]}}"), 2),
        (format!("\u{feff}{one}"), 1),
        (
            "{kind: connection, name: a, base_url: \"https://a.example.com\"}".to_owned(),
            1,
        ),
        (format!("---\n{one}\n---\n{two}\n---\n"), 2),
    ] {
        assert_eq!(
            definition::parse(&text, "body").unwrap().definitions.len(),
            count,
            "{text}"
        );
    }
}

fn metric(text: &str) -> Metric {
    match definition::parse(text, "test.yaml")
        .unwrap()
        .definitions
        .remove(0)
        .definition
    {
        Definition::Metric(metric) => metric,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_asked_the_same_way_is_one_fetch() {
    let ask = |rest: &str| {
        metric(&format!(
            "kind: metric\nname: a\nconnection: kit\nrequest: {{ path: /x, query: {{ a: 1, b: \"2\" }} }}\n{rest}"
        ))
    };
    let identity = |metric: &Metric| metric.fetch(None).unwrap().identity();
    let first = ask("");
    assert_eq!(
        identity(&first),
        r#"{"connection":"kit","request":{"path":"/x","query":{"a":"1","b":"2"}}}"#
    );
    // Neither what is selected, nor the zone where no date is written, nor a default spelled out makes another fetch.
    assert_eq!(
        identity(&first),
        identity(&ask(
            "select: { value: n }\ntimezone: Europe/Paris\nschedule: { every: 5m }"
        ))
    );
    assert_ne!(identity(&first), identity(&ask("window: { last: 1d }")));
    let dated = "kind: metric\nname: a\nconnection: kit\nrequest: { query: { a: \"{{ now | date }}\" } }\ntimezone: ";
    assert_ne!(
        identity(&metric(&format!("{dated}Europe/Paris"))),
        identity(&metric(&format!("{dated}UTC")))
    );
    let fetch = metric(&format!("{dated}Europe/Paris")).fetch(None).unwrap();
    assert_eq!(fetch.zone.as_deref(), Some("Europe/Paris"));
    assert_eq!(Fetch::from_document(&fetch.to_document()).unwrap(), fetch);
    assert_eq!(
        Request::from_document(&fetch.request.to_document()).unwrap(),
        fetch.request
    );
}

#[test]
fn a_dataset_gives_its_metrics_defaults() {
    let (file, text) = examples()
        .into_iter()
        .find(|(file, _)| file == "shared_dataset.yaml")
        .unwrap();
    let bundle = definition::parse(&text, &file).unwrap();
    let find = |name: &str| {
        bundle
            .definitions
            .iter()
            .map(|l| &l.definition)
            .find(|d| d.name().as_str() == name)
            .unwrap()
            .clone()
    };
    let (Definition::Dataset(dataset), Definition::Metric(revenue), Definition::Metric(median)) =
        (find("purchases"), find("revenue"), find("median_order"))
    else {
        panic!("other kinds");
    };
    assert_eq!(revenue.metric_type(Some(&dataset)), MetricType::Events);
    assert_eq!(revenue.metric_type(None), MetricType::Levels);
    assert_eq!(revenue.selection(Some(&dataset)).key.as_deref(), Some("id"));
    assert_eq!(revenue.fetch(Some(&dataset)), median.fetch(Some(&dataset)));
    assert_eq!(revenue.fetch(None), None);
    insta::assert_json_snapshot!(revenue.evaluation_document(Some(&dataset)));
}

#[test]
fn only_what_is_evaluated_makes_a_revision() {
    let text = "kind: metric\nname: a\nconnection: kit\nrequest: {}\nselect: { value: n }\n";
    let document = |rest: &str| metric(&format!("{text}{rest}")).evaluation_document(None);
    assert_eq!(
        document(""),
        document(
            "title: Other\nowner: me\ntags: [a]\nformat: { decimals: 2 }\nschedule: { every: 5m }\npaused: true\nresolution: hour\n"
        )
    );
    for change in [
        "resolution: day",
        "aggregation: max",
        "timezone: Europe/Paris",
        "unit: USD",
        "expression: n",
        "scope: run",
    ] {
        assert_ne!(document(""), document(change), "{change}");
    }
}

#[test]
fn an_expression_that_writes_dates_makes_events() {
    let of = |expression: &str| {
        metric(&format!(
            "kind: metric\nname: a\nconnection: kit\nrequest: {{}}\nexpression: '{expression}'"
        ))
        .metric_type(None)
    };
    assert_eq!(
        of("rows.{ \"date\" : at, \"value\": 1 }"),
        MetricType::Events
    );
    assert_eq!(of("$count(rows[kind = \"date\"])"), MetricType::Levels);
}

#[test]
fn the_schema_is_strict_and_described() {
    insta::assert_json_snapshot!(definition::json_schema());
}
