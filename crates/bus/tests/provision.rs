//! Streams and consumers: made once, checked ever after, never changed behind an operator's back.

use async_nats::jetstream;
use async_nats::jetstream::stream::RetentionPolicy;
use bus::testing::TestServer;
use bus::{Bus, BusConfig, Error, Provision};
use std::time::Duration;
use wire::stream::{Consumer, Stream};

async fn plain(server: &TestServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

#[tokio::test]
async fn provisioning_twice_changes_nothing() {
    let server = TestServer::start().await;
    let bus = server.bus().await;
    let error = bus.check().await.unwrap_err();
    assert!(
        error.to_string().contains("`TIDEMARK_SYNC` does not exist"),
        "{error}"
    );

    bus.provision(&Provision::default()).await.unwrap();
    bus.check().await.unwrap();
    let plain = plain(&server).await;
    let before = plain
        .get_stream("TIDEMARK_PAGE")
        .await
        .unwrap()
        .cached_info()
        .clone();
    bus.provision(&Provision::default()).await.unwrap();
    bus.check().await.unwrap();
    let after = plain
        .get_stream("TIDEMARK_PAGE")
        .await
        .unwrap()
        .cached_info()
        .clone();
    assert_eq!(after.created, before.created);
    assert_eq!(after.config, before.config);
}

#[tokio::test]
async fn streams_are_as_their_specification_says() {
    let server = TestServer::start().await;
    server.provisioned().await;
    let plain = plain(&server).await;
    for stream in Stream::ALL {
        let found = plain.get_stream(stream.name()).await.unwrap();
        let config = &found.cached_info().config;
        let spec = stream.spec();
        assert_eq!(u64::try_from(config.max_bytes).unwrap(), spec.max_bytes);
        assert_eq!(config.max_age, spec.max_age);
        assert_eq!(config.duplicate_window, Duration::from_mins(2));
        assert!(config.allow_direct);
    }
    for consumer in Consumer::ALL {
        let stream = plain.get_stream(consumer.stream().name()).await.unwrap();
        let info = stream.consumer_info(consumer.name()).await.unwrap();
        assert_eq!(
            info.config.ack_policy,
            jetstream::consumer::AckPolicy::Explicit
        );
        assert_eq!(info.config.max_deliver, -1);
        assert_eq!(info.config.ack_wait, consumer.spec().ack_wait);
    }
}

#[tokio::test]
async fn a_stream_with_another_retention_is_refused_with_the_difference_and_not_touched() {
    let server = TestServer::start().await;
    let plain = plain(&server).await;
    plain
        .create_stream(jetstream::stream::Config {
            name: "TIDEMARK_RUN".to_owned(),
            subjects: vec!["tidemark.v1.*.run.*".to_owned()],
            retention: RetentionPolicy::WorkQueue,
            allow_direct: true,
            ..jetstream::stream::Config::default()
        })
        .await
        .unwrap();

    let error = server
        .bus()
        .await
        .provision(&Provision::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "startup.stream_config");
    let text = error.to_string();
    assert!(
        text.contains("`TIDEMARK_RUN` retention: found WorkQueue, need Limits"),
        "the difference is printed: {text}"
    );
    assert!(
        plain.get_stream("TIDEMARK_SYNC").await.is_err(),
        "nothing else was made either"
    );
}

#[tokio::test]
async fn a_consumer_that_gives_up_by_itself_is_refused() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let stream = plain(&server)
        .await
        .get_stream("TIDEMARK_SYNC")
        .await
        .unwrap();
    stream.delete_consumer("fetcher").await.unwrap();
    stream
        .create_consumer(jetstream::consumer::pull::Config {
            durable_name: Some("fetcher".to_owned()),
            max_deliver: 3,
            ..jetstream::consumer::pull::Config::default()
        })
        .await
        .unwrap();
    let text = bus.check().await.unwrap_err().to_string();
    assert!(
        text.contains("`fetcher` max_deliver: found 3, need -1"),
        "{text}"
    );
}

#[tokio::test]
async fn bounds_that_an_operator_set_are_kept_and_those_that_are_given_are_applied() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut wanted = Provision::default();
    wanted.max_bytes.insert(Stream::Page, 64 << 20);
    wanted.ack_wait = Some(Duration::from_secs(7));
    bus.provision(&wanted).await.unwrap();
    bus.provision(&Provision {
        ack_wait: wanted.ack_wait,
        ..Provision::default()
    })
    .await
    .unwrap();

    let stream = plain(&server)
        .await
        .get_stream("TIDEMARK_PAGE")
        .await
        .unwrap();
    assert_eq!(stream.cached_info().config.max_bytes, 64 << 20);
    let stream = plain(&server)
        .await
        .get_stream("TIDEMARK_SYNC")
        .await
        .unwrap();
    let info = stream.consumer_info("fetcher").await.unwrap();
    assert_eq!(info.config.ack_wait, Duration::from_secs(7));
}

#[tokio::test]
async fn a_server_without_jetstream_is_named() {
    let server =
        TestServer::start_with("accounts { A { users: [{ user: a, password: b }] } }\n").await;
    let url = server.url().replace("nats://", "nats://a:b@");
    let bus = Bus::connect(BusConfig::new(url, "test")).await.unwrap();
    let error = bus.provision(&Provision::default()).await.unwrap_err();
    assert!(matches!(error, Error::NoJetStream { .. }), "{error:?}");
}
