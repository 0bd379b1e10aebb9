//! What is asked of a metric.

use definition::{Granularity, Interval, MetricType};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::bucket::{buckets, instant, millis, snap_outward};
use crate::compare::Compare;
use crate::range::back_by;
use crate::range::{Loose, loose};
use crate::series::Rules;

/// Most points of one series in an answer.
pub const MAX_POINTS: usize = 10_000;

/// A question: which range, in which steps, split and filtered how.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The first instant asked for.
    pub from: Timestamp,
    /// The first instant after.
    pub to: Timestamp,
    /// The step of the answer.
    pub granularity: Granularity,
    /// Dimensions to split by; all others are joined.
    pub group_by: Vec<String>,
    /// Dimensions with the texts they may have; all must hold.
    pub filters: Vec<(String, Vec<String>)>,
    /// Dimensions with the texts they may not have. What lacks the dimension stays.
    pub without: Vec<(String, Vec<String>)>,
    /// How many of the largest series to show, by their totals; all others become one.
    pub top: Option<u32>,
    /// What each point says of the steps before it.
    pub running: Option<Running>,
    /// The zone of the answer's calendar; absent, the metric's.
    pub zone: Option<TimeZone>,
    /// What stands in empty buckets.
    pub fill: Fill,
    /// What to compare with.
    pub compare: Option<Compare>,
    /// The name the range came from, which tells what comes before it (`mtd`, `last_month`).
    pub range: Option<String>,
}

/// What stands in a bucket without rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fill {
    /// Nothing: the bucket is left out.
    #[default]
    None,
    /// Zero; marked partial where nothing is known.
    Zero,
    /// The value before, once there is one.
    Previous,
}

/// What a point says of the steps before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Each point holds everything from the start of the range to its own end, joined as a total is: the
    /// last point is the total.
    Cumulative,
    /// Each point is the mean of the values of this many steps, its own the last; those before the range
    /// are looked up.
    MovingAverage(u32),
}

/// Most steps of a moving average.
pub const MAX_MOVING_STEPS: u32 = 1_000;

impl Query {
    /// Asks for a range in steps, everything joined.
    pub const fn over(range: Interval, granularity: Granularity) -> Self {
        Self {
            from: range.start,
            to: range.end,
            granularity,
            group_by: Vec::new(),
            filters: Vec::new(),
            without: Vec::new(),
            top: None,
            running: None,
            zone: None,
            fill: Fill::None,
            compare: None,
            range: None,
        }
    }

    /// Returns the zone of the answer.
    pub fn zone<'a>(&'a self, rules: &'a Rules) -> &'a TimeZone {
        self.zone.as_ref().unwrap_or(&rules.zone)
    }

    /// Returns the range that is really answered: widened to whole stored buckets, where the metric keeps
    /// buckets.
    ///
    /// # Errors
    /// Everything that [`crate::answer()`] refuses for the question's own sake.
    pub fn effective(&self, rules: &Rules) -> Result<Interval, QueryError> {
        self.effective_of(rules, Interval::new(self.from, self.to))
    }

    /// Returns the range whose stored cells (and samples) the answer reads, comparison included. Running
    /// totals also read the last sample before the range, wherever it lies.
    ///
    /// # Errors
    /// As [`Query::effective`].
    pub fn reads(&self, rules: &Rules) -> Result<Interval, QueryError> {
        let own = self.effective(rules)?;
        let mut range = self.with_lead(rules, own)?;
        if let Some(base) = self.base(rules, own) {
            let base = self.effective_of(rules, base)?;
            let base = self.with_lead(rules, base)?;
            range = Interval::new(range.start.min(base.start), range.end.max(base.end));
        }
        if rules.metric_type == MetricType::RunningTotal {
            range.start = Timestamp::MIN;
        }
        Ok(range)
    }

