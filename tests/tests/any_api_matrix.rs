//! Any API: every way of signing in, of paging and of placing the place, plain and compressed, whole and
//! going wrong on the way. What comes out of the real fetcher and the real evaluation is compared with what
//! is true, so that a lost or doubled record shows in a sum.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests and their helpers"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use expression::{Evaluator, Page, Reading, RunContext, Task};
use fetcher::egress::GuardConfig;
use fetcher::instruments::Instruments;
use fetcher::retry::Policy;
use fetcher::sync_run::{Engine, Outlet};
use sample_api::{By, Server, Wanted};
use serde_json::{Value, json};
use service::{Clock, Identity, SealedSecret, Shutdown};
use wire::{PageHeaders, Progress, RunManifest, SyncRequest};

const SECRET: &str = "sample-secret";
const RECORDS: u32 = 120;
/// Servers at work at the same time, each with faults of its own.
const LANES: usize = 4;

/// A way of paging: what it is called, the request, where its records are, and how it ends.
type Paging = (&'static str, Value, &'static str);

#[rustfmt::skip]
fn pagings() -> Vec<Paging> {
    let page = |more: Value| json!({ "page": with(json!({ "param": "page" }), more) });
    let known = json!({ "total_pages": "total_pages" });
    let offset = |more: Value| json!({ "offset": with(json!({ "param": "offset", "limit_param": "limit", "limit": 30 }), more) });
    let cursor = |more: Value| json!({ "cursor": with(json!({ "from": "next_cursor", "param": "after" }), more) });
    let get = |path: &str, pagination: Value| json!({ "path": path, "pagination": pagination });
    let post = |path: &str, body: Value, pagination: Value| json!({ "method": "POST", "path": path, "body": body, "pagination": pagination });
    let form = |pagination: Value| json!({ "method": "POST", "path": "/api/form", "form": { "size": "30" }, "pagination": pagination });
    let header = |name: &str| json!({ "header": name });
    vec![
        ("page in the query, total pages", get("/api/page", page(known.clone())), "items"),
        ("page in the query, total", get("/api/page", page(json!({ "total": "total" }))), "items"),
        ("page from 0", json!({ "path": "/api/page", "query": { "zero": "true" }, "pagination": page(json!({ "start": 0, "total_pages": "total_pages" })) }), "items"),
        ("page, nothing stated", get("/api/page", page(json!({}))), "items"),
        ("page, size sent", get("/api/page", page(json!({ "size_param": "size", "size": 50 }))), "items"),
        ("page, exact size", get("/api/page", page(json!({ "size_param": "size", "size": 40 }))), "items"),
        ("page, has_more", get("/api/has_more", page(json!({ "has_more": "has_more" }))), "items"),
        ("page, bare lists", get("/api/short", page(json!({}))), "$"),
        ("page, totals in headers", get("/api/headers", page(json!({ "total_pages": header("X-Total-Pages") }))), "$"),
        ("page in the path", get("/api/by_path/{page}", page(with(known.clone(), json!({ "in": "path" })))), "items"),
        ("page in a header", get("/api/by_header", json!({ "page": { "param": "X-Page", "in": "header", "total_pages": "total_pages" } })), "items"),
        ("page in a body", post("/api/search", json!({ "size": 30 }), page(with(known.clone(), json!({ "in": "body" })))), "items"),
        ("page in a form", form(page(with(known, json!({ "in": "body" })))), "items"),
        ("offset in the query, total", get("/api/offset", offset(json!({ "total": "total" }))), "items"),
        ("offset, nothing stated", get("/api/offset", json!({ "offset": { "param": "offset" } })), "items"),
        ("offset in the path", get("/api/by_path/offset/{offset}", offset(json!({ "in": "path", "total": "total" }))), "items"),
        ("offset in a header", get("/api/by_header/offset", json!({ "offset": { "param": "X-Offset", "in": "header", "total": "total" } })), "items"),
        ("offset in a body", post("/api/search", json!({}), json!({ "offset": { "param": "paging.offset", "in": "body", "limit_param": "paging.limit", "limit": 30, "total": "total" } })), "items"),
        ("offset in a form", form(json!({ "offset": { "param": "offset", "in": "body", "limit_param": "limit", "limit": 30, "total": "total" } })), "items"),
        ("cursor in the query, to null", get("/api/cursor", cursor(json!({}))), "items"),
        ("cursor, to nothing", json!({ "path": "/api/cursor", "query": { "ends": "absent" }, "pagination": cursor(json!({})) }), "items"),
        ("cursor, to an empty text", json!({ "path": "/api/cursor", "query": { "ends": "empty" }, "pagination": cursor(json!({})) }), "items"),
        ("cursor, has_more", get("/api/cursor", cursor(json!({ "has_more": "has_more", "size_param": "size", "size": 50 }))), "items"),
        ("cursor in a header", get("/api/by_header/after", json!({ "cursor": { "from": "next_cursor", "param": "X-After", "in": "header" } })), "items"),
        ("cursor in a body", post("/api/search", json!({ "cursor": {} }), json!({ "cursor": { "from": "next_cursor", "param": "cursor.after", "in": "body" } })), "items"),
        ("cursor of a header", get("/api/headers", json!({ "cursor": { "from": header("X-Next-Page"), "param": "page" } })), "$"),
        ("next link in the body", get("/api/next", json!({ "next_url": { "from": "next" } })), "items"),
        ("next link, relative", json!({ "path": "/api/next", "query": { "relative": "true" }, "pagination": { "next_url": { "from": "next" } } }), "items"),
        ("next link in a header", get("/api/headers", json!({ "next_url": { "from": header("Next-Page") } })), "$"),
        ("Link header", get("/api/link", json!("link_header")), "$"),
        ("one page", json!({ "path": "/api/page", "query": { "size": "1000" } }), "items"),
    ]
}

