//! `preview`: what becomes of a draft, from the request to the first buckets.

use serde_json::{Value, json};

use super::definitions::list;
use super::{Done, read_input};
use crate::cli::{Output, Preview};
use crate::client::Client;
use crate::draft::{select, tree};
use crate::failure::Failure;
use crate::output::{self, cell};

/// Lines of rows, rejected rows and buckets that are printed; `-o json` has more.
const LINES: usize = 12;
/// Suggestions that are printed.
const SUGGESTIONS: usize = 6;

/// Asks for a preview and prints it; exit code 1 when nothing came of it.
pub(crate) async fn run(arguments: &Preview) -> Done {
    let client = Client::new(&arguments.remote)?;
    let mut question = json!({});
    if let Some(file) = &arguments.file {
        question["definitions"] = read_input(file)?.into();
        question["source"] = file.display().to_string().into();
    } else if arguments.metric.is_none() {
        return Err(Failure::invalid(
            "name a file with a draft metric, or an applied one with --metric",
        ));
    }
    for (name, value) in [
        ("metric", arguments.metric.clone().map(Value::from)),
        ("pages", arguments.pages.map(Value::from)),
        ("draft", arguments.draft.clone().map(Value::from)),
        ("expression", arguments.expression.clone().map(Value::from)),
    ] {
        if let Some(value) = value {
            question[name] = value;
        }
    }
    let answer = client.post("/preview", &question).await?;
    match client.output {
        Output::Json => say!("{}", output::json(&answer)),
        Output::Table | Output::Csv => output::say(format_args!("{}", page(&answer, arguments))),
    }
    if answer.get("error").is_none_or(Value::is_null) {
        Ok(())
    } else {
        Err(Failure::said())
    }
}

/// The whole answer as text.
fn page(answer: &Value, arguments: &Preview) -> String {
    let mut text = Text::default();
    exchanges(answer, &mut text);
    fetched(answer, &mut text);
    error(answer, &mut text);
    tree_of(answer, &mut text);
    suggestions(answer, &mut text);
    evaluation(answer, &mut text);
    warnings(answer, &mut text);
    again(answer, arguments, &mut text);
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    /// A heading with lines below it; nothing without lines.
    fn block(&mut self, heading: &str, lines: impl IntoIterator<Item = String>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return;
        }
        self.line("");
        self.line(heading);
        for line in lines {
            self.line(format!("  {line}"));
        }
    }

    fn table(&mut self, heading: &str, header: &[&str], rows: &[Vec<String>]) {
        if !rows.is_empty() {
            let table = output::table(header, rows);
            self.block(heading, table.lines().map(str::to_owned));
        }
    }
}

fn text_of(value: &Value, name: &str) -> String {
    cell(value.get(name))
}

fn exchanges(answer: &Value, text: &mut Text) {
    if answer.get("again").and_then(Value::as_bool) == Some(true) {
        text.line("pages of an earlier preview; nothing was sent");
        return;
    }
    let mut own = list(answer, "exchanges").iter();
    let Some(first) = own
        .find(|one| one.get("asks").is_none_or(Value::is_null))
        .or_else(|| list(answer, "exchanges").first())
    else {
        text.line("nothing was sent");
        return;
    };
    let request = first.get("request").unwrap_or(&Value::Null);
    text.line(format!(
        "{} {}",
        text_of(request, "method"),
        text_of(request, "url")
    ));
    for header in list(request, "headers") {
        text.line(format!(
            "  > {}: {}",
            text_of(header, "name"),
            text_of(header, "value")
        ));
    }
    for line in text_of(request, "body").lines() {
        text.line(format!("  > {line}"));
    }
    for header in list(first, "headers") {
        text.line(format!(
            "  < {}: {}",
            text_of(header, "name"),
            text_of(header, "value")
        ));
    }
}

