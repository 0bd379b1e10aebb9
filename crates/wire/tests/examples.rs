//! The contract's examples, read and written as the contract says.

use serde_json::{Value, json};
use std::path::PathBuf;
use wire::message::{self, MALFORMED, SUBJECT_MISMATCH, TENANT_MISMATCH};
use wire::{
    Alert, ConnectionTest, ConnectionTested, ConsentGiven, ConsentRedeemed, DeadLetter, Delivered,
    Delivery, Message, MetricUpdate, PreviewEvaluate, PreviewEvaluated, PreviewFetch,
    PreviewFetched, Progress, RowsFound, RowsPushed, RowsTaken, RowsWanted, RunManifest,
    SecretKept, SecretReplaced, SecretsRead, SecretsWanted, SyncRequest, Wake,
};

fn examples() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto/examples");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

fn example(name: &str) -> Vec<u8> {
    examples()
        .into_iter()
        .find(|(known, _)| known == name)
        .unwrap()
        .1
}

/// Reads an example, writes it, and returns what was written.
fn through<M: Message + std::fmt::Debug + PartialEq>(bytes: &[u8]) -> Value {
    let message: M = message::decode("elsewhere", bytes).unwrap();
    let written = message::encode(&message).unwrap();
    let again: M = message::decode(message.subject().unwrap().as_str(), &written).unwrap();
    assert_eq!(again, message);
    serde_json::from_slice(&written).unwrap()
}

fn through_by_name(name: &str, bytes: &[u8]) -> Value {
    let read: fn(&[u8]) -> Value = match name {
        _ if name.starts_with("sync_request") => through::<SyncRequest>,
        _ if name.starts_with("run_manifest") => through::<RunManifest>,
        _ if name.starts_with("progress") => through::<Progress>,
        _ if name.starts_with("metric_update") => through::<MetricUpdate>,
        _ if name.starts_with("dead_letter") => through::<DeadLetter>,
        _ if name.starts_with("wake") => through::<Wake>,
        _ if name.starts_with("delivery") => through::<Delivery>,
        _ if name.starts_with("delivered") => through::<Delivered>,
        _ if name.starts_with("alert") => through::<Alert>,
        _ if name.starts_with("preview_fetched") => through::<PreviewFetched>,
        _ if name.starts_with("preview_fetch") => through::<PreviewFetch>,
        _ if name.starts_with("preview_evaluated") => through::<PreviewEvaluated>,
        _ if name.starts_with("preview_evaluate") => through::<PreviewEvaluate>,
        _ if name.starts_with("rows_pushed") => through::<RowsPushed>,
        _ if name.starts_with("rows_taken") => through::<RowsTaken>,
        _ if name.starts_with("rows_wanted") => through::<RowsWanted>,
        _ if name.starts_with("rows_found") => through::<RowsFound>,
        _ if name.starts_with("connection_tested") => through::<ConnectionTested>,
        _ if name.starts_with("connection_test") => through::<ConnectionTest>,
        _ if name.starts_with("consent_given") => through::<ConsentGiven>,
        _ if name.starts_with("consent_redeemed") => through::<ConsentRedeemed>,
        _ if name.starts_with("secrets_wanted") => through::<SecretsWanted>,
        _ if name.starts_with("secrets_read") => through::<SecretsRead>,
        _ if name.starts_with("secret_replaced") => through::<SecretReplaced>,
        _ if name.starts_with("secret_kept") => through::<SecretKept>,
        _ => panic!("an example of no known message: {name}"),
    };
    read(bytes)
}

#[test]
fn every_example_is_written_as_it_was_read() {
    for (name, bytes) in examples() {
        let mut expected: Value = serde_json::from_slice(&bytes).unwrap();
        for unknown in ["priority", "weather", "mood"] {
            expected.as_object_mut().unwrap().remove(unknown);
        }
        // Zeros, nulls and empty texts are written; 64-bit numbers are numbers; integers stay integers.
        let mut written = through_by_name(&name, &bytes);
        without_later_fields(&mut written, &expected);
        assert_eq!(written, expected, "{name}");
    }
}

/// Takes away what the contract has gained since the example was written: defaults that it does not have.
fn without_later_fields(written: &mut Value, example: &Value) {
    match (written, example) {
        (Value::Object(written), Value::Object(example)) => {
            written.retain(|name, value| example.contains_key(name) || !is_default(value));
            for (name, value) in written {
                without_later_fields(value, &example[name]);
            }
        }
        (Value::Array(written), Value::Array(example)) => {
            for (written, example) in written.iter_mut().zip(example) {
                without_later_fields(written, example);
            }
        }
        _ => {}
    }
}

fn is_default(value: &Value) -> bool {
    *value == json!([])
        || [json!(null), json!(""), json!(0), json!(false), json!({})].contains(value)
}

