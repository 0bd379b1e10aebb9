use super::request;
use crate::aggregation::{Aggregation, MetricType};
use crate::dataset::Dataset;
use crate::metric::{Covers, Metric, Mode, Ratio};
use crate::problem::{Problem, quoted};
use crate::schedule::{CronError, Schedule};
use crate::selection::ValueSelect;

/// Checks a metric without looking at others.
pub(super) fn check(metric: &Metric, problems: &mut Vec<Problem>) {
    if metric.weight.is_some() {
        let message = "`weight` weighs what a `formula` gives, and there is none";
        problems.push(Problem::new("definition.formula", "weight", message));
    }
    check_source(metric, problems);
    if let Some(asked) = &metric.request {
        request::check(asked, metric.window.as_ref(), None, problems);
    }
    if let Some(schedule) = &metric.schedule {
        check_schedule(schedule, problems);
    }
    if metric
        .keep
        .is_some_and(|keep| keep.to_duration() < std::time::Duration::from_hours(24))
    {
        let message = "points are kept for a day at least";
        problems.push(Problem::new("definition.keep", "keep", message));
    }
    if metric.dataset.is_none() {
        check_rules(metric, None, problems);
    }
    if metric.unit.is_some() && metric.select.unit.is_some() {
        let message = "the unit is either constant (`unit`) or selected (`select.unit`), not both";
        problems.push(Problem::new("definition.unit", "unit", message));
    }
    if metric.covers == Covers::All && metric.window.is_some() {
        let message = "a run with a window covers its window and nothing else";
        problems.push(Problem::new("definition.covers", "covers", message).warning());
    }
    if !metric.is_pushed()
        && metric.select.is_empty()
        && metric.expression.is_none()
        && metric.dataset.is_none()
    {
        let message = "nothing is selected, so the items of the answer are counted";
        problems.push(Problem::new("definition.select_missing", "select", message).warning());
    }
}

/// A metric reads a dataset, or has a connection and a request of its own.
fn check_source(metric: &Metric, problems: &mut Vec<Problem>) {
    let mut problem = |path: &str, message: &str| {
        problems.push(Problem::new("definition.metric_source", path, message));
    };
    if metric.is_pushed() {
        let fetched = [
            ("connection", metric.connection.is_some()),
            ("dataset", metric.dataset.is_some()),
            ("request", metric.request.is_some()),
            ("window", metric.window.is_some()),
            ("select", !metric.select.is_empty()),
            ("expression", metric.expression.is_some()),
            ("mode", metric.mode != Mode::Restate),
            ("covers", metric.covers != Covers::Recent),
            ("reject_limit", metric.reject_limit != Ratio::HALF),
        ];
        for (key, _) in fetched.into_iter().filter(|(_, there)| *there) {
            problem(
                key,
                "belongs to metrics that are fetched; with `source: push` rows come as they are",
            );
        }
        return;
    }
    if metric.dataset.is_some() {
        let own = [
            ("connection", metric.connection.is_some()),
            ("request", metric.request.is_some()),
            ("window", metric.window.is_some()),
        ];
        for (key, _) in own.into_iter().filter(|(_, there)| *there) {
            problem(
                key,
                "belongs to the dataset; a metric has either `dataset`, or its own `connection` and `request`",
            );
        }
        return;
    }
    match (&metric.connection, &metric.request) {
        (Some(_), Some(_)) => {}
        (Some(_), None) => problem("request", "`request` is missing beside `connection`"),
        (None, Some(_)) => problem("connection", "`connection` is missing beside `request`"),
        (None, None) => problem(
            "",
            "a metric has either `dataset`, or its own `connection` and `request`, or a `formula` over other metrics, or `source: push` for values that are sent to it",
        ),
    }
}

/// Checks what depends on the type, which may depend on the dataset's date.
pub(super) fn check_rules(metric: &Metric, dataset: Option<&Dataset>, problems: &mut Vec<Problem>) {
    let metric_type = metric.metric_type(dataset);
    let select = metric.selection(dataset);
    let mut problem =
        |code, path: &str, message: String| problems.push(Problem::new(code, path, message));
    let is_joined = matches!(metric_type, MetricType::Levels | MetricType::Periods);
    if metric.over_time.is_some() && !is_joined {
        problem(
            "definition.over_time",
            "over_time",
            format!(
                "only levels and periods are joined by a rule over time, and this metric's type is {metric_type}"
            ),
        );
    }
    if select.deleted.is_some() && metric.mode != Mode::Upsert {
        problem(
            "definition.deleted",
            "select.deleted",
            "records are followed one by one with `mode: upsert` only; otherwise write `where`"
                .into(),
        );
    }
    if metric.is_pushed() {
        if metric_type != MetricType::Events {
            problem(
                "definition.source",
                "type",
                format!("values are sent to events only, and this metric's type is {metric_type}"),
            );
        }
        return;
    }
    if metric.mode == Mode::Upsert {
        if metric_type != MetricType::Events {
            problem(
                "definition.mode",
                "mode",
                format!(
                    "only events are kept record by record, and this metric's type is {metric_type}"
                ),
            );
        }
        if metric.expression.is_none() && select.key.is_none() {
            problem(
                "definition.key_required",
                "select.key",
                "`mode: upsert` needs a key: what makes a record itself, such as its id".into(),
            );
        }
    }
    if metric.expression.is_some() {
        return;
    }
    if select.date.is_none() && matches!(metric_type, MetricType::Events | MetricType::Periods) {
        problem(
            "definition.date_required",
            "select.date",
            format!("the type {metric_type} needs a date"),
        );
    }
    let has_path = matches!(select.value, Some(ValueSelect::Path { .. }));
    if !has_path && !matches!(metric.aggregation, Aggregation::Sum | Aggregation::Count) {
        problem(
            "definition.value_required",
            "select.value",
            format!(
                "{} needs a value: without one each record is 1",
                metric.aggregation
            ),
        );
    }
}

/// Checks that a schedule fires.
pub(super) fn check_schedule(schedule: &Schedule, problems: &mut Vec<Problem>) {
    let Schedule::Cron(pattern) = schedule else {
        return;
    };
    problems.extend(check_cron(pattern));
}

/// Says why a cron is refused, if it is.
pub(crate) fn check_cron(pattern: &str) -> Option<Problem> {
    const PATH: &str = "schedule.cron";
    match Schedule::check_cron(pattern) {
        Ok(()) => None,
        Err(CronError::Never) => {
            let message = format!("{} never fires: there is no such date", quoted(pattern));
            Some(Problem::new("definition.cron_never", PATH, message))
        }
        Err(CronError::Syntax(error)) => {
            let message = format!("{} is no cron: {error}", quoted(pattern));
            let hint = "five fields: minute, hour, day of month, month, day of week, such as \"0 3 * * *\"";
            Some(Problem::new("definition.cron", PATH, message).hint(hint))
        }
    }
}
