use definition::{Definition, Trend, Weekday};
use jiff::tz::TimeZone;

use super::*;
use crate::answer::AnswerPoint;
use crate::compare::{Compare, Direction};
use crate::coverage::Coverage;
use crate::decimal::Decimal;
use crate::fold::fold;
use crate::row::{Dimensions, Row, RowValue};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rules(metric_type: MetricType, aggregation: Aggregation) -> Rules {
    Rules {
        metric_type,
        aggregation,
        over_time: None,
        resolution: Granularity::Day,
        zone: TimeZone::UTC,
        week_start: Weekday::Monday,
        favourable_trend: Trend::Up,
        dated: metric_type == MetricType::Events,
    }
}

/// Rows of March 2024: day, value, plan, unit.
fn stored(rules: &Rules, rows: &[(u8, &str, &str, &str)]) -> SeriesInput {
    let rows = rows.iter().map(|(day, value, plan, unit)| Row {
        value: RowValue::Number(Decimal::parse(value).unwrap()),
        at: Some(at(&format!("2024-03-{day:02}T10:00:00Z"))),
        dimensions: Dimensions::of((!plan.is_empty()).then_some(("plan", *plan))),
        unit: (!unit.is_empty()).then(|| (*unit).into()),
        key: None,
        page: 0,
        index: 0,
    });
    let cells = fold(rows, rules, at("2024-04-01T00:00:00Z")).cells;
    SeriesInput {
        series: cells
            .into_iter()
            .map(|(key, cells)| {
                (
                    key,
                    cells
                        .into_iter()
                        .map(|(at, state)| (at, state, false))
                        .collect(),
                )
            })
            .collect(),
        coverage: vec![Coverage {
            start: at("2024-03-01T00:00:00Z"),
            end: at("2024-03-05T00:00:00Z"),
            as_of: at("2024-03-05T00:00:00Z"),
            run: "r".into(),
            revision: 1,
            complete: true,
        }],
        ..SeriesInput::default()
    }
}

fn metric(name: &str, rest: &serde_json::Value) -> Metric {
    let mut document = serde_json::json!({ "kind": "metric", "name": name });
    document
        .as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    match Definition::from_document(&document).unwrap() {
        Definition::Metric(metric) => metric,
        other => panic!("{other:?}"),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn ask(granularity: Granularity) -> Query {
    let range = Interval::new(at("2024-03-01T00:00:00Z"), at("2024-03-05T00:00:00Z"));
    Query::over(range, granularity)
}

/// Answers a question about a metric calculated from `paid` and `trials`.
fn answered(inputs: &[Given], calculated: &[Metric], query: &Query) -> Result<Answer, QueryError> {
    let stored: Vec<(Name, Rules, SeriesInput)> = inputs
        .iter()
        .map(|(own, aggregation, rows)| {
            let rules = rules(MetricType::Events, *aggregation);
            let input = stored(&rules, rows);
            (name(own), rules, input)
        })
        .collect();
    let mut sources = Sources::default();
    let first = &stored[0].1;
    for (name, rules, input) in &stored {
        sources.add_stored(name.clone(), rules.clone(), input);
    }
    for metric in calculated {
        sources.add_calculated(metric, Rules::calculated(metric, &[first]));
    }
    sources.answer(&calculated.last().unwrap().name, query)
}

/// A metric's name, its aggregation and its rows.
type Given = (
    &'static str,
    Aggregation,
    &'static [(u8, &'static str, &'static str, &'static str)],
);

const PAID: Given = (
    "paid",
    Aggregation::Sum,
    &[
        (1, "1", "pro", ""),
        (1, "1", "team", ""),
        (3, "4", "pro", ""),
    ],
);
const TRIALS: Given = (
    "trials",
    Aggregation::Sum,
    &[
        (1, "4", "pro", ""),
        (2, "10", "team", ""),
        (4, "6", "pro", ""),
    ],
);

fn rate() -> Metric {
    metric(
        "rate",
        &serde_json::json!({ "formula": "paid / trials * 100", "unit": "%" }),
    )
}

fn texts(points: &[AnswerPoint]) -> Vec<String> {
    let text = |point: &AnswerPoint| {
        format!(
            "{} {}",
            &point.start.to_string()[8..10],
            point.value.unwrap()
        )
    };
    points.iter().map(text).collect()
}

#[test]
fn a_rate_is_computed_in_each_step_and_for_the_whole_range() {
    let found = answered(&[PAID, TRIALS], &[rate()], &ask(Granularity::Day)).unwrap();
    let series = &found.series[0];
    // The third has payments and no trials: a gap. The second and fourth have no payments: 0, as all is known.
    assert_eq!(texts(&series.points), ["01 50", "02 0", "04 0"]);
    assert_eq!(
        series.total,
        Some(Decimal::from(30_i64)),
        "6 of 20, not the sum of days"
    );
    assert_eq!(series.unit.as_deref(), Some("%"));
    let month = answered(&[PAID, TRIALS], &[rate()], &ask(Granularity::Month)).unwrap();
    assert_eq!(texts(&month.series[0].points), ["01 30"]);
}

#[test]
fn a_split_is_computed_by_member_and_the_rest_together() {
    let mut query = ask(Granularity::All);
    query.group_by = vec!["plan".to_owned()];
    let found = answered(&[PAID, TRIALS], &[rate()], &query).unwrap();
    let totals: Vec<_> = found
        .series
        .iter()
        .map(|one| one.total.unwrap().to_string())
        .collect();
    assert_eq!(totals, ["50", "10"]);
    query.top = Some(1);
    let found = answered(&[PAID, TRIALS], &[rate()], &query).unwrap();
    assert_eq!(found.series[1].rest, Some(1));
    assert_eq!(found.series[1].total.unwrap().to_string(), "10");
    query.group_by = vec!["city".to_owned()];
    let error = answered(&[PAID, TRIALS], &[rate()], &query).unwrap_err();
    assert_eq!(error.code(), "query.dimension_unknown");
    assert!(
        error
            .to_string()
            .starts_with("`paid`, which this is calculated from"),
        "{error}"
    );
}

