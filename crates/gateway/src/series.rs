//! A metric over time, and its value over a range.

mod cache;
mod calculated;
mod question;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use definition::{Goal, Granularity, Interval, MetricType, Weekday};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::tz::TimeZone;
use rollup::coverage::hull;
use rollup::{
    Answer, AnswerPoint, AnswerSeries, Decimal, Progress, Query, QueryError, Rules, SeriesKey,
    Watched,
};
use serde::Serialize;

use self::cache::{Cache, Decoded, Described, Found, MadeAt, Standing};
use self::calculated::{Numbers, Whole};
pub(crate) use self::question::Shape;
use self::question::{Question, SeriesParameters, ValueParameters, refusal};
use self::written::{SeriesAnswer, ValueAnswer};
use crate::auth::Caller;
use crate::config::Limits;
use crate::definitions::name_of;
use crate::instruments::Source;
use crate::parameters::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::router::Gateway;

/// Answers questions about metrics, from what it keeps where that still holds.
#[derive(Debug)]
pub(crate) struct Series {
    cache: Cache,
    most_points: usize,
}

/// Which point is asked for.
pub(crate) struct PointAsked<'a> {
    /// Its whole range.
    pub(crate) range: Interval,
    /// Its length.
    pub(crate) granularity: Granularity,
    /// Its members; other dimensions are joined.
    pub(crate) dimensions: &'a BTreeMap<String, String>,
    /// Its unit, where it matters.
    pub(crate) unit: Option<&'a str>,
}

/// One point of a metric.
#[derive(Debug)]
pub(crate) struct Point {
    /// Its value, when it has one unit.
    pub(crate) value: Option<Decimal>,
    /// That unit.
    pub(crate) unit: Option<String>,
    /// How many rows it was made from.
    pub(crate) count: u64,
    /// Whether a run that did not see everything brought a part of it.
    pub(crate) partial: bool,
    /// Instants of stored cells and syncs in it, in unix milliseconds.
    pub(crate) samples: Vec<i64>,
}

/// Reads a metric over time.
#[utoipa::path(get, path = "/api/v1/metrics/{name}/series", operation_id = "get_series", tag = "series",
    params(("name" = String, Path, description = "The metric's name"), SeriesParameters),
    responses((status = 200, body = SeriesAnswer), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn series(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let name = name_of("metric", &name)?;
    let answer = gateway
        .series()
        .answer(
            &gateway,
            &caller.workspace,
            &name,
            Shape::Series,
            parameters,
        )
        .await?;
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}

/// Reads a metric's value over a whole range.
#[utoipa::path(get, path = "/api/v1/metrics/{name}/value", operation_id = "get_value", tag = "series",
    params(("name" = String, Path, description = "The metric's name"), ValueParameters),
    responses((status = 200, body = ValueAnswer), (status = "4XX", body = ProblemDocument, content_type = "application/problem+json")))]
pub(crate) async fn value(
    State(gateway): State<Gateway>,
    caller: Caller,
    parameters: Parameters,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let name = name_of("metric", &name)?;
    let answer = gateway
        .series()
        .answer(&gateway, &caller.workspace, &name, Shape::Value, parameters)
        .await?;
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}

