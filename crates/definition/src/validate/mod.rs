//! What the types cannot say: addresses, headers, templates, references, and what fits together.

mod address;
mod auth;
mod calculated;
pub(crate) mod graphql;
mod headers;
mod metric;
mod pagination;
mod parents;
mod request;
mod secrets;
mod used;
mod variables;

pub(crate) use metric::check_cron;
use std::collections::HashMap;

pub(crate) use used::references;

pub use secrets::{is_secret_header, is_secret_parameter};

use crate::bundle::{Bundle, Definition, Kind, Known, Located};
use crate::connection::Connection;
use crate::dataset::Dataset;
use crate::node::join;
use crate::problem::{Problem, nearest};

/// Checks a definition without looking at others; problems have paths and no places.
pub(crate) fn alone(located: &Located) -> Vec<Problem> {
    let mut problems = Vec::new();
    match &located.definition {
        Definition::Connection(connection) => check_connection(connection, &mut problems),
        Definition::Dataset(dataset) => check_dataset(dataset, &mut problems),
        Definition::Metric(metric) if metric.formula.is_some() || located.is_broken("formula") => {
            calculated::check(located, metric, &mut problems);
        }
        Definition::Metric(metric) => metric::check(metric, &mut problems),
        Definition::Goal(goal) => used::check_goal(goal, &mut problems),
        Definition::Alert(alert) => used::check_targets(&alert.deliver, &mut problems),
        Definition::Board(_) => {}
        Definition::Scorecard(scorecard) => used::check_scorecard(scorecard, &mut problems),
    }
    problems
}

