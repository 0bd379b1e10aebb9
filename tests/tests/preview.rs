//! A draft metric, looked at before it is one: fetched by a fetcher, evaluated by an evaluator, over a real NATS.

use bus::{Bus, BusConfig};
use house_tests::{CommandLine, Standalone, crypto, numbered_metric};
use reqwest::StatusCode;
use sample_api::{Config, Server};
use serde_json::{Value, json};

const SECRET: &str = "canary-secret-of-previews";

async fn sample(subscribers: u32) -> Server {
    let config = Config {
        subscribers,
        secret: SECRET.into(),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

/// Asks for a preview as a program would.
async fn ask(cli: &CommandLine, question: &Value) -> (StatusCode, Value) {
    crypto();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let answer = client
        .post(format!("{}/api/v1/preview", cli.url))
        .bearer_auth(&cli.token)
        .json(question)
        .send()
        .await
        .expect("an answer");
    let status = answer.status();
    let body = answer.text().await.expect("a body");
    assert!(!body.contains(SECRET), "{body}");
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn codes(answer: &Value) -> Vec<&str> {
    let warnings = answer["warnings"].as_array().expect("warnings");
    warnings
        .iter()
        .filter_map(|one| one["code"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_fetched_once_and_evaluated_as_often_as_somebody_types() {
    let api = sample(1_000).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let definitions = numbered_metric(&api.url()).replace("max_pages: 1000", "max_pages: 10");
    api.clear_ledger();

    let (status, first) = ask(&house.cli, &json!({ "definitions": definitions })).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["error"], Value::Null, "{first}");
    let url = first["request"]["url"].as_str().expect("a url");
    assert!(url.contains("api_secret=***"), "{url}");
    assert_eq!(first["pages"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        (&first["stated_pages"], &first["ended"]),
        (&json!(20), &json!("page_cap"))
    );
    assert_eq!(
        (&first["rows_total"], &first["rejected_total"]),
        (&json!(250), &json!(0))
    );
    assert_eq!(first["rows"][0]["page"], 1);
    assert_eq!(first["rows"][0]["value"], 1);
    assert!(first["buckets_total"].as_u64() > Some(0), "{first}");
    assert!(
        first["expression"]
            .as_str()
            .is_some_and(|text| text.contains("created_at"))
    );
    let list = &first["tree"]["root"]["fields"];
    let subscribers = list
        .as_array()
        .expect("fields")
        .iter()
        .find(|one| one["name"] == "subscribers");
    assert_eq!(subscribers.expect("the list")["length"]["total"], 250);
    let title = first["suggestions"][0]["title"].as_str().expect("a title");
    assert_eq!(title, "Count of subscribers by created_at, split by state");
    // Twenty pages are stated, and a sync would read ten.
    assert_eq!(codes(&first), ["preview.page_cap", "preview.not_whole"]);
    assert_eq!(first["pagination"]["detected"]["certainty"], "sure");
    assert_eq!(api.ledger().served.len(), 5);

    let typed = "subscribers[state = \"active\"].{ \"date\": created_at, \"value\": id }[]";
    for expression in [typed, "subscribers.{ \"value\": state }[]"] {
        let question = json!({ "definitions": definitions, "draft": first["draft"], "expression": expression });
        let (status, again) = ask(&house.cli, &question).await;
        assert_eq!(status, StatusCode::OK, "{again}");
        assert_eq!(again["expression"], expression);
        assert_eq!(
            (&again["again"], &again["evaluated"]),
            (&json!(true), &json!("expression"))
        );
    }
    assert_eq!(
        api.ledger().served.len(),
        5,
        "typing asks the API for nothing"
    );

    let (status, wrong) = ask(
        &house.cli,
        &json!({ "definitions": definitions, "draft": first["draft"], "expression": "subscribers.{" }),
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong["problems"][0]["code"], "expression.syntax", "{wrong}");
    assert!(
        house
            .cli
            .run(&["get", "metrics", "-o", "json"])
            .await
            .json()
            .as_array()
            .is_some_and(Vec::is_empty)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_expires_and_says_so() {
    let api = sample(60).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let definitions = numbered_metric(&api.url());
    let (_, first) = ask(
        &house.cli,
        &json!({ "definitions": definitions, "pages": 1 }),
    )
    .await;
    let draft = first["draft"].as_str().expect("a draft").to_owned();
    crypto();
    let bus = Bus::connect(BusConfig::new(&house.nats, "test"))
        .await
        .expect("connected");
    let kept = bus
        .draft("default", &draft)
        .await
        .expect("readable")
        .expect("kept");
    let lasts: jiff::Timestamp = kept.expires_at.parse().expect("an instant");
    let left = lasts.duration_since(jiff::Timestamp::now());
    assert!(left <= jiff::SignedDuration::from_mins(10), "{left}");

    let gone = bus
        .purge_run_pages("default", wire::preview::DATASET, &draft)
        .await;
    assert!(gone.expect("purged") > 0);
    let (status, expired) = ask(
        &house.cli,
        &json!({ "definitions": definitions, "draft": draft }),
    )
    .await;
    assert_eq!(
        (status, &expired["code"]),
        (StatusCode::GONE, &json!("preview.expired"))
    );
    let (status, _) = ask(
        &house.cli,
        &json!({ "definitions": definitions, "draft": "r_1' OR 1=1--" }),
    )
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_alike_whether_its_port_is_open_or_closed() {
    let api = sample(10).await;
    let house = Standalone::start(&[]).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    let open = numbered_metric(&api.url());
    let closed = numbered_metric("http://10.0.0.1:22");
    let (status, refused) = ask(&house.cli, &json!({ "definitions": open })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    let text = refused["detail"].as_str().expect("a text");
    assert!(
        text.contains(&format!("--allow-host {}", api.address())),
        "{text}"
    );
    assert!(
        refused["code"]
            .as_str()
            .is_some_and(|code| code.starts_with("egress.")),
        "{refused}"
    );
    let (status, other) = ask(&house.cli, &json!({ "definitions": closed })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{other}");
    assert!(
        other["code"]
            .as_str()
            .is_some_and(|code| code.starts_with("egress.")),
        "{other}"
    );
    assert_eq!(api.ledger().served.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_editor_may_preview_and_only_what_would_be_accepted() {
    let api = sample(10).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let definitions = numbered_metric(&api.url());
    let made = house
        .cli
        .run(&["token", "create", "--role", "viewer", "-o", "json"])
        .await
        .json();
    let viewer = CommandLine {
        token: made["value"].as_str().expect("a token").to_owned(),
        ..house.cli.clone()
    };
    let (status, refused) = ask(&viewer, &json!({ "definitions": definitions })).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::FORBIDDEN, &json!("auth.scope"))
    );

    let (status, missing) = ask(&house.cli, &json!({ "definitions": definitions })).await;
    assert_eq!(
        (status, &missing["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("secret.missing"))
    );
    for question in [
        json!({}),
        json!({ "definitions": "kind: metric\nname: m\n" }),
        json!({ "definitions": definitions, "metric": "another" }),
        json!({ "definitions": definitions, "pages": 21 }),
        json!({ "definitions": definitions, "secrets": { "kit_api_secret": "in the clear" } }),
    ] {
        let (status, wrong) = ask(&house.cli, &question).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{question}: {wrong}"
        );
    }
    assert_eq!(api.ledger().served.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_says_nothing_of_pages_or_records_is_told_both() {
    let api = sample(1_000).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.secret("kit_api_key", SECRET).await;
    let definitions = format!(
        "kind: connection\nname: kit_v4\nbase_url: {}\nauth: {{ header: {{ X-Kit-Api-Key: {{ secret: kit_api_key }} }} }}\n\
         ---\nkind: metric\nname: people\nconnection: kit_v4\nrequest: {{ path: /v4/subscribers, pagination: auto }}\n",
        api.url()
    );
    let (status, answer) = ask(
        &house.cli,
        &json!({ "definitions": definitions, "pages": 2 }),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["error"], Value::Null, "{answer}");
    let detected = &answer["pagination"]["detected"];
    assert_eq!(detected["used"], true, "{detected}");
    assert_eq!(
        detected["pagination"]["cursor"]["from"], "pagination.end_cursor",
        "{detected}"
    );
    assert_eq!(answer["pages"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["evaluated"], "suggestion");
    assert_eq!(answer["select"]["records"], "subscribers");
    assert!(answer["rows_total"].as_u64() > Some(0));
    assert_eq!(answer["rejected_total"], 0);

    let once = definitions.replace(", pagination: auto", "");
    let (_, answer) = ask(&house.cli, &json!({ "definitions": once })).await;
    assert!(codes(&answer).contains(&"preview.more_pages"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_refuses_is_shown_with_what_was_sent() {
    let api = sample(10).await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    house.cli.secret("kit_api_secret", "not-the-secret").await;
    let file = house.data().join("draft.yaml");
    std::fs::write(&file, numbered_metric(&api.url())).expect("written");
    let path = file.display().to_string();
    let said = house.cli.run(&["preview", &path]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.output.contains("401") && said.output.contains("api_secret=***"),
        "{said:?}"
    );
    assert!(said.output.contains("[upstream.unauthorized]"), "{said:?}");

    house.cli.secret("kit_api_secret", SECRET).await;
    let said = house.cli.run(&["preview", &path]).await.fine();
    for part in [
        "GET http://",
        "tree",
        "subscribers  array of 10",
        "[date: iso]",
        "[e-mail]",
        "suggestions for `select`",
        "expression (generated from `select`)",
        "rows (10)",
        "newest buckets",
        "--draft r_",
    ] {
        assert!(
            said.output.contains(part),
            "no `{part}` in\n{}",
            said.output
        );
    }
    assert!(
        !said.output.contains(SECRET) && !said.output.contains("@example.com"),
        "{}",
        said.output
    );
}