    pub(crate) fn effective_of(
        &self,
        rules: &Rules,
        range: Interval,
    ) -> Result<Interval, QueryError> {
        if range.start >= range.end {
            return Err(QueryError::Empty);
        }
        if !rules.samples() {
            check_nesting(rules.resolution, self.granularity)?;
        }
        let count = count_of(range, self.granularity);
        if count > MAX_POINTS as u64 {
            return Err(QueryError::TooManyPoints {
                granularity: self.granularity,
            });
        }
        if rules.samples() {
            return Ok(range);
        }
        if self.is_zone_of(rules) {
            return Ok(if rules.resolution == Granularity::All {
                range
            } else {
                snap_outward(range, rules.resolution, &rules.zone, rules.week_start)
            });
        }
        let zone = self.zone(rules);
        let range = self.widened(rules, range);
        for edge in edges(range, self.granularity, zone, rules) {
            if rules
                .resolution
                .start_of(edge, &rules.zone, rules.week_start)
                != edge
            {
                return Err(QueryError::Zone {
                    zone: name_of(zone),
                    stored: name_of(&rules.zone),
                    resolution: rules.resolution,
                    edge,
                });
            }
        }
        Ok(range)
    }

    /// Returns a range with the steps before it that its first points look back on.
    pub(crate) fn with_lead(&self, rules: &Rules, range: Interval) -> Result<Interval, QueryError> {
        let Some(Running::MovingAverage(length @ 2..)) = self.running else {
            return Ok(range);
        };
        if self.granularity == Granularity::All {
            return Ok(range);
        }
        let (zone, before) = (
            self.zone(rules),
            i64::from(length.min(MAX_MOVING_STEPS)) - 1,
        );
        let first = self.first_step(rules, range);
        let start = back_by(first, self.granularity, before, zone, rules.week_start);
        self.effective_of(rules, Interval::new(start, range.end))
    }

    /// Returns the start of the step that a range begins in.
    pub(crate) fn first_step(&self, rules: &Rules, range: Interval) -> Timestamp {
        if self.granularity == Granularity::All {
            return range.start;
        }
        self.granularity
            .start_of(range.start, self.zone(rules), rules.week_start)
    }

    /// Returns the starts of all steps of a range, oldest first.
    pub(crate) fn steps<'a>(
        &'a self,
        rules: &'a Rules,
        range: Interval,
    ) -> Box<dyn Iterator<Item = Timestamp> + 'a> {
        if self.granularity == Granularity::All {
            return Box::new(std::iter::once(instant(millis(range.start))));
        }
        let zone = self.zone(rules);
        let steps = buckets(range, self.granularity, zone, rules.week_start);
        Box::new(steps.map(|bucket| bucket.start))
    }

    /// Moves ends that nobody asked for (now, the first that is known) to the stored boundary outside them.
    fn widened(&self, rules: &Rules, range: Interval) -> Interval {
        if rules.resolution == Granularity::All {
            return range;
        }
        let outward = snap_outward(range, rules.resolution, &rules.zone, rules.week_start);
        match self.range.as_deref().and_then(loose) {
            Some(Loose::End) => Interval::new(range.start, outward.end),
            Some(Loose::Both) => outward,
            None => range,
        }
    }

    pub(crate) fn is_zone_of(&self, rules: &Rules) -> bool {
        self.zone.as_ref().is_none_or(|zone| *zone == rules.zone)
    }
}

/// The boundaries between the points of an answer.
fn edges<'a>(
    range: Interval,
    granularity: Granularity,
    zone: &'a TimeZone,
    rules: &'a Rules,
) -> impl Iterator<Item = Timestamp> + 'a {
    let inner = (granularity != Granularity::All).then(|| {
        buckets(range, granularity, zone, rules.week_start)
            .skip(1)
            .map(|bucket| bucket.start)
    });
    [range.start, range.end]
        .into_iter()
        .chain(inner.into_iter().flatten())
}

fn name_of(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("fixed offset").to_owned()
}

