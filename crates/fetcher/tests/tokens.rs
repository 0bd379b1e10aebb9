//! Tokens: asked for once, shared, renewed when they end, and never lost when fetchers die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "tests and their helpers"
)]

use crate::support;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fetcher::Config;
use serde_json::{Value, json};
use service::Identity;
use support::tokens::{SECRET, oauth2, origins, sample, seal, settings, sync_request};
use support::{config, engine, message, sync};

#[tokio::test]
async fn client_credentials_are_exchanged_once_for_all_pages() {
    for client_auth in ["body", "header"] {
        let (server, identity) = (sample().await, Identity::generate());
        let auth = oauth2(
            &server,
            json!({ "grant": "client_credentials", "client_auth": client_auth, "scopes": ["read"] }),
        );
        let secrets = vec![seal(
            &identity,
            "client_secret",
            1,
            SECRET,
            &origins(&server),
        )];
        let request = sync_request(&server, auth, "/oauth/api", secrets);
        let engine = engine(settings(&server, &identity));
        let (manifest, memory) = sync(&engine, &request).await;
        assert_eq!(
            (manifest.outcome.as_str(), message(&manifest)),
            ("complete", "")
        );
        assert_eq!(memory.bodies().len(), 6);
        assert_eq!(server.tokens().0, 1, "{client_auth}");
        // The next run uses the same token.
        sync(&engine, &request).await;
        assert_eq!(server.tokens().0, 1);
    }
}

