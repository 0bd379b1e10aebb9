//! How far goals are.

use axum::Json;
use axum::extract::{Path, State};
use definition::{Definition, Goal};
use jiff::tz::TimeZone;
use rollup::{Decimal, Progress};
use serde::Serialize;
use store::Kind;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::definitions::{name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;
use crate::time;

/// How far a goal is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgressAnswer {
    /// The goal's name.
    #[schema(example = "thousand_a_month")]
    goal: String,
    /// What people call it.
    title: Option<String>,
    /// The metric.
    metric: String,
    /// `reach`, `stay_above` or `stay_below`.
    #[schema(example = "reach")]
    aim: &'static str,
    /// The number wanted.
    #[schema(value_type = f64)]
    target: Decimal,
    /// The first instant that counts.
    from: String,
    /// The first instant that does not; null for a goal that goes on for ever.
    to: Option<String>,
    /// Where the straight line begins.
    #[schema(value_type = Option<f64>)]
    start: Option<Decimal>,
    /// The value so far.
    #[schema(value_type = Option<f64>)]
    value: Option<Decimal>,
    /// How much of the way is done, in percent.
    #[schema(value_type = Option<f64>)]
    percent: Option<Decimal>,
    /// What the straight line says for now.
    #[schema(value_type = Option<f64>)]
    expected: Option<Decimal>,
    /// The value against the straight line; more than nothing is ahead, whichever way is good.
    #[schema(value_type = Option<f64>)]
    ahead: Option<Decimal>,
    /// What the value will be at the end if it goes on as until now; for sums.
    #[schema(value_type = Option<f64>)]
    forecast: Option<Decimal>,
    /// The first point on the wrong side, for goals to stay.
    broken_at: Option<String>,
    /// `waiting`, `unknown`, `on_track`, `behind`, `reached`, `kept`, `broken` or `missed`.
    #[schema(example = "on_track")]
    phase: &'static str,
    /// The version of the data that was read.
    version: i64,
}

impl ProgressAnswer {
    fn of(goal: &Goal, far: &Progress, zone: &TimeZone, version: i64) -> Self {
        Self {
            goal: goal.name.to_string(),
            title: goal.about.title.clone(),
            metric: goal.metric.to_string(),
            aim: goal.aim.as_str(),
            target: far.target,
            from: time::in_zone(far.range.from, zone),
            to: far.range.to.map(|to| time::in_zone(to, zone)),
            start: far.start,
            value: far.value,
            percent: far.percent,
            expected: far.expected,
            ahead: far.ahead,
            forecast: far.forecast,
            broken_at: far.broken_at.map(|at| time::in_zone(at, zone)),
            phase: far.phase.as_str(),
            version,
        }
    }
}

/// Tells how far a goal is, against a straight line to it.
#[utoipa::path(get, path = "/api/v1/goals/{name}/progress", operation_id = "get_goal_progress", tag = "goals",
    params(("name" = String, Path, description = "The goal's name")),
    responses((status = 200, body = ProgressAnswer), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn progress(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Json<ProgressAnswer>, Problem> {
    parameters.finish()?;
    let name = name_of("goal", &name)?;
    progress_of(&gateway, &caller.workspace, &name)
        .await
        .map(Json)
}

/// Tells how far the goal of that name is.
pub(crate) async fn progress_of(
    gateway: &Gateway,
    workspace: &str,
    name: &str,
) -> Result<ProgressAnswer, Problem> {
    let stored = stored(gateway, workspace, Kind::Goal, name).await?;
    let Definition::Goal(goal) = stored.definition()? else {
        return Err(Problem::internal());
    };
    let (far, zone, version) = gateway.series().progress(gateway, workspace, &goal).await?;
    Ok(ProgressAnswer::of(&goal, &far, &zone, version))
}
