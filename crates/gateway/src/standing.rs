//! How a definition stands: what it lacks, when it last succeeded, what it covers.

use definition::{Connection, Dataset, Definition, Granularity, Metric, Schedule};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::MetricState;
use utoipa::ToSchema;

use crate::budget::{self, BudgetView};
use crate::definitions::json_or_text;
use crate::problem::Problem;
use crate::router::Gateway;
use crate::{apply, secrets, time};

/// How a definition stands.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct StateView {
    /// What a person has to do; null when nothing.
    needs_attention: Option<String>,
    /// When a run last succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_at: Option<String>,
    /// When the next fetch is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_due_at: Option<String>,
    /// Metrics: whether two schedules have passed without success.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
    /// Metrics: whether the newest range was cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<bool>,
    /// Metrics: the run that last had an outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run: Option<LastRun>,
    /// Metrics: since when a recompute waits or goes on; absent when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    recompute_since: Option<String>,
    /// Metrics: from when to when there is data.
    #[serde(skip_serializing_if = "Option::is_none")]
    covered: Option<Covered>,
    /// Connections: the secrets it needs that are not set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<String>,
    /// Connections: what it may send and has sent, and whether the API asked to be left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetView>,
    /// Goals, alerts: `ok`, `firing`, `reached`, `broken` …; empty before the first judgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
    /// Goals, alerts: since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Goals, alerts: what was seen then.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<Value>,
    /// Goals, alerts, scorecards: when it is looked at again although nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    /// Datasets: the metrics that read it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<String>,
}

/// The run that last had an outcome for a metric.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastRun {
    /// Its id.
    id: String,
    /// `applied`, `failed` or `dead`.
    outcome: Option<String>,
    /// What went wrong.
    error: Option<Value>,
}

/// A range that a metric knows about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Covered {
    /// The first instant.
    from: String,
    /// The first instant past it.
    to: String,
}

/// Tells how a connection stands.
pub(crate) async fn of_connection(
    gateway: &Gateway,
    workspace: &str,
    connection: &Connection,
) -> Result<StateView, Problem> {
    let known = gateway.store().secrets(workspace).await?;
    let missing = connection
        .secrets()
        .into_iter()
        .map(|name| name.to_string());
    let secrets = missing
        .filter(|name| !known.iter().any(|secret| secret.name == *name))
        .collect();
    let mut needs_attention = secrets::attention(gateway, workspace, connection).await?;
    if needs_attention.is_none() {
        let datasets = gateway
            .store()
            .datasets_of(workspace, connection.name.as_str())
            .await?;
        needs_attention = datasets
            .into_iter()
            .filter(|dataset| dataset.needs_attention)
            .find_map(|dataset| dataset.attention_reason);
    }
    Ok(StateView {
        needs_attention,
        secrets,
        budget: budget::of(gateway, workspace, connection).await,
        ..StateView::default()
    })
}

/// Tells how a goal, alert or scorecard stands; nothing when it rests.
pub(crate) async fn of_watch(
    gateway: &Gateway,
    workspace: &str,
    definition: &Definition,
) -> Result<Option<StateView>, Problem> {
    let (kind, name) = (apply::kind_of(definition.kind()), definition.name());
    let watch = gateway
        .store()
        .watch(workspace, kind, name.as_str())
        .await?;
    let mut needs_attention = None;
    for target in definition.targets() {
        let said = secrets::bind_target(gateway, workspace, target).await?;
        needs_attention = needs_attention.or(said);
    }
    Ok(watch.map(|watch| StateView {
        needs_attention,
        since: watch.since.map(time::text),
        next_at: watch.next_at.map(time::text),
        seen: serde_json::from_str(&watch.state).ok(),
        phase: Some(watch.phase),
        ..StateView::default()
    }))
}

