//! `connectors`: the known APIs, one of them on a card, or a ready definition.

use connectors::Connector;
use serde_json::Value;

use super::Done;
use super::definitions::print_rows;
use crate::cli::{Connectors, Output};
use crate::failure::Failure;
use crate::output;

/// Columns of a card's text; terminals are rarely narrower.
const WIDTH: usize = 96;

/// Lists the catalogue, shows one entry, or writes a definition of it. Needs no gateway.
pub(crate) fn connectors(arguments: &Connectors) -> Done {
    let Some(name) = &arguments.name else {
        return list(arguments);
    };
    let Some(found) = connectors::find(name) else {
        let near = connectors::search(name);
        let hint = near.first().map_or_else(
            || "run `tidemark connectors` for the list".to_owned(),
            |one| format!("did you mean `{}`?", one.name),
        );
        return Err(Failure::invalid(format!("no connector `{name}`: {hint}")));
    };
    if let Some(metric) = &arguments.metric {
        let Some(text) = found.definition_of(metric) else {
            let names: Vec<&str> = found.metric_names().map(|(name, _)| name).collect();
            return Err(Failure::invalid(format!(
                "`{name}` has no metric `{metric}`: it has {}",
                names.join(", ")
            )));
        };
        output::say(format_args!("{text}"));
        return Ok(());
    }
    match arguments.output {
        Output::Json => say!("{}", output::json(&json(found)?)),
        Output::Table | Output::Csv => output::say(format_args!("{}", card(found))),
    }
    Ok(())
}

fn list(arguments: &Connectors) -> Done {
    let found = connectors::search(arguments.search.as_deref().unwrap_or_default());
    let values: Vec<Value> = found
        .iter()
        .map(|one| json(one))
        .collect::<Result<_, Failure>>()?;
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            vec![
                one.name.clone(),
                one.title.clone(),
                one.category.clone(),
                one.status.as_str().to_owned(),
                one.metrics.len().to_string(),
            ]
        })
        .collect();
    if rows.is_empty() && arguments.output == Output::Table {
        eprintln!("no connector holds these words; any other API works too: `tidemark try URL`");
        return Ok(());
    }
    let header = ["name", "title", "category", "status", "metrics"];
    print_rows(arguments.output, &Value::Array(values), &header, &rows);
    if arguments.output == Output::Table {
        eprintln!("\n`tidemark connectors NAME` shows one; `--metric METRIC` writes a definition");
    }
    Ok(())
}

fn json(connector: &Connector) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(connector)?;
    value["connection"] = connector.connection_document();
    Ok(value)
}

/// Draws all that is known of an API.
fn card(one: &Connector) -> String {
    let mut card = Card(String::new());
    card.line(&format!(
        "{} ({}, {})",
        one.title,
        one.name,
        one.status.as_str()
    ));
    card.line(&one.summary);
    card.head("Address");
    card.item(&one.base_url);
    for (name, variable) in &one.variables {
        card.item(&format!(
            "{name}: {} For example `{}`.",
            variable.about, variable.example
        ));
    }
    card.head("Signing in");
    if one.auth.is_empty() {
        card.item("not needed");
    }
    for auth in &one.auth {
        card.item(&format!(
            "{}: {}",
            auth.title,
            definition::flow(&auth.shape)
        ));
        card.item(&format!("  find it: {}", auth.find));
        card.item(&format!("  {}", auth.link));
        if let Some(warning) = &auth.warning {
            card.item(&format!("  careful: {warning}"));
        }
    }
    card.item(&format!(
        "plan: {}; who: {}",
        one.access.plan, one.access.kind
    ));
    if !one.scopes.is_empty() {
        card.item(&format!("scopes: {}", one.scopes.join(", ")));
    }
    card.head("Limits and dates");
    if let Some(limit) = &one.rate_limit {
        card.item(&format!("rate_limit: {}", definition::flow(limit)));
    }
    if let Some(note) = &one.rate_limit_note {
        card.item(note);
    }
    if let Some(pagination) = &one.pagination {
        card.item(&format!("pagination: {}", definition::flow(pagination)));
    }
    card.item(&format!("time zone: {}", one.timezone));
    card.item(&format!("dates in requests: {}", one.dynamic_dates.about));
    let others = match one.versions.others.as_slice() {
        [] => String::new(),
        others => format!(" (also {})", others.join(", ")),
    };
    let chosen = one.versions.chosen_by.as_deref();
    let chosen = chosen
        .map(|by| format!(", chosen by {by}"))
        .unwrap_or_default();
    card.item(&format!("version: {}{others}{chosen}", one.versions.used));
    card.head("What can be asked");
    for endpoint in &one.endpoints {
        card.item(&format!(
            "{} {}: {}",
            endpoint.method, endpoint.path, endpoint.what
        ));
    }
    card.head("Ready metrics");
    for (name, title) in one.metric_names() {
        card.item(&format!("{name}: {title}"));
    }
    if !one.limitations.is_empty() {
        card.head("Know that");
        for limitation in &one.limitations {
            card.item(limitation);
        }
    }
    card.head("Links");
    let links = &one.links;
    card.item(&format!("documentation: {}", links.documentation));
    for (what, link) in [
        ("status", &links.status),
        ("changelog", &links.changelog),
        ("keys", &links.keys),
    ] {
        if let Some(link) = link {
            card.item(&format!("{what}: {link}"));
        }
    }
    card.item(&format!("facts from: {}", one.sources.join(" ")));
    if let Some((name, _)) = one.metric_names().next() {
        card.head("Next");
        card.item(&format!(
            "tidemark connectors {} --metric {name} > {}.yaml",
            one.name, one.name
        ));
    }
    card.0
}

/// A card under way: headings at the margin, items below them, long ones wrapped.
struct Card(String);

impl Card {
    fn line(&mut self, text: &str) {
        self.wrapped(text, "");
    }

    fn head(&mut self, text: &str) {
        self.0.push('\n');
        self.line(text);
    }

    fn item(&mut self, text: &str) {
        self.wrapped(text, "  ");
    }

    fn wrapped(&mut self, text: &str, indent: &str) {
        let own = &text[..text.len() - text.trim_start().len()];
        let indent = format!("{indent}{own}");
        let mut column = indent.chars().count();
        self.0.push_str(&indent);
        for (place, word) in text.split_whitespace().enumerate() {
            let width = word.chars().count();
            if place > 0 && column + 1 + width > WIDTH {
                self.0.extend(["\n", indent.as_str(), "  "]);
                column = indent.chars().count() + 2;
            } else if place > 0 {
                self.0.push(' ');
                column += 1;
            }
            self.0.push_str(word);
            column += width;
        }
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_where_the_key_is_and_what_to_do_next() {
        let text = card(connectors::find("convertkit").unwrap());
        for part in [
            "V3 Key",
            "careful:",
            "120 requests",
            "GET /v3/purchases",
            "--metric new_subscribers",
        ] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= WIDTH || !line.trim().contains(' '))
        );
    }

    #[test]
    fn every_definition_that_is_written_passes_the_check_of_expressions_too() {
        for connector in connectors::all() {
            for (name, _) in connector.metric_names() {
                let text = connector.definition_of(name).unwrap();
                let bundle = definition::parse(&text, "written").unwrap();
                let problems = expression::check_bundle(&bundle);
                assert!(problems.is_empty(), "{problems:#?}\n{text}");
            }
        }
    }
}