impl Series {
    /// Returns an empty memory with these bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            cache: Cache::new(limits),
            most_points: limits.points,
        }
    }

    /// Forgets a metric whose definition was changed here.
    pub(crate) fn forget(&self, workspace: &str, metric: &str) {
        self.cache.forget(workspace, metric);
    }

    /// Answers a question about a metric, written.
    pub(crate) async fn answer(
        &self,
        gateway: &Gateway,
        workspace: &str,
        name: &str,
        shape: Shape,
        parameters: Parameters,
    ) -> Result<Bytes, Problem> {
        let slot = self.cache.slot(workspace, name);
        let described = match slot.described(gateway, workspace, name).await {
            Ok(described) => described,
            Err(problem) => {
                if problem.status() == StatusCode::NOT_FOUND {
                    self.cache.forget(workspace, name);
                }
                return Err(problem);
            }
        };
        let whole = match &described.metric.formula {
            Some(_) => Some(Whole::load(&self.cache, gateway, workspace, &described).await?),
            None => None,
        };
        let (rules, definition_version) = match &whole {
            Some(whole) => (whole.rules()?, whole.definition_version),
            None => (&described.rules, described.version),
        };
        let now = gateway.context().clock.now();
        let question = Question::read(shape, parameters, rules, now)?;
        let standing = slot.standing(gateway, workspace, name).await?;
        let known = match (&whole, question.needs_coverage()) {
            (_, false) => None,
            (Some(whole), true) => whole.known(gateway, workspace, now).await?,
            (None, true) => {
                let nothing = Interval::new(now, now);
                let (decoded, _) = slot
                    .decoded(gateway, workspace, name, standing, nothing)
                    .await?;
                hull(&decoded.input.coverage)
            }
        };
        let query = question.resolve(rules, now, known)?;
        let key = format!("{shape:?}{query:?}");
        let mut made_at = MadeAt {
            standing,
            definition: definition_version,
        };
        if let Some(answer) = slot.answer(&key, made_at) {
            gateway.instruments().series(Source::Answer);
            return Ok(answer);
        }
        let numbers = if let Some(whole) = &whole {
            Points::Calculated(whole.read(gateway, workspace, &query).await?)
        } else {
            let reads = query.reads(rules).map_err(|error| refusal(&error))?;
            let range = widened(reads, rules);
            let (decoded, found) = slot
                .decoded(gateway, workspace, name, standing, range)
                .await?;
            Points::Stored(decoded, found)
        };
        gateway.instruments().series(match numbers.found() {
            Found::Kept => Source::Decoded,
            Found::Read => Source::Store,
        });
        if numbers.follows_marks() {
            let (answer, _) = self.compute(&described, numbers, shape, query).await?;
            return Ok(answer);
        }
        let (answer, standing) = self.compute(&described, numbers, shape, query).await?;
        made_at.standing = standing;
        let most = self.cache.most_answer_bytes();
        slot.keep(key, made_at, answer.clone(), most);
        Ok(answer)
    }

    /// Tells how far a goal is, with the zone of its metric and the version of the data.
    pub(crate) async fn progress(
        &self,
        gateway: &Gateway,
        workspace: &str,
        goal: &Goal,
    ) -> Result<(Progress, TimeZone, i64), Problem> {
        let name = goal.metric.as_str();
        let slot = self.cache.slot(workspace, name);
        let described = slot.described(gateway, workspace, name).await?;
        let standing = slot.standing(gateway, workspace, name).await?;
        let now = gateway.context().clock.now();
        let nothing = Interval::new(now, now);
        let (known, _) = slot
            .decoded(gateway, workspace, name, standing, nothing)
            .await?;
        let rules = &described.rules;
        let accumulates = rules.grows_from_nothing();
        let range = rollup::goal_range(goal, rules, hull(&known.input.coverage), now);
        let reads = Watched {
            rules,
            accumulates,
            known: None,
        }
        .goal_reads(range, now);
        let (decoded, _) = slot
            .decoded(gateway, workspace, name, standing, widened(reads, rules))
            .await?;
        let goal = goal.clone();
        let computing = tokio::task::spawn_blocking(move || {
            let watched = Watched {
                rules: &described.rules,
                accumulates,
                known: hull(&decoded.input.coverage),
            };
            let seen = watched
                .see_goal(&goal, range, &decoded.input, now)
                .map_err(|error| refusal(&error))?;
            let far = rollup::progress(&goal, watched.rules, accumulates, range, &seen, now);
            Ok((far, watched.rules.zone.clone(), decoded.standing.version))
        });
        computing.await.map_err(|_| Problem::internal())?
    }

    /// Returns a metric's title and the newest value of each of its series, within the 30 days up to its newest bucket
    /// that is not in the future. Members of levels that the last sync did not have are gone.
    pub(crate) async fn latest(
        &self,
        gateway: &Gateway,
        workspace: &str,
        name: &str,
    ) -> Result<(Option<String>, Vec<(SeriesKey, Decimal)>), Problem> {
        let slot = self.cache.slot(workspace, name);
        let described = slot.described(gateway, workspace, name).await?;
        let whole = match &described.metric.formula {
            Some(_) => Some(Whole::load(&self.cache, gateway, workspace, &described).await?),
            None => None,
        };
        let rules = match &whole {
            Some(whole) => whole.rules()?,
            None => &described.rules,
        };
        let standing = slot.standing(gateway, workspace, name).await?;
        let fed_by: Vec<&str> = match &whole {
            Some(whole) => whole.fed_by().collect(),
            None => vec![name],
        };
        let now = gateway.context().clock.now();
        let newest = gateway
            .store()
            .newest_start(workspace, &fed_by, now.as_millisecond())
            .await?;
        let title = described.metric.title.clone();
        let Some(newest) = newest else {
            return Ok((title, Vec::new()));
        };
        let range = rollup::range::resolve(
            question::DEFAULT_RANGE,
            store::instant(newest),
            &rules.zone,
            rules.week_start,
            None,
        )
        .map_err(|_| Problem::internal())?;
        let step = if rules.samples() {
            Granularity::Day
        } else {
            rules.resolution.max(Granularity::Day)
        };
        let mut query = Query::over(range, step);
        let mut last_sync = None;
        let points = if let Some(whole) = &whole {
            Points::Calculated(whole.read(gateway, workspace, &query).await?)
        } else {
            let reads = query.reads(rules).map_err(|error| refusal(&error))?;
            let (decoded, found) = slot
                .decoded(gateway, workspace, name, standing, widened(reads, rules))
                .await?;
            let mut dimensions: BTreeSet<String> = BTreeSet::new();
            for (key, _) in &decoded.input.series {
                dimensions.extend(key.dimensions.iter().map(|(name, _)| name.to_owned()));
            }
            query.group_by = dimensions.into_iter().collect();
            if rules.metric_type == MetricType::Levels {
                let cells = decoded.input.series.iter().flat_map(|(_, cells)| cells);
                let at = cells
                    .map(|cell| cell.0)
                    .chain(decoded.input.syncs.iter().copied());
                let start_of = |at| step.start_of(at, &rules.zone, rules.week_start);
                last_sync = at.max().map(|at| start_of(store::instant(at)));
            }
            Points::Stored(decoded, found)
        };
        let computing = tokio::task::spawn_blocking(move || {
            let answer = points
                .answer(&described, &query)
                .map_err(|error| refusal(&error))?;
            let newest = |series: AnswerSeries| {
                let mut points = series.points.iter().rev();
                let is_there = |point: &&AnswerPoint| last_sync.is_none_or(|at| point.start >= at);
                let value = points
                    .find(|point| point.value.is_some())
                    .filter(is_there)?
                    .value?;
                Some((
                    SeriesKey {
                        dimensions: series.dimensions,
                        unit: series.unit,
                    },
                    value,
                ))
            };
            Ok::<_, Problem>(answer.series.into_iter().filter_map(newest).collect())
        });
        Ok((title, computing.await.map_err(|_| Problem::internal())??))
    }

    /// Returns one point of a metric, and the instants of the samples in it.
    pub(crate) async fn point(
        &self,
        gateway: &Gateway,
        workspace: &str,
        name: &str,
        asked: PointAsked<'_>,
    ) -> Result<Point, Problem> {
        let slot = self.cache.slot(workspace, name);
        let described = slot.described(gateway, workspace, name).await?;
        let standing = slot.standing(gateway, workspace, name).await?;
        let mut query = Query::over(asked.range, asked.granularity);
        let dimensions = asked.dimensions.iter();
        query.filters = dimensions
            .map(|(name, member)| (name.clone(), vec![member.clone()]))
            .collect();
        let reads = query
            .reads(&described.rules)
            .map_err(|error| refusal(&error))?;
        let range = widened(reads, &described.rules);
        let (decoded, _) = slot
            .decoded(gateway, workspace, name, standing, range)
            .await?;
        let (range, unit) = (asked.range, asked.unit.map(str::to_owned));
        let computing = tokio::task::spawn_blocking(move || {
            let answer = rollup::answer(&decoded.input, &described.rules, &query)
                .map_err(|error| refusal(&error))?;
            let of_unit: Vec<&AnswerSeries> = answer
                .series
                .iter()
                .filter(|series| unit.is_none() || series.unit.as_deref() == unit.as_deref())
                .collect();
            let points = || of_unit.iter().flat_map(|series| &series.points);
            let only = match of_unit.as_slice() {
                [only] => Some(*only),
                _ => None,
            };
            let (from, to) = (range.start.as_millisecond(), range.end.as_millisecond());
            let cells = decoded.input.series.iter().flat_map(|(_, cells)| cells);
            let mut samples: BTreeSet<i64> = cells.map(|cell| cell.0).collect();
            samples.extend(&decoded.input.syncs);
            Ok::<_, Problem>(Point {
                value: only.and_then(|series| series.points.first()?.value),
                unit: only.and_then(|series| series.unit.as_deref().map(str::to_owned)),
                count: points().map(|point| point.count).sum(),
                partial: points().any(|point| point.partial),
                samples: samples.range(from..to).copied().collect(),
            })
        });
        computing.await.map_err(|_| Problem::internal())?
    }

    async fn compute(
        &self,
        described: &Arc<Described>,
        points: Points,
        shape: Shape,
        query: Query,
    ) -> Result<(Bytes, Standing), Problem> {
        let (described, most_points) = (Arc::clone(described), self.most_points);
        let computing = tokio::task::spawn_blocking(move || {
            let answer = points
                .answer(&described, &query)
                .map_err(|error| refusal(&error))?;
            let count: usize = answer.series.iter().map(|series| series.points.len()).sum();
            if count > most_points {
                return Err(too_many(count, most_points));
            }
            let compared = query.compare;
            let standing = points.standing();
            let version = standing.version;
            let written = match shape {
                Shape::Series => write(&SeriesAnswer::of(&described, version, &answer, compared)),
                Shape::Value => write(&ValueAnswer::of(&described, version, &answer, compared)),
            }?;
            Ok((written, standing))
        });
        computing.await.map_err(|_| Problem::internal())?
    }
}

