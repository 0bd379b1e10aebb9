//! Which number is asked about, read from query parameters.

use std::collections::BTreeMap;

use definition::{Dataset, Granularity, Interval, Metric};
use rollup::{Rules, range};
use utoipa::IntoParams;

use crate::parameters::Parameters;
use crate::problem::{Problem, shown};
use crate::series::PointAsked;

/// Records listed of each run, unless another number is asked for.
const RECORDS: u32 = 20;
/// Records listed of each run at most.
const MOST_RECORDS: u32 = 200;

/// What provenance is asked with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for the OpenAPI document"
)]
pub(crate) struct ProvenanceParameters {
    /// An instant of the point: a date in the metric's zone, or RFC 3339, such as the `start` of a series' point.
    #[param(example = "2026-03-01")]
    start: String,
    /// The point's dimensions, as `state=active,plan=pro` or as a JSON object; those left out are joined.
    #[param(example = "state=active")]
    dimensions: Option<String>,
    /// The point's unit, where there are several.
    unit: Option<String>,
    /// The point's length: hour, day, week, month, quarter or year; by default the metric's resolution.
    granularity: Option<String>,
    /// Records listed of each run, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<u32>,
}

/// A point of a metric.
pub(crate) struct Question {
    pub(super) range: Interval,
    pub(super) granularity: Granularity,
    pub(super) dimensions: BTreeMap<String, String>,
    pub(super) unit: Option<String>,
    pub(super) limit: u32,
    pub(super) rules: Rules,
    dataset: Option<Dataset>,
}

impl Question {
    /// Reads the parameters against the metric.
    pub(super) fn read(
        mut parameters: Parameters,
        metric: &Metric,
        dataset: Option<&Dataset>,
    ) -> Result<Self, Problem> {
        let rules = Rules::of(metric, dataset);
        let granularity = granularity(&mut parameters, &rules);
        let dimensions = dimensions(&mut parameters);
        let unit = parameters.text("unit").filter(|unit| !unit.is_empty());
        let limit = match parameters.text("limit").map(|text| text.parse::<u32>()) {
            None => RECORDS,
            Some(Ok(limit @ 1..=MOST_RECORDS)) => limit,
            Some(_) => {
                parameters.refuse("limit", format!("is from 1 to {MOST_RECORDS}"));
                RECORDS
            }
        };
        let mut at = None;
        match parameters.text("start") {
            None => parameters.refuse(
                "start",
                "is needed: an instant of the point that is asked about",
            ),
            // A `+` in a query is a space once decoded; nobody writes a space before an offset.
            Some(text) => match range::parse_instant(&text.replace(' ', "+"), &rules.zone) {
                Ok(found) => at = Some(found),
                Err(error) => parameters.refuse("start", format!("cannot be read: {error}")),
            },
        }
        parameters.finish()?;
        let at = at.ok_or_else(Problem::internal)?;
        let start = granularity.start_of(at, &rules.zone, rules.week_start);
        let end = granularity.next(start, &rules.zone, rules.week_start);
        Ok(Self {
            range: Interval::new(start, end),
            granularity,
            dimensions,
            unit,
            limit,
            rules,
            dataset: dataset.cloned(),
        })
    }

    /// The point, as a series is asked for it.
    pub(super) fn asked(&self) -> PointAsked<'_> {
        PointAsked {
            range: self.range,
            granularity: self.granularity,
            dimensions: &self.dimensions,
            unit: self.unit.as_deref(),
        }
    }

    /// The JSONata of a metric as it was.
    pub(super) fn expression_of(&self, metric: &Metric) -> String {
        expression::Task::of(metric, self.dataset.as_ref(), 0).expression
    }
}

