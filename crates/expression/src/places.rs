//! Where the expressions of a definition are.

use definition::{Conditions, Definition, Records, Request, Select, ValueSelect, Variable};

/// Where the expressions of a definition are, with their texts.
pub(crate) fn expressions(definition: &Definition) -> Vec<(String, String)> {
    let mut found = Vec::new();
    match definition {
        Definition::Metric(metric) => {
            if let Some(request) = &metric.request {
                of_request(request, &mut found);
            }
            of_select(&metric.select, &mut found);
            if let Some(expression) = &metric.expression {
                found.push(("expression".to_owned(), expression.clone()));
            }
        }
        Definition::Dataset(dataset) => {
            of_request(&dataset.request, &mut found);
            let counts = dataset.parent.as_ref().and_then(|one| one.where_.clone());
            found.extend(counts.map(|condition| ("parent.where".to_owned(), condition)));
            if let Some(records) = &dataset.records {
                of_records("records", records, &mut found);
            }
            if let Some(condition) = &dataset.where_ {
                found.push(("where".to_owned(), condition.clone()));
            }
            if let Some(date) = &dataset.date {
                found.push(("date.path".to_owned(), date.path.clone()));
            }
            if let Some(key) = &dataset.key {
                found.push(("key".to_owned(), key.clone()));
            }
        }
        Definition::Connection(connection) => {
            for (name, variable) in &connection.variables {
                if let Variable::LookedUp(look_up) = variable {
                    found.push((format!("variables.{name}.select"), look_up.select.clone()));
                }
            }
            of_conditions("", &connection.conditions, &mut found);
        }
        Definition::Goal(_)
        | Definition::Alert(_)
        | Definition::Board(_)
        | Definition::Scorecard(_) => {}
    }
    found
}

fn of_conditions(before: &str, conditions: &Conditions, found: &mut Vec<(String, String)>) {
    let each = conditions.expressions();
    found.extend(each.map(|(key, source)| (format!("{before}{key}"), source.to_owned())));
}

fn of_request(request: &Request, found: &mut Vec<(String, String)>) {
    of_conditions("request.", &request.conditions, found);
    let strategy = request.pagination.as_str();
    for (key, source) in request.pagination.sources() {
        if let Some(expression) = source.expression() {
            let place = format!("request.pagination.{strategy}.{key}");
            found.push((place, expression.to_owned()));
        }
    }
}

fn of_records(place: &str, records: &Records, found: &mut Vec<(String, String)>) {
    match records {
        Records::Path(path) => found.push((place.to_owned(), path.clone())),
        Records::Entries { entries } => found.push((format!("{place}.entries"), entries.clone())),
        Records::Zip { zip } => {
            let items = zip.iter().enumerate();
            found.extend(items.map(|(item, path)| (format!("{place}.zip[{item}]"), path.clone())));
        }
    }
}

fn of_select(select: &Select, found: &mut Vec<(String, String)>) {
    if let Some(records) = &select.records {
        of_records("select.records", records, found);
    }
    let mut push = |name: &str, path: &Option<String>| {
        if let Some(path) = path {
            found.push((format!("select.{name}"), path.clone()));
        }
    };
    push("where", &select.where_);
    push("deleted", &select.deleted);
    if let Some(ValueSelect::Path { path, .. }) = &select.value {
        push("value.path", &Some(path.clone()));
    }
    for (name, path) in &select.dimensions {
        push(&format!("dimensions.{name}"), &Some(path.clone()));
    }
    push("unit", &select.unit);
    push(
        "date.path",
        &select.date.as_ref().map(|date| date.path.clone()),
    );
    push("key", &select.key);
}