/// Tells how a named dataset stands.
pub(crate) async fn of_dataset(
    gateway: &Gateway,
    workspace: &str,
    dataset: &Dataset,
) -> Result<StateView, Problem> {
    let store = gateway.store();
    let Some(known) = store
        .dataset_named(workspace, dataset.name.as_str())
        .await?
    else {
        return Ok(StateView::default());
    };
    let metrics = store.metrics_of(workspace, &known.id).await?;
    Ok(StateView {
        metrics: metrics.into_iter().map(|metric| metric.name).collect(),
        needs_attention: known.attention_reason.filter(|_| known.needs_attention),
        last_success_at: known.last_success_at.map(time::text),
        next_due_at: known.next_due_at.map(time::text),
        ..StateView::default()
    })
}

/// Tells how a metric stands.
pub(crate) fn of_metric(
    state: MetricState,
    metric: &Metric,
    schedule: &Schedule,
    created_at: i64,
    now: Timestamp,
) -> StateView {
    if metric.formula.is_some() {
        // It is as old as what it is made of; those tell.
        return StateView {
            last_success_at: state.last_success_at.map(time::text),
            ..StateView::default()
        };
    }
    let newest = state.coverage.iter().max_by_key(|coverage| coverage.end);
    let covered = state
        .coverage
        .iter()
        .map(|coverage| coverage.start)
        .min()
        .zip(newest.map(|coverage| coverage.end))
        .map(|(from, to)| Covered {
            from: time::text(from),
            to: time::text(to),
        });
    let stale = is_metric_stale(&state, metric, schedule, created_at, now);
    StateView {
        needs_attention: state.attention_reason,
        last_success_at: state.last_success_at.map(time::text),
        next_due_at: state.next_due_at.map(time::text),
        stale: Some(stale),
        partial: Some(newest.is_some_and(|coverage| !coverage.complete)),
        last_run: state.last_run.map(|id| LastRun {
            id,
            outcome: state
                .last_outcome
                .map(|outcome| outcome.as_str().to_owned()),
            error: state.last_error.map(|error| json_or_text(&error)),
        }),
        recompute_since: state.recompute_since.map(time::text),
        covered,
        ..StateView::default()
    }
}

/// Tells whether a metric's data is older than it should be.
pub(crate) fn is_metric_stale(
    state: &MetricState,
    metric: &Metric,
    schedule: &Schedule,
    created_at: i64,
    now: Timestamp,
) -> bool {
    let since = state.last_success_at.unwrap_or(created_at);
    // Nobody knows when values come that are sent, unless a schedule says so.
    let is_expected = !metric.is_pushed() || metric.schedule.is_some();
    is_expected && !metric.paused && is_stale(since, schedule, &metric.zone(), now)
}

/// Tells whether two instants of the schedule have passed since `since`.
fn is_stale(since: i64, schedule: &Schedule, zone: &jiff::tz::TimeZone, now: Timestamp) -> bool {
    let second = schedule
        .next_after(time::instant(since), zone, 0)
        .and_then(|first| schedule.next_after(first, zone, 0));
    // The second slot itself still has the time of one run.
    second.is_some_and(|second| {
        let grace = Granularity::Hour.next(second, zone, definition::Weekday::Monday);
        now > grace.min(
            second
                .checked_add(jiff::SignedDuration::from_mins(5))
                .unwrap_or(grace),
        )
    })
}

#[cfg(test)]
mod tests {
    use definition::{Span, SpanUnit};
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_metric_is_stale_once_two_schedules_have_passed() {
        let schedule = Schedule::Every(Span::new(1, SpanUnit::Hour));
        let since = "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap();
        let at = |text: &str| {
            let now = text.parse().unwrap();
            is_stale(since.as_millisecond(), &schedule, &TimeZone::UTC, now)
        };
        assert!(!at("2026-03-01T01:59:00Z"));
        assert!(
            !at("2026-03-01T02:04:00Z"),
            "the second run has a little time"
        );
        assert!(at("2026-03-01T02:06:00Z"));
    }
}