fn fetched(answer: &Value, text: &mut Text) {
    let records = |page: &Value| {
        let pages = list(answer, "pages").iter();
        let own = pages
            .into_iter()
            .find(|one| one.get("number") == page.get("page"));
        own.map(|own| text_of(own, "records")).unwrap_or_default()
    };
    let is_other = |one: &Value| !one.get("asks").is_none_or(Value::is_null);
    // What the pages depend on comes first, in its own order.
    let mut exchanges: Vec<&Value> = list(answer, "exchanges").iter().collect();
    exchanges.sort_by_key(|one| {
        let place = |name: &str| one.get(name).and_then(Value::as_u64);
        let own = (!is_other(one)).then(|| (place("page"), place("try")));
        (own.is_some(), own)
    });
    let rows: Vec<Vec<String>> = exchanges
        .into_iter()
        .map(|one| {
            let url = one.pointer("/request/url");
            let problem = one.pointer("/error/code");
            let status = text_of(one, "status");
            vec![
                if is_other(one) {
                    text_of(one, "asks")
                } else {
                    text_of(one, "page")
                },
                if status.is_empty() {
                    cell(problem)
                } else {
                    status
                },
                if problem.is_none() && !is_other(one) {
                    records(one)
                } else {
                    String::new()
                },
                text_of(one, "bytes"),
                format!("{} ms", text_of(one, "took_ms")),
                cell(url),
            ]
        })
        .collect();
    text.table(
        "pages",
        &["page", "status", "records", "bytes", "time", "url"],
        &rows,
    );
    let count = list(answer, "pages").len();
    let mut ended = format!(
        "{} after {} ({})",
        text_of(answer, "outcome"),
        counted(count as u64, "page"),
        text_of(answer, "ended")
    );
    for (name, noun) in [("stated_pages", "pages"), ("stated_total", "records")] {
        let stated = text_of(answer, name);
        if !stated.is_empty() {
            ended = format!("{ended}; the API states {stated} {noun}");
        }
    }
    text.line(format!("  {ended}"));
    for parent in list(answer, "parents") {
        let count = parent.get("records").and_then(Value::as_u64);
        let more = parent.get("more").and_then(Value::as_bool) == Some(true);
        text.line(format!(
            "  asked for the first {} of `{}`{}",
            counted(count.unwrap_or_default(), "record"),
            text_of(parent, "dataset"),
            if more { ", of more" } else { "" }
        ));
    }
    pagination(answer, text);
}

/// How pages seem to follow one another, where that is not what is written.
fn pagination(answer: &Value, text: &mut Text) {
    let written = answer.pointer("/pagination/written");
    let Some(detected) = answer
        .pointer("/pagination/detected")
        .filter(|detected| !detected.is_null())
    else {
        return;
    };
    let is_written = |one: &Value| {
        let strategy = |value: Option<&Value>| match value {
            Some(Value::Object(fields)) => fields.keys().next().cloned(),
            other => other.and_then(Value::as_str).map(str::to_owned),
        };
        strategy(one.get("pagination")) == strategy(written)
    };
    if is_written(detected) {
        return;
    }
    let one = |candidate: &Value| {
        let mut lines = vec![format!(
            "pagination: {}   # {}",
            candidate
                .get("pagination")
                .map(select::flow)
                .unwrap_or_default(),
            text_of(candidate, "certainty")
        )];
        for (name, mark) in [("reasons", "seen"), ("doubts", "to be checked")] {
            let texts = list(candidate, name).iter();
            lines.extend(texts.map(|reason| format!("  {mark}: {}", cell(Some(reason)))));
        }
        lines
    };
    let mut lines = one(detected);
    if text_of(detected, "certainty") != "sure" {
        lines.extend(list(detected, "others").iter().flat_map(one));
    }
    let used = detected.get("used").and_then(Value::as_bool) == Some(true);
    text.block(
        if used {
            "pagination, recognised from the first answer; write it into the request"
        } else {
            "pagination, as the first answer seems to have it"
        },
        lines,
    );
}

fn error(answer: &Value, text: &mut Text) {
    let Some(error) = answer.get("error").filter(|error| !error.is_null()) else {
        return;
    };
    text.line("");
    text.line(format!(
        "error: {} [{}]",
        text_of(error, "message"),
        text_of(error, "code")
    ));
    let excerpt = text_of(error, "excerpt");
    if !excerpt.is_empty() {
        text.line(format!("  the API said: {excerpt}"));
    }
}

fn tree_of(answer: &Value, text: &mut Text) {
    let tree = answer.get("tree").filter(|tree| !tree.is_null());
    let profile = tree.and_then(|tree| serde_json::from_value(tree.clone()).ok());
    if let Some(profile) = profile {
        text.block("tree", tree::lines(&profile));
    }
}