/// How many buckets a range holds, nearly.
fn count_of(range: Interval, granularity: Granularity) -> u64 {
    const DAY: i64 = 86_400;
    let length = match granularity {
        Granularity::Hour => 3_600,
        Granularity::Day => DAY,
        Granularity::Week => 7 * DAY,
        Granularity::Month => 30 * DAY,
        Granularity::Quarter => 91 * DAY,
        Granularity::Year => 365 * DAY,
        Granularity::All => return 1,
    };
    let seconds = range
        .end
        .as_second()
        .saturating_sub(range.start.as_second());
    u64::try_from(seconds.div_euclid(length)).unwrap_or(0)
}

/// Whether answers in steps of `step` can be made from buckets of `resolution` in one zone.
fn check_nesting(resolution: Granularity, step: Granularity) -> Result<(), QueryError> {
    use Granularity::{All, Day, Hour, Month, Quarter, Week, Year};
    let nests = match resolution {
        Hour => true,
        Day => step != Hour,
        Week => matches!(step, Week | All),
        Month => matches!(step, Month | Quarter | Year | All),
        Quarter => matches!(step, Quarter | Year | All),
        Year => matches!(step, Year | All),
        All => step == All,
    };
    if nests {
        Ok(())
    } else {
        Err(QueryError::Resolution {
            resolution,
            granularity: step,
        })
    }
}

/// Says why a question cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The range ends before it begins, or where it begins.
    #[error("the range is empty")]
    Empty,
    /// More buckets than an answer may have.
    #[error(
        "more than {MAX_POINTS} points a series in steps of one {}; ask for a shorter range or a coarser granularity", .granularity.as_str()
    )]
    TooManyPoints {
        /// The step asked for.
        granularity: Granularity,
    },
    /// The steps do not fall on buckets of the metric's resolution.
    #[error(
        "steps of one {} cannot be made from stored buckets of one {}", .granularity.as_str(), .resolution.as_str()
    )]
    Resolution {
        /// The metric's resolution.
        resolution: Granularity,
        /// The step asked for.
        granularity: Granularity,
    },
    /// A boundary in the zone asked for is inside a stored bucket.
    #[error(
        "zone {zone}: the boundary {edge} lies inside a stored bucket ({} in {stored}); ask in {stored}, or keep a finer resolution", .resolution.as_str()
    )]
    Zone {
        /// The zone asked for.
        zone: String,
        /// The metric's zone.
        stored: String,
        /// The metric's resolution.
        resolution: Granularity,
        /// The first such boundary.
        edge: Timestamp,
    },
    /// Values of periods have no stated way to be joined.
    #[error(
        "values of periods are not joined over a longer range unless the metric says how (over_time: last, average, min, max or sum)"
    )]
    PeriodsNotJoined,
    /// An input of a calculated metric cannot be asked so.
    #[error("`{metric}`, which this is calculated from: {cause}")]
    Input {
        /// The input.
        metric: String,
        /// Why.
        cause: Box<QueryError>,
    },
    /// The units of a calculated metric's inputs do not go together.
    #[error("{problem}")]
    Units {
        /// Which, and how.
        problem: String,
    },
    /// A metric that a calculated one stands on is not there.
    #[error("there is no metric `{metric}`, which this is calculated from")]
    Missing {
        /// Its name.
        metric: String,
    },
    /// One value was asked for, and there are several.
    #[error(
        "there are values in several units, which are never mixed; name one member of a dimension that tells them apart"
    )]
    SeveralUnits,
    /// No series has this dimension.
    #[error("no series has the dimension `{name}`")]
    UnknownDimension {
        /// What was asked for.
        name: String,
    },
}

impl QueryError {
    /// Returns the stable code of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "query.range_empty",
            Self::TooManyPoints { .. } => "query.too_many_points",
            Self::Resolution { .. } => "query.granularity",
            Self::Zone { .. } => "query.timezone",
            Self::PeriodsNotJoined => "query.periods_not_joined",
            Self::SeveralUnits => "query.several_units",
            Self::UnknownDimension { .. } => "query.dimension_unknown",
            Self::Input { cause, .. } => cause.code(),
            Self::Units { .. } => "query.units",
            Self::Missing { .. } => "query.input_missing",
        }
    }
}
