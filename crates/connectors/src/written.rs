use std::fmt::Write as _;

use definition::flow;
use serde_json::{Map, Value};

use crate::card::Connector;

impl Connector {
    /// Writes a ready bundle: the connection and one metric, with the next steps as comments.
    ///
    /// `None` when there is no such metric.
    pub fn definition_of(&self, metric: &str) -> Option<String> {
        let found = self.metric(metric)?;
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_steps(&mut text, metric, found);
        let _ = self.write_connection(&mut text);
        text.push_str("---\nkind: metric\n");
        for line in self.metric_lines(metric) {
            text.push_str(&line);
            text.push('\n');
            if line.starts_with("name:") {
                let _ = writeln!(text, "connection: {}", self.name);
            }
        }
        Some(text)
    }

    fn write_steps(
        &self,
        text: &mut String,
        metric: &str,
        found: &Map<String, Value>,
    ) -> std::fmt::Result {
        let title = found.get("title").and_then(Value::as_str).unwrap_or(metric);
        writeln!(text, "# {}: {title}", self.title)?;
        writeln!(text, "#")?;
        let mut step = 0;
        let mut next = |text: &mut String, line: &str| {
            step += 1;
            writeln!(text, "# {step}. {line}")
        };
        for (name, variable) in &self.variables {
            let line = format!("Write your {name} under `variables`: {}", variable.about);
            next(text, &line)?;
        }
        next(text, "tidemark apply FILE")?;
        if let (Some(auth), Some(connection)) = (self.auth.first(), &self.connection) {
            let line = format!("Find the credential ({}): {}", auth.title, auth.find);
            next(text, &line)?;
            writeln!(text, "#    {}", auth.link)?;
            if let Some(warning) = &auth.warning {
                writeln!(text, "#    Careful: {warning}")?;
            }
            for secret in connection.secrets() {
                let line = format!("tidemark secret set {secret}    # reads the value from stdin");
                next(text, &line)?;
            }
        }
        next(text, &format!("tidemark sync {metric} --wait"))?;
        next(
            text,
            &format!("tidemark query {metric} --range last_30_days"),
        )?;
        if !self.limitations.is_empty() {
            writeln!(text, "#\n# Know that:")?;
            for limitation in &self.limitations {
                writeln!(text, "# - {limitation}")?;
            }
        }
        Ok(())
    }

    fn write_connection(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "kind: connection")?;
        let document = self.connection_document();
        for (key, value) in document.as_object().into_iter().flatten() {
            let note = match key.as_str() {
                "variables" => "  # examples: write yours",
                _ => "",
            };
            writeln!(text, "{key}: {}{note}", flow(value))?;
        }
        Ok(())
    }

    /// Returns the lines of a metric as its file has them, comments included, moved to the margin.
    fn metric_lines(&self, metric: &str) -> Vec<String> {
        let section = self
            .text
            .lines()
            .skip_while(|line| !line.starts_with("metrics:"))
            .skip(1)
            .take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
        let begins = format!("name: {metric}");
        let mut lines = Vec::new();
        for line in section {
            if let Some(first) = line.strip_prefix("  - ") {
                if !lines.is_empty() {
                    break;
                }
                if first.trim_end() == begins {
                    lines.push(first.to_owned());
                }
            } else if !lines.is_empty() {
                lines.push(line.strip_prefix("    ").unwrap_or(line).to_owned());
            }
        }
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use definition::{Definition, Severity};

    use crate::catalogue::all;
    use crate::fill::Catalogued;

    #[test]
    fn every_ready_metric_is_a_valid_definition_when_it_is_written_out() {
        for connector in all() {
            for (name, _) in connector.metric_names() {
                let text = connector.definition_of(name).unwrap();
                let bundle = definition::parse(&text, name)
                    .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
                let problems = bundle.validate(&Catalogued);
                assert!(
                    problems.iter().all(|one| one.severity == Severity::Warning),
                    "{problems:#?}\n{text}"
                );
                assert!(problems.is_empty(), "{problems:#?}\n{text}");
                let [connection, metric] = bundle.definitions.as_slice() else {
                    panic!("a connection and a metric:\n{text}");
                };
                assert_eq!(connection.definition.name().as_str(), connector.name);
                let Definition::Metric(metric) = &metric.definition else {
                    panic!("a metric:\n{text}");
                };
                let mut written = connector.metric(name).unwrap().clone();
                written.insert("connection".into(), connector.name.clone().into());
                let from_file = definition::Metric::from_document(&written.into()).unwrap();
                assert_eq!(*metric, from_file, "the text is what the file says");
            }
        }
    }
}
