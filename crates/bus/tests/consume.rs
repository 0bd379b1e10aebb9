//! Consuming: nothing lost, nothing unreadable handled, outages sat out.

use crate::support;

use async_nats::jetstream;
use bus::testing::TestServer;
use bus::{Bus, Delivery, Outcome, Provision, Published, Reason};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{DEADLINE, manifest, request, until};
use tokio_util::sync::CancellationToken;
use wire::stream::Consumer;
use wire::{DeadLetter, RunManifest, SyncRequest};

/// How often each run was handed to the handler.
type Seen = Arc<Mutex<BTreeMap<String, u32>>>;

fn count(seen: &Seen, run: &str) -> u32 {
    seen.lock().unwrap().get(run).copied().unwrap_or(0)
}

/// A consumer that runs until it is stopped.
struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("it stops")
            .unwrap();
    }
}

fn consume<F>(
    bus: &Bus,
    handler: impl Fn(Delivery<SyncRequest>) -> F + Send + Sync + 'static,
) -> Running
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let (bus, stop) = (bus.clone(), CancellationToken::new());
    let token = stop.clone();
    let task = tokio::spawn(async move { bus.consume(Consumer::Fetcher, 2, token, handler).await });
    Running { stop, task }
}

/// Counts deliveries and answers as `outcome` says for the run's count so far.
fn counting(
    seen: &Seen,
    outcome: impl Fn(u32) -> Outcome + Send + Sync + 'static,
) -> impl Fn(Delivery<SyncRequest>) -> std::future::Ready<Outcome> + Send + Sync + 'static {
    let seen = seen.clone();
    move |delivery| {
        let mut seen = seen.lock().unwrap();
        let count = seen.entry(delivery.message.run.clone()).or_default();
        *count += 1;
        std::future::ready(outcome(*count))
    }
}

/// Sends bytes as they are, as a broken or foreign publisher would.
async fn send_raw(server: &TestServer, subject: &str, payload: Vec<u8>) {
    let plain = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    plain
        .publish(subject.to_owned(), payload.into())
        .await
        .unwrap()
        .await
        .unwrap();
}

async fn messages_in(server: &TestServer, stream: &str) -> u64 {
    let plain = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    plain
        .get_stream(stream)
        .await
        .unwrap()
        .cached_info()
        .state
        .messages
}

async fn next_dead(letters: &mut bus::Listening<DeadLetter>) -> DeadLetter {
    tokio::time::timeout(DEADLINE, letters.next())
        .await
        .expect("a dead letter")
        .unwrap()
}

#[tokio::test]
async fn a_message_that_is_done_is_gone() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let seen = Seen::default();
    let running = consume(&bus, counting(&seen, |_| Outcome::Done));
    bus.publish_sync(&request("r_1", 1)).await.unwrap();
    until("it is handled", || async { count(&seen, "r_1") == 1 }).await;
    until("the queue is empty", || async {
        !bus.sync_waits("default", "d_1", None).await.unwrap()
    })
    .await;
    assert_eq!(
        bus.publish_sync(&request("r_2", 1)).await.unwrap(),
        Published::Accepted
    );
    until("the next is handled", || async { count(&seen, "r_2") == 1 }).await;
    running.stop().await;
    assert_eq!(count(&seen, "r_1"), 1);
}

