//! Asking for runs: a sync, a backfill, a recompute.

use axum::Json;
use axum::extract::{Path, State};
use definition::window::{Interval, backfill as backfill_windows, plan};
use definition::{Fetch, Granularity, Metric, Weekday};
use http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use store::{Kind, NewRuns, RunKind, StoredDataset};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::body::Content;
use crate::definitions::{name_of, stored};
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument, shown};
use crate::router::Gateway;
use crate::runs::WindowView;
use crate::time;

/// More windows than this are not one request any more; ask for a shorter range.
const WINDOWS: usize = 1000;

/// The runs that will do what was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The first of them, for those who ask for one.
    #[schema(example = "r_01234567890123456789")]
    run: String,
    /// All of them, newest window first.
    runs: Vec<AcceptedRun>,
}

/// One run that will do a part of what was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedRun {
    /// Its id.
    run: String,
    /// Whether it was open already.
    joined: bool,
    /// The range it covers; null: whatever the API answers.
    window: Option<WindowView>,
}

/// Fetches a metric's data now; joins what is open already.
#[utoipa::path(post, path = "/api/v1/metrics/{name}/sync", tag = "runs",
    params(("name" = String, Path, description = "The metric's name")),
    responses((status = 202, body = Accepted), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn sync(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    content: Content,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    parameters.finish()?;
    content.nothing()?;
    let subject = Subject::load(&gateway, &caller.workspace, &name).await?;
    let now = gateway.context().clock.now();
    let windows = subject.windows(now);
    subject
        .open(&gateway, &caller, RunKind::Manual, now, windows)
        .await
}

/// A past range to be fetched again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backfill {
    /// The first instant: a date in the metric's zone, or RFC 3339.
    #[schema(example = "2026-01-01")]
    from: String,
    /// The first instant past it; now when absent.
    #[serde(default)]
    #[schema(example = "2026-04-01")]
    until: Option<String>,
}

/// Fetches a past range again, in the steps of the metric's window, newest first.
#[utoipa::path(post, path = "/api/v1/metrics/{name}/backfill", tag = "runs", request_body = Backfill,
    params(("name" = String, Path, description = "The metric's name")),
    responses((status = 202, body = Accepted), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn backfill(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    content: Content,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    parameters.finish()?;
    let asked: Backfill = content.json()?;
    let subject = Subject::load(&gateway, &caller.workspace, &name).await?;
    let Some(window) = &subject.fetch.window else {
        return Err(Problem::new(StatusCode::CONFLICT, "run.no_window", "there is no range to ask for")
            .detail(format!(
                "the request of `{name}` has no `window`, so every sync brings all there is; use sync instead"
            )));
    };
    let now = gateway.context().clock.now();
    let zone = subject.metric.zone();
    let read = |field: &str, text: &str| {
        rollup::range::parse_instant(text, &zone)
            .map_err(|error| Problem::body("request.invalid", format!("`{field}`: {error}")))
    };
    let from = read("from", &asked.from)?;
    let until = asked
        .until
        .as_deref()
        .map_or(Ok(now), |until| read("until", until))?;
    if from >= until {
        return Err(Problem::body(
            "request.invalid",
            "`from` has to be before `until`",
        ));
    }
    let windows = backfill_windows(
        Interval::new(from, until),
        // An API that is asked for `last` at a time is not asked for years at once.
        window.step.or(Some(window.last)),
        &subject.zone,
        subject.coarsest,
        subject.week_start,
    );
    subject
        .open(&gateway, &caller, RunKind::Backfill, now, windows)
        .await
}

/// That a recompute waits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Recomputing {
    /// The metric.
    metric: String,
    /// Its place in the queue; asking again while it waits gives the same.
    recompute: i64,
}

/// Evaluates the kept pages again with the expression in force, without calling the API.
#[utoipa::path(post, path = "/api/v1/metrics/{name}/recompute", tag = "runs",
    params(("name" = String, Path, description = "The metric's name")),
    responses((status = 202, body = Recomputing), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn recompute(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
    content: Content,
) -> Result<(StatusCode, Json<Recomputing>), Problem> {
    parameters.finish()?;
    content.nothing()?;
    let name = name_of("metric", &name)?;
    let known = stored(&gateway, &caller.workspace, Kind::Metric, &name).await?;
    if known.metric()?.formula.is_some() {
        return Err(calculated(&name));
    }
    let recompute = gateway
        .store()
        .request_recompute(&caller.workspace, &name)
        .await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(Recomputing {
            metric: name,
            recompute,
        }),
    ))
}

