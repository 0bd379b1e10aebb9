use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::Located;
use crate::formula::{Formula, FormulaUnit, MAX_FORMULA_DEPTH, MAX_FORMULA_SOURCES, UnitError};
use crate::metric::Metric;
use crate::name::Name;
use crate::problem::Problem;

/// What says how something is fetched and folded, which a calculated metric is not.
const NOT_HERE: &[&str] = &[
    "connection",
    "dataset",
    "source",
    "request",
    "window",
    "select",
    "expression",
    "scope",
    "type",
    "aggregation",
    "over_time",
    "schedule",
    "covers",
    "mode",
    "reject_limit",
    "keep",
    "paused",
];

/// Checks a calculated metric without looking at others.
pub(super) fn check(located: &Located, metric: &Metric, problems: &mut Vec<Problem>) {
    for key in NOT_HERE.iter().filter(|key| located.says(key)) {
        let message = format!(
            "`{key}` does not go with `formula`: a calculated metric is made of others and asks nothing itself"
        );
        problems.push(Problem::new("definition.formula", *key, message));
    }
    if metric.inputs().contains(&&metric.name) {
        problems.push(Problem::new(
            "definition.formula_cycle",
            "formula",
            format!("`{}` cannot be calculated from itself", metric.name),
        ));
    }
}

type Find<'a> = &'a dyn Fn(&str) -> Option<Metric>;

/// Checks what a calculated metric is made of: it exists, does not come back to itself, and its units go
/// together.
pub(super) fn check_inputs(
    metric: &Metric,
    metric_of: Find<'_>,
    missing: &dyn Fn(&str, &str) -> Option<Problem>,
    problems: &mut Vec<Problem>,
) {
    let Some(formula) = &metric.formula else {
        return;
    };
    let named = formula.metrics();
    for name in metric.inputs() {
        if metric_of(name.as_str()).is_none() {
            let path = if named.contains(&name) {
                "formula"
            } else {
                "weight"
            };
            problems.extend(missing(name.as_str(), path));
        }
    }
    let mut walk = Walk {
        metric_of,
        line: vec![metric.name.clone()],
        seen: BTreeSet::new(),
    };
    if let Some(problem) = walk.down(metric) {
        // A metric in its own formula is told without looking at others.
        if !metric.inputs().contains(&&metric.name) {
            problems.push(problem);
        }
        return;
    }
    let mut known = BTreeMap::new();
    if let Err(error) = unit_of(metric, formula, metric_of, &mut known) {
        let mut problem = Problem::new("definition.formula_unit", "formula", error.to_string());
        problem.hint = match error {
            UnitError::Compound { .. } => Some("state `unit`, such as `unit: USD/h`".to_owned()),
            UnitError::Differ { .. } => None,
        };
        problems.push(problem);
    }
}

/// Follows formulas down to what is fetched.
struct Walk<'a> {
    metric_of: Find<'a>,
    line: Vec<Name>,
    seen: BTreeSet<Name>,
}

impl Walk<'_> {
    /// Returns what stands in the way.
    fn down(&mut self, metric: &Metric) -> Option<Problem> {
        for name in metric.inputs() {
            if self.line.contains(name) {
                let mut names: Vec<&str> = self.line.iter().map(Name::as_str).collect();
                names.push(name.as_str());
                let message = format!(
                    "a metric cannot be calculated from itself: {}",
                    names.join(" from ")
                );
                return Some(refused("definition.formula_cycle", message));
            }
            if !self.seen.insert(name.clone()) {
                continue;
            }
            if self.seen.len() > MAX_FORMULA_SOURCES {
                let message = format!("stands on more than {MAX_FORMULA_SOURCES} metrics");
                return Some(refused("definition.formula", message));
            }
            if self.line.len() >= MAX_FORMULA_DEPTH {
                let message =
                    format!("more than {MAX_FORMULA_DEPTH} calculated metrics on one another");
                return Some(refused("definition.formula", message));
            }
            if let Some(input) = (self.metric_of)(name.as_str()) {
                self.line.push(name.clone());
                let found = self.down(&input);
                self.line.pop();
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}

fn refused(code: &'static str, message: String) -> Problem {
    Problem::new(code, "formula", message)
}

/// Returns what a calculated metric is counted in. There are no cycles any more.
fn unit_of(
    metric: &Metric,
    formula: &Formula,
    metric_of: Find<'_>,
    known: &mut BTreeMap<Name, FormulaUnit>,
) -> Result<FormulaUnit, UnitError> {
    for name in formula.metrics() {
        if known.contains_key(name) {
            continue;
        }
        let unit = match metric_of(name.as_str()) {
            None => FormulaUnit::Unknown,
            Some(input) => match &input.formula {
                // What is wrong with it is told where it is defined.
                Some(inner) => {
                    unit_of(&input, inner, metric_of, known).unwrap_or(FormulaUnit::Unknown)
                }
                None => input.counted_in(),
            },
        };
        known.insert(name.clone(), unit);
    }
    let of = |name: &Name| known.get(name).cloned().unwrap_or(FormulaUnit::Unknown);
    formula.unit(&of, metric.unit.as_deref())
}