/// Ways of signing in: what each is called, what stands before the path, and `auth`.
fn sign_ins(url: &str) -> Vec<(&'static str, &'static str, Value)> {
    let key = json!({ "secret": "key" });
    vec![
        ("none", "", json!("none")),
        (
            "basic",
            "/secured/basic",
            json!({ "basic": { "username": "sample", "password": key } }),
        ),
        ("bearer", "/secured/bearer", json!({ "bearer": key })),
        (
            "token",
            "/secured/token",
            json!({ "header": { "Authorization": { "secret": "key", "prefix": "Token " } } }),
        ),
        (
            "header",
            "/secured/header",
            json!({ "header": { "X-Api-Key": key } }),
        ),
        (
            "query",
            "/secured/query",
            json!({ "query": { "key": key } }),
        ),
        (
            "oauth2",
            "/oauth",
            json!({ "oauth2": { "grant": "client_credentials", "token_url": format!("{url}/oauth/token"),
                "client_id": sample_api::CLIENT, "client_secret": key } }),
        ),
        (
            "login",
            "/session",
            json!({ "login": { "token": "session.token", "request": { "url": format!("{url}/session"),
                "body": { "user": { "name": "sample", "password": key } } } } }),
        ),
    ]
}

/// What goes wrong and is got over, several at a time.
const BORNE: &[&str] = &[
    "",
    "status:500@2x2,retry_after:nonsense@3x1",
    "reset@2x1,cut_json@3x1",
    "retry_after:0@1x1,cut@2x1,status:503@3x1",
];

/// What goes wrong and ends the run, with its code: nothing of it may count.
const FATAL: &[(&str, &str)] = &[
    ("status:401@2", "upstream.unauthorized"),
    ("status:403@2", "upstream.forbidden"),
    ("status:410@2", "upstream.gone"),
    ("status:500@2", "upstream.server_error"),
    ("html@2", "upstream.not_json"),
    ("empty_body@2", "upstream.not_json"),
    ("trailing@2", "upstream.not_json"),
    ("double_gzip@2", "upstream.encoding_unsupported"),
];

fn with(mut object: Value, more: Value) -> Value {
    let (Value::Object(fields), Value::Object(more)) = (&mut object, more) else {
        panic!("objects are merged");
    };
    fields.extend(more);
    object
}

