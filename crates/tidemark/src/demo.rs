//! Tidemark at work on a sample API: everything real but the records.

use std::net::Ipv4Addr;
use std::time::Duration;

use sample_api::Server;
use serde_json::{Value, json};
use service::Shutdown;

use crate::chart;
use crate::cli::{self, Output, Remote};
use crate::client::Client;
use crate::commands::definitions::list;
use crate::commands::numbers::name_of;
use crate::commands::runs::follow;
use crate::egress_args::EgressArgs;
use crate::failure::Failure;
use crate::mail_args::MailArgs;
use crate::output::{cell, table};
use crate::serve;
use crate::standalone::Standalone;

/// What the demo applies; the sample API's address is put in.
const DEFINITIONS: &str = include_str!("../demo/demo.yaml");
/// The metrics in the order in which they are shown, each with the range and split of its value.
const METRICS: [(&str, &str, Option<&str>); 4] = [
    ("new_subscribers", "last_30_days", None),
    ("revenue", "last_30_days", None),
    ("total_subscribers", "today", None),
    ("subscribers_by_state", "today", Some("state")),
];
/// A sample answer takes as long as a fast API's, so that there is progress to see.
const LATENCY: Duration = Duration::from_millis(20);
/// The port that is taken when it is free, so that the command line needs no address.
const USUAL_PORT: u16 = 8080;

/// Runs the demo.
pub(crate) async fn run(arguments: cli::Demo) -> Result<(), Failure> {
    let shutdown = Shutdown::on_signals()?;
    let logs = service::config::ServiceArgs {
        log_format: service::config::LogFormat::Text,
        ..service::config::ServiceArgs::default()
    };
    let _telemetry = serve::telemetry("demo", &logs)?;
    let temporary = tempfile::Builder::new()
        .prefix("tidemark-demo-")
        .tempdir()?;
    let data = arguments
        .data
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());

    let config = sample_api::Config {
        latency: LATENCY,
        ..sample_api::Config::default()
    };
    let secret = config.secret.clone();
    let sample = Server::start(config)
        .await
        .map_err(|error| Failure::failed(format!("the sample API cannot start: {error}")))?;
    say!(
        "sample API  {}  (10,000 subscribers and their purchases)",
        sample.url()
    );

    let standalone = cli::Standalone {
        data: Some(data),
        listen: format!("127.0.0.1:{}", port(arguments.port)),
        public_url: None,
        egress: EgressArgs {
            allow_host: vec![sample.address().to_string()],
            ..EgressArgs::default()
        },
        mail: MailArgs::default(),
        nats: None,
        store: None,
        process: logs,
    };
    let running = Standalone::start(&standalone, shutdown.clone()).await?;
    say!("nats: {}", running.nats_url);
    say!("ready: {}", running.url);
    let outcome = tokio::select! {
        outcome = show(&running, &sample, &secret) => outcome,
        () = shutdown.requested() => Ok(()),
    };
    if outcome.is_ok() && !arguments.once && !shutdown.is_requested() {
        shutdown.requested().await;
        say!();
        say!("stopping");
    }
    running.stop().await;
    sample.shutdown().await;
    outcome
}

fn port(given: Option<u16>) -> u16 {
    given.unwrap_or_else(|| {
        let usual = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL_PORT));
        if usual.is_ok() { USUAL_PORT } else { 0 }
    })
}

async fn show(running: &Standalone, sample: &Server, secret: &str) -> Result<(), Failure> {
    let client = Client::new(&Remote {
        url: Some(running.url.clone()),
        token: Some(running.token.clone()),
        output: Output::Table,
    })?;
    for name in ["kit_api_secret", "kit_api_key"] {
        let value = json!({ "value": secret, "origins": [sample.url()] });
        client.put(&format!("/secrets/{name}"), &value).await?;
    }
    let text = DEFINITIONS.replace("SAMPLE_API", &sample.url());
    let query = [("source", "demo.yaml".to_owned())];
    client
        .post_text("/apply", &query, "application/yaml", text)
        .await?;
    say!();
    say!("first syncs:");
    for (metric, ..) in METRICS {
        let accepted = client
            .post(&format!("/metrics/{metric}/sync"), &json!({}))
            .await?;
        let done = follow(&client, metric, &accepted).await?;
        if cell(done.get("state")) != "final" {
            let reason = cell(done.pointer("/error/message"));
            return Err(Failure::failed(format!(
                "{metric} could not be synced: {reason}"
            )));
        }
        let field = |name: &str| cell(done.get(name));
        say!(
            "  {metric:22} {:>4} pages  {:>6} rows  {}",
            field("pages"),
            field("rows"),
            field("ended")
        );
    }
    say!();
    print_values(&client).await?;
    say!();
    print_chart(&client).await?;
    say!();
    print_next_steps(running, sample, secret);
    Ok(())
}

async fn print_values(client: &Client) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (metric, range, dimension) in METRICS {
        let mut query = vec![
            ("range", range.to_owned()),
            ("granularity", "all".to_owned()),
        ];
        query.extend(dimension.map(|name| ("group_by", name.to_owned())));
        let answer = client
            .get(&format!("/metrics/{metric}/series"), &query)
            .await?;
        for series in list(&answer, "series") {
            rows.push(vec![
                cell(answer.get("title")),
                name_of(series),
                range.replace('_', " "),
                cell(series.get("total")),
            ]);
        }
    }
    say!("{}", table(&["metric", "series", "range", "value"], &rows));
    Ok(())
}

async fn print_chart(client: &Client) -> Result<(), Failure> {
    let query = [
        ("range", "last_14_days".to_owned()),
        ("granularity", "day".to_owned()),
    ];
    let answer = client
        .get("/metrics/new_subscribers/series", &query)
        .await?;
    let points: Vec<(String, f64)> = list(&answer, "series")
        .iter()
        .flat_map(|series| list(series, "points"))
        .map(|point| {
            let day: String = cell(point.get("start")).chars().take(10).collect();
            (
                day,
                point
                    .get("value")
                    .and_then(Value::as_f64)
                    .unwrap_or_default(),
            )
        })
        .collect();
    say!("New subscribers, by day:");
    for line in chart::bars(&points) {
        say!("  {line}");
    }
    Ok(())
}

fn print_next_steps(running: &Standalone, sample: &Server, secret: &str) {
    say!(
        "HTTP API    {}  (routes at {}/docs)",
        running.url,
        running.url
    );
    say!("token       {}", running.token);
    say!("NATS        {}", running.nats_url);
    say!();
    say!("hear updates with any NATS client:");
    say!(
        "  nats --server {} subscribe 'tidemark.v1.default.update.>'",
        running.nats_url
    );
    say!("ask, follow, or draft a metric of your own:");
    say!("  tidemark query new_subscribers --range last_7_days --group-by state");
    say!("  tidemark watch");
    say!(
        "  tidemark try '{}/v3/subscribers?api_secret={secret}'",
        sample.url()
    );
    say!();
}
