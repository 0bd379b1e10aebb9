//! The house rules that a machine can check, over the files that git knows.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Past this, look for the second idea in a file.
const LONGEST_FILE: usize = 600;

/// Files that are longer, each with the reason why they are clearer whole.
const LONG_FILES: &[(&str, &str)] = &[];

/// Names that say nothing; code belongs with the noun it serves.
const DRAWERS: [&str; 7] = [
    "util", "utils", "common", "helpers", "types", "models", "misc",
];

/// The services whose file list is their design, told in a table at the top of `lib.rs`.
const TOLD_IN_TABLES: [&str; 6] = [
    "service",
    "sample_api",
    "scheduler",
    "fetcher",
    "evaluator",
    "gateway",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Returns every text file that is or would be committed, with its path from the root.
fn texts() -> Vec<(String, String)> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git ls-files failed");
    let listed = String::from_utf8(output.stdout).unwrap();
    let paths = listed
        .split('\0')
        .filter(|path| !path.is_empty() && *path != "Cargo.lock");
    // What is deleted but not yet committed, and what is no text, is none of ours.
    paths
        .filter_map(|path| {
            Some((
                path.to_owned(),
                std::fs::read_to_string(root().join(path)).ok()?,
            ))
        })
        .collect()
}

fn sources() -> Vec<(String, String)> {
    let is_source = |path: &str| {
        Path::new(path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    };
    texts()
        .into_iter()
        .filter(|(path, _)| is_source(path))
        .collect()
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/benches/")
}

fn expect_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn files_are_short_or_say_why_not() {
    let mut broken = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let lines = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        let is_listed = LONG_FILES.iter().any(|(listed, _)| listed == path);
        if lines > LONGEST_FILE && !is_listed {
            broken.push(format!(
                "{path}: {lines} lines without its tests, more than {LONGEST_FILE}"
            ));
        }
        if lines <= LONGEST_FILE && is_listed {
            broken.push(format!("{path} is short now: take it off the list"));
        }
    }
    expect_none(&broken, "one idea per file");
}

#[test]
fn nothing_is_left_for_later_in_silence() {
    // In two halves, so that this file keeps its own rule.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    let mut broken = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                broken.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    expect_none(
        &broken,
        "a thing left out says `not yet` to its user, or is an issue",
    );
}

#[test]
fn no_machine_s_path_and_no_registry_s_host_is_committed() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/tmp/tar", "get"),
        concat!("/ho", "me/"),
        concat!("/Use", "rs/"),
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
        concat!("npmjs", "."),
        concat!("deb.debian", ".org"),
    ];
    let mut broken = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                broken.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    expect_none(&broken, "the repository is the same on every machine");
}

#[test]
fn no_file_is_a_drawer() {
    let mut broken = Vec::new();
    for (path, _) in sources() {
        let stem = Path::new(&path)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("");
        let folder = Path::new(&path)
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if DRAWERS.contains(&stem) || DRAWERS.contains(&folder) {
            broken.push(path);
        }
    }
    expect_none(&broken, "put code with the noun it serves");
}

#[test]
fn a_silenced_lint_gives_its_reason() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let silences = ["#[allow(", "#![allow(", "#[expect(", "#![expect("]
                .iter()
                .any(|word| line.starts_with(word));
            // A reason may stand on one of the next lines when the attribute is long.
            let whole: String = text
                .lines()
                .skip(number)
                .take(8)
                .collect::<Vec<_>>()
                .join(" ");
            let attribute = whole.split(")]").next().unwrap_or("");
            if silences && !attribute.contains("reason") {
                broken.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    expect_none(&broken, "write #[expect(lint, reason = \"…\")]");
}

#[test]
fn every_room_begins_with_what_it_is_and_services_tell_their_files() {
    let mut broken = Vec::new();
    let texts = texts();
    for (path, text) in sources() {
        let Some(room) = path
            .strip_prefix("crates/")
            .and_then(|rest| rest.strip_suffix("/src/lib.rs"))
        else {
            continue;
        };
        // What a room says of itself stands above its modules, or in a README taken in there.
        let readme = texts
            .iter()
            .find(|(path, _)| *path == format!("crates/{room}/README.md"));
        let said: Vec<&str> = if text.contains("#![doc = include_str!(\"../README.md\")]") {
            readme
                .map_or("", |(_, readme)| readme.as_str())
                .lines()
                .collect()
        } else {
            text.lines()
                .filter_map(|line| line.strip_prefix("//!"))
                .collect()
        };
        if said.is_empty() {
            broken.push(format!("{path} does not say what it is"));
        }
        if TOLD_IN_TABLES.contains(&room)
            && !said.iter().any(|line| line.trim_start().starts_with('|'))
        {
            broken.push(format!("{path} has no table of its files"));
        }
    }
    expect_none(&broken, "lib.rs is a table of contents");
}

#[test]
fn the_readme_s_two_commands_are_those_of_ci() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    assert!(readme.contains("sh deploy/setup.sh && .tools/bin/just demo"));
    assert!(readme.contains("sh deploy/setup.sh && .tools/bin/just test"));
    let commands: Vec<&str> = ci
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty()
                && !line.starts_with('#')
                && !line.starts_with("set ")
                && !line.starts_with("cd ")
        })
        .collect();
    assert_eq!(commands, ["sh deploy/setup.sh && .tools/bin/just test"]);
    assert!(ci.starts_with("#!/usr/bin/env bash\n"));
}

#[test]
fn the_map_names_every_room() {
    let map = std::fs::read_to_string(root().join("crates/README.md")).unwrap();
    let mut broken = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() && !map.contains(&format!("`{name}`")) {
            broken.push(name);
        }
    }
    expect_none(&broken, "crates/README.md does not name these rooms");
}

#[test]
fn every_test_file_is_run() {
    let sources = sources();
    let mut broken = Vec::new();
    for (all, named) in &sources {
        let Some(folder) = all.strip_suffix("/all.rs") else {
            continue;
        };
        for (path, _) in &sources {
            let Some(module) = path
                .strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix('/'))
                .and_then(|name| name.strip_suffix(".rs"))
            else {
                continue;
            };
            let own_program = module == "worker_process";
            if module != "all"
                && !module.contains('/')
                && !own_program
                && !named.lines().any(|line| line == format!("mod {module};"))
            {
                broken.push(path.clone());
            }
        }
    }
    expect_none(
        &broken,
        "tests that nobody runs: name them as `mod` in all.rs",
    );
}

#[test]
fn scripts_can_be_run() {
    for (script, interpreter) in [
        ("deploy/setup.sh", "#!/bin/sh\n"),
        (".ci/run", "#!/usr/bin/env bash\n"),
    ] {
        let path = root().join(script);
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .starts_with(interpreter),
            "{script}"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o111,
                0o111,
                "{script} is not executable"
            );
        }
    }
}