/// Refuses to fetch what is made of other metrics.
fn calculated(name: &str) -> Problem {
    let title = "a calculated metric asks nothing itself";
    Problem::new(StatusCode::CONFLICT, "metric.calculated", title).detail(format!(
        "`{name}` is computed from other metrics whenever it is read; sync those"
    ))
}

/// What a request for a run is about: a metric, what it fetches, and how its windows are cut.
struct Subject {
    metric: Metric,
    dataset: StoredDataset,
    fetch: Fetch,
    zone: TimeZone,
    coarsest: Granularity,
    week_start: Weekday,
    /// The windows that each metric of the dataset has whole, levels left out.
    whole: Vec<Vec<Interval>>,
}

impl Subject {
    async fn load(gateway: &Gateway, workspace: &str, name: &str) -> Result<Self, Problem> {
        let name = name_of("metric", name)?;
        let stored = stored(gateway, workspace, Kind::Metric, &name).await?;
        let metric = stored.metric()?;
        if metric.formula.is_some() {
            return Err(calculated(&name));
        }
        if metric.is_pushed() {
            return Err(Problem::new(StatusCode::CONFLICT, "metric.pushed", "nothing is fetched for this metric")
                .detail(format!("`{name}` has `source: push`: send its values to `POST /api/v1/metrics/{name}/points`")));
        }
        let dataset = match &stored.dataset {
            Some(id) => gateway.store().dataset(workspace, id).await?,
            None => None,
        };
        let dataset = dataset.ok_or_else(|| Problem::not_found("dataset of this metric", &name))?;
        let fetch = dataset.fetch()?;
        // As the scheduler cuts them, so that a window asked for by hand is one that it knows.
        let (mut coarsest, mut zone, mut week_start) =
            (Granularity::Hour, metric.zone(), metric.week_start);
        let mut whole = Vec::new();
        let named = match &dataset.name {
            Some(name) => crate::definitions::dataset(gateway, workspace, name).await?,
            None => None,
        };
        for stored in gateway.store().metrics_of(workspace, &dataset.id).await? {
            let other = stored.metric()?;
            if !other.paused {
                whole.extend(stored.whole_windows(&other, named.as_ref(), &dataset));
            }
            if other.resolution >= coarsest {
                (coarsest, zone, week_start) = (other.resolution, other.zone(), other.week_start);
            }
        }
        Ok(Self {
            metric,
            dataset,
            fetch,
            zone,
            coarsest,
            week_start,
            whole,
        })
    }

    /// What a sync at `now` asks for, cut as the scheduler cuts it.
    fn windows(&self, now: Timestamp) -> Vec<Interval> {
        let Some(window) = &self.fetch.window else {
            return Vec::new();
        };
        plan(
            window,
            &self.whole,
            self.dataset.last_window_end.map(time::instant),
            now,
            &self.zone,
            self.coarsest,
            self.week_start,
        )
    }

    async fn open(
        self,
        gateway: &Gateway,
        caller: &Caller,
        kind: RunKind,
        now: Timestamp,
        windows: Vec<Interval>,
    ) -> Result<(StatusCode, Json<Accepted>), Problem> {
        if windows.len() > WINDOWS {
            return Err(Problem::body(
                "request.range_too_large",
                format!(
                    "this makes {} runs; at most {WINDOWS} are opened at once, so ask for a shorter range",
                    windows.len()
                ),
            ));
        }
        let new = NewRuns {
            workspace: caller.workspace.clone(),
            dataset: self.dataset.id.clone(),
            slot: now.as_millisecond(),
            kind,
            windows: windows
                .into_iter()
                .map(|window| {
                    Some(store::Interval {
                        start: window.start.as_millisecond(),
                        end: window.end.as_millisecond(),
                    })
                })
                .collect(),
            reason: Some(format!("asked for by {}", shown(&caller.name))),
        };
        let opened = gateway.store().open_runs(&new).await?;
        gateway.wake(&caller.workspace, &self.dataset.id).await;
        let runs: Vec<AcceptedRun> = opened
            .into_iter()
            .map(|opened| AcceptedRun {
                run: opened.run,
                joined: opened.joined,
                window: opened.window.map(WindowView::from),
            })
            .collect();
        let run = runs
            .first()
            .map(|first| first.run.clone())
            .ok_or_else(Problem::internal)?;
        Ok((StatusCode::ACCEPTED, Json(Accepted { run, runs })))
    }
}