fn granularity(parameters: &mut Parameters, rules: &Rules) -> Granularity {
    let Some(word) = parameters.text("granularity") else {
        return rules.resolution;
    };
    match Granularity::parse(&word) {
        Some(found) if found != Granularity::All && found >= rules.resolution => found,
        Some(_) => {
            let own = rules.resolution.as_str();
            parameters.refuse(
                "granularity",
                format!("is at least the metric's resolution, {own}, and not all"),
            );
            rules.resolution
        }
        None => {
            let known = Granularity::WORDS.join(", ");
            parameters.refuse(
                "granularity",
                format!("is one of {known}, not `{}`", shown(&word)),
            );
            rules.resolution
        }
    }
}

/// Reads `state=active,plan=pro`, `state:active`, or a JSON object of texts; `where.state=active` says the same.
fn dimensions(parameters: &mut Parameters) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, members) in parameters.prefixed("where.") {
        match members.as_slice() {
            [member] => {
                found.insert(name, member.clone());
            }
            _ => parameters.refuse(
                &format!("where.{}", shown(&name)),
                "has one member: a point is in one series",
            ),
        }
    }
    for text in parameters.texts("dimensions") {
        if text.trim_start().starts_with('{') {
            match serde_json::from_str::<BTreeMap<String, String>>(&text) {
                Ok(pairs) => found.extend(pairs),
                Err(_) => parameters.refuse("dimensions", "is no JSON object of texts"),
            }
            continue;
        }
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            match pair.split_once(['=', ':']) {
                Some((name, member)) => {
                    found.insert(name.trim().to_owned(), member.trim().to_owned());
                }
                None => parameters.refuse(
                    "dimensions",
                    format!("`{}` is not name=member, such as state=active", shown(pair)),
                ),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric() -> Metric {
        let document = serde_json::json!({
            "kind": "metric", "name": "orders", "connection": "shop", "request": { "path": "/orders" },
            "select": { "records": "orders", "date": "at" }, "resolution": "day", "timezone": "Europe/Paris",
        });
        match definition::Definition::from_document(&document) {
            Ok(definition::Definition::Metric(metric)) => metric,
            other => panic!("{other:?}"),
        }
    }

    fn ask(text: &str) -> Result<Question, Problem> {
        Question::read(Parameters::parse(text).unwrap(), &metric(), None)
    }

    #[test]
    fn any_instant_of_a_bucket_asks_about_the_bucket() {
        for text in [
            "start=2026-03-01",
            "start=2026-03-01T15:00:00%2B01:00",
            "start=2026-02-28T23:00:00Z",
        ] {
            let range = ask(text).unwrap().range;
            assert_eq!(range.start.to_string(), "2026-02-28T23:00:00Z", "{text}");
            assert_eq!(range.end.to_string(), "2026-03-01T23:00:00Z", "{text}");
        }
        let month = ask("start=2026-03-15&granularity=month").unwrap().range;
        assert_eq!(month.end.to_string(), "2026-03-31T22:00:00Z");
    }

    #[test]
    fn dimensions_are_pairs_or_json() {
        let expected: BTreeMap<String, String> = [("plan", "pro"), ("state", "active")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into();
        for text in [
            "dimensions=state=active,plan=pro",
            "dimensions=state:active&dimensions=plan:pro",
            "dimensions=%7B%22state%22:%22active%22,%22plan%22:%22pro%22%7D",
            "where.state=active&where.plan=pro",
        ] {
            assert_eq!(
                ask(&format!("start=2026-03-01&{text}")).unwrap().dimensions,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_point_is_refused_by_name() {
        for (text, words) in [
            ("", "start"),
            ("start=soon", "start"),
            ("start=2026-03-01&granularity=hour", "resolution"),
            ("start=2026-03-01&granularity=all", "resolution"),
            ("start=2026-03-01&dimensions=state", "name=member"),
            ("start=2026-03-01&dimensions={", "JSON"),
            ("start=2026-03-01&limit=0", "limit"),
            ("start=2026-03-01&page=1", "not known"),
        ] {
            let problem = ask(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(
                format!("{problem:?}").contains(words),
                "{text}: {problem:?}"
            );
        }
    }
}
