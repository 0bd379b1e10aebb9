//! A sample API with faults of its own, a fetcher that may call it, and what the evaluation makes of the pages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use definition::Definition;
use expression::{Evaluator, Page, RunContext, Task};
use fetcher::egress::GuardConfig;
use fetcher::instruments::Instruments;
use fetcher::retry::Policy;
use fetcher::sync_run::{Engine, Outlet};
use sample_api::{By, Server, Wanted};
use serde_json::{Value, json};
use service::{Clock, Identity, SealedSecret, Shutdown};
use wire::{PageHeaders, Progress, RunManifest, SyncRequest};

use super::tables::Paging;

const SECRET: &str = "sample-secret";
const RECORDS: u32 = 120;
/// Servers at work at the same time, each with faults of its own.
const LANES: usize = 4;

/// Keeps pages in memory.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<(u32, bytes::Bytes)>>);

impl Outlet for Kept {
    async fn page(
        &self,
        _workspace: &str,
        _dataset: &str,
        headers: PageHeaders,
        body: bus::PageBody,
    ) -> Result<bus::PublishedPage, String> {
        let mut pages = self.0.lock().expect("pages");
        pages.push((headers.page, body.bytes().clone()));
        Ok(bus::PublishedPage {
            sequences: vec![pages.len() as u64],
            hash: body.hash().to_owned(),
            bytes: body.bytes().len() as u64,
        })
    }

    async fn progress(&self, _: Progress) {}

    async fn in_hand(&self) {}
}

/// A sample API, and a fetcher that may call it.
pub(crate) struct Lane {
    pub(crate) api: Server,
    engine: Engine,
    sealed: wire::SealedSecret,
    expected: (u64, usize),
}

impl Lane {
    async fn open() -> Self {
        let api = Server::start(sample_api::Config {
            subscribers: RECORDS,
            page_size: 30,
            secret: SECRET.to_owned(),
            today: Some("2026-11-22".parse().expect("a date")),
            ..sample_api::Config::default()
        })
        .await
        .expect("the sample API");
        let identity = Identity::generate();
        let config = fetcher::Config {
            identities: vec![identity.clone()],
            guard: GuardConfig {
                allow: vec![api.address().to_string().parse().expect("an entry")],
                ..GuardConfig::default()
            },
            retry: Policy {
                base: Duration::from_millis(1),
                ceiling: Duration::from_millis(3),
                ..Policy::default()
            },
            ..fetcher::Config::default()
        };
        let instruments = Instruments::new(&opentelemetry::global::meter("test"));
        let engine = Engine::new(config, Clock::system(), None, instruments).expect("an engine");
        let wanted = Wanted {
            by: By::All,
            ..Wanted::default()
        };
        let truth = api.subscribers(&wanted);
        let count: u64 = truth.values().map(|sum| sum.count).sum();
        let expected = (
            truth.values().map(|sum| sum.sum).sum(),
            usize::try_from(count).expect("a count"),
        );
        assert_eq!(expected.1, RECORDS as usize);
        let sealed = sealed(&identity, vec![api.url()]);
        Self {
            api,
            engine,
            sealed,
            expected,
        }
    }

    pub(crate) async fn run(
        &self,
        (prefix, auth): (&str, &Value),
        paging: &Paging,
        faults: &str,
    ) -> (RunManifest, Kept) {
        self.api.clear_faults();
        self.api.add_faults(faults).expect("faults");
        let base_url = format!("{}{prefix}", self.api.url());
        let connection = json!({ "name": "api", "base_url": base_url, "auth": auth });
        let request = SyncRequest {
            workspace: "default".to_owned(),
            dataset: "d_0123456789abcdef".to_owned(),
            run: "r_00000000000000000001".to_owned(),
            attempt: 1,
            slot: "2026-11-23T10:00:00Z".to_owned(),
            kind: "manual".to_owned(),
            timezone: "UTC".to_owned(),
            connection: Some(connection.into()),
            request: Some(paging.1.clone().into()),
            max_pages: 100,
            secrets: vec![self.sealed.clone()],
            records_hint: paging.2.to_owned(),
            ..SyncRequest::default()
        };
        let kept = Kept::default();
        let stop = Shutdown::new();
        let run = self.engine.run(&request, &kept, &stop);
        let manifest = run.await.expect("a manifest");
        (manifest, kept)
    }

    /// Checks one combination; says what is wrong with it.
    pub(crate) async fn whole(
        &self,
        sign_in: (&str, &Value),
        paging: &Paging,
        faults: &str,
    ) -> Result<(), String> {
        let (manifest, kept) = self.run(sign_in, paging, faults).await;
        if manifest.outcome != "complete" {
            return Err(format!("{}: {:?}", manifest.outcome, manifest.error));
        }
        if manifest.records != i64::from(RECORDS) {
            return Err(format!("{} records in the manifest", manifest.records));
        }
        if !manifest.notes.is_empty() {
            return Err(format!("{:?} of a whole run", manifest.notes));
        }
        let made = Made::of(&kept, paging.2);
        if made.refused || made.rejected > 0 || made.sums != self.expected {
            return Err(format!("{made:?} instead of {:?}", self.expected));
        }
        let said = format!("{manifest:?}");
        let pages = kept.0.lock().expect("pages");
        let echoed = |body: &bytes::Bytes| String::from_utf8_lossy(body).contains(SECRET);
        if said.contains(SECRET) || pages.iter().any(|(_, body)| echoed(body)) {
            return Err("the secret can be read".to_owned());
        }
        Ok(())
    }
}

