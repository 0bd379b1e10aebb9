//! The pages of a run kept as files, and definitions held to what they gave.

use house_tests::{CommandLine, crypto, numbered_house, numbered_metric};
use sample_api::Config;

const SECRET: &str = "canary-secret-of-recordings";

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_holds_definitions_to_the_rows_they_gave() {
    let config = Config {
        subscribers: 120,
        secret: SECRET.into(),
        ..Config::default()
    };
    let (api, house) = numbered_house(config).await;
    assert_eq!(house.cli.sync("new_subscribers").await["state"], "final");

    let to = house.data().join("recordings").display().to_string();
    let record = [
        "record",
        "new_subscribers",
        "--to",
        &to,
        "--mask",
        "email_address",
    ];
    house.cli.run(&record).await.fine();
    let folder = house.data().join("recordings/new_subscribers");
    let page = std::fs::read_to_string(folder.join("pages/0001.json")).expect("a page");
    assert!(page.contains("masked-1@example.com"), "{page}");
    for file in ["recording.json", "definitions.json", "golden.json"] {
        let text = std::fs::read_to_string(folder.join(file)).expect(file);
        assert!(!text.contains(SECRET), "{file}: {text}");
    }
    let audit = house.cli.url.clone();
    crypto();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let trail = client
        .get(format!("{audit}/api/v1/audit"))
        .bearer_auth(&house.cli.token)
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body");
    assert!(
        trail.contains("\"read\"") && trail.contains("\"page\""),
        "{trail}"
    );

    // Nothing but the files is needed from here on.
    let alone = CommandLine {
        url: "http://127.0.0.1:1".to_owned(),
        ..house.cli.clone()
    };
    let same = alone.run(&["test", &to]).await.fine();
    assert!(
        same.output.contains("new_subscribers: 120 rows"),
        "{same:?}"
    );

    let edited = house.data().join("edited.yaml");
    let text = numbered_metric(&api.url()).replace("value: { count: true }", "value: \"2\"");
    std::fs::write(&edited, text).expect("written");
    let edited = edited.display().to_string();
    let differs = alone.run(&["test", &to, "--definitions", &edited]).await;
    assert_eq!(differs.code, Some(1), "{differs:?}");
    for part in ["120 places", "page 1, row 0", "- {", "+ {", "\"value\":2"] {
        assert!(differs.output.contains(part), "no `{part}`: {differs:?}");
    }
    alone
        .run(&["test", &to, "--definitions", &edited, "--update"])
        .await
        .fine();
    alone
        .run(&["test", &to, "--definitions", &edited])
        .await
        .fine();
    assert_eq!(alone.run(&["test", &to]).await.code, Some(1));
    assert_eq!(
        alone
            .run(&["test", &house.data().join("state").display().to_string()])
            .await
            .code,
        Some(2)
    );
}
