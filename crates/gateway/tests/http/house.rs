//! A gateway over a real store and a real nats-server, and what a fetcher and an evaluator would
//! have left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::Bus;
use bus::testing::TestServer;
use gateway::{Config, Limits};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service::{Context, Identity, Shutdown};
use store::{
    Cell, Coverage, Interval, MetricOutcome, NewRuns, NewToken, Outcome, RejectedSample, RunEnd,
    RunKind, RunState, Store,
};

/// A busy machine takes seconds; a test that waits longer has found something.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) const CONNECTION: &str = "kind: connection\nname: kit\nbase_url: https://api.example.com\n\
     auth: { query: { api_secret: { secret: kit_secret } } }\n";

pub(crate) const METRIC: &str = "kind: metric\nname: new_subscribers\ntitle: New subscribers\nconnection: kit\n\
     request: { path: /v3/subscribers }\n\
     select:\n  records: subscribers\n  value: { count: true }\n  date: created_at\n  dimensions: { state: state }\n\
     resolution: day\n";

/// A running gateway and everything behind it.
pub(crate) struct House {
    pub(crate) base: String,
    pub(crate) token: String,
    pub(crate) client: reqwest::Client,
    pub(crate) store: Store,
    pub(crate) nats: TestServer,
    pub(crate) bus: Bus,
    pub(crate) identity: Identity,
    pub(crate) context: Context,
    pub(crate) serving: tokio::task::JoinHandle<()>,
    pub(crate) folder: tempfile::TempDir,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let nats = TestServer::start().await;
        let bus = nats.provisioned().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = Store::open(&format!("sqlite:{}", path.display()))
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let token = gateway::generate_token();
        let first = NewToken {
            hash: gateway::hash_token(&token),
            workspace: Some("default".into()),
            role: "admin".into(),
            name: "first".into(),
            expires_at: None,
        };
        store.insert_first_admin(&first).await.unwrap().unwrap();
        Self::over(
            limits,
            store,
            nats,
            bus,
            folder,
            Identity::generate(),
            token,
        )
        .await
    }

    async fn over(
        limits: Limits,
        store: Store,
        nats: TestServer,
        bus: Bus,
        folder: tempfile::TempDir,
        identity: Identity,
        token: String,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let context = Context::new("gateway", Shutdown::new());
        let limits = Limits {
            shutdown_notice: Duration::ZERO,
            ..limits
        };
        let config = Config {
            limits,
            ..Config::default()
        };
        let serving = tokio::spawn(gateway::run_on(
            listener,
            config,
            context.clone(),
            store.clone(),
            bus.clone(),
            identity.recipient(),
        ));
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(LONG)
            .build()
            .unwrap();
        let house = Self {
            base,
            token,
            client,
            store,
            nats,
            bus,
            identity,
            context,
            serving,
            folder,
        };
        eventually("the gateway is ready", async || {
            house
                .client
                .get(format!("{}/readyz", house.base))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        house
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        read(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn apply(&self, yaml: &str) -> (StatusCode, Value) {
        read(
            self.request(Method::POST, "/api/v1/apply")
                .body(yaml.to_owned()),
        )
        .await
    }

    /// Applies a connection and a metric.
    pub(crate) async fn furnish(&self) {
        let (status, body) = self.apply(&format!("{CONNECTION}---\n{METRIC}")).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Makes a token of a role through the API.
    pub(crate) async fn token_of(&self, role: &str) -> String {
        let (status, made) = self
            .post("/api/v1/tokens", json!({ "name": role, "role": role }))
            .await;
        assert_eq!(status, 201, "{made}");
        made["value"].as_str().unwrap().to_owned()
    }

    /// Commits a run of a metric, as an evaluator would: rows of (date, state) counted by day.
    pub(crate) async fn commit(&self, metric: &str, days: &[(&str, &str, u32)]) -> (String, i64) {
        let stored = self
            .store
            .definition("default", store::Kind::Metric, metric)
            .await
            .unwrap()
            .unwrap();
        let dataset = stored.dataset.unwrap();
        let now = jiff::Timestamp::now().as_millisecond();
        let new = NewRuns {
            workspace: "default".into(),
            dataset: dataset.clone(),
            slot: now,
            kind: RunKind::Manual,
            windows: Vec::new(),
            reason: None,
        };
        let run = self.store.open_runs(&new).await.unwrap()[0].run.clone();
        self.store
            .mark_dispatched("default", &run, 1, now)
            .await
            .unwrap();
        let definition =
            definition::Definition::from_document(&serde_json::from_str(&stored.document).unwrap());
        let Ok(definition::Definition::Metric(definition)) = definition else {
            panic!("a metric")
        };
        let rules = rollup::Rules::of(&definition, None);
        let rows = days
            .iter()
            .enumerate()
            .flat_map(|(index, (date, state, count))| {
                (0..*count).map(move |_| rollup::Row {
                    value: rollup::RowValue::Number(rollup::Decimal::from(1_i64)),
                    at: Some(format!("{date}T12:00:00Z").parse().unwrap()),
                    dimensions: rollup::Dimensions::of([("state", *state)]),
                    unit: None,
                    key: None,
                    page: 0,
                    index: u32::try_from(index).unwrap(),
                })
            });
        let folded = rollup::fold(rows, &rules, jiff::Timestamp::now());
        let mut cells = Vec::new();
        for (key, points) in &folded.cells {
            for (start, state) in points {
                cells.push(Cell {
                    series: key.canonical(),
                    start: *start,
                    state: state.encode(),
                    partial: false,
                });
            }
        }
        let start = folded.earliest.unwrap().as_millisecond();
        let start = start - start.rem_euclid(86_400_000);
        let covered = Interval {
            start,
            end: now + 86_400_000,
        };
        let mut commit = self
            .store
            .begin_commit("default", &dataset, &run)
            .await
            .unwrap()
            .unwrap();
        commit.replace(metric, &[covered], &cells).await.unwrap();
        let coverage = Coverage {
            start: covered.start,
            end: covered.end,
            as_of: now,
            run: run.clone(),
            revision: 1,
            complete: true,
        };
        commit.set_coverage(metric, &[coverage]).await.unwrap();
        let version = commit.bump_version(metric).unwrap();
        let outcome = MetricOutcome {
            metric: metric.into(),
            revision: 1,
            outcome: Outcome::Applied,
            rows: i64::from(days.iter().map(|(.., count)| count).sum::<u32>()),
            rejected: 1,
            changed: i64::try_from(cells.len()).unwrap(),
            version,
            ..MetricOutcome::default()
        };
        let rejected = RejectedSample {
            page: 1,
            row: 7,
            code: "row.date_missing".into(),
            reason: "the date is missing".into(),
            sample: "{\"created_at\":null}".into(),
        };
        commit.metric_outcome(&outcome, &[rejected]).await.unwrap();
        let manifest = wire::RunManifest {
            workspace: "default".into(),
            dataset,
            run: run.clone(),
            pages: vec![wire::PageEntry {
                number: 1,
                status: 200,
                bytes: 12,
                url: "https://api.example.com/v3/subscribers?api_secret=***".into(),
                ..wire::PageEntry::default()
            }],
            ..wire::RunManifest::default()
        };
        let end = RunEnd {
            manifest: Some(serde_json::to_string(&manifest).unwrap()),
            pages: 1,
            rows: outcome.rows,
            rejected: 1,
            ended: Some("single_page".into()),
            ..RunEnd::default()
        };
        commit.finish(RunState::Final, &end).await.unwrap();
        commit.commit().await.unwrap();
        (run, version)
    }

    /// Announces a version on NATS, as the relay would.
    pub(crate) async fn announce(&self, metric: &str, version: i64) -> u64 {
        let update = wire::MetricUpdate {
            workspace: "default".into(),
            metric: metric.into(),
            version,
            ..wire::MetricUpdate::default()
        };
        self.bus.publish_update(&update).await.unwrap()
    }

    /// Opens a stream of server-sent events.
    pub(crate) async fn listen(&self, path: &str, last: Option<&str>) -> Events {
        let mut request = self.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events {
            answer,
            text: String::new(),
        }
    }

    /// Ends the gateway and starts another over the same store and NATS.
    pub(crate) async fn reopen(self) -> Self {
        self.context.shutdown.request();
        tokio::time::timeout(LONG, self.serving)
            .await
            .unwrap()
            .unwrap();
        let (store, nats, folder, identity) = (self.store, self.nats, self.folder, self.identity);
        Self::over(
            Limits::default(),
            store,
            nats,
            self.bus,
            folder,
            identity,
            self.token,
        )
        .await
    }

    /// Stops the gateway and waits for its end.
    pub(crate) async fn close(self) {
        self.context.shutdown.request();
        tokio::time::timeout(LONG, self.serving)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Server-sent events as they come.
pub(crate) struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    /// Returns the fields of the next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<BTreeMap<String, String>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let fields = event
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .map(|(name, value)| (name.to_owned(), value.trim_start().to_owned()))
                    .collect::<BTreeMap<_, _>>();
                self.text = String::from(rest);
                if fields.contains_key("event") {
                    return Some(fields);
                }
                continue;
            }
            let chunk = tokio::time::timeout(LONG, self.answer.chunk())
                .await
                .unwrap()
                .ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Returns the next event, which is there and of this kind, with its id and data.
    pub(crate) async fn expect(&mut self, kind: &str) -> (String, Value) {
        let event = self
            .next()
            .await
            .unwrap_or_else(|| panic!("the stream ended before `{kind}`"));
        assert_eq!(event["event"], kind, "{event:?}");
        let id = event.get("id").cloned().unwrap_or_default();
        (id, serde_json::from_str(&event["data"]).unwrap())
    }
}

/// Sends a request and reads its answer as JSON; an empty body is null.
pub(crate) async fn read(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + LONG;
    while !holds().await {
        assert!(
            std::time::Instant::now() < deadline,
            "{what}: not within {LONG:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