#[tokio::test]
async fn a_message_comes_again_after_a_retry_and_after_being_handed_back() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let seen = Seen::default();
    let running = consume(
        &bus,
        counting(&seen, |count| match count {
            1 => Outcome::RetryAfter(Duration::from_millis(50)),
            2 => Outcome::HandBack,
            _ => Outcome::Done,
        }),
    );
    bus.publish_sync(&request("r_1", 1)).await.unwrap();
    until("it is handled three times", || async {
        count(&seen, "r_1") == 3
    })
    .await;
    until("the queue is empty", || async {
        messages_in(&server, "TIDEMARK_SYNC").await == 0
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_message_comes_again_after_its_handler_panicked() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let seen = Seen::default();
    let running = consume(
        &bus,
        counting(&seen, |count| {
            assert!(count > 1, "the first time it breaks");
            Outcome::Done
        }),
    );
    bus.publish_sync(&request("r_1", 1)).await.unwrap();
    // The panic poisons the count's lock; look through that.
    let tries = || {
        seen.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get("r_1")
            .copied()
    };
    until("it is tried", || async { tries().is_some() }).await;
    seen.clear_poison();
    until("it is handled again", || async { tries() == Some(2) }).await;
    running.stop().await;
}

#[tokio::test]
async fn a_message_comes_again_when_its_consumer_died() {
    let server = TestServer::start().await;
    let bus = server.bus().await;
    let short = Provision {
        ack_wait: Some(Duration::from_secs(1)),
        ..Provision::default()
    };
    bus.provision(&short).await.unwrap();
    bus.publish_sync(&request("r_1", 1)).await.unwrap();

    let begun = Arc::new(tokio::sync::Notify::new());
    let told = begun.clone();
    let dying = consume(&bus, move |_| {
        told.notify_one();
        std::future::pending()
    });
    begun.notified().await;
    dying.task.abort();

    let deliveries = Arc::new(AtomicU32::new(0));
    let told = deliveries.clone();
    let running = consume(&bus, move |delivery| {
        told.store(
            u32::try_from(delivery.deliveries).unwrap(),
            Ordering::Release,
        );
        std::future::ready(Outcome::Done)
    });
    until("another gets it", || async {
        deliveries.load(Ordering::Acquire) == 2
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn progress_keeps_a_long_message_from_coming_again() {
    let server = TestServer::start().await;
    let bus = server.bus().await;
    let short = Provision {
        ack_wait: Some(Duration::from_secs(1)),
        ..Provision::default()
    };
    bus.provision(&short).await.unwrap();
    let seen = Seen::default();
    let counted = seen.clone();
    let running = consume(&bus, move |delivery| {
        let seen = counted.clone();
        async move {
            *seen
                .lock()
                .unwrap()
                .entry(delivery.message.run.clone())
                .or_default() += 1;
            for _ in 0..15 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                delivery.in_hand.progress().await;
            }
            Outcome::Done
        }
    });
    bus.publish_sync(&request("r_1", 1)).await.unwrap();
    until("it is done", || async {
        messages_in(&server, "TIDEMARK_SYNC").await == 0
    })
    .await;
    running.stop().await;
    assert_eq!(count(&seen, "r_1"), 1);
}

#[tokio::test]
async fn what_is_not_a_message_becomes_a_dead_letter_with_its_bytes() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut letters = bus.dead_letters().await.unwrap();
    let seen = Seen::default();
    let running = consume(&bus, counting(&seen, |_| Outcome::Done));
    let large = vec![b'x'; (1 << 20) - 100];
    // NATS-001, NATS-002, and what is too large for one dead letter.
    for (subject, payload, parts) in [
        (
            "tidemark.v1.default.sync.d_1.all",
            vec![0x00, 0xff, 0x13],
            1,
        ),
        ("tidemark.v1.default.sync.d_2.all", Vec::new(), 1),
        ("tidemark.v1.default.sync.d_3.all", large, 2),
    ] {
        send_raw(&server, subject, payload.clone()).await;
        let mut kept = Vec::new();
        for part in 1..=parts {
            let letter = next_dead(&mut letters).await;
            assert_eq!(letter.code, "message.malformed");
            assert_eq!((letter.part, letter.parts), (part, parts));
            assert_eq!((letter.subject.as_str(), letter.deliveries), (subject, 1));
            assert_eq!(
                (letter.stream.as_str(), letter.consumer.as_str()),
                ("TIDEMARK_SYNC", "fetcher")
            );
            kept.extend(letter.original().unwrap());
        }
        assert!(kept == payload, "the original bytes are kept");
    }
    until("the queue is empty", || async {
        messages_in(&server, "TIDEMARK_SYNC").await == 0
    })
    .await;
    assert_eq!(messages_in(&server, "TIDEMARK_DEAD").await, 4);
    running.stop().await;
    assert!(seen.lock().unwrap().is_empty(), "no handler saw any of it");
}

/// Runs `consumer` with a handler that nothing should reach.
fn never<M: wire::Message>(bus: &Bus, consumer: Consumer) -> Running {
    let (bus, stop) = (bus.clone(), CancellationToken::new());
    let token = stop.clone();
    let handler = |_: Delivery<M>| async { panic!("a handler saw it") };
    let task = tokio::spawn(async move { bus.consume(consumer, 1, token, handler).await });
    Running { stop, task }
}

#[tokio::test]
async fn what_comes_on_a_subject_of_wildcards_ends_as_a_dead_letter() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut letters = bus.dead_letters().await.unwrap();
    let running = [
        never::<SyncRequest>(&bus, Consumer::Fetcher),
        never::<RunManifest>(&bus, Consumer::Evaluator),
        never::<wire::Delivery>(&bus, Consumer::Delivery),
        never::<wire::Delivered>(&bus, Consumer::Delivered),
    ];
    let mut elsewhere = manifest("r_1", 1, 1);
    elsewhere.dataset = "d_other".to_owned();
    let elsewhere = wire::message::encode(&elsewhere).unwrap();
    // The server takes a publish to a literal `*`; what the subject says is kept as text.
    let long = format!("tidemark.v1.default.run.{}", "x".repeat(300));
    for (subject, payload, at, code) in [
        (
            "tidemark.v1.default.run.*",
            &b"{}"[..],
            ("default", "unknown"),
            "message.malformed",
        ),
        (
            "tidemark.v1.*.run.*",
            b"{}",
            ("unknown", "unknown"),
            "message.malformed",
        ),
        (
            "tidemark.v1.default.run.ü",
            b"{}",
            ("default", "unknown"),
            "message.malformed",
        ),
        (&long, b"{}", ("default", "unknown"), "message.malformed"),
        (
            "tidemark.v1.default.run.*",
            &elsewhere,
            ("default", "unknown"),
            "message.subject_mismatch",
        ),
        (
            "tidemark.v1.default.run.d_1",
            &elsewhere,
            ("default", "d_1"),
            "message.subject_mismatch",
        ),
        (
            "tidemark.v1.default.sync.*.all",
            b"{}",
            ("default", "unknown"),
            "message.malformed",
        ),
        (
            "tidemark.v1.default.deliver.*",
            b"{}",
            ("default", "unknown"),
            "message.malformed",
        ),
        (
            "tidemark.v1.default.delivered.*",
            b"{}",
            ("default", "unknown"),
            "message.malformed",
        ),
    ] {
        send_raw(&server, subject, payload.to_vec()).await;
        let letter = next_dead(&mut letters).await;
        assert_eq!(
            (letter.workspace.as_str(), letter.dataset.as_str()),
            at,
            "{subject}"
        );
        assert_eq!(
            (letter.subject.as_str(), letter.code.as_str()),
            (subject, code)
        );
        assert_eq!(letter.original().unwrap(), payload, "{subject}");
        assert_eq!(letter.deliveries, 1, "{subject}");
    }
    for consumer in [
        Consumer::Fetcher,
        Consumer::Evaluator,
        Consumer::Delivery,
        Consumer::Delivered,
    ] {
        until("nothing comes again", || async {
            let plain = jetstream::new(async_nats::connect(server.url()).await.unwrap());
            let stream = plain.get_stream(consumer.stream().name()).await.unwrap();
            let info = stream.consumer_info(consumer.name()).await.unwrap();
            info.num_pending == 0 && info.num_ack_pending == 0
        })
        .await;
    }
    for running in running {
        running.stop().await;
    }
}

#[tokio::test]
async fn a_message_of_another_workspace_reaches_no_handler() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut letters = bus.dead_letters().await.unwrap();
    let seen = Seen::default();
    let running = consume(&bus, counting(&seen, |_| Outcome::Done));
    let foreign = wire::message::encode(&request("r_1", 1)).unwrap();
    send_raw(&server, "tidemark.v1.acme.sync.d_1.all", foreign).await;
    let letter = next_dead(&mut letters).await;
    assert_eq!(
        (letter.code.as_str(), letter.workspace.as_str()),
        ("message.tenant_mismatch", "acme")
    );
    running.stop().await;
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn unknown_fields_are_accepted_and_unknown_abilities_handed_back() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let seen = Seen::default();
    let running = consume(&bus, counting(&seen, |_| Outcome::Done));
    let mut newer = serde_json::to_value(request("r_1", 1)).unwrap();
    newer["extra"] = 1.into();
    send_raw(
        &server,
        "tidemark.v1.default.sync.d_1.all",
        newer.to_string().into_bytes(),
    )
    .await;
    until("unknown fields are no matter", || async {
        count(&seen, "r_1") == 1
    })
    .await;

    // Another dataset: the first request may not be gone yet.
    let strange = SyncRequest {
        dataset: "d_2".to_owned(),
        requires: vec!["teleport".to_owned()],
        ..request("r_2", 1)
    };
    bus.publish_sync(&strange).await.unwrap();
    let plain = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    until("it was delivered and handed back", || async {
        let stream = plain.get_stream("TIDEMARK_SYNC").await.unwrap();
        let info = stream.consumer_info("fetcher").await.unwrap();
        info.delivered.consumer_sequence >= 2
    })
    .await;
    running.stop().await;
    assert_eq!(count(&seen, "r_2"), 0);
    assert_eq!(
        messages_in(&server, "TIDEMARK_SYNC").await,
        1,
        "it waits for a newer reader"
    );
    assert_eq!(messages_in(&server, "TIDEMARK_DEAD").await, 0);
}

