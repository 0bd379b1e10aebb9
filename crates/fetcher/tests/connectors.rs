//! Every connector against the answers its API documents: the real fetch plan, a stub, and the ready metrics.
//!
//! `crates/connectors/shapes/<name>.yaml` holds for each ready metric what is asked and what is answered, in that
//! shape; a request that is not in it exactly (parameters, body, credentials) is refused by the stub.

use crate::support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use connectors::Connector;
use definition::{Auth, Interval, Metric, TextOrSecret};
use expression::{Evaluator, Page, RunContext, Task};
use indexmap::IndexMap;
use rollup::{Row, RowValue};
use serde::Deserialize;
use serde_json::{Value, json};
use service::{Identity, SealedSecret};
use support::{Asked, Reply, Stub, answer, config, engine, sync, with_connection};
use url::Url;
use wire::{RunManifest, Window};

/// The window of every run.
const WINDOW: (&str, &str) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");

/// What one metric asks, is answered, and comes to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    exchanges: Vec<Exchange>,
    expect: Expected,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// The path and query in one, for addresses that an answer named; else those of the metric.
    path: Option<String>,
    #[serde(default)]
    query: BTreeMap<String, String>,
    body: Option<Value>,
    #[serde(default)]
    asked_headers: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    answer: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    ended: String,
    rows: usize,
    total: f64,
    #[serde(default)]
    rejected: u64,
    #[serde(default)]
    by: BTreeMap<String, BTreeMap<String, f64>>,
    /// The earliest and the latest, or the only one.
    #[serde(default)]
    dates: Vec<String>,
}

fn shapes(name: &str) -> BTreeMap<String, Shape> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/shapes");
    let path = folder.join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test]
