//! From a changed metric to people: NATS, a signed webhook, a mailbox; once for each case, also after a kill.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use house_tests::{Hearing, Hook, Mailbox, Posted, Standalone, eventually, numbered_metric};
use sample_api::{Config, Server};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "sample-secret";
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn sample(subscribers: u32) -> Server {
    let config = Config {
        subscribers,
        secret: SECRET.into(),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

async fn house(api: &Server, hook: &Hook, mailbox: &Mailbox) -> Standalone {
    let allow = [
        api.address().to_string(),
        hook.address.clone(),
        mailbox.address.clone(),
    ];
    let mail = [
        "--smtp".to_owned(),
        format!("smtp://{}?tls=none", mailbox.address),
        "--smtp-from".to_owned(),
        "Tidemark <alerts@example.com>".to_owned(),
    ];
    let house = Standalone::start_with(&allow, &mail).await;
    house.cli.apply(&numbered_metric(&api.url())).await;
    house.cli.secret("kit_api_secret", SECRET).await;
    house
}

fn signature_of(posted: &Posted) -> String {
    let key = STANDARD
        .decode(SIGNING.trim_start_matches("whsec_"))
        .expect("the key is base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key will do");
    let (id, at) = (
        &posted.headers["webhook-id"],
        &posted.headers["webhook-timestamp"],
    );
    mac.update(format!("{id}.{at}.{}", posted.body).as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn get(house: &Standalone, path: &str) -> Value {
    house_tests::crypto();
    let answer = reqwest::Client::new()
        .get(format!("{}/api/v1{path}", house.cli.url))
        .bearer_auth(&house.cli.token)
        .send()
        .await
        .expect("the gateway answers");
    answer.json().await.expect("it answers JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_reaches_nats_a_signed_webhook_and_a_mailbox() {
    let (api, hook, mailbox) = (sample(300).await, Hook::open().await, Mailbox::open().await);
    let house = house(&api, &hook, &mailbox).await;
    let hearing = Hearing::on(&house.nats, "tidemark.v1.default.alert.many").await;
    let definitions = format!(
        "kind: alert\nname: many\ntitle: Many people\ndescription: More than 200 people have come.\n\
         metric: new_subscribers\nrange: all_time\nwhen: {{ value: {{ above: 200 }} }}\nurgency: critical\n\
         deliver:\n  - webhook: {{ url: \"http://{0}\", path: {{ secret: hook_path }}, sign: {{ secret: hook_key }} }}\n  \
         - webhook: {{ url: \"http://{0}/chat\", shape: slack }}\n  - email: {{ to: [ops@example.com, ann@example.com] }}\n",
        hook.address
    );
    house.cli.apply(&definitions).await;
    house.cli.secret("hook_key", SIGNING).await;
    house.cli.secret("hook_path", "/hidden/path-4711").await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");

    let heard = hearing
        .wait_for("the alert", |alert| alert["event"] == "firing")
        .await;
    assert_eq!(
        (
            &heard["metric"],
            &heard["value"],
            &heard["threshold"],
            &heard["urgency"]
        ),
        (
            &json!("new_subscribers"),
            &json!(300),
            &json!(200),
            &json!("critical")
        ),
        "{heard}"
    );
    let posted = hook.wait_for(2).await;
    let signed = posted
        .iter()
        .find(|one| one.path == "/hidden/path-4711")
        .expect("the secret path");
    assert_eq!(signed.headers["webhook-signature"], signature_of(signed));
    let body: Value = serde_json::from_str(&signed.body).expect("the body is JSON");
    assert_eq!(body["id"], heard["id"], "one case, one id");
    assert_eq!(body["description"], "More than 200 people have come.");
    assert!(
        body["link"]
            .as_str()
            .is_some_and(|link| link.starts_with(&house.cli.url)),
        "{body}"
    );
    let chat = posted
        .iter()
        .find(|one| one.path == "/chat")
        .expect("the chat");
    assert!(chat.body.contains("Many people"), "{}", chat.body);
    let mail = mailbox.wait_for(1).await.remove(0);
    for words in [
        "MAIL FROM:<alerts@example.com>",
        "RCPT TO:<ops@example.com>",
        "RCPT TO:<ann@example.com>",
        "Subject: [firing] Many people",
        "More than 200 people have come.",
        "text/html",
    ] {
        assert!(mail.contains(words), "{words}\n{mail}");
    }

    // More of the same is no news; the log says what was sent to whom, and no secret.
    api.add_subscribers(5, jiff::Timestamp::now());
    house.cli.sync("new_subscribers").await;
    let log = eventually("everything sent", || async {
        let log = get(&house, "/deliveries?name=many").await;
        let items = log["items"].as_array().expect("items").clone();
        items
            .iter()
            .all(|one| one["state"] == "sent")
            .then_some(items)
    })
    .await;
    assert_eq!(log.len(), 4, "{log:?}");
    assert!(!json!(log).to_string().contains("path-4711"), "{log:?}");
    assert_eq!(hook.all().len(), 2);
    let alert = get(&house, "/alerts/many").await;
    assert_eq!(alert["state"]["phase"], "firing", "{alert}");

    // Edited so that it is over: people hear that too.
    let edited = definitions.replace("above: 200 }", "above: 200, until: 100 }");
    house
        .cli
        .apply(&edited.replace("title: Many people", "title: Very many"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_away_gets_each_case_once_it_is_back_also_after_a_kill() {
    let (api, hook, mailbox) = (sample(50).await, Hook::open().await, Mailbox::open().await);
    let house = house(&api, &hook, &mailbox).await;
    hook.answer_with(&[503]);
    let definitions = format!(
        "kind: alert\nname: some\nmetric: new_subscribers\nrange: all_time\nwhen: {{ value: {{ above: 10 }} }}\n\
         deliver:\n  - webhook: {{ url: \"http://{}/hook\" }}\n",
        hook.address
    );
    house.cli.apply(&definitions).await;
    let hearing = Hearing::on(&house.nats, "tidemark.v1.default.alert.some").await;
    house.cli.sync("new_subscribers").await;
    hearing
        .wait_for("the alert", |alert| alert["event"] == "firing")
        .await;
    hook.wait_for(1).await;
    drop(hearing);
    // Killed with the message refused once and waiting for its next try.
    let house = house.kill_and_restart().await;
    let hearing = Hearing::on(&house.nats, "tidemark.v1.default.alert.some").await;
    let posted = hook.wait_for(2).await;
    assert_eq!(
        posted[0].headers["webhook-id"],
        posted[1].headers["webhook-id"]
    );
    eventually("the log says that it was sent", || async {
        let log = get(&house, "/deliveries?name=some&state=sent").await;
        (log["items"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    house.cli.sync("new_subscribers").await;
    assert_eq!(hearing.all(), Vec::<Value>::new(), "no new case");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_allowed_gets_no_message_and_the_log_says_why() {
    let (api, hook, mailbox) = (sample(50).await, Hook::open().await, Mailbox::open().await);
    let closed = Hook::open().await;
    let house = house(&api, &hook, &mailbox).await;
    let definitions = format!(
        "kind: goal\nname: ten\nmetric: new_subscribers\nreach: 10\n\
         deliver:\n  - webhook: {{ url: \"http://{}/hook\" }}\n  - email: {{ to: ops@example.com }}\n",
        closed.address
    );
    house.cli.apply(&definitions).await;
    let hearing = Hearing::on(&house.nats, "tidemark.v1.default.goal.ten").await;
    house.cli.sync("new_subscribers").await;
    let heard = hearing
        .wait_for("the goal", |goal| goal["event"] == "reached")
        .await;
    assert_eq!(
        (&heard["kind"], &heard["value"]),
        (&json!("goal"), &json!(50))
    );
    let mail = mailbox.wait_for(1).await.remove(0);
    assert!(mail.contains("[reached]"), "{mail}");
    let dead = eventually("the message is given up on", || async {
        let log = get(&house, "/deliveries?state=dead").await;
        log["items"]
            .as_array()
            .and_then(|items| items.first().cloned())
    })
    .await;
    let error = dead["error"].as_str().expect("a reason");
    assert!(error.contains("--allow-host"), "{error}");
    assert!(closed.all().is_empty());
    let progress = get(&house, "/goals/ten/progress").await;
    assert_eq!(
        (&progress["phase"], &progress["percent"]),
        (&json!("reached"), &json!(500)),
        "{progress}"
    );
}