#[test]
fn every_message_has_an_example() {
    let names: Vec<String> = examples().into_iter().map(|(name, _)| name).collect();
    for message in [
        "sync_request",
        "run_manifest",
        "progress",
        "metric_update",
        "dead_letter",
        "wake",
        "delivery",
        "delivered",
        "alert",
        "preview_fetch",
        "preview_fetched",
        "preview_evaluate",
        "preview_evaluated",
        "rows_pushed",
        "rows_taken",
        "rows_wanted",
        "rows_found",
        "connection_test",
        "connection_tested",
        "consent_given",
        "consent_redeemed",
        "secrets_wanted",
        "secrets_read",
        "secret_replaced",
        "secret_kept",
    ] {
        assert!(names.iter().any(|name| name == message), "{message}");
    }
}

#[test]
fn an_absent_field_and_null_mean_the_default() {
    let sparse = br#"{"workspace":"default","dataset":"d_1","run":"r_1","attempt":null,"secrets":null,"window":null}"#;
    let request: SyncRequest = message::decode("elsewhere", sparse).unwrap();
    assert_eq!(
        (request.attempt, request.max_pages, request.secrets.len()),
        (0, 0, 0)
    );
    assert_eq!(request.window, None);
    let written: Value = serde_json::from_slice(&message::encode(&request).unwrap()).unwrap();
    assert_eq!(written["max_pages"], json!(0));
    assert_eq!(written["window"], Value::Null);
    assert_eq!(written["timezone"], json!(""));
}

#[test]
fn what_is_not_a_message_is_malformed() {
    let not_messages: [&[u8]; 8] = [
        b"",
        b"   ",
        &[0x00, 0xff, 0x13],
        b"[]",
        b"null",
        b"{}",
        b"{\"workspace\":\"default\",\"dataset\":\"d_1\"",
        b"{\"workspace\":7,\"dataset\":\"d_1\",\"run\":\"r_1\"}",
    ];
    for bytes in not_messages {
        let error = message::decode::<SyncRequest>("elsewhere", bytes).unwrap_err();
        assert_eq!(error.code, MALFORMED, "{bytes:?}");
    }
}

#[test]
fn a_message_of_another_workspace_is_told_apart() {
    let bytes = example("sync_request");
    let subject = "tidemark.v1.acme.sync.d_0123456789abcdef.all";
    let error = message::decode::<SyncRequest>(subject, &bytes).unwrap_err();
    assert_eq!(error.code, TENANT_MISMATCH);
    assert!(!error.message.contains("kit_api_secret"));
}

#[test]
fn a_message_on_the_subject_of_another_dataset_or_channel_is_told_apart() {
    let code = |error: message::Malformed| error.code;
    let sync = example("sync_request");
    let manifest = example("run_manifest");
    let on = |kind: &str, noun: &str| format!("tidemark.v1.default.{kind}.{noun}");
    for noun in ["d_fedcba9876543210", "*", ">"] {
        let refused = message::decode::<SyncRequest>(&format!("{}.all", on("sync", noun)), &sync);
        assert_eq!(
            refused.map_err(code).err(),
            Some(SUBJECT_MISMATCH),
            "{noun}"
        );
        let refused = message::decode::<RunManifest>(&on("run", noun), &manifest);
        assert_eq!(
            refused.map_err(code).err(),
            Some(SUBJECT_MISMATCH),
            "{noun}"
        );
    }
    let mut wild: Value = serde_json::from_slice(&manifest).unwrap();
    wild["dataset"] = json!("*");
    let wild = serde_json::to_vec(&wild).unwrap();
    let refused = message::decode::<RunManifest>(&on("run", "*"), &wild);
    assert_eq!(refused.map_err(code).err(), Some(MALFORMED));
}

#[test]
fn an_unknown_ability_is_noticed() {
    let request: SyncRequest =
        message::decode("elsewhere", &example("sync_request_unknown_field")).unwrap();
    assert_eq!(message::missing_abilities(&request), ["teleport"]);
    let plain: SyncRequest = message::decode("elsewhere", &example("sync_request")).unwrap();
    assert!(message::missing_abilities(&plain).is_empty());
}

#[test]
fn the_documents_inside_keep_their_integers() {
    let request: SyncRequest = message::decode("elsewhere", &example("sync_request")).unwrap();
    let next = request.resume.unwrap().next.unwrap();
    assert_eq!(next["seen"], json!(9_007_199_254_740_993_u64));
}

#[test]
fn an_update_carries_cloud_events_headers() {
    let update: MetricUpdate = message::decode("elsewhere", &example("metric_update")).unwrap();
    let headers = update.event_headers();
    let value = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(
        value("ce-id"),
        Some("default.new_subscribers.1000000000042")
    );
    assert_eq!(value("ce-type"), Some("tidemark.metric.updated.v1"));
    assert_eq!(value("ce-source"), Some("/tidemark/workspaces/default"));
    assert_eq!(value("ce-subject"), Some("new_subscribers"));
    assert_eq!(value("ce-time"), Some("2026-01-31T03:00:05Z"));
    assert_eq!(value("ce-specversion"), Some("1.0"));
}

#[test]
fn whole_values_are_written_without_a_fraction() {
    let update: MetricUpdate = message::decode("elsewhere", &example("metric_update")).unwrap();
    let text = String::from_utf8(message::encode(&update).unwrap()).unwrap();
    assert!(text.contains(r#""value":128,"previous":120"#), "{text}");
    assert!(text.contains(r#""value":0.3,"previous":null"#), "{text}");
}