#[tokio::test]
async fn a_rejected_message_becomes_a_dead_letter_of_its_run() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let mut letters = bus.dead_letters().await.unwrap();
    let running = consume(&bus, |delivery| {
        assert_eq!(delivery.deliveries, 1);
        std::future::ready(Outcome::Reject(Reason::new(
            "run.poison",
            "tried five times",
        )))
    });
    let sent = request("r_1", 7);
    bus.publish_sync(&sent).await.unwrap();
    let letter = next_dead(&mut letters).await;
    assert_eq!(
        (letter.code.as_str(), letter.message.as_str()),
        ("run.poison", "tried five times")
    );
    assert_eq!((letter.run.as_str(), letter.attempt), ("r_1", 7));
    assert_eq!(
        letter.original().unwrap(),
        wire::message::encode(&sent).unwrap()
    );
    until("the queue is empty", || async {
        messages_in(&server, "TIDEMARK_SYNC").await == 0
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_loses_nothing() {
    let mut server = TestServer::start().await;
    let bus = server.bus().await;
    let short = Provision {
        ack_wait: Some(Duration::from_secs(2)),
        ..Provision::default()
    };
    bus.provision(&short).await.unwrap();
    let seen = Seen::default();
    let counted = seen.clone();
    let running = consume(&bus, move |delivery| {
        let seen = counted.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            *seen
                .lock()
                .unwrap()
                .entry(delivery.message.run.clone())
                .or_default() += 1;
            Outcome::Done
        }
    });
    let send = async |number: u32| {
        let dataset = format!("d_{number}");
        let request = SyncRequest {
            dataset,
            ..request(&format!("r_{number}"), 1)
        };
        bus.publish_sync(&request).await.unwrap();
    };
    for number in 0..20 {
        send(number).await;
    }
    until("some are done", || async { seen.lock().unwrap().len() > 3 }).await;
    for _ in 0..2 {
        server.kill().await;
        until("the outage is noticed", || async { !bus.is_healthy() }).await;
        server.restart().await;
        until("the bus is well again", || async { bus.is_healthy() }).await;
    }
    for number in 20..30 {
        send(number).await;
    }
    until("all are handled", || async {
        seen.lock().unwrap().len() == 30
    })
    .await;
    until("the queue is empty", || async {
        messages_in(&server, "TIDEMARK_SYNC").await == 0
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn credentials_that_were_revoked_and_given_back_are_tried_again() {
    let users = |password: &str| {
        format!("authorization {{ users: [{{ user: ann, password: {password} }}] }}")
    };
    let mut server = TestServer::start_with(&users("right")).await;
    let url = server.url().replace("nats://", "nats://ann:right@");
    let bus = Bus::connect(bus::BusConfig::new(url.clone(), "test"))
        .await
        .unwrap();
    bus.provision(&Provision::default()).await.unwrap();
    let seen = Seen::default();
    let running = consume(&bus, counting(&seen, |_| Outcome::Done));

    server.restart_with(&users("wrong")).await;
    until("the refusal is noticed", || async { !bus.is_healthy() }).await;
    let wrong = Bus::connect(bus::BusConfig::new(url, "test"))
        .await
        .err()
        .unwrap();
    assert_eq!(wrong.code(), "nats.auth");
    assert!(!wrong.to_string().contains("right"), "{wrong}");

    server.restart_with(&users("right")).await;
    // Consumers ask for the connection by themselves, so nobody has to.
    until("the bus is well again", || async { bus.is_healthy() }).await;
    bus.publish_sync(&request("r_1", 1)).await.unwrap();
    until("messages are taken again", || async {
        count(&seen, "r_1") == 1
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_in_hand_and_leaves_the_rest() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let begun = Arc::new(tokio::sync::Semaphore::new(0));
    let told = begun.clone();
    let running = consume(&bus, move |_| {
        let told = told.clone();
        async move {
            told.add_permits(1);
            tokio::time::sleep(Duration::from_millis(300)).await;
            Outcome::Done
        }
    });
    for number in 0..5 {
        let dataset = format!("d_{number}");
        bus.publish_sync(&SyncRequest {
            dataset,
            ..request("r_1", number + 1)
        })
        .await
        .unwrap();
    }
    begun.acquire_many(2).await.unwrap().forget();
    running.stop().await;
    assert_eq!(
        messages_in(&server, "TIDEMARK_SYNC").await,
        3,
        "two workers, two messages"
    );
}

#[tokio::test]
async fn a_manifest_in_parts_reaches_the_handler_once_and_whole() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    let long = manifest("r_1", 1, 9_000);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (bus, stop) = (bus.clone(), stop.clone());
        async move {
            let handler = move |delivery: Delivery<RunManifest>| {
                sender.send(delivery.message).unwrap();
                std::future::ready(Outcome::Done)
            };
            bus.consume(Consumer::Evaluator, 4, stop, handler).await;
        }
    });
    bus.publish_manifest(&long).await.unwrap();
    let got = tokio::time::timeout(DEADLINE, receiver.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(got, long);
    stop.cancel();
    task.await.unwrap();
    assert!(receiver.recv().await.is_none(), "it came once");
}

#[tokio::test]
async fn the_bus_keeps_a_long_evaluation_in_hand() {
    let server = TestServer::start().await;
    let bus = server.bus().await;
    let short = Provision {
        ack_wait: Some(Duration::from_secs(3)),
        ..Provision::default()
    };
    bus.provision(&short).await.unwrap();
    let deliveries = Arc::new(AtomicU32::new(0));
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let (bus, stop, deliveries) = (bus.clone(), stop.clone(), deliveries.clone());
        async move {
            let handler = move |_: Delivery<RunManifest>| {
                deliveries.fetch_add(1, Ordering::AcqRel);
                async {
                    tokio::time::sleep(Duration::from_secs(7)).await;
                    Outcome::Done
                }
            };
            bus.consume(Consumer::Evaluator, 2, stop, handler).await;
        }
    });
    bus.publish_manifest(&manifest("r_1", 1, 1)).await.unwrap();
    let plain = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    until("it is acknowledged", || async {
        let stream = plain.get_stream("TIDEMARK_RUN").await.unwrap();
        stream
            .consumer_info("evaluator")
            .await
            .unwrap()
            .ack_floor
            .stream_sequence
            == 1
    })
    .await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(deliveries.load(Ordering::Acquire), 1);
}

#[tokio::test]
async fn what_a_gone_process_had_in_hand_is_taken_over_at_once() {
    let server = TestServer::start().await;
    let bus = server.provisioned().await;
    bus.publish_sync(&request("r_1", 1)).await.unwrap();
    let seen: Seen = Arc::default();
    // It never says a word and is gone.
    let gone = {
        let seen = seen.clone();
        consume(&bus, move |delivery| {
            *seen
                .lock()
                .unwrap()
                .entry(delivery.message.run)
                .or_default() += 1;
            std::future::pending()
        })
    };
    until("it is in hand", || async { count(&seen, "r_1") == 1 }).await;
    gone.task.abort();
    let _ = gone.task.await;

    let deliveries = Arc::new(Mutex::new(Vec::new()));
    bus.take_over().await.unwrap();
    let running = {
        let deliveries = deliveries.clone();
        consume(&bus, move |delivery| {
            deliveries.lock().unwrap().push(delivery.deliveries);
            std::future::ready(Outcome::Done)
        })
    };
    // Two minutes is what it would take by itself; the deadline of `until` is far below.
    until("it is delivered again", || async {
        !deliveries.lock().unwrap().is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(*deliveries.lock().unwrap(), [2], "counted on, and once");
    bus.check()
        .await
        .expect("the consumer's time is what it was");
}
