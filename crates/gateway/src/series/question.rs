//! What is asked of a metric, read from query parameters.

mod parameters;

use definition::{Granularity, Interval};
use jiff::Timestamp;
use rollup::{Compare, Fill, MAX_MOVING_STEPS, Query, QueryError, Rules, Running, range};

use crate::parameters::Parameters;
use crate::problem::{Problem, shown};

pub(crate) use self::parameters::{SeriesParameters, ValueParameters};

/// The range of a question that names none.
pub(crate) const DEFAULT_RANGE: &str = "last_30_days";
/// More values than this are not a filter but a copy of the data.
const FILTER_VALUES: usize = 200;
/// More dimensions than a metric can reasonably have.
const GROUPS: usize = 20;
/// More than anybody looks through; all are there without `top`.
const TOP: u32 = 1_000;

/// What the answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Points in steps.
    Series,
    /// One value of the whole range.
    Value,
}

impl Shape {
    fn top(self, parameters: &mut Parameters, group_by: &[String]) -> Option<u32> {
        if self == Self::Value {
            return None;
        }
        let top = parameters.number("top", 1, TOP)?;
        if group_by.is_empty() {
            parameters.refuse("top", "needs `group_by`: it picks the largest of a split");
        }
        Some(top)
    }

    fn running(self, parameters: &mut Parameters) -> Option<Running> {
        if self == Self::Value {
            return None;
        }
        let is_cumulative = parameters.flag("cumulative");
        let length = parameters.number("moving_average", 2, MAX_MOVING_STEPS);
        match (is_cumulative, length) {
            (true, Some(_)) => {
                parameters.refuse("cumulative", "and moving_average exclude one another");
                None
            }
            (true, None) => Some(Running::Cumulative),
            (false, length) => length.map(Running::MovingAverage),
        }
    }
}

/// A dimension and members of it.
type Filter = (String, Vec<String>);

/// Reads what is kept and what is left out: `where.state=a,b`, `where.state!=a,b` or `where_not.state=a,b`.
fn filters(parameters: &mut Parameters) -> (Vec<Filter>, Vec<Filter>) {
    let mut without = parameters.prefixed("where_not.");
    let mut filters = Vec::new();
    for (name, members) in parameters.prefixed("where.") {
        match name.strip_suffix('!') {
            Some(name) => without.push((name.to_owned(), members)),
            None => filters.push((name, members)),
        }
    }
    let signed = [("", &filters), ("!", &without)];
    for (sign, (name, members)) in signed
        .map(|(sign, all)| all.iter().map(move |one| (sign, one)))
        .into_iter()
        .flatten()
    {
        if members.is_empty() || members.len() > FILTER_VALUES {
            let name = format!("where.{}{sign}", shown(name));
            parameters.refuse(
                &name,
                format!("has 1 to {FILTER_VALUES} values, joined by commas"),
            );
        }
    }
    (filters, without)
}

/// The parameters of a question, before its range is resolved.
#[derive(Debug)]
pub(crate) struct Question {
    query: Query,
    range: Asked,
}

#[derive(Debug)]
enum Asked {
    Named(String),
    Between(Interval),
}

impl Question {
    /// Reads the parameters against the metric's rules.
    pub(crate) fn read(
        shape: Shape,
        mut parameters: Parameters,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let granularity = match shape {
            Shape::Series => granularity(&mut parameters, rules),
            Shape::Value => Granularity::All,
        };
        let group_by = if shape == Shape::Series {
            parameters.list("group_by")
        } else {
            Vec::new()
        };
        if group_by.len() > GROUPS {
            parameters.refuse("group_by", format!("names more than {GROUPS} dimensions"));
        }
        let top = shape.top(&mut parameters, &group_by);
        let (filters, without) = filters(&mut parameters);
        let zone = parameters.text("timezone").and_then(|name| {
            let zone = definition::zone::find(&name);
            if zone.is_none() {
                parameters.refuse(
                    "timezone",
                    format!(
                        "is an IANA name such as Europe/Paris, or UTC, not `{}`",
                        shown(&name)
                    ),
                );
            }
            zone
        });
        let compare = compare(&mut parameters);
        let fill = if shape == Shape::Series {
            fill(&mut parameters)
        } else {
            Fill::None
        };
        let running = shape.running(&mut parameters);
        let range = asked(&mut parameters, zone.as_ref().unwrap_or(&rules.zone), now);
        parameters.finish()?;
        let mut query = Query::over(Interval::new(now, now), granularity);
        query.group_by = group_by;
        query.filters = filters;
        query.without = without;
        query.top = top;
        query.running = running;
        query.zone = zone;
        query.compare = compare;
        query.fill = fill;
        Ok(Self { query, range })
    }