impl Lane {
    /// Checks that a run is right, or says that it is not.
    pub(crate) async fn honest(
        &self,
        sign_in: (&str, &Value),
        paging: &Paging,
        faults: &str,
    ) -> Result<Fate, String> {
        let (manifest, kept) = self.run(sign_in, paging, faults).await;
        if let Some(error) = &manifest.error {
            return Ok(Fate::Failed(error.code.clone()));
        }
        let made = Made::of(&kept, paging.2);
        if made.refused {
            return Ok(Fate::Refused);
        }
        if manifest.outcome == "truncated" {
            return Ok(Fate::Partial);
        }
        if manifest.outcome != "complete" {
            return Err(format!("{}, and nothing says why", manifest.outcome));
        }
        if made.rejected > 0 || !manifest.notes.is_empty() {
            return Ok(Fate::Told);
        }
        if made.sums == self.expected {
            return Ok(Fate::Whole);
        }
        Err(format!(
            "{:?} instead of {:?}, and nothing says so",
            made.sums, self.expected
        ))
    }
}

/// What became of a run whose pages were not what they should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The fetch failed, with this code.
    Failed(String),
    /// The evaluation uses none of its rows.
    Refused,
    /// Everything it brings is marked as partial.
    Partial,
    /// Rows were rejected and counted, or a note stands with the run.
    Told,
    /// It is right all the same.
    Whole,
}

fn sealed(identity: &Identity, origins: Vec<String>) -> wire::SealedSecret {
    let secret = SealedSecret {
        workspace: "default".to_owned(),
        name: "key".to_owned(),
        version: 1,
        origins: origins.clone(),
        value: SECRET.into(),
    };
    wire::SealedSecret {
        name: "key".to_owned(),
        version: 1,
        sealed: service::seal(&identity.recipient(), &secret).expect("sealed"),
        origins,
    }
}

/// What the evaluation makes of pages.
#[derive(Debug)]
struct Made {
    /// The sum and the number of all rows: by key, the later one counts.
    sums: (u64, usize),
    rejected: u64,
    /// Whether none of it may be used: a failure, no records on the first page, or too many rejected rows.
    refused: bool,
}

impl Made {
    fn of(kept: &Kept, records: &str) -> Self {
        let metric = json!({ "kind": "metric", "name": "m", "connection": "api", "request": { "path": "/" },
            "select": { "records": records, "value": "weight", "key": "id" } });
        let Definition::Metric(metric) = Definition::from_document(&metric).expect("a metric")
        else {
            panic!("a metric is one")
        };
        let task = Task::of(&metric, None, 0);
        let limits = expression::budget::Limits::default();
        let (mut evaluator, problems) = Evaluator::new(vec![task], &RunContext::default(), limits);
        assert!(problems.is_empty(), "{problems:?}");
        let mut pages = kept.0.lock().expect("pages").clone();
        pages.sort_by_key(|(number, _)| *number);
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        let (mut returned, mut rejected, mut refused) = (0, 0, false);
        for (at, (number, body)) in pages.iter().enumerate() {
            let results = evaluator.eval_page(&Page {
                bytes: body,
                number: *number,
                first: at == 0,
                fetched_at: jiff::Timestamp::now(),
                parent: None,
            });
            for result in results {
                refused |= result.error.is_some() || result.records_missing.is_some();
                rejected += result.rejected_count;
                returned += result.rejected_count + result.rows.len() as u64;
                for row in result.rows.iter().map(expression::row_json) {
                    let value = row["value"].to_string().trim_matches('"').parse::<f64>();
                    let value = value.expect("a number");
                    rows.insert(
                        row["key"].to_string(),
                        format!("{value:.0}").parse().expect("whole"),
                    );
                }
            }
        }
        Self {
            sums: (rows.values().sum(), rows.len()),
            rejected,
            refused: refused || rejected * 2 > returned,
        }
    }
}

/// Shares the combinations among lanes and returns what failed.
pub(crate) fn over_lanes<C, F>(combinations: Vec<C>, check: F) -> (usize, String)
where
    C: Send,
    F: AsyncFn(&Lane, C) -> Result<(), String> + Copy + Send + Sync,
{
    let count = combinations.len();
    let waiting = Mutex::new(combinations);
    let lane = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let lane = Lane::open().await;
            let mut failures = String::new();
            loop {
                let next = waiting.lock().expect("combinations").pop();
                let Some(combination) = next else {
                    return failures;
                };
                if let Err(failure) = check(&lane, combination).await {
                    let _ = writeln!(failures, "{failure}");
                }
            }
        })
    };
    let failures = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let ended = lanes.into_iter().map(|lane| lane.join().expect("a lane"));
        ended.collect::<String>()
    });
    (count, failures)
}