#[test]
fn calculated_metrics_stand_on_one_another() {
    let half = metric("half", &serde_json::json!({ "formula": "rate / 2" }));
    let found = answered(&[PAID, TRIALS], &[rate(), half], &ask(Granularity::Day)).unwrap();
    assert_eq!(texts(&found.series[0].points), ["01 25", "02 0", "04 0"]);
    assert_eq!(found.series[0].total, Some(Decimal::from(15_i64)));
}

#[test]
fn what_runs_on_runs_on_from_the_inputs() {
    let mut query = ask(Granularity::Day);
    query.running = Some(Running::Cumulative);
    let found = answered(&[PAID, TRIALS], &[rate()], &query).unwrap();
    // 2 of 4, 2 of 14, 6 of 14, 6 of 20.
    let values = texts(&found.series[0].points);
    assert_eq!(values[0], "01 50");
    assert!(values[1].starts_with("02 14.28"), "{values:?}");
    assert!(values[2].starts_with("03 42.85"), "{values:?}");
    assert_eq!(values[3], "04 30");
    query.running = Some(Running::MovingAverage(2));
    let found = answered(&[PAID, TRIALS], &[rate()], &query).unwrap();
    assert_eq!(texts(&found.series[0].points), ["01 50", "02 25", "04 0"]);
    query.running = None;
    query.fill = Fill::Previous;
    let found = answered(&[PAID, TRIALS], &[rate()], &query).unwrap();
    assert_eq!(
        texts(&found.series[0].points),
        ["01 50", "02 0", "03 0", "04 0"]
    );
}

#[test]
fn a_comparison_is_of_the_calculated_values() {
    let mut query = ask(Granularity::All);
    query.from = at("2024-03-03T00:00:00Z");
    query.compare = Some(Compare::PreviousPeriod);
    let found = answered(&[PAID, TRIALS], &[rate()], &query).unwrap();
    let compared = &found.comparison.unwrap().series[0];
    // 4 of 6 against 2 of 14.
    assert!(compared.current.unwrap().to_string().starts_with("66.6"));
    assert!(compared.base.unwrap().to_string().starts_with("14.28"));
    assert_eq!(compared.direction, Direction::Better);
}

#[test]
fn weights_make_a_mean_of_finished_numbers() {
    let score: Given = (
        "score",
        Aggregation::Average,
        &[(1, "10", "", ""), (2, "4", "", ""), (3, "7", "", "")],
    );
    let answers: Given = (
        "answers",
        Aggregation::Sum,
        &[(1, "1", "", ""), (2, "3", "", "")],
    );
    let mean = metric(
        "mean",
        &serde_json::json!({ "formula": "score", "weight": "answers" }),
    );
    let found = answered(
        &[score, answers],
        std::slice::from_ref(&mean),
        &ask(Granularity::Month),
    )
    .unwrap();
    // (10 · 1 + 4 · 3) / 4; the third day has no answers.
    assert_eq!(texts(&found.series[0].points), ["01 5.5"]);
    assert_eq!(found.series[0].total.unwrap().to_string(), "5.5");
    let mut query = ask(Granularity::Day);
    query.running = Some(Running::Cumulative);
    let found = answered(&[score, answers], &[mean], &query).unwrap();
    assert_eq!(texts(&found.series[0].points), ["01 10", "02 5.5"]);
}

#[test]
fn units_are_calculated_each_by_itself() {
    let revenue: Given = (
        "revenue",
        Aggregation::Sum,
        &[(1, "100", "", "USD"), (1, "60", "", "EUR")],
    );
    let refunds: Given = ("refunds", Aggregation::Sum, &[(1, "25", "", "USD")]);
    let orders: Given = ("orders", Aggregation::Sum, &[(1, "4", "", "")]);
    let net = metric(
        "net",
        &serde_json::json!({ "formula": "(revenue - refunds) / orders" }),
    );
    let found = answered(&[revenue, refunds, orders], &[net], &ask(Granularity::All)).unwrap();
    let shown: Vec<String> = found
        .series
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one.unit.as_deref().unwrap_or(""),
                one.total.unwrap()
            )
        })
        .collect();
    assert_eq!(shown, ["EUR 15", "USD 18.75"]);
    let wrong = metric(
        "wrong",
        &serde_json::json!({ "formula": "revenue - orders" }),
    );
    let error = answered(&[revenue, orders], &[wrong], &ask(Granularity::All)).unwrap_err();
    assert_eq!(error.code(), "query.units");
}

#[test]
fn a_gap_stays_a_gap_unless_the_formula_says_otherwise() {
    let score: Given = ("score", Aggregation::Average, &[(1, "10", "", "")]);
    let visits: Given = (
        "visits",
        Aggregation::Sum,
        &[(1, "2", "", ""), (2, "5", "", "")],
    );
    let plain = metric("plain", &serde_json::json!({ "formula": "visits + score" }));
    let found = answered(&[score, visits], &[plain], &ask(Granularity::Day)).unwrap();
    assert_eq!(texts(&found.series[0].points), ["01 12"]);
    let kind = metric(
        "kind",
        &serde_json::json!({ "formula": "visits + coalesce(score, 0)" }),
    );
    let found = answered(&[score, visits], &[kind], &ask(Granularity::Day)).unwrap();
    assert_eq!(texts(&found.series[0].points), ["01 12", "02 5"]);
}
