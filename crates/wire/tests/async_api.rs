//! `proto/asyncapi.yaml` says what the code says.

use serde_json::Value;
use std::path::PathBuf;
use wire::stream::Stream;
use wire::{InvalidToken, Subject, subject};

fn document() -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto/asyncapi.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Returns a channel's address with its parameters filled in by their own names.
fn filled(address: &str) -> String {
    address.replace(['{', '}'], "")
}

#[test]
fn every_channel_is_a_subject_and_every_subject_a_channel() {
    let text = |subject: Result<Subject, InvalidToken>| subject.unwrap().to_string();
    let (workspace, dataset) = ("workspace", "dataset");
    // The window's token comes from a window; here its parameter stands for it.
    let sync = text(subject::sync(workspace, dataset, None)).replace(".all", ".window");
    let mut spelled = vec![
        ("sync", sync),
        ("page", text(subject::page(workspace, dataset, "run"))),
        ("run", text(subject::run(workspace, dataset))),
        ("progress", text(subject::progress(workspace, "run"))),
        ("update", text(subject::update(workspace, "metric"))),
        ("deliver", text(subject::deliver(workspace, "channel"))),
        ("delivered", text(subject::delivered(workspace, "channel"))),
        ("alert", text(subject::alert(workspace, "name"))),
        ("goal", text(subject::goal(workspace, "name"))),
        ("dead", text(subject::dead(workspace, dataset))),
        ("wake", text(subject::wake(workspace, dataset))),
        ("preview_fetch", text(subject::preview_fetch(workspace))),
        (
            "preview_evaluate",
            text(subject::preview_evaluate(workspace)),
        ),
    ];
    spelled.extend([
        ("rows_pushed", text(subject::rows_pushed(workspace))),
        ("rows_wanted", text(subject::rows_wanted(workspace))),
        ("secrets_wanted", text(subject::secrets_wanted(workspace))),
        ("secret_replaced", text(subject::secret_replaced(workspace))),
        ("connection_test", text(subject::connection_test(workspace))),
        (
            "connection_consent",
            text(subject::connection_consent(workspace)),
        ),
    ]);
    spelled.sort();
    let document = document();
    let mut described: Vec<(&str, String)> = document["channels"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, channel)| (name.as_str(), filled(channel["address"].as_str().unwrap())))
        .collect();
    described.sort();
    assert_eq!(described, spelled);
}

#[test]
fn every_channel_names_the_stream_that_keeps_it() {
    let document = document();
    for (name, channel) in document["channels"].as_object().unwrap() {
        let address = filled(channel["address"].as_str().unwrap());
        let keeper = Stream::ALL.into_iter().find(|stream| {
            stream
                .spec()
                .subjects
                .iter()
                .any(|filter| matches(filter.as_str(), &address))
        });
        let described = channel["x-stream"].as_str();
        assert_eq!(described, keeper.map(Stream::name), "{name}");
    }
}

#[test]
fn every_message_has_its_headers_and_an_example_of_its_name() {
    let document = document();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    for (name, message) in document["components"]["messages"].as_object().unwrap() {
        if let Some(example) = message["x-example"].as_str() {
            assert!(folder.join(example).is_file(), "{name}: {example}");
        }
        if let Some(source) = message["x-proto"].as_str() {
            let (file, kind) = source.split_once('#').unwrap();
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            assert!(
                text.contains(&format!("message {kind} {{")),
                "{name}: {source}"
            );
        }
    }
    let page = &document["components"]["messages"]["Page"]["headers"]["properties"];
    for header in [
        wire::header::MESSAGE_ID,
        wire::header::RUN,
        wire::header::ATTEMPT,
        wire::header::PAGE,
        wire::header::CHUNK,
        wire::header::CHUNKS,
        wire::header::STATUS,
        wire::header::FETCHED_AT,
        wire::header::HASH,
        wire::header::URL,
        wire::header::LIFE,
        wire::header::TRACE_PARENT,
    ] {
        assert!(page[header].is_object(), "{header}");
    }
    let update = &document["components"]["messages"]["MetricUpdate"]["headers"]["properties"];
    for (header, _) in wire::MetricUpdate::default().event_headers() {
        assert!(update[header].is_object(), "{header}");
    }
}

fn matches(filter: &str, subject: &str) -> bool {
    let (filter, subject): (Vec<_>, Vec<_>) =
        (filter.split('.').collect(), subject.split('.').collect());
    filter.len() == subject.len()
        && filter
            .iter()
            .zip(&subject)
            .all(|(wanted, token)| *wanted == "*" || wanted == token)
}