/// Checks definitions against one another and against what is known.
pub(crate) fn together(bundle: &Bundle, known: &dyn Known) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: HashMap<(Kind, &str), &Located> = HashMap::new();
    for located in &bundle.definitions {
        let (kind, name) = (
            located.definition.kind(),
            located.definition.name().as_str(),
        );
        if located.is_broken("name") {
            continue;
        }
        if let Some(first) = seen.get(&(kind, name)) {
            let (line, _) = first.position("name");
            let problem = Problem::new(
                "definition.name_taken",
                "name",
                format!("there are two definitions of the {kind} `{name}`"),
            );
            let problem = if line > 0 {
                problem.hint(format!(
                    "the first one is in {} on line {line}",
                    first.source
                ))
            } else {
                problem
            };
            problems.push(located.place(problem));
        } else {
            seen.insert((kind, name), located);
        }
    }
    let names = |kind| {
        let names: Vec<&str> = seen
            .keys()
            .filter(|(other, _)| *other == kind)
            .map(|(_, name)| *name)
            .collect();
        names
    };
    let dataset_of = |name: &str| match seen
        .get(&(Kind::Dataset, name))
        .map(|located| &located.definition)
    {
        Some(Definition::Dataset(dataset)) => Some(dataset.clone()),
        _ => known.dataset(name),
    };
    let connection_of = |name: &str| match seen
        .get(&(Kind::Connection, name))
        .map(|located| &located.definition)
    {
        Some(Definition::Connection(connection)) => Some(connection.clone()),
        _ => known.connection(name),
    };
    let dataset_missing = |name: &str, path: &str| {
        let message = format!("there is no dataset `{name}`");
        let problem = Problem::new("definition.dataset_unknown", path, message);
        suggest(problem, name, &names(Kind::Dataset))
    };
    let connection_missing = |name: &str, path: &str| {
        let there =
            seen.contains_key(&(Kind::Connection, name)) || known.connection(name).is_some();
        (!there && !bundle.may_hide(Kind::Connection)).then(|| {
            let problem = Problem::new(
                "definition.connection_unknown",
                path,
                format!("there is no connection `{name}`"),
            );
            suggest(problem, name, &names(Kind::Connection))
        })
    };
    let metric_of = |name: &str| match seen
        .get(&(Kind::Metric, name))
        .map(|located| &located.definition)
    {
        Some(Definition::Metric(metric)) => Some(metric.clone()),
        _ => known.metric(name),
    };
    let goal_of = |name: &str| match seen
        .get(&(Kind::Goal, name))
        .map(|located| &located.definition)
    {
        Some(Definition::Goal(goal)) => Some(goal.clone()),
        _ => known.goal(name),
    };
    for located in &bundle.definitions {
        let mut found = Vec::new();
        match &located.definition {
            Definition::Goal(_)
            | Definition::Alert(_)
            | Definition::Board(_)
            | Definition::Scorecard(_) => {
                for used in used::references(&located.definition) {
                    let metric = match used.kind {
                        Kind::Metric => metric_of(used.name),
                        _ => None,
                    };
                    let is_board = matches!(located.definition, Definition::Board(_));
                    if metric.as_ref().is_some_and(|one| one.formula.is_some()) && !is_board {
                        let message = format!(
                            "`{}` is calculated; goals, alerts and scorecards over calculated metrics are not supported yet",
                            used.name
                        );
                        found.push(
                            Problem::new("definition.not_yet", used.path, message)
                                .hint("show it on a board, or watch one of its inputs"),
                        );
                        continue;
                    }
                    let there = match used.kind {
                        Kind::Goal => goal_of(used.name).is_some(),
                        _ => metric.is_some(),
                    };
                    if there || bundle.may_hide(used.kind) {
                        continue;
                    }
                    let code = match used.kind {
                        Kind::Goal => "definition.goal_unknown",
                        _ => "definition.metric_unknown",
                    };
                    let message = format!("there is no {} `{}`", used.kind, used.name);
                    let problem = Problem::new(code, used.path, message);
                    found.push(suggest(problem, used.name, &names(used.kind)));
                }
                if let Definition::Goal(goal) = &located.definition
                    && let Some(metric) = metric_of(&goal.metric)
                {
                    let dataset = metric.dataset.as_ref().and_then(|name| dataset_of(name));
                    used::check_goal_of(goal, &metric, dataset.as_ref(), &mut found);
                }
            }
            Definition::Connection(connection) => {
                if let Some(connector) = connection
                    .connector
                    .as_deref()
                    .filter(|name| !known.connector(name))
                {
                    let message = format!(
                        "the catalogue has no connector {}",
                        crate::problem::quoted(connector)
                    );
                    found.push(
                        Problem::new("definition.not_yet", "connector", message)
                            .hint("leave `connector` out and write base_url and auth"),
                    );
                } else if connection.base_url.is_empty() && connection.connector.is_some() {
                    let message = "an address is needed: this connector has none of its own";
                    found.push(Problem::new("definition.url_invalid", "base_url", message));
                }
            }
            Definition::Dataset(dataset) => {
                found.extend(connection_missing(&dataset.connection, "connection"));
                if let Some(connection) = connection_of(&dataset.connection) {
                    variables::check_used(&connection, &dataset.request, &mut found);
                }
                let missing = |name: &str| {
                    (!bundle.may_hide(Kind::Dataset))
                        .then(|| dataset_missing(name, "parent.dataset"))
                };
                parents::check(dataset, &dataset_of, &missing, &mut found);
            }
            Definition::Metric(metric) if metric.formula.is_some() => {
                let missing = |name: &str, path: &str| {
                    let message = format!("there is no metric `{name}`");
                    let problem = Problem::new("definition.metric_unknown", path, message);
                    (!bundle.may_hide(Kind::Metric))
                        .then(|| suggest(problem, name, &names(Kind::Metric)))
                };
                calculated::check_inputs(metric, &metric_of, &missing, &mut found);
            }
            Definition::Metric(metric) => {
                if let Some(connection) = &metric.connection {
                    found.extend(connection_missing(connection, "connection"));
                    if let Some(request) = &metric.request
                        && let Some(connection) = connection_of(connection)
                    {
                        variables::check_used(&connection, request, &mut found);
                    }
                }
                if let Some(name) = &metric.dataset {
                    if let Some(dataset) = dataset_of(name) {
                        metric::check_rules(metric, Some(&dataset), &mut found);
                    } else if !bundle.may_hide(Kind::Dataset) {
                        found.push(dataset_missing(name, "dataset"));
                    }
                }
            }
        }
        let news = found
            .into_iter()
            .filter(|problem| !located.is_broken(&problem.path));
        problems.extend(news.map(|problem| located.place(problem)));
    }
    problems
}

fn suggest(problem: Problem, name: &str, names: &[&str]) -> Problem {
    match nearest(name, names.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("define it in the same bundle, or apply it first"),
    }
}

fn check_connection(connection: &Connection, problems: &mut Vec<Problem>) {
    // A connector gives the address; that it did is checked where the catalogue is known.
    if connection.connector.is_none() || !connection.base_url.is_empty() {
        address::check_base_url(connection, problems);
    }
    variables::check(connection, problems);
    headers::check(&connection.headers, "headers", problems);
    for (name, text) in &connection.headers {
        variables::check_constant(connection, text, &join("headers", name), problems);
    }
    auth::check(&connection.auth, problems);
}

fn check_dataset(dataset: &Dataset, problems: &mut Vec<Problem>) {
    let (window, parent) = (dataset.window.as_ref(), dataset.parent.as_ref());
    request::check(&dataset.request, window, parent, problems);
    if let Some(schedule) = &dataset.schedule {
        metric::check_schedule(schedule, problems);
    }
}

/// Makes a problem of a template error.
pub(crate) fn templated(path: &str, error: crate::template::TemplateError) -> Problem {
    let mut problem = Problem::new(error.code, path, error.message);
    problem.hint = error.hint;
    problem
}
