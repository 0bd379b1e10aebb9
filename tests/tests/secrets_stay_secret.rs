//! Canary secrets go through whole syncs, good and bad, and are then looked for everywhere that
//! somebody may look: logs, answers, messages, the store's files, the command line's output.

use crate::needles;
use crate::wiretap;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use house_tests::{CommandLine, Process};
use sample_api::{Config, Fault, Server};
use serde_json::Value;

use needles::{Needle, base64, clean, needles};
use wiretap::Wiretap;

/// The part of every canary that no encoding but base64 changes.
const CORES: [&str; 4] = [
    "Qz7vKcanaryQueryWm2RtYpL4dXh",
    "Hn5bTcanaryHeaderJs8FqGkV3zNc",
    "Br9wDcanaryBearerPx6MnQyC2tKs",
    "Bs4kLcanaryBasicRv7ZgHwT5cJmd",
];

/// What is set: some with characters that addresses and JSON spell differently.
fn canary(core: &str) -> String {
    match core {
        "Qz7vKcanaryQueryWm2RtYpL4dXh" => format!("{core}/é&+=?%"),
        "Bs4kLcanaryBasicRv7ZgHwT5cJmd" => format!("{core}:/é"),
        plain => format!("{plain}+/="),
    }
}

/// A standalone that logs all it can.
struct House {
    process: Process,
    cli: CommandLine,
    nats: String,
    data: tempfile::TempDir,
    /// What the command line said.
    said: Mutex<String>,
}

impl House {
    async fn start(allow: &[String]) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut arguments: Vec<String> = ["standalone", "--listen", "127.0.0.1:0", "--data"]
            .map(str::to_owned)
            .into();
        arguments.push(data.path().display().to_string());
        for host in allow {
            arguments.extend(["--allow-host".to_owned(), host.clone()]);
        }
        let state = data.path().join("state").display().to_string();
        let variables = [("XDG_STATE_HOME", state), ("RUST_LOG", "trace".to_owned())];
        let mut process = Process::start(&arguments, &variables);
        let nats = process.line("nats: ").await;
        let url = process.line("ready: ").await;
        let token = std::fs::read_to_string(data.path().join("token")).expect("the token is kept");
        let cli = CommandLine {
            url,
            token: token.trim().to_owned(),
        };
        Self {
            process,
            cli,
            nats,
            data,
            said: Mutex::default(),
        }
    }

    /// Runs a command and keeps what it says.
    async fn run(&self, arguments: &[&str]) -> house_tests::Said {
        self.run_with(arguments, "").await
    }

    async fn run_with(&self, arguments: &[&str], input: &str) -> house_tests::Said {
        let said = self.cli.run_with(arguments, input).await;
        let mut all = self.said.lock().expect("nobody panics while keeping");
        let _ = write!(all, "$ {arguments:?}\n{}\n{}\n", said.output, said.errors);
        drop(all);
        said
    }

    async fn sync(&self, metric: &str) -> Value {
        self.run(&["sync", metric, "--wait", "-o", "json"])
            .await
            .any_json()
    }

    async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let request = reqwest::Client::new()
            .get(format!("{}{path}", self.cli.url))
            .bearer_auth(&self.cli.token);
        let answer = request.send().await.expect("the gateway answers");
        let (status, mut bytes) = (
            answer.status().as_u16(),
            format!("{:?}", answer.headers()).into_bytes(),
        );
        let mut body = answer.bytes_stream();
        // A stream of events never ends: what comes at once is what was kept.
        while let Ok(Some(Ok(chunk))) =
            tokio::time::timeout(Duration::from_secs(2), body.next()).await
        {
            bytes.extend_from_slice(&chunk);
        }
        (status, bytes)
    }
}

