//! Goals, alerts and scorecards: what they name stays, they are judged once, and what they tell is sent once.

use store::{
    Change, DeliveryEnd, DeliveryFilter, DeliveryState, Error, Judged, Kind, NewDelivery, NewWatch,
    Put, Store,
};

use crate::fixture::{WS, apply, delete, metric, metrics, put};
use crate::on_both;

on_both!(
    what_a_definition_names_must_be_there_and_stay,
    an_edit_begins_anew_only_when_it_is_about_something_else,
    a_judgement_counts_once_and_brings_its_messages,
    a_message_is_handed_over_until_it_ends,
    what_is_to_be_sent_goes_with_its_definition,
);

fn alert(name: &str, metric: &str, subject: &str) -> Change {
    put(
        Kind::Alert,
        name,
        Put {
            document: format!(
                r#"{{"kind":"alert","name":"{name}","metric":"{metric}","about":"{subject}"}}"#
            ),
            uses: vec![(Kind::Metric, metric.to_owned())],
            watch: Some(NewWatch {
                metric: Some(metric.to_owned()),
                subject: subject.to_owned(),
            }),
            ..Put::default()
        },
    )
}

fn message(key: &str) -> NewDelivery {
    NewDelivery {
        key: key.to_owned(),
        event: "firing".to_owned(),
        channel: "webhook".to_owned(),
        recipient: "https://ops.example.com".to_owned(),
        not_before: 5,
        target: "{}".to_owned(),
        content: "{}".to_owned(),
    }
}

/// The revision of a watch as it is now.
async fn revision(store: &Store, name: &str) -> i64 {
    let due = store.due_watches(i64::MAX, 10).await.unwrap();
    due.iter().find(|one| one.name == name).unwrap().revision
}

fn judged(name: &str, revision: i64, deliveries: Vec<NewDelivery>) -> Judged {
    Judged {
        workspace: WS.to_owned(),
        kind: Kind::Alert,
        name: name.to_owned(),
        revision,
        version: 0,
        next_at: Some(100),
        phase: "firing".to_owned(),
        since: Some(7),
        state: r#"{"a":1}"#.to_owned(),
        deliveries,
    }
}

async fn what_a_definition_names_must_be_there_and_stay(store: &Store) {
    metrics(store, &["a", "b"]).await;
    let refused = store
        .apply(WS, "tester", &[alert("low", "nowhere", "1")])
        .await
        .expect_err("no such metric");
    assert!(
        matches!(&refused, Error::NotFound { kind: "metric", name } if name == "nowhere"),
        "{refused}"
    );
    apply(store, &[alert("low", "a", "1")]).await;
    let refused = store
        .apply(WS, "tester", &[delete(Kind::Metric, "a")])
        .await
        .expect_err("it is named");
    assert!(
        matches!(&refused, Error::InUse { kind: "metric", names, .. } if names == &["alert `low`"]),
        "{refused}"
    );
    // Together they may go, and an edit lets go of what was named.
    apply(store, &[alert("low", "b", "1"), delete(Kind::Metric, "a")]).await;
    apply(
        store,
        &[delete(Kind::Metric, "b"), delete(Kind::Alert, "low")],
    )
    .await;
    assert!(store.watch(WS, Kind::Alert, "low").await.unwrap().is_none());
}