#[tokio::test]
async fn a_token_that_ended_is_renewed_once_by_all_pages() {
    let (server, identity) = (sample().await, Identity::generate());
    let auth = oauth2(
        &server,
        json!({ "grant": "client_credentials", "put": { "header": "X-Access-Token" } }),
    );
    let secrets = vec![seal(
        &identity,
        "client_secret",
        1,
        SECRET,
        &origins(&server),
    )];
    let request = sync_request(&server, auth, "/oauth/api", secrets);
    let engine = engine(settings(&server, &identity));
    sync(&engine, &request).await;
    server.revoke_tokens();
    let (manifest, memory) = sync(&engine, &request).await;
    assert_eq!(
        (manifest.outcome.as_str(), memory.bodies().len()),
        ("complete", 6)
    );
    assert_eq!(server.tokens().0, 2);
    // One that says when it ends is renewed before that.
    server.set_token_life(Duration::ZERO);
    server.revoke_tokens();
    let (manifest, _) = sync(&engine, &request).await;
    assert_eq!(support::code(&manifest), "upstream.unauthorized");
    assert!(manifest.needs_attention);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_without_the_secret() {
    let (server, identity) = (sample().await, Identity::generate());
    let auth = oauth2(&server, json!({ "grant": "client_credentials" }));
    let secrets = vec![seal(
        &identity,
        "client_secret",
        1,
        "canary-wrong-secret",
        &origins(&server),
    )];
    let request = sync_request(&server, auth, "/oauth/api", secrets);
    let engine = engine(settings(&server, &identity));
    let (manifest, _) = sync(&engine, &request).await;
    assert_eq!(
        message(&manifest),
        "the token server answered 401: invalid_client (the client is unknown, or its secret is wrong)"
    );
    assert_eq!(support::code(&manifest), "token.refused");
    assert!(manifest.needs_attention);
    assert!(!serde_json::to_string(&manifest).unwrap().contains("canary"));
    // Asking again at once would tell the same, and locks accounts elsewhere.
    sync(&engine, &request).await;
    assert_eq!(server.ledger().by_path["/oauth/token"], 1);
}

#[tokio::test]
async fn tokens_go_no_further_than_what_they_were_given_for() {
    let (server, identity) = (sample().await, Identity::generate());
    let other = sample().await;
    let auth = oauth2(&server, json!({ "grant": "client_credentials" }));
    // The secret was stored for the token server and the API of before; somebody edits base_url.
    let secrets = vec![seal(
        &identity,
        "client_secret",
        1,
        SECRET,
        &origins(&server),
    )];
    let request = sync_request(&other, auth.clone(), "/oauth/api", secrets.clone());
    let engine = engine(Config {
        guard: config(&[server.address(), other.address()]).guard,
        ..settings(&server, &identity)
    });
    let (manifest, _) = sync(&engine, &request).await;
    assert_eq!(support::code(&manifest), "secret.origin_refused");
    assert_eq!(other.ledger().requests, 0);
    // Or token_url.
    let auth = oauth2(&other, json!({ "grant": "client_credentials" }));
    let (manifest, _) = sync(&engine, &sync_request(&server, auth, "/oauth/api", secrets)).await;
    assert_eq!(support::code(&manifest), "secret.origin_refused");
    assert_eq!(other.ledger().requests, 0);
}

const RSA: &str = include_str!("data/keys/rsa.pem");
const EC: &str = include_str!("data/keys/ec.pem");
/// DER: the public halves.
const RSA_PUBLIC: &[u8] = include_bytes!("data/keys/rsa.pub.der");
const EC_PUBLIC: &[u8] = include_bytes!("data/keys/ec.pub.der");

#[tokio::test]
async fn assertions_are_signed_with_either_kind_of_key() {
    let (server, identity) = (sample().await, Identity::generate());
    let google = json!({ "type": "service_account", "private_key": RSA, "private_key_id": "k1", "client_email": "me@project.example" }).to_string();
    for (key, algorithm, issuer) in [
        (EC, "ES256", Some("me@project.example")),
        (RSA, "RS256", Some("me@project.example")),
        (google.as_str(), "RS256", None),
    ] {
        let mut grant = json!({
            "grant": "jwt_bearer",
            "token_url": format!("{}/oauth/token", server.url()),
            "key": { "secret": "key" },
            "algorithm": algorithm,
            "scopes": ["a", "b"],
            "claims": { "tenant": "acme" },
            "lifetime": "10m",
        });
        if let Some(issuer) = issuer {
            grant["issuer"] = json!(issuer);
        }
        let secrets = vec![seal(&identity, "key", 1, key, &origins(&server))];
        let request = sync_request(&server, json!({ "oauth2": grant }), "/oauth/api", secrets);
        let (manifest, memory) = sync(&engine(settings(&server, &identity)), &request).await;
        assert_eq!(
            (message(&manifest), memory.bodies().len()),
            ("", 6),
            "{algorithm}"
        );
        let assertion = server.assertions().pop().unwrap();
        let (said, signature) = assertion.rsplit_once('.').unwrap();
        let (header, claims) = said.split_once('.').unwrap();
        let read = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (read(header), read(claims));
        assert_eq!(header["alg"], algorithm);
        assert_eq!(
            header["kid"],
            if issuer.is_none() {
                json!("k1")
            } else {
                Value::Null
            }
        );
        assert_eq!(claims["iss"], "me@project.example");
        assert_eq!(claims["sub"], "me@project.example");
        assert_eq!(claims["aud"], format!("{}/oauth/token", server.url()));
        assert_eq!(
            (&claims["scope"], &claims["tenant"]),
            (&json!("a b"), &json!("acme"))
        );
        let holds = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(holds, 600);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public: ring::signature::UnparsedPublicKey<&[u8]> = if algorithm == "ES256" {
            // The last 65 bytes of the public key's DER are its point.
            let point = &EC_PUBLIC[EC_PUBLIC.len() - 65..];
            ring::signature::UnparsedPublicKey::new(
                &ring::signature::ECDSA_P256_SHA256_FIXED,
                point,
            )
        } else {
            // The bit string within the DER holds the bare RSA key.
            let bare = &RSA_PUBLIC[24..];
            ring::signature::UnparsedPublicKey::new(
                &ring::signature::RSA_PKCS1_2048_8192_SHA256,
                bare,
            )
        };
        public.verify(said.as_bytes(), &signature).expect(algorithm);
    }
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_told_without_showing_it() {
    let (server, identity) = (sample().await, Identity::generate());
    for (key, algorithm, says) in [
        ("canary-not-a-key", "RS256", "holds no private key"),
        (EC, "RS256", "holds a key that cannot sign RS256"),
        (
            "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
            "RS256",
            "holds a private key of a kind that is not supported",
        ),
    ] {
        let grant = json!({
            "grant": "jwt_bearer", "token_url": format!("{}/oauth/token", server.url()),
            "key": { "secret": "key" }, "algorithm": algorithm, "issuer": "me",
        });
        let secrets = vec![seal(&identity, "key", 1, key, &origins(&server))];
        let request = sync_request(&server, json!({ "oauth2": grant }), "/oauth/api", secrets);
        let (manifest, _) = sync(&engine(settings(&server, &identity)), &request).await;
        assert!(message(&manifest).contains(says), "{}", message(&manifest));
        assert!(!message(&manifest).contains("canary"));
        assert_eq!(support::code(&manifest), "token.unfit");
    }
}

#[tokio::test]
async fn a_login_is_put_where_it_belongs_and_done_again_when_it_ended() {
    let password = json!({ "secret": "password" });
    let json_body = json!({ "path": "/session", "body": { "user": { "name": "sample", "password": password } } });
    let form = json!({ "path": "/session", "form": { "user": "sample", "password": password } });
    let basic =
        json!({ "path": "/session", "basic": { "username": "sample", "password": password } });
    for (request, token, put) in [
        (
            &json_body,
            json!("session.token"),
            Some(json!({ "header": "X-Session" })),
        ),
        (&form, json!({ "header": "X-Session" }), None),
        (&basic, json!({ "cookie": "sid" }), None),
    ] {
        let (server, identity) = (sample().await, Identity::generate());
        let mut request = request.clone();
        // The login is beside the API's base path.
        request["url"] = json!(format!("{}/session", server.url()));
        request.as_object_mut().unwrap().shift_remove("path");
        let mut login = json!({ "request": request, "token": token, "lifetime": "30m" });
        if let Some(put) = put {
            login["put"] = put;
        }
        let secrets = vec![seal(&identity, "password", 1, SECRET, &origins(&server))];
        let request = sync_request(&server, json!({ "login": login }), "/session/api", secrets);
        let engine = engine(settings(&server, &identity));
        let (manifest, memory) = sync(&engine, &request).await;
        assert_eq!(
            (message(&manifest), memory.bodies().len()),
            ("", 6),
            "{token}"
        );
        server.revoke_tokens();
        let (manifest, _) = sync(&engine, &request).await;
        assert_eq!(message(&manifest), "");
        assert_eq!(server.tokens().0, 2, "concurrent pages renew once");
    }
}

#[tokio::test]
async fn a_login_that_is_refused_says_so() {
    let (server, identity) = (sample().await, Identity::generate());
    let login = json!({
        "request": { "url": format!("{}/session", server.url()), "form": { "user": "sample", "password": { "secret": "password" } } },
        "token": "session.token",
    });
    let secrets = vec![seal(
        &identity,
        "password",
        1,
        "canary-wrong",
        &origins(&server),
    )];
    let request = sync_request(&server, json!({ "login": login }), "/session/api", secrets);
    let (manifest, _) = sync(&engine(settings(&server, &identity)), &request).await;
    assert_eq!(
        message(&manifest),
        "the login answered 401: invalid_login (the user is unknown, or the password is wrong)"
    );
}