/// What an answer is made of.
enum Points {
    /// The metric's own points.
    Stored(Arc<Decoded>, Found),
    /// Those of what it is calculated from.
    Calculated(Numbers),
}

impl Points {
    const fn found(&self) -> Found {
        match self {
            Self::Stored(_, found) => *found,
            Self::Calculated(numbers) => numbers.found,
        }
    }

    fn standing(&self) -> Standing {
        match self {
            Self::Stored(decoded, _) => decoded.standing,
            Self::Calculated(numbers) => numbers.standing,
        }
    }

    /// Whether the answer may change while the metric stands as it does: its inputs' marks do not raise its version.
    fn follows_marks(&self) -> bool {
        match self {
            Self::Stored(..) => false,
            Self::Calculated(numbers) => numbers.has_outdated(),
        }
    }

    fn answer(&self, described: &Described, query: &Query) -> Result<Answer, QueryError> {
        match self {
            Self::Stored(decoded, _) => rollup::answer(&decoded.input, &described.rules, query),
            Self::Calculated(numbers) => numbers.answer(query),
        }
    }
}

fn write(answer: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(answer)
        .map(Bytes::from)
        .map_err(|error| {
            tracing::error!(error = %error, "an answer could not be written");
            Problem::internal()
        })
}

fn too_many(points: usize, most: usize) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "request.range_too_large",
        "the answer would be too large",
    )
    .detail(format!(
        "it has {points} points over all series, the limit is {most}; ask for a shorter range, a coarser \
         granularity or fewer groups"
    ))
}

/// Widens a range so that neighbouring questions find what they need already decoded.
fn widened(range: Interval, rules: &Rules) -> Interval {
    let unit = match rules.resolution {
        Granularity::Hour => Granularity::Month,
        _ => Granularity::Year,
    };
    range.snap_outward(unit, &TimeZone::UTC, Weekday::Monday)
}