fn suggestions(answer: &Value, text: &mut Text) {
    let mut lines = Vec::new();
    for (place, one) in (1..).zip(list(answer, "suggestions").iter().take(SUGGESTIONS)) {
        lines.push(format!(
            "{place}. {} ({})",
            text_of(one, "title"),
            text_of(one, "why")
        ));
        let written = one.get("select").map(select::lines).unwrap_or_default();
        lines.extend(written.into_iter().map(|line| format!("     {line}")));
        let (kind, aggregation) = (text_of(one, "type"), text_of(one, "aggregation"));
        if kind != "events" || aggregation != "sum" {
            lines.push(format!("     # type: {kind}, aggregation: {aggregation}"));
        }
    }
    text.block("suggestions for `select`", lines);
}

fn evaluation(answer: &Value, text: &mut Text) {
    let expression = text_of(answer, "expression");
    if expression.is_empty() {
        return;
    }
    let from = match text_of(answer, "evaluated").as_str() {
        "select" => "generated from `select`",
        "suggestion" => "of the first suggestion, since the metric selects nothing yet",
        _ => "as written",
    };
    text.block(
        &format!("expression ({from})"),
        expression.lines().map(str::to_owned),
    );
    let rows: Vec<Vec<String>> = list(answer, "rows")
        .iter()
        .take(LINES)
        .map(|row| {
            ["page", "row", "date", "value", "unit", "dimensions", "key"]
                .map(|name| pairs(row.get(name)))
                .to_vec()
        })
        .collect();
    let total = answer
        .get("rows_total")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    text.table(
        &heading("rows", rows.len(), total),
        &["page", "row", "date", "value", "unit", "dimensions", "key"],
        &rows,
    );
    let rejected: Vec<Vec<String>> = list(answer, "rejected")
        .iter()
        .take(LINES)
        .map(|row| {
            ["page", "row", "code", "reason", "sample"]
                .map(|name| cut(&text_of(row, name)))
                .to_vec()
        })
        .collect();
    let total = answer.get("rejected_total").and_then(Value::as_u64);
    text.table(
        &heading("rejected rows", rejected.len(), total.unwrap_or(0)),
        &["page", "row", "code", "reason", "sample"],
        &rejected,
    );
    let all = list(answer, "buckets");
    let buckets: Vec<Vec<String>> = all[all.len().saturating_sub(LINES)..]
        .iter()
        .map(|bucket| {
            ["start", "dimensions", "unit", "value", "rows"]
                .map(|name| pairs(bucket.get(name)))
                .to_vec()
        })
        .collect();
    let total = answer.get("buckets_total").and_then(Value::as_u64);
    text.table(
        &heading("newest buckets", buckets.len(), total.unwrap_or(0)),
        &["start", "dimensions", "unit", "value", "rows"],
        &buckets,
    );
}

fn warnings(answer: &Value, text: &mut Text) {
    let mut lines = Vec::new();
    for one in list(answer, "warnings") {
        lines.push(format!(
            "{} [{}]",
            text_of(one, "message"),
            text_of(one, "code")
        ));
        let hint = text_of(one, "hint");
        if !hint.is_empty() {
            lines.push(format!("  {hint}"));
        }
    }
    text.block("warnings", lines);
}

fn again(answer: &Value, arguments: &Preview, text: &mut Text) {
    let (draft, expires) = (text_of(answer, "draft"), text_of(answer, "expires_at"));
    if draft.is_empty() || expires.is_empty() || list(answer, "pages").is_empty() {
        return;
    }
    let what = match (&arguments.file, &arguments.metric) {
        (Some(file), None) => file.display().to_string(),
        (Some(file), Some(metric)) => format!("{} --metric {metric}", file.display()),
        (None, Some(metric)) => format!("--metric {metric}"),
        (None, None) => String::new(),
    };
    text.block(
        "to try another expression on these pages, without a request:",
        [format!(
            "tidemark preview {what} --draft {draft} --expression '…'   (until {expires})"
        )],
    );
}

fn heading(noun: &str, shown: usize, total: u64) -> String {
    if shown as u64 == total {
        format!("{noun} ({total})")
    } else {
        format!("{noun} ({shown} of {total})")
    }
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// `state=active`, and anything else as it is.
fn pairs(value: Option<&Value>) -> String {
    match value {
        Some(Value::Object(fields)) => {
            let pairs = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", cell(Some(value))));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => cut(&cell(other)),
    }
}

/// One line that fits a terminal.
fn cut(text: &str) -> String {
    const MOST: usize = 100;
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