/// A metric of the generic endpoints behind one way of signing in.
fn secured(name: &str, base_url: &str, auth: &str, path: &str, pagination: &str) -> String {
    format!(
        "kind: connection\nname: {name}\nbase_url: {base_url}\nauth: {auth}\n---\n\
         kind: metric\nname: {name}_people\nconnection: {name}\n\
         request:\n  path: {path}\n  pagination: {pagination}\n\
         select:\n  records: items\n  value: {{ count: true }}\n  dimensions: {{ state: state }}\n  date: at\n  key: id\n\
         ---\n\
         kind: metric\nname: {name}_odd\nconnection: {name}\n\
         request:\n  path: {path}\n  pagination: {pagination}\n\
         expression: '[{{ \"value\": next }}, {{ \"value\": 1 }}, {{ \"value\": 1, \"date\": next }}]'\n\
         type: levels\nreject_limit: 1.0\n"
    )
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(paths(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// Every address of the OpenAPI document that GET takes, with known names and ids filled in.
fn readable(document: &Value, ids: &[String], names: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        if item.get("get").is_none() {
            continue;
        }
        let fills: Vec<String> = match path {
            path if path.contains("{id}") => ids.to_vec(),
            path if path.contains("{name}") => names.to_vec(),
            _ => vec![String::new()],
        };
        all.extend(
            fills
                .iter()
                .map(|fill| path.replace("{id}", fill).replace("{name}", fill)),
        );
    }
    all
}

async fn sample(core: &str) -> Server {
    let config = Config {
        subscribers: 120,
        secret: canary(core),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

/// Ways in which an API throws its caller's credential back.
fn echoes(secret: &str) -> Vec<String> {
    let percent: Vec<String> = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form: String = secret
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect();
    let mut all = vec![
        format!("key {secret} is wrong"),
        format!("see http://help.example/?key={form}"),
        format!("seen {}", base64(secret.as_bytes())),
    ];
    // No letter of a fully escaped core can be looked for, so it is not among the needles; it must do no harm.
    all.push(percent.concat());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_seen_anywhere_but_by_its_api() {
    let apis = [
        sample(CORES[0]).await,
        sample(CORES[1]).await,
        sample(CORES[2]).await,
        sample(CORES[3]).await,
    ];
    let house = House::start(&apis.each_ref().map(|api| api.address().to_string())).await;
    let tap = Wiretap::start(&house.nats).await;
    let next = "{ next_url: { from: next } }";
    let link = "link_header";
    let definitions = [
        secured(
            "q",
            &apis[0].url(),
            "{ query: { key: { secret: q_key } } }",
            "/secured/query/api/next",
            next,
        ),
        secured(
            "h",
            &apis[1].url(),
            "{ header: { X-Api-Key: { secret: h_key } } }",
            "/secured/header/api/link",
            link,
        )
        .replace("records: items", "records: $"),
        secured(
            "b",
            &apis[2].url(),
            "{ bearer: { secret: b_key } }",
            "/secured/bearer/api/next",
            next,
        ),
        secured(
            "s",
            &apis[3].url(),
            "{ basic: { username: sample, password: { secret: s_key } } }",
            "/secured/basic/api/next",
            next,
        ),
        house_tests::numbered_metric(&apis[0].url()).replace("kit_api_secret", "q_key"),
        house_tests::cursor_metric(&apis[1].url()).replace("kit_api_key", "h_key"),
    ]
    .join("---\n");
    house
        .run_with(&["apply", "-", "-o", "json"], &definitions)
        .await
        .fine();
    for (name, core) in ["q_key", "h_key", "b_key", "s_key"].into_iter().zip(CORES) {
        house
            .run_with(&["secret", "set", name], &canary(core))
            .await
            .fine();
    }
    let created = house
        .run(&["token", "create", "--role", "viewer", "-o", "json"])
        .await
        .fine();
    let metrics = [
        "q_people",
        "h_people",
        "b_people",
        "s_people",
        "new_subscribers",
        "all_subscribers",
    ];
    for metric in metrics {
        let done = house.sync(metric).await;
        assert_eq!(done["state"], "final", "{metric}: {done}");
        assert_eq!(done["rows"], 120, "{metric}: {done}");
    }
    // Rows of the page's own next link, which holds the key: rejected, with a sample each.
    let odd = house.sync("q_odd").await;
    assert!(
        odd["rejected"]
            .as_u64()
            .is_some_and(|rejected| rejected > 0),
        "{odd}"
    );

    // Whatever the API does with the credential, in every place and spelling.
    for (index, (api, core)) in apis.iter().zip(CORES).enumerate() {
        let mut echoes = echoes(&canary(core));
        if core == CORES[3] {
            // The other ways of signing in send no such text.
            echoes.push(format!(
                "Basic {}",
                base64(format!("sample:{}", canary(core)).as_bytes())
            ));
        }
        for echo in echoes {
            // Faults are read from a text in which `,` and `@` mean something; no echo has them.
            api.add_fault(format!("echo:{echo}").parse::<Fault>().expect("a fault"));
            let failed = house.sync(metrics[index]).await;
            assert_eq!(failed["state"], "failed", "{echo}: {failed}");
            api.clear_faults();
        }
        for fault in ["status:401", "status:403", "html", "cut_json", "empty_body"] {
            api.add_faults(fault).expect("a fault");
            assert_eq!(
                house.sync(metrics[index]).await["state"],
                "failed",
                "{fault}"
            );
            api.clear_faults();
        }
        let elsewhere = format!("redirect:http://127.0.0.1:9/?key={}", canary(core));
        api.add_fault(elsewhere.parse().expect("a fault"));
        assert_eq!(house.sync(metrics[index]).await["state"], "failed");
        api.clear_faults();
    }
    // A next link to somebody else, with the key in it: refused.
    let elsewhere = secured(
        "q",
        &apis[0].url(),
        "{ query: { key: { secret: q_key } } }",
        "/secured/query/api/next\n  query: { foreign: 'http://127.0.0.2:9' }",
        next,
    );
    house
        .run_with(&["apply", "-", "-o", "json"], &elsewhere)
        .await
        .fine();
    assert_eq!(house.sync("q_people").await["state"], "failed");
    // A wrong secret of the same shape, and one that cannot be a header.
    house
        .run_with(
            &["secret", "set", "h_key"],
            &format!("{}\u{7f}", canary(CORES[1])),
        )
        .await;
    let failed = house.sync("h_people").await;
    assert_ne!(failed["state"], "final", "{failed}");
    // A secret typed where a name belongs is not thrown back.
    let typed = secured(
        "t",
        &apis[0].url(),
        &format!("{{ bearer: {} }}", canary(CORES[2])),
        "/x",
        "none",
    );
    assert_eq!(house.run_with(&["apply", "-"], &typed).await.code, Some(2));

    for arguments in [
        &["secret", "list"][..],
        &["secret", "list", "-o", "json"],
        &["token", "list"],
        &["get", "connection", "q", "-o", "json"],
        &["get", "connections"],
        &["get", "metric", "q_people"],
        &["runs", "q_people"],
        &["runs", "q_odd", "-o", "json"],
        &["query", "q_people", "--range", "all_time"],
    ] {
        let _ = house.run(arguments).await.fine();
    }
    everywhere(house, tap, &created.output).await;
}

/// Looks in every place for every canary.
async fn everywhere(mut house: House, tap: Wiretap, created: &str) {
    let canaries: Vec<Needle> = CORES.iter().flat_map(|core| needles(core)).collect();
    let viewer = created
        .split('"')
        .find(|text| text.starts_with("tm_"))
        .expect("the new token")
        .to_owned();
    let tokens: Vec<Needle> = [house.cli.token.clone(), viewer]
        .into_iter()
        .map(|token| Needle {
            what: "a token".into(),
            bytes: token.into_bytes(),
        })
        .collect();

    // What the command line said.
    let said = house
        .said
        .lock()
        .expect("nobody panics while keeping")
        .clone();
    clean(&canaries, "what the command line said", said.as_bytes());
    clean(&tokens[..1], "what the command line said", said.as_bytes());

    // What the gateway answers.
    let document: Value = {
        let url = format!("{}/openapi.json", house.cli.url);
        let text = reqwest::get(url)
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a text");
        serde_json::from_str(&text).expect("JSON")
    };
    let names: Vec<String> = ["q", "h", "b", "s", "kit", "kit_v4"]
        .iter()
        .flat_map(|name| {
            [
                (*name).to_owned(),
                format!("{name}_people"),
                format!("{name}_odd"),
            ]
        })
        .chain(["new_subscribers".to_owned(), "all_subscribers".to_owned()])
        .collect();
    // Runs of a request that was edited later are told by the syncs' own words.
    let is_run = |text: &&str| text.starts_with("r_") && text.len() == 22;
    let mut ids: Vec<String> = said.split('"').filter(is_run).map(str::to_owned).collect();
    for name in &names {
        let (status, body) = house
            .get(&format!("/api/v1/metrics/{name}/runs?limit=100"))
            .await;
        let body = String::from_utf8_lossy(&body).into_owned();
        if status == 200 {
            ids.extend(body.split('"').filter(is_run).map(str::to_owned));
        }
    }
    ids.sort();
    ids.dedup();
    assert!(ids.len() > 40, "every sync is a run: {}", ids.len());
    let mut answered = 0;
    for path in readable(&document, &ids, &names) {
        if path.ends_with("/events") && !ids.iter().step_by(10).any(|id| path.contains(id)) {
            continue;
        }
        let (status, body) = house.get(&path).await;
        answered += usize::from(status == 200);
        clean(&canaries, &path, &body);
        clean(&tokens, &path, &body);
    }
    assert!(answered > 100, "the routes answer: {answered}");

    // What anybody hears on NATS, or finds in its streams.
    let messages = tap.everything().await;
    assert!(
        messages
            .iter()
            .any(|(subject, _)| subject.contains(".page.")),
        "pages were heard"
    );
    for (place, bytes) in &messages {
        clean(&canaries, place, bytes);
        clean(&tokens, place, bytes);
    }

    // What is on disk, while it runs and after its end; the token's own file is its place.
    let data = house.data.path().to_owned();
    let kept = || {
        paths(&data)
            .into_iter()
            .filter(|path| path.file_name() != Some("token".as_ref()))
    };
    for path in kept() {
        let bytes = std::fs::read(&path).unwrap_or_default();
        clean(&canaries, &path.display().to_string(), &bytes);
        clean(&tokens, &path.display().to_string(), &bytes);
    }
    house.process.terminate().await;
    let mut files = 0;
    for path in kept() {
        let bytes = std::fs::read(&path).unwrap_or_default();
        files += 1;
        clean(&canaries, &path.display().to_string(), &bytes);
        clean(&tokens, &path.display().to_string(), &bytes);
    }
    assert!(files > 3, "the store's files were read: {files}");

    // What it logged, at its most talkative.
    let logs = house.process.errors();
    assert!(logs.contains("\"level\":\"TRACE\""), "it was talkative");
    clean(&canaries, "the logs", logs.as_bytes());
    clean(&tokens, "the logs", logs.as_bytes());
    let output = house.process.output();
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| !line.starts_with("token: "))
        .collect();
    clean(&canaries, "stdout", output.as_bytes());
    clean(&tokens, "stdout", lines.join("\n").as_bytes());
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert_eq!(base64(b"sample:se"), "c2FtcGxlOnNl");
    assert_eq!(
        (base64(b"a"), base64(b"ab")),
        ("YQ==".into(), "YWI=".into())
    );
    for before in ["", "s", "sa", "sample:"] {
        let hidden = base64(format!("{before}{}", canary(CORES[3])).as_bytes());
        let found = needles(CORES[3]).iter().any(|needle| {
            hidden
                .as_bytes()
                .windows(needle.bytes.len())
                .any(|window| window == needle.bytes)
        });
        assert!(found, "{before}: {hidden}");
    }
}