/// Keeps pages in memory.
#[derive(Default)]
struct Kept(Mutex<Vec<(u32, bytes::Bytes)>>);

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
struct Lane {
    api: Server,
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

    async fn run(
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
    async fn whole(
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
        let sums = evaluated(&kept, paging.2);
        if sums != self.expected {
            return Err(format!("{sums:?} instead of {:?}", self.expected));
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

/// The sum and the number of all rows, as the evaluator has them: by key, the later one counts.
fn evaluated(kept: &Kept, records: &str) -> (u64, usize) {
    let task = Task {
        id: 0,
        expression: format!(r#"{records}.{{ "value": weight, "key": id }}[]"#),
        whole_run: false,
        reading: Reading::default(),
    };
    let limits = expression::budget::Limits::default();
    let (mut evaluator, problems) = Evaluator::new(vec![task], &RunContext::default(), limits);
    assert!(problems.is_empty(), "{problems:?}");
    let mut pages = kept.0.lock().expect("pages").clone();
    pages.sort_by_key(|(number, _)| *number);
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for (at, (number, body)) in pages.iter().enumerate() {
        let results = evaluator.eval_page(&Page {
            bytes: body,
            number: *number,
            first: at == 0,
            fetched_at: jiff::Timestamp::now(),
        });
        for result in results {
            assert!(result.error.is_none(), "{:?}", result.error);
            assert_eq!(result.rejected_count, 0, "{:?}", result.rejected);
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
    (rows.values().sum(), rows.len())
}

/// Shares the combinations among lanes and returns what failed.
fn over_lanes<C, F>(combinations: Vec<C>, check: F) -> (usize, String)
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

#[test]
fn every_api_comes_whole_whatever_it_is_like_and_whatever_goes_wrong() {
    let mut combinations = Vec::new();
    for paging in pagings() {
        for sign_in in 0..sign_ins("").len() {
            for encoding in ["", "gzip"] {
                for fault in BORNE {
                    combinations.push((sign_in, paging.clone(), [encoding, fault]));
                }
            }
        }
    }
    let (count, failures) = over_lanes(combinations, async |lane, (sign_in, paging, faults)| {
        let all = sign_ins(&lane.api.url());
        let (name, prefix, auth) = &all[sign_in];
        let faults = faults.join(",");
        let checked = lane.whole((prefix, auth), &paging, &faults).await;
        checked.map_err(|why| format!("{name} · {} · [{faults}]: {why}", paging.0))
    });
    assert!(failures.is_empty(), "of {count} combinations:\n{failures}");
    assert!(count >= 31 * 8 * 2 * 4, "{count}");
}

#[test]
fn what_cannot_be_got_over_fails_the_run_by_its_name() {
    let mut combinations = Vec::new();
    for paging in pagings() {
        if paging.0 == "one page" {
            continue;
        }
        for (fault, code) in FATAL {
            combinations.push((paging.clone(), *fault, *code));
        }
        // Making a bomb takes the sample API longer than anything else here.
        if paging.0.ends_with("total pages") || paging.0 == "Link header" {
            combinations.push((paging.clone(), "bomb:64@2", "upstream.body_too_large"));
        }
        let follows = ["cursor", "next", "Link"];
        if follows.iter().any(|word| paging.0.starts_with(word)) {
            combinations.push((paging, "loop@2", "pagination.loop"));
        }
    }
    let (count, failures) = over_lanes(combinations, async |lane, (paging, fault, code)| {
        let (manifest, _) = lane.run(("", &json!("none")), &paging, fault).await;
        let found = manifest
            .error
            .as_ref()
            .map_or("", |error| error.code.as_str());
        if (manifest.outcome.as_str(), found) == ("failed", code) {
            return Ok(());
        }
        Err(format!(
            "{} · {fault}: {} with `{found}` instead of `{code}`",
            paging.0, manifest.outcome
        ))
    });
    assert!(failures.is_empty(), "of {count} combinations:\n{failures}");
}