async fn every_connector_brings_what_its_api_documents() {
    let mut paged = Vec::new();
    let mut failures = Vec::new();
    for connector in connectors::all() {
        let mut shapes = shapes(&connector.name);
        for (name, _) in connector.metric_names() {
            let Some(shape) = shapes.remove(name) else {
                failures.push(format!("{}/{name}: no recorded shape", connector.name));
                continue;
            };
            if shape.exchanges.len() > 1 {
                paged.push(connector.name.as_str());
            }
            if let Err(failure) = Box::pin(check(connector, name, shape)).await {
                failures.push(format!("{}/{name}: {failure}", connector.name));
            }
        }
        let left: Vec<&String> = shapes.keys().collect();
        assert!(
            left.is_empty(),
            "{}: no such metrics: {left:?}",
            connector.name
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for connector in connectors::all() {
        let pages = connector.pagination.is_some();
        assert!(
            !pages || paged.contains(&connector.name.as_str()),
            "{}: no shape has a second page",
            connector.name
        );
    }
}

async fn check(connector: &Connector, name: &str, shape: Shape) -> Result<(), String> {
    let mut document = connector.metric(name).expect("a metric").clone();
    document.insert("connection".into(), connector.name.clone().into());
    let document = Value::Object(document);
    let metric = Metric::from_document(&document).map_err(|problems| format!("{problems:?}"))?;
    let request = metric.request.clone().expect("a request");
    let mut request = request.to_document();
    if !document["request"]
        .as_object()
        .expect("object")
        .contains_key("pagination")
        && let Some(known) = metric
            .request
            .as_ref()
            .and_then(|one| connector.paging_of(one))
    {
        request["pagination"] = serde_json::to_value(known).expect("json");
    }
    let known = connector.connection.clone().expect("a connection");
    let base = Url::parse(&known.address().expect("an address")).expect("an address");
    let below = base.path().trim_end_matches('/').to_owned();
    let mut own_path = request["path"].as_str().unwrap_or_default().to_owned();
    for (name, variable) in &connector.variables {
        own_path = own_path.replace(&format!("{{{{ connection.{name} }}}}"), &variable.example);
    }

    let method = metric
        .request
        .as_ref()
        .expect("a request")
        .method
        .to_string();
    let spent = Arc::new(AtomicUsize::new(0));
    let script = Script {
        exchanges: shape.exchanges.clone(),
        default_path: format!("{below}{own_path}"),
        method,
        auth: known.auth.clone(),
        headers: known.headers.clone(),
        spent: spent.clone(),
    };
    let stub = Stub::start(move |asked| script.reply(asked)).await;
    let address = format!("{}{below}", stub.url());

    let mut connection = known.to_document();
    connection["base_url"] = address.clone().into();
    // Budgets live in NATS; they are tested elsewhere.
    connection
        .as_object_mut()
        .expect("object")
        .shift_remove("rate_limit");
    let identity = Identity::generate();
    let mut order = with_connection(connection, request);
    order.secrets = known
        .secrets()
        .iter()
        .map(|secret| seal(&identity, &address, secret))
        .collect();
    order.window = metric.window.map(|_| Window {
        start: WINDOW.0.to_owned(),
        end: WINDOW.1.to_owned(),
    });
    WINDOW.1.clone_into(&mut order.slot);
    order.max_pages = 0;
    let mut settings = config(&[stub.address]);
    settings.identities = vec![identity];
    let (manifest, memory) = sync(&engine(settings), &order).await;
    if let Some(error) = &manifest.error {
        return Err(format!(
            "{}: {} {}",
            error.code, error.message, error.excerpt
        ));
    }
    let bodies: Vec<Vec<u8>> = {
        let mut pages = memory.pages.lock().expect("pages").clone();
        pages.sort_by_key(|(headers, _)| headers.page);
        pages.iter().map(|(_, body)| body.to_vec()).collect()
    };
    judge(&metric, &manifest, &bodies, &shape)?;
    let asked = spent.load(Ordering::SeqCst);
    if asked != shape.exchanges.len() {
        return Err(format!("{asked} requests of {}", shape.exchanges.len()));
    }
    Ok(())
}

/// Evaluates the pages and compares with what is expected.
fn judge(
    metric: &Metric,
    manifest: &RunManifest,
    bodies: &[Vec<u8>],
    shape: &Shape,
) -> Result<(), String> {
    let expected = &shape.expect;
    if manifest.outcome != "complete" || manifest.ended != expected.ended {
        return Err(format!("{} by {}", manifest.outcome, manifest.ended));
    }
    let instant = |text: &str| text.parse().expect("an instant");
    let context = RunContext {
        window: metric
            .window
            .map(|_| Interval::new(instant(WINDOW.0), instant(WINDOW.1))),
        ..RunContext::default()
    };
    let task = Task::of(metric, None, 0);
    let text = task.expression.clone();
    let (mut evaluator, problems) =
        Evaluator::new(vec![task], &context, expression::budget::Limits::default());
    if let Some((_, problem)) = problems.first() {
        return Err(format!("{problem}: {text}"));
    }
    let pages: Vec<Page<'_>> = bodies
        .iter()
        .zip(1..)
        .map(|(bytes, number)| Page {
            bytes,
            number,
            first: number == 1,
            fetched_at: instant(WINDOW.1),
            parent: None,
        })
        .collect();
    let results = if evaluator.needs_run() {
        evaluator.eval_run(&pages)
    } else {
        pages
            .iter()
            .flat_map(|page| evaluator.eval_page(page))
            .collect()
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut rejected = 0;
    for result in results {
        if let Some(error) = result.error {
            return Err(format!("{error}: {text}"));
        }
        if result.records_missing.is_some() {
            return Err(format!("no records: {text}"));
        }
        rejected += result.rejected_count;
        if result.rejected_count > expected.rejected {
            return Err(format!("rejected {:?}: {text}", result.rejected));
        }
        rows.extend(result.rows);
    }
    // Of rows with one key, the last counts.
    let last: BTreeMap<String, usize> = rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((row.key.as_deref()?.to_owned(), at)))
        .collect();
    let rows: Vec<&Row> = rows
        .iter()
        .enumerate()
        .filter(|(at, row)| {
            row.key
                .as_deref()
                .is_none_or(|key| last.get(key) == Some(at))
        })
        .map(|(_, row)| row)
        .collect();
    let near = |left: f64, right: f64| (left - right).abs() < 1e-9;
    let total: f64 = rows.iter().map(|row| number(row)).sum();
    if rows.len() != expected.rows || !near(total, expected.total) || rejected != expected.rejected
    {
        return Err(format!(
            "{} rows, total {total}, {rejected} rejected: {text}",
            rows.len()
        ));
    }
    for (name, members) in &expected.by {
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        for row in &rows {
            let member = if name == "unit" {
                row.unit.as_deref()
            } else {
                row.dimensions.get(name)
            };
            *found
                .entry(member.unwrap_or("(none)").to_owned())
                .or_default() += number(row);
        }
        let alike = found.len() == members.len()
            && members
                .iter()
                .all(|(member, sum)| found.get(member).is_some_and(|own| near(*own, *sum)));
        if !alike {
            return Err(format!("by {name}: {found:?}"));
        }
    }
    let dates: Vec<String> = rows
        .iter()
        .filter_map(|row| row.at)
        .map(|at| at.to_string())
        .collect();
    let ends = [dates.iter().min(), dates.iter().max()];
    let expected_ends = [expected.dates.first(), expected.dates.last()];
    if !expected.dates.is_empty() && ends != expected_ends {
        return Err(format!("dates {dates:?}"));
    }
    Ok(())
}

fn number(row: &Row) -> f64 {
    match &row.value {
        RowValue::Number(number) => number.to_string().parse().expect("a number"),
        RowValue::Text(_) => 1.0,
    }
}

/// What the stub answers, and what it insists on.
struct Script {
    exchanges: Vec<Exchange>,
    default_path: String,
    method: String,
    auth: Auth,
    headers: IndexMap<String, String>,
    spent: Arc<AtomicUsize>,
}

impl Script {
    fn reply(&self, asked: &Asked) -> Reply {
        let refused = |status: &str, reason: String| {
            let body = json!({ "stub": reason }).to_string();
            answer(
                status,
                &[("Content-Type", "application/json")],
                body.as_bytes(),
            )
        };
        let origin = format!("http://{}", asked.header("host").unwrap_or_default());
        let url = Url::parse(&format!("{origin}{}", asked.target())).expect("a target");
        let mut query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        if let Err(missing) = self.signed_in(asked, &mut query) {
            return refused("401 Unauthorized", missing);
        }
        for (name, value) in &self.headers {
            if asked.header(&name.to_ascii_lowercase()) != Some(value.as_str()) {
                return refused("400 Bad Request", format!("header {name}"));
            }
        }
        let method = asked.line.split(' ').next().unwrap_or_default();
        let body: Option<Value> = serde_json::from_slice(&asked.body).ok();
        let fits = |exchange: &Exchange| {
            let path = exchange.path.as_deref().unwrap_or(&self.default_path);
            let headers = exchange.asked_headers.iter();
            let mut headers =
                headers.map(|(name, value)| asked.header(name) == Some(value.as_str()));
            method == self.method
                && url.path() == path
                && query == exchange.query
                && body == exchange.body
                && headers.all(|there| there)
        };
        let Some(exchange) = self.exchanges.iter().find(|exchange| fits(exchange)) else {
            let reason = format!(
                "{method} {} {query:?} {body:?} was not expected",
                url.path()
            );
            return refused("400 Bad Request", reason);
        };
        self.spent.fetch_add(1, Ordering::SeqCst);
        let text = exchange.answer.to_string().replace("{origin}", &origin);
        let headers: Vec<(String, String)> = exchange
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.replace("{origin}", &origin)))
            .chain([("Content-Type".to_owned(), "application/json".to_owned())])
            .collect();
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        answer("200 OK", &headers, text.as_bytes())
    }

    /// Takes the credentials out of the query, or says which is missing.
    fn signed_in(&self, asked: &Asked, query: &mut BTreeMap<String, String>) -> Result<(), String> {
        let header = |name: &str, wanted: &str| {
            let there = asked.header(&name.to_ascii_lowercase()) == Some(wanted);
            there.then_some(()).ok_or_else(|| format!("header {name}"))
        };
        match &self.auth {
            Auth::None => Ok(()),
            Auth::OAuth2(_) | Auth::Login(_) => Err("a sign-in of several steps".to_owned()),
            Auth::Bearer(credential) => header(
                "authorization",
                &format!("Bearer {}", value_of(&credential.secret)),
            ),
            Auth::Basic { username, password } => {
                let part = |part: &TextOrSecret| match part {
                    TextOrSecret::Text(text) => text.clone(),
                    TextOrSecret::Secret(name) => value_of(name),
                };
                let both = format!("{}:{}", part(username), part(password));
                let encoded = base64::engine::general_purpose::STANDARD.encode(both);
                header("authorization", &format!("Basic {encoded}"))
            }
            Auth::Header(all) => all.iter().try_for_each(|(name, credential)| {
                let prefix = credential.prefix.as_deref().unwrap_or_default();
                header(name, &format!("{prefix}{}", value_of(&credential.secret)))
            }),
            Auth::Query(all) => all.iter().try_for_each(|(name, credential)| {
                let wanted = value_of(&credential.secret);
                let given = query.remove(name);
                (given == Some(wanted))
                    .then_some(())
                    .ok_or_else(|| format!("parameter {name}"))
            }),
        }
    }
}

fn value_of(secret: &str) -> String {
    format!("value-of-{secret}")
}

fn seal(identity: &Identity, base_url: &str, name: &str) -> wire::SealedSecret {
    let origin = fetcher::auth::origin_of(&Url::parse(base_url).expect("a url"));
    let secret = SealedSecret {
        workspace: "default".to_owned(),
        name: name.to_owned(),
        version: 1,
        origins: vec![origin.clone()],
        value: value_of(name).into(),
    };
    wire::SealedSecret {
        name: name.to_owned(),
        version: 1,
        sealed: service::seal(&identity.recipient(), &secret).expect("sealed"),
        origins: vec![origin],
    }
}