    /// Tells whether the range depends on what the metric covers.
    pub(crate) fn needs_coverage(&self) -> bool {
        matches!(&self.range, Asked::Named(name) if name == "all_time")
    }

    /// Returns the query with its range as it is at `now`.
    pub(crate) fn resolve(
        self,
        rules: &Rules,
        now: Timestamp,
        known: Option<Interval>,
    ) -> Result<Query, Problem> {
        let mut query = self.query;
        let range = match self.range {
            Asked::Between(range) => range,
            Asked::Named(name) => {
                let zone = query.zone(rules).clone();
                let range = range::resolve(&name, now, &zone, rules.week_start, known).map_err(
                    |error| {
                        Problem::query(vec![crate::problem::ProblemItem::parameter(
                            "range",
                            format!("cannot be read: {error}"),
                        )])
                    },
                )?;
                query.range = Some(name);
                range
            }
        };
        (query.from, query.to) = (range.start, range.end);
        Ok(query)
    }
}

fn granularity(parameters: &mut Parameters, rules: &Rules) -> Granularity {
    let default = if rules.samples() {
        Granularity::Day
    } else {
        rules.resolution.max(Granularity::Day)
    };
    let Some(word) = parameters.text("granularity") else {
        return default;
    };
    Granularity::parse(&word).unwrap_or_else(|| {
        let known = Granularity::WORDS.join(", ");
        parameters.refuse(
            "granularity",
            format!("is one of {known}, not `{}`", shown(&word)),
        );
        default
    })
}

fn compare(parameters: &mut Parameters) -> Option<Compare> {
    let word = parameters.text("compare")?;
    match word.as_str() {
        "previous_period" => Some(Compare::PreviousPeriod),
        "previous_year" => Some(Compare::LastYear),
        _ => {
            let message = format!(
                "is previous_period or previous_year, not `{}`",
                shown(&word)
            );
            parameters.refuse("compare", message);
            None
        }
    }
}

fn fill(parameters: &mut Parameters) -> Fill {
    match parameters.text("fill").as_deref() {
        None | Some("none") => Fill::None,
        Some("zero") => Fill::Zero,
        Some("previous") => Fill::Previous,
        Some(other) => {
            let message = format!("is none, zero or previous, not `{}`", shown(other));
            parameters.refuse("fill", message);
            Fill::None
        }
    }
}

fn asked(parameters: &mut Parameters, zone: &jiff::tz::TimeZone, now: Timestamp) -> Asked {
    let name = parameters.text("range");
    let (from, to) = (parameters.text("from"), parameters.text("to"));
    if name.is_some() && (from.is_some() || to.is_some()) {
        parameters.refuse("range", "and from/to exclude one another");
    }
    let name = if from.is_some() || to.is_some() {
        if parameters.text("current").is_some() {
            parameters.refuse(
                "current",
                "is for ranges such as last_7_days, not for from/to",
            );
        }
        name
    } else {
        without_current(parameters, name)
    };
    let mut read = |name: &str, text: Option<String>| {
        // A `+` in a query is a space once decoded; nobody writes a space before an offset.
        let text = text?.replace(' ', "+");
        match range::parse_instant(&text, zone) {
            Ok(at) => Some(at),
            Err(error) => {
                parameters.refuse(name, format!("cannot be read: {error}"));
                None
            }
        }
    };
    match (name, from, to) {
        (Some(name), ..) => Asked::Named(name),
        (None, None, None) => Asked::Named(DEFAULT_RANGE.to_owned()),
        (None, from, to) => {
            let has_from = from.is_some();
            let has_to = to.is_some();
            let (start, end) = (read("from", from), read("to", to));
            if !has_from {
                parameters.refuse("from", "is needed with `to`");
            }
            let end = if has_to { end } else { Some(now) };
            match (start, end) {
                (Some(start), Some(end)) if start < end => {
                    Asked::Between(Interval::new(start, end))
                }
                (Some(_), Some(_)) => {
                    parameters.refuse("from", "has to be before `to`, which is exclusive");
                    Asked::Named(DEFAULT_RANGE.to_owned())
                }
                _ => Asked::Named(DEFAULT_RANGE.to_owned()),
            }
        }
    }
}

/// Leaves the unit that is open now out of a range, where `current=exclude` says so.
fn without_current(parameters: &mut Parameters, name: Option<String>) -> Option<String> {
    match parameters.text("current").as_deref() {
        None | Some("include") => name,
        Some("exclude") => {
            let asked = name.as_deref().unwrap_or(DEFAULT_RANGE);
            let found = range::without_current(asked);
            if found.is_none() {
                let message = format!(
                    "can be left out of a range such as last_7_days, not of `{}`",
                    shown(asked)
                );
                parameters.refuse("current", message);
            }
            found.or(name)
        }
        Some(other) => {
            let message = format!("is include or exclude, not `{}`", shown(other));
            parameters.refuse("current", message);
            name
        }
    }
}

