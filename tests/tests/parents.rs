//! A dataset that asks once for each record of another, from definition to numbers.

use house_tests::Standalone;
use sample_api::{Config, Server};
use serde_json::{Value, json};

const SECRET: &str = "sample-secret";

async fn sample() -> Server {
    let config = Config {
        subscribers: 500,
        secret: SECRET.into(),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

fn definitions(base_url: &str) -> String {
    format!(
        r#"
kind: connection
name: kit
base_url: {base_url}
auth: {{ query: {{ api_secret: {{ secret: kit_api_secret }} }} }}
variables: {{ version: v3 }}
---
kind: dataset
name: broadcasts
connection: kit
request:
  path: /{{{{ connection.version }}}}/broadcasts
  pagination: {{ page: {{ param: page }} }}
records: broadcasts
key: id
---
kind: dataset
name: broadcast_stats
connection: kit
parent: {{ dataset: broadcasts, where: "id % 2 = 0" }}
request:
  path: /v3/broadcasts/{{{{ parent.id }}}}/stats
records: broadcast
key: id
---
kind: metric
name: broadcast_recipients
dataset: broadcast_stats
select:
  value: stats.recipients
  date: $parent.created_at
resolution: month
"#
    )
}

/// What the API itself says: recipients of every other broadcast, by month.
async fn truth(api: &Server) -> (f64, usize) {
    house_tests::crypto();
    let client = reqwest::Client::new();
    let get = |path: String| {
        let (url, client) = (format!("{}{path}", api.url()), client.clone());
        async move {
            let answer = client.get(&url).send().await.expect("an answer");
            let body = answer.bytes().await.expect("a body");
            serde_json::from_slice::<Value>(&body).expect("json")
        }
    };
    let (mut sum, mut count) = (0.0, 0);
    for page in 1.. {
        let list = get(format!("/v3/broadcasts?page={page}&api_secret={SECRET}")).await;
        let list = list["broadcasts"].as_array().expect("a list").clone();
        if list.is_empty() {
            break;
        }
        for one in list {
            let id = one["id"].as_u64().expect("an id");
            if id % 2 == 0 {
                let stats = get(format!("/v3/broadcasts/{id}/stats?api_secret={SECRET}")).await;
                sum += stats["broadcast"]["stats"]["recipients"]
                    .as_f64()
                    .expect("a number");
                count += 1;
            }
        }
    }
    (sum, count)
}

fn total(answer: &Value) -> f64 {
    let points = answer["series"][0]["points"].as_array().expect("points");
    points
        .iter()
        .filter_map(|point| point["value"].as_f64())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_parent_is_asked_for_and_counted_by_its_date() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&definitions(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let (sum, count) = truth(&api).await;
    assert!(count > 20, "there is something to count");

    // Nobody has fetched the parent yet: it is fetched for the child.
    let done = house.cli.sync("broadcast_recipients").await;
    assert_eq!(
        (
            &done["state"],
            &done["ended"],
            &done["rows"],
            &done["pages"]
        ),
        (
            &json!("final"),
            &json!("all_parents"),
            &json!(count),
            &json!(count)
        ),
        "{done}"
    );
    let range = ["--range", "all_time", "--granularity", "month"];
    let answer = house.cli.query("broadcast_recipients", &range).await;
    assert!((total(&answer) - sum).abs() < 1e-6, "{answer}");
    assert!(
        answer["series"][0]["points"]
            .as_array()
            .expect("points")
            .len()
            > 1,
        "the date is the parent's: {answer}"
    );

    // A second sync finds the parent young enough and changes nothing.
    api.clear_ledger();
    let again = house.cli.sync("broadcast_recipients").await;
    assert_eq!(again["state"], "final");
    let answer = house.cli.query("broadcast_recipients", &range).await;
    assert_eq!(answer["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_a_parent_survives_a_kill() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&definitions(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let (sum, count) = truth(&api).await;
    api.set_latency(std::time::Duration::from_millis(100));
    let said = house
        .cli
        .run(&["sync", "broadcast_recipients", "-o", "json"])
        .await;
    said.fine();
    house_tests::eventually("the statistics are being asked for", || {
        let ledger = api.ledger();
        let served = ledger.served.iter().any(|one| one.path.ends_with("stats"));
        async move { served.then_some(()) }
    })
    .await;
    let house = house.kill_and_restart().await;
    api.set_latency(std::time::Duration::ZERO);
    let done = house.cli.sync("broadcast_recipients").await;
    assert_eq!(
        (&done["state"], &done["rows"]),
        (&json!("final"), &json!(count)),
        "{done}"
    );
    let range = ["--range", "all_time", "--granularity", "month"];
    let answer = house.cli.query("broadcast_recipients", &range).await;
    assert!((total(&answer) - sum).abs() < 1e-6, "{answer}");
}

/// Asks for a preview as a program would.
async fn preview(house: &Standalone, question: &Value) -> Value {
    house_tests::crypto();
    let client = reqwest::Client::new();
    let answer = client
        .post(format!("{}/api/v1/preview", house.cli.url))
        .bearer_auth(&house.cli.token)
        .json(question)
        .send()
        .await
        .expect("an answer");
    let body = answer.bytes().await.expect("a body");
    serde_json::from_slice(&body).expect("json")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_asks_for_a_few_records_of_its_parent() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let draft = definitions(&api.url()).replace(
        "variables: { version: v3 }",
        "variables: { version: { path: /v3/account, select: '\"v3\"' } }",
    );
    api.clear_ledger();
    let question = json!({ "definitions": draft, "pages": 4 });
    let first = preview(&house, &question).await;
    assert_eq!(first["error"], Value::Null, "{first:#}");
    let told = &first["parents"][0];
    assert_eq!(
        (&told["dataset"], &told["records"], &told["more"]),
        (&json!("broadcasts"), &json!(4), &json!(true)),
        "{told}"
    );
    let pages = first["pages"].as_array().expect("pages");
    assert_eq!((pages.len(), &first["ended"]), (4, &json!("parent_cap")));
    for page in pages {
        let id = page["parent"]["id"].as_u64().expect("an id");
        assert_eq!(id % 2, 0, "{page}");
        let url = page["url"].as_str().expect("a url");
        assert!(url.contains(&format!("/{id}/stats")), "{page}");
    }
    let numbers: Vec<_> = pages.iter().map(|page| &page["parent_number"]).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(first["rows_total"], 4, "{first:#}");
    assert!(first["rows"][0]["date"].is_string(), "{first:#}");
    let url = first["request"]["url"].as_str().expect("a url");
    assert!(
        url.contains("/stats"),
        "the request shown is the metric's: {url}"
    );
    let asks: Vec<&str> = first["exchanges"]
        .as_array()
        .expect("exchanges")
        .iter()
        .filter_map(|one| one["asks"].as_str())
        .collect();
    assert!(asks.contains(&"dataset broadcasts"), "{asks:?}");
    let sent = api.ledger().served.len();
    assert!(sent <= 1 + 3 + 4, "{sent} requests");

    // Typing asks the API for nothing, and knows the parent still.
    let typed = json!({
        "definitions": draft,
        "draft": first["draft"],
        "expression": "{ \"value\": $parent.id, \"date\": $parent.created_at }",
    });
    let again = preview(&house, &typed).await;
    assert_eq!(
        again["rows"][0]["value"], pages[0]["parent"]["id"],
        "{again:#}"
    );
    assert_eq!(api.ledger().served.len(), sent);

    // A parent without records that count is told, not passed over.
    let none = draft.replace("id % 2 = 0", "id < 0");
    let nothing = preview(&house, &json!({ "definitions": none })).await;
    let codes = nothing["warnings"].to_string();
    assert!(codes.contains("preview.no_parents"), "{nothing:#}");

    // Where the parent is in force, the draft may leave it out.
    house.cli.apply(&definitions(&api.url())).await;
    let own = definitions(&api.url());
    let parts: Vec<&str> = own.split("---").collect();
    let child = [parts[2], parts[3]].join("---");
    let applied = preview(&house, &json!({ "definitions": child })).await;
    assert_eq!(applied["rows_total"], 5, "{applied:#}");
    let said = house.cli.run_with(&["apply", "-"], &child).await;
    said.fine();
    let page = house
        .cli
        .run(&["preview", "--metric", "broadcast_recipients"])
        .await
        .fine();
    for part in [
        "dataset broadcasts",
        "asked for the first 5 records of `broadcasts`, of more",
    ] {
        assert!(page.output.contains(part), "{page:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_knows_the_parent_of_each_page() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.apply(&definitions(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let done = house.cli.sync("broadcast_recipients").await;
    assert_eq!(done["state"], "final", "{done}");
    let to = house.data().join("recordings").display().to_string();
    let record = [
        "record",
        "broadcast_recipients",
        "--to",
        &to,
        "--mask",
        "subject",
    ];
    house.cli.run(&record).await.fine();
    let folder = house.data().join("recordings/broadcast_recipients");
    let manifest = std::fs::read_to_string(folder.join("recording.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("json");
    let first = &manifest["pages"][0];
    assert_eq!(first["parent_number"], 1, "{first}");
    assert!(first["parent"]["created_at"].is_string(), "{first}");
    let subject = first["parent"]["subject"].as_str().expect("a subject");
    assert!(subject.contains("masked"), "{first}");
    let golden = std::fs::read_to_string(folder.join("golden.json")).expect("rows");
    let golden: Value = serde_json::from_str(&golden).expect("json");
    let rows = golden["rows"].as_array().expect("rows");
    assert_eq!(json!(rows.len()), done["rows"]);
    assert!(rows.iter().all(|row| row["date"].is_string()), "{rows:?}");
    house.cli.run(&["test", &to]).await.fine();
}
