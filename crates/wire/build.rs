//! Turns `proto/` into Rust types, without a `protoc` install.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let family = root.join("tidemark/v1");
    println!("cargo:rerun-if-changed={}", family.display());

    let mut files = Vec::new();
    for entry in std::fs::read_dir(&family)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    files.sort();

    let descriptors = protox::compile(&files, [&root])?;
    prost_build::Config::new()
        .btree_map(["."])
        .extern_path(".google.protobuf.Struct", "crate::Json")
        .message_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]")
        .message_attribute(".", "#[serde(default)]")
        .field_attribute(
            ".",
            "#[serde(deserialize_with = \"crate::json::null_as_default\")]",
        )
        .field_attribute(
            ".tidemark.v1.Change.value",
            "#[serde(serialize_with = \"crate::json::plain_number\")]",
        )
        .field_attribute(
            ".tidemark.v1.Change.previous",
            "#[serde(serialize_with = \"crate::json::plain_number\")]",
        )
        .field_attribute(
            ".tidemark.v1.Alert.value",
            "#[serde(serialize_with = \"crate::json::plain_number\")]",
        )
        .field_attribute(
            ".tidemark.v1.Alert.previous",
            "#[serde(serialize_with = \"crate::json::plain_number\")]",
        )
        .field_attribute(
            ".tidemark.v1.Alert.change",
            "#[serde(serialize_with = \"crate::json::plain_number\")]",
        )
        .field_attribute(
            ".tidemark.v1.Alert.threshold",
            "#[serde(serialize_with = \"crate::json::plain_number\")]",
        )
        .compile_fds(descriptors)?;
    Ok(())
}
