//! An OpenAPI 3 document: one operation of it as a request.

mod described;
mod operation;
mod parameters;
mod sign_in;

use serde_json::Value;

use super::schema::Document;
use super::{Refused, Shown};
use operation::{METHODS, Operation};

/// Operations that are named to choose from.
const NAMED: usize = 40;

/// Reads a document and takes one operation of it; the first that answers a list where none is named.
///
/// Returns the operation, and the others that could be meant.
pub(crate) fn from_openapi(
    text: &str,
    wanted: Option<&str>,
) -> Result<(Shown, Vec<String>), Refused> {
    let root: Value = serde_json::from_str(text).or_else(|_| {
        serde_saphyr::from_str(text).map_err(|error| {
            Refused::new(format!("the document is neither JSON nor YAML: {error}"))
        })
    })?;
    match root.get("openapi").and_then(Value::as_str) {
        Some(version) if version.starts_with("3.") => {}
        Some(version) => {
            return Err(Refused::new(format!(
                "OpenAPI {} is not read here; 3.0 and 3.1 are",
                shorten(version)
            )));
        }
        None if root.get("swagger").is_some() => {
            return Err(Refused::new(
                "this is Swagger 2; convert it to OpenAPI 3 first (many editors and swagger2openapi do)",
            ));
        }
        None => {
            return Err(Refused::new(
                "this is no OpenAPI document: it has no `openapi`",
            ));
        }
    }
    let document = Document(&root);
    let all = operations(document);
    let chosen = if let Some(wanted) = wanted {
        chosen(&all, wanted)?
    } else {
        let gets = || all.iter().filter(|one| one.method == "get");
        gets()
            .find(|one| one.answers_list(document))
            .or_else(|| gets().next())
            .ok_or_else(|| {
                Refused::new(
                    "there is no GET in the document; name a POST that reads with --operation",
                )
            })?
    };
    let others = all.iter().filter(|one| {
        wanted.is_none()
            && !std::ptr::eq(*one, chosen)
            && one.method == "get"
            && one.answers_list(document)
    });
    let others = others.map(Operation::name).take(NAMED).collect();
    Ok((chosen.shown(document)?, others))
}

fn operations(document: Document<'_>) -> Vec<Operation<'_>> {
    let paths = document.0.get("paths").and_then(Value::as_object);
    let mut found = Vec::new();
    for (path, item) in paths.into_iter().flatten() {
        let Some(item) = document.resolve(item) else {
            continue;
        };
        for method in METHODS {
            if let Some(own) = item.get(method) {
                found.push(Operation {
                    method,
                    path,
                    item,
                    own,
                });
            }
        }
    }
    found
}

fn chosen<'a, 'd>(all: &'a [Operation<'d>], wanted: &str) -> Result<&'a Operation<'d>, Refused> {
    let found = all.iter().find(|one| {
        one.id() == Some(wanted)
            || one.place().eq_ignore_ascii_case(wanted)
            || (one.method == "get" && one.path == wanted)
    });
    found.ok_or_else(|| {
        let names: Vec<String> = all
            .iter()
            .filter(|one| matches!(one.method, "get" | "post"))
            .map(Operation::name)
            .take(NAMED)
            .collect();
        Refused::new(format!(
            "there is no operation `{}`; there are\n  {}",
            shorten(wanted),
            names.join("\n  ")
        ))
    })
}

fn text_of<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
