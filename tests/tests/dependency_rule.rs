//! The dependency rule, read from the real graph: who may know whom, and who may know what.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Who may depend on which of our own crates; what is not here may depend on none of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("definition", &[]),
    ("wire", &[]),
    ("service", &[]),
    ("sample_api", &[]),
    ("rollup", &["definition"]),
    ("connectors", &["definition"]),
    ("expression", &["definition", "rollup"]),
    ("bus", &["wire"]),
    ("store", &["definition", "rollup"]),
    (
        "scheduler",
        &["bus", "definition", "service", "store", "wire"],
    ),
    (
        "fetcher",
        &["bus", "definition", "expression", "service", "wire"],
    ),
    (
        "evaluator",
        &[
            "bus",
            "definition",
            "expression",
            "rollup",
            "service",
            "store",
            "wire",
        ],
    ),
    (
        "gateway",
        &[
            "bus",
            "connectors",
            "definition",
            "expression",
            "rollup",
            "service",
            "store",
            "wire",
        ],
    ),
];

/// The binary and the whole-system tests may know every room.
const ON_TOP: [&str; 2] = ["tidemark", "house_tests"];

/// Who alone may know a library, beside tests.
const KEEPERS: &[(&str, &[&str])] = &[
    ("async-nats", &["bus"]),
    ("sqlx", &["store"]),
    ("jlens-core", &["expression"]),
    ("jsonata-rs", &[]),
    ("reqwest", &["fetcher", "tidemark"]),
    ("age", &["service"]),
    ("anyhow", &["tidemark", "sample_api"]),
];

/// Pure rooms decide and never wait: none of these may be reachable from them.
const PURE: [&str; 5] = ["definition", "expression", "rollup", "wire", "connectors"];
const IMPURE: [&str; 7] = [
    "tokio",
    "mio",
    "socket2",
    "async-nats",
    "sqlx",
    "reqwest",
    "hyper",
];

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Of other platforms a first build fetches no packages, and none of them are asked about.
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let host = Command::new(rustc)
        .args(["--print", "host-tuple"])
        .output()
        .unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", host.trim()])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Returns the name of each workspace member with its direct dependencies, those of tests left out.
fn members(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<&str> = list(metadata, "workspace_members")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let packages = list(metadata, "packages")
        .iter()
        .filter(|package| ours.contains(text(package, "id")));
    packages
        .map(|package| {
            let dependencies = list(package, "dependencies")
                .iter()
                .filter(|one| text(one, "kind") != "dev");
            (
                text(package, "name").to_owned(),
                dependencies
                    .map(|one| text(one, "name").to_owned())
                    .collect(),
            )
        })
        .collect()
}

#[test]
fn every_room_knows_only_the_rooms_it_may() {
    let members = members(&metadata());
    let rooms: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .map(|(room, may)| (*room, may.iter().copied().collect()))
        .collect();
    let mut broken = Vec::new();
    for (name, dependencies) in &members {
        let may = rooms.get(name.as_str());
        if may.is_none() && !ON_TOP.contains(&name.as_str()) {
            broken.push(format!(
                "{name} is not in the map: add it to ROOMS and to crates/README.md"
            ));
        }
        for dependency in dependencies.iter().filter(|one| members.contains_key(*one)) {
            if may.is_some_and(|may| !may.contains(dependency.as_str())) {
                broken.push(format!("{name} must not know {dependency}"));
            }
        }
    }
    for room in rooms.keys().filter(|room| !members.contains_key(**room)) {
        broken.push(format!("{room} is in the map, but not in the workspace"));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_guarded_library_has_one_keeper() {
    let members = members(&metadata());
    let mut broken = Vec::new();
    for (library, keepers) in KEEPERS {
        for (name, dependencies) in &members {
            let may = name == "house_tests" || keepers.contains(&name.as_str());
            if dependencies.contains(*library) && !may {
                broken.push(format!(
                    "{name} must not use {library}: only {keepers:?} may"
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_rooms_reach_no_runtime_socket_or_store() {
    let metadata = metadata();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"], "nodes")
        .iter()
        .map(|node| (text(node, "id"), node))
        .collect();
    let names: BTreeMap<&str, &str> = list(&metadata, "packages")
        .iter()
        .map(|package| (text(package, "id"), text(package, "name")))
        .collect();
    let mut broken = Vec::new();
    for pure in PURE {
        let start = list(&metadata, "workspace_members")
            .iter()
            .filter_map(Value::as_str)
            .find(|id| names.get(id) == Some(&pure))
            .unwrap();
        let mut way: Vec<(&str, String)> = vec![(start, pure.to_owned())];
        let mut seen = BTreeSet::from([start]);
        while let Some((id, path)) = way.pop() {
            if IMPURE.contains(&names[id]) {
                broken.push(path);
                continue;
            }
            for dependency in list(nodes[id], "deps") {
                // What only tests or the build use does not end up in the room.
                let is_normal = list(dependency, "dep_kinds")
                    .iter()
                    .any(|kind| kind["kind"].is_null());
                let id = text(dependency, "pkg");
                if is_normal && seen.insert(id) {
                    way.push((id, format!("{path} → {}", names[id])));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "pure rooms reach what they must not:\n{}",
        broken.join("\n")
    );
}
