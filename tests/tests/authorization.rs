//! Tokens through the whole house: consents, rotated refresh tokens, logins, and trying a connection.

use house_tests::{Hearing, Standalone};
use sample_api::{Config, Server};
use serde_json::Value;

const SECRET: &str = "canary-4c1d-client-secret";

async fn sample() -> Server {
    let config = Config {
        subscribers: 100,
        page_size: 20,
        secret: SECRET.into(),
        ..Config::default()
    };
    Server::start(config).await.expect("the sample API starts")
}

fn definitions(api: &Server, base: &str, auth: &str) -> String {
    let url = api.url();
    format!(
        "kind: connection\nname: api\nbase_url: {url}{base}\nauth:\n{auth}---\n\
         kind: metric\nname: people\nconnection: api\n\
         request:\n  path: /page\n  pagination: {{ page: {{ param: page, total_pages: total_pages }} }}\n\
         select: {{ records: items, value: {{ count: true }}, date: at, key: id }}\n"
    )
}

fn oauth2(api: &Server, rest: &str) -> String {
    format!(
        "  oauth2:\n    token_url: {}/oauth/token\n    client_id: {}\n    client_secret: {{ secret: client_secret }}\n{rest}",
        api.url(),
        sample_api::CLIENT,
    )
}

/// Everything the house keeps on disk and in NATS, as text.
fn kept(house: &Standalone) -> String {
    fn walk(folder: &std::path::Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, all);
            } else if let Ok(bytes) = std::fs::read(&path) {
                all.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    let mut all = String::new();
    walk(house.data(), &mut all);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_refresh_token_is_kept_as_a_new_version() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let auth = oauth2(
        &api,
        "    grant: refresh_token\n    refresh_token: { secret: refresh }\n",
    );
    house
        .cli
        .apply(&definitions(&api, "/oauth/api", &auth))
        .await;
    house.cli.secret("client_secret", SECRET).await;
    house.cli.secret("refresh", sample_api::REFRESH).await;
    for round in 1..=3 {
        let done = house.cli.sync("people").await;
        assert_eq!(
            (&done["state"], &done["rows"]),
            (&"final".into(), &100.into()),
            "{done}"
        );
        let listed = house
            .cli
            .run(&["secret", "list", "-o", "json"])
            .await
            .json();
        let version = listed["items"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["name"] == "refresh"))
            .map(|one| one["version"].clone());
        assert_eq!(version, Some(Value::from(round + 1)));
        api.revoke_tokens();
    }
    assert_eq!(api.tokens(), (3, 0));
    let all = kept(&house);
    for needle in [SECRET, sample_api::REFRESH, "refresh-", "access-"] {
        assert!(!all.contains(needle), "{needle} is kept in the clear");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_authorizes_a_connection() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let rest = format!(
        "    grant: authorization_code\n    authorize_url: {}/oauth/authorize\n    refresh_token: {{ secret: refresh }}\n    scopes: [read]\n",
        api.url()
    );
    let text = definitions(&api, "/oauth/api", &oauth2(&api, &rest));
    house.cli.apply(&text).await;
    house.cli.secret("client_secret", SECRET).await;
    let before = house.cli.sync("people").await;
    assert_eq!(before["state"], "failed");
    assert!(
        before
            .to_string()
            .contains("tidemark connection authorize api"),
        "{before}"
    );

    // Whoever hears NATS has TLS set up, which the browser below needs.
    let _hearing = Hearing::updates(&house.nats).await;
    // Begun by HTTP, as the command line does; then a browser goes where it is sent.
    let http = reqwest::Client::new();
    let begin = || async {
        let address = format!("{}/api/v1/connections/api/authorize", house.cli.url);
        let answer = http
            .post(address)
            .bearer_auth(&house.cli.token)
            .send()
            .await;
        answer
            .expect("an answer")
            .json::<Value>()
            .await
            .expect("JSON")
    };
    let begun = begin().await;
    let address = begun["authorize_url"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert_eq!(
        begun["redirect_url"],
        format!("{}/oauth/callback", house.cli.url)
    );
    let denied = http
        .get(format!("{address}&deny=1"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(denied.status(), 400);
    let standing = http
        .get(format!(
            "{}/api/v1/connections/api/authorize",
            house.cli.url
        ))
        .query(&[("state", begun["state"].as_str().expect("a state"))])
        .bearer_auth(&house.cli.token)
        .send()
        .await
        .expect("an answer")
        .json::<Value>()
        .await
        .expect("JSON");
    assert_eq!(standing["state"], "failed", "{standing}");
    // A state is good once.
    let again = http.get(&address).send().await.expect("an answer");
    assert_eq!(again.status(), 400);
    let forged = http
        .get(format!(
            "{}/oauth/callback?code=x&state=guessed",
            house.cli.url
        ))
        .send()
        .await
        .expect("an answer");
    assert_eq!(forged.status(), 400);

    // The command line waits until the person has consented.
    let cli = house.cli.clone();
    let waiting = tokio::spawn(async move { cli.run(&["connection", "authorize", "api"]).await });
    let begun = begin().await;
    let address = begun["authorize_url"].as_str().expect("an address");
    let consented = http.get(address).send().await.expect("an answer");
    assert_eq!(consented.status(), 200);
    assert!(
        consented
            .text()
            .await
            .expect("text")
            .contains("is authorized")
    );
    waiting.abort();

    let done = house.cli.sync("people").await;
    assert_eq!(
        (&done["state"], &done["rows"]),
        (&"final".into(), &100.into()),
        "{done}"
    );
    // What was given is rotated from now on.
    api.revoke_tokens();
    assert_eq!(house.cli.sync("people").await["state"], "final");
    assert_eq!(api.tokens().1, 0);
    let all = kept(&house);
    for needle in [SECRET, "code-", "refresh-", "access-"] {
        assert!(!all.contains(needle), "{needle} is kept in the clear");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_a_connection_says_what_fails_and_what_helps() {
    let api = sample().await;
    let house = Standalone::start(&[api.address().to_string()]).await;
    let login = format!(
        "  login:\n    request: {{ url: {}/session, form: {{ user: sample, password: {{ secret: password }} }} }}\n    token: session.token\n",
        api.url()
    );
    house
        .cli
        .apply(&definitions(&api, "/session/api", &login))
        .await;
    let missing = house.cli.run(&["connection", "test", "api"]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(
        missing.output.contains("secret `password` is not set"),
        "{missing:?}"
    );
    house.cli.secret("password", "canary-wrong-password").await;
    let wrong = house
        .cli
        .run(&["connection", "test", "api", "--path", "/page"])
        .await;
    assert!(wrong.output.contains("the login answered 401"), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("canary"));
    house.cli.secret("password", SECRET).await;
    let fine = house
        .cli
        .run(&["connection", "test", "api", "--path", "/page"])
        .await
        .fine();
    assert!(fine.output.contains("ok     body"), "{fine:?}");
    let path = house
        .cli
        .run(&["connection", "test", "api", "--path", "/nowhere"])
        .await;
    assert!(path.output.contains("the path is wrong"), "{path:?}");
    let done = house.cli.sync("people").await;
    assert_eq!(done["state"], "final", "{done}");
}