async fn an_edit_begins_anew_only_when_it_is_about_something_else(store: &Store) {
    metrics(store, &["a"]).await;
    apply(store, &[alert("low", "a", "1")]).await;
    let first = revision(store, "low").await;
    let late = store.save_judged(&[judged("low", first, vec![])]).await;
    assert_eq!(late.unwrap(), Vec::<String>::new());
    let mut titled = alert("low", "a", "1");
    if let store::Action::Put(put) = &mut titled.action {
        put.document = put
            .document
            .replace("\"kind\"", "\"title\":\"Low\",\"kind\"");
    }
    apply(store, &[titled]).await;
    let watch = store.watch(WS, Kind::Alert, "low").await.unwrap().unwrap();
    assert_eq!((watch.phase.as_str(), watch.since), ("firing", Some(7)));
    // What was being judged meanwhile was another definition.
    let meanwhile = judged("low", first + 1, vec![message("x")]);
    let late = store.save_judged(&[meanwhile]).await;
    assert_eq!(late.unwrap(), ["low"]);
    let none = DeliveryFilter::default();
    assert!(
        store
            .deliveries(WS, &none, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    apply(store, &[alert("low", "a", "2")]).await;
    let watch = store.watch(WS, Kind::Alert, "low").await.unwrap().unwrap();
    assert_eq!((watch.phase.as_str(), watch.since), ("", None));
}

async fn a_judgement_counts_once_and_brings_its_messages(store: &Store) {
    metrics(store, &["a"]).await;
    apply(store, &[alert("low", "a", "1"), alert("high", "a", "1")]).await;
    let now = store.now().await.unwrap();
    let due = store.due_watches(now, 10).await.unwrap();
    assert_eq!(
        due.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["high", "low"]
    );
    let one = judged("low", due[1].revision, vec![message("low.1")]);
    assert!(
        store
            .save_judged(std::slice::from_ref(&one))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.save_judged(&[one]).await.unwrap(), ["low"]);
    let twice = judged(
        "high",
        due[0].revision,
        vec![message("low.1"), message("high.1")],
    );
    store.save_judged(&[twice]).await.unwrap();
    let all = DeliveryFilter::default();
    let listed = store.deliveries(WS, &all, None, 10).await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["high.1", "low.1"]);
    assert!(store.due_watches(99, 10).await.unwrap().is_empty());
    assert_eq!(store.due_watches(100, 10).await.unwrap().len(), 2);
}

async fn a_message_is_handed_over_until_it_ends(store: &Store) {
    metrics(store, &["a"]).await;
    apply(store, &[alert("low", "a", "1")]).await;
    let first = revision(store, "low").await;
    let judged = judged("low", first, vec![message("m")]);
    store.save_judged(&[judged]).await.unwrap();
    assert!(store.due_deliveries(4, 10).await.unwrap().is_empty());
    let due = store.due_deliveries(5, 10).await.unwrap();
    assert!(store.claim_delivery(&due[0], 5).await.unwrap());
    assert!(!store.claim_delivery(&due[0], 5).await.unwrap(), "twice");
    assert!(store.due_deliveries(5, 10).await.unwrap().is_empty());
    store.unclaim_delivery(&due[0], 6).await.unwrap();
    let due = store.due_deliveries(6, 10).await.unwrap();
    assert_eq!(due[0].attempts, 0, "the queue was away");
    assert!(store.claim_delivery(&due[0], 6).await.unwrap());
    let again = DeliveryEnd::Again {
        not_before: 50,
        status: Some(503),
        error: "busy".into(),
    };
    assert!(store.end_delivery(WS, "m", &again).await.unwrap());
    let due = store.due_deliveries(50, 10).await.unwrap();
    assert_eq!((due[0].attempts, due[0].status), (1, Some(503)));
    assert!(store.claim_delivery(&due[0], 50).await.unwrap());
    // Nothing is heard of it: it is handed over again.
    let lost = store
        .due_deliveries(50 + store::QUEUED_FOR, 10)
        .await
        .unwrap();
    assert_eq!((lost.len(), lost[0].attempts), (1, 2));
    let sent = DeliveryEnd::Sent { status: Some(200) };
    assert!(store.end_delivery(WS, "m", &sent).await.unwrap());
    assert!(!store.end_delivery(WS, "m", &again).await.unwrap(), "ended");
    let kept = store.delivery(WS, "m").await.unwrap().unwrap();
    assert_eq!((kept.state, kept.error), (DeliveryState::Sent, None));
    let filter = DeliveryFilter {
        state: Some(DeliveryState::Dead),
        ..DeliveryFilter::default()
    };
    assert!(
        store
            .deliveries(WS, &filter, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let swept = store
        .sweep(kept.created_at + store::DELIVERIES_KEPT + 1)
        .await;
    assert_eq!(swept.unwrap().deliveries, 1);
}

async fn what_is_to_be_sent_goes_with_its_definition(store: &Store) {
    metrics(store, &["a"]).await;
    apply(store, &[alert("low", "a", "1")]).await;
    let first = revision(store, "low").await;
    let judged = judged("low", first, vec![message("m")]);
    store.save_judged(&[judged]).await.unwrap();
    apply(store, &[delete(Kind::Alert, "low")]).await;
    let kept = store.delivery(WS, "m").await.unwrap().unwrap();
    assert_eq!(kept.state, DeliveryState::Cancelled);
    // The same name later is another alert.
    apply(store, &[alert("low", "a", "1"), metric("b", "api", "/b")]).await;
    let watch = store.watch(WS, Kind::Alert, "low").await.unwrap().unwrap();
    assert_eq!(watch.phase, "");
}