/// Says why a question has no right answer.
pub(crate) fn refusal(error: &QueryError) -> Problem {
    let (code, hint) = match error {
        QueryError::TooManyPoints { .. } => ("request.range_too_large", ""),
        other => (other.code(), ""),
    };
    let limit = match error {
        QueryError::TooManyPoints { .. } => " (the limit is 10,000)",
        _ => hint,
    };
    Problem::new(
        http::StatusCode::UNPROCESSABLE_ENTITY,
        code,
        "the question has no answer",
    )
    .detail(format!("{error}{limit}"))
}

#[cfg(test)]
mod tests {
    use definition::{Aggregation, MetricType, Trend, Weekday};
    use jiff::tz::TimeZone;

    use super::*;

    fn rules() -> Rules {
        Rules {
            metric_type: MetricType::Events,
            aggregation: Aggregation::Sum,
            over_time: None,
            resolution: Granularity::Hour,
            zone: TimeZone::UTC,
            week_start: Weekday::Monday,
            favourable_trend: Trend::Up,
            dated: true,
        }
    }

    fn ask(text: &str) -> Result<Query, Problem> {
        let now = "2026-03-05T12:00:00Z".parse().unwrap();
        let parameters = Parameters::parse(text).unwrap();
        Question::read(Shape::Series, parameters, &rules(), now)?.resolve(&rules(), now, None)
    }

    #[test]
    fn a_bare_question_is_about_thirty_days_by_day() {
        let query = ask("").unwrap();
        assert_eq!(query.from.to_string(), "2026-02-04T00:00:00Z");
        assert_eq!(query.to.to_string(), "2026-03-06T00:00:00Z");
        assert_eq!(query.granularity, Granularity::Day);
    }

    #[test]
    fn dates_are_midnights_of_the_zone_asked_for() {
        let query =
            ask("from=2026-01-01&to=2026-02-01&timezone=Europe/Berlin&granularity=week").unwrap();
        assert_eq!(query.from.to_string(), "2025-12-31T23:00:00Z");
        let query = ask("from=2026-01-01T00:00:00+01:00&to=2026-02-01").unwrap();
        assert_eq!(query.from.to_string(), "2025-12-31T23:00:00Z");
    }

    #[test]
    fn the_open_day_is_included_or_left_out() {
        let with = ask("range=last_7_days").unwrap();
        assert_eq!(with.to.to_string(), "2026-03-06T00:00:00Z");
        for text in [
            "range=last_7_days&current=exclude",
            "range=last_7_complete_days",
            "range=last_7_complete_days&current=exclude",
        ] {
            let without = ask(text).unwrap();
            assert_eq!(without.from.to_string(), "2026-02-26T00:00:00Z", "{text}");
            assert_eq!(without.to.to_string(), "2026-03-05T00:00:00Z", "{text}");
        }
    }

    #[test]
    fn members_are_kept_and_left_out() {
        let query =
            ask("where.state=a,b&where.plan!=x&where_not.city=Washington\\,%20DC,Rome").unwrap();
        assert_eq!(
            query.filters,
            [("state".to_owned(), vec!["a".to_owned(), "b".into()])]
        );
        assert_eq!(
            query.without,
            [
                (
                    "city".to_owned(),
                    vec!["Washington, DC".to_owned(), "Rome".into()]
                ),
                ("plan".to_owned(), vec!["x".to_owned()]),
            ]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        let wrong = [
            ("from=2026-02-01&to=2026-01-01", "before `to`"),
            ("to=2026-01-01", "is needed"),
            ("range=last_week&from=2026-01-01", "exclude"),
            ("range=last_blue_moon", "last_blue_moon"),
            ("granularity=minute", "hour, day"),
            ("compare=yesterday", "previous_period"),
            ("timezone=Mars/Base", "IANA"),
            ("fill=7", "zero"),
            ("step=1m", "not known"),
            ("where.state=", "1 to 200"),
            ("where.state!=", "where.state!"),
            ("top=3", "group_by"),
            ("top=0&group_by=state", "1 to 1000"),
            ("cumulative=true&moving_average=7", "exclude"),
            ("moving_average=1", "2 to 1000"),
            ("cumulative=perhaps", "true or false"),
            ("current=exclude&range=mtd", "last_7_days"),
            ("current=exclude&from=2026-01-01", "last_7_days"),
            ("current=maybe", "include or exclude"),
        ];
        for (text, words) in wrong {
            let problem = format!("{:?}", ask(text).unwrap_err());
            assert!(problem.contains(words), "{text}: {problem}");
            assert!(problem.contains("request.query"), "{text}: {problem}");
        }
    }
}
