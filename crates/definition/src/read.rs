//! Text becomes definitions, and everything in it that cannot be read becomes a problem.

use std::collections::BTreeMap;

use crate::bundle::{
    Bundle, Definition, Kind, Located, MAX_BUNDLE_BYTES, MAX_DEFINITIONS, MAX_PROBLEMS, in_order,
};
use crate::decode::{self, Decoder, Place};
use crate::node::{self, Content, Node};
use crate::problem::{Problem, nearest, quoted};

/// Reads definitions that are whole, or says everything that is wrong with them alone.
///
/// As [`read`], for those who have no use for a part.
pub fn parse(text: &str, source: &str) -> Result<Bundle, Vec<Problem>> {
    let (bundle, mut problems) = read(text, source);
    if problems.is_empty() {
        return Ok(bundle);
    }
    problems.extend(bundle.alone());
    Err(in_order(problems))
}

/// Reads definitions: YAML documents, or JSON (an object, an array of objects, or
/// `{"definitions": […]}`), and says what cannot be read.
///
/// `source` is the file that problems name; one that ends in `.json` is read as JSON only, and one
/// in `.yaml` or `.yml` as YAML only. Otherwise text that begins with `{` or `[` is tried as JSON first.
///
/// What cannot be read is left out or replaced by its default, so that the rest can be checked in
/// the same round; a bundle that comes with problems is for checking only.
pub fn read(text: &str, source: &str) -> (Bundle, Vec<Problem>) {
    let suffix = source.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let syntax = match suffix {
        "json" => Syntax::Json,
        "yaml" | "yml" => Syntax::Yaml,
        _ => Syntax::Either,
    };
    read_as(text, source, syntax)
}

/// Reads definitions that are said to be JSON, whatever `source` is called; otherwise as [`read`], which
/// finds nothing in nothing.
pub fn read_json(text: &str, source: &str) -> (Bundle, Vec<Problem>) {
    let is_blank = text.trim().is_empty();
    let syntax = if is_blank { Syntax::Yaml } else { Syntax::Json };
    read_as(text, source, syntax)
}

/// What a text is read as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Json,
    Yaml,
    /// JSON when it looks like it and is; YAML otherwise.
    Either,
}

fn read_as(text: &str, source: &str, syntax: Syntax) -> (Bundle, Vec<Problem>) {
    let mut problems = Vec::new();
    let documents = documents(text, source, syntax, &mut problems);
    let mut bundle = Bundle::default();
    if !problems.is_empty() {
        bundle.hide(Kind::ALL);
    }
    for document in &documents {
        if problems.len() >= MAX_PROBLEMS {
            bundle.hide(Kind::ALL);
            break;
        }
        let mut decoder = Decoder::default();
        let definition = definition(&mut decoder, &Place::root(document));
        let broken: Vec<String> = decoder
            .problems
            .iter()
            .map(|one| one.path.clone())
            .collect();
        problems.extend(decoder.problems.into_iter().map(|problem| {
            let (line, column) = (problem.line, problem.column);
            problem.at(source, line, column)
        }));
        let Some(definition) = definition else {
            bundle.hide(Kind::ALL);
            continue;
        };
        if broken.iter().any(|path| path == "name") {
            bundle.hide(&[definition.kind()]);
        }
        let mut positions = BTreeMap::new();
        locate(document, "", &mut positions);
        bundle.definitions.push(Located {
            definition,
            source: source.to_owned(),
            positions,
            broken,
        });
    }
    if problems.is_empty() && bundle.definitions.is_empty() {
        problems.push(
            Problem::new("definition.empty", "", "there is no definition in it").at(source, 1, 1),
        );
    }
    (bundle, problems)
}

/// Splits text into documents.
fn documents(text: &str, source: &str, syntax: Syntax, problems: &mut Vec<Problem>) -> Vec<Node> {
    if text.len() > MAX_BUNDLE_BYTES {
        let message = format!("larger than {MAX_BUNDLE_BYTES} bytes");
        problems.push(Problem::new("request.too_large", "", message).at(source, 1, 1));
        return Vec::new();
    }
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    let json_like = trimmed.starts_with(['{', '[']) && syntax == Syntax::Either;
    let documents = if syntax == Syntax::Json || json_like {
        match crate::json::read(text, source) {
            Ok(node) => vec![node],
            Err(problem) => {
                // A flow map such as `{kind: metric}` is YAML; when it is neither, the JSON error is the clearer one.
                let (documents, broken) = if syntax == Syntax::Json {
                    (Vec::new(), true)
                } else {
                    let (documents, broken) = crate::yaml::read(text, source);
                    (documents, !broken.is_empty())
                };
                if broken {
                    problems.push(*problem);
                    return Vec::new();
                }
                documents
            }
        }
    } else {
        let (documents, broken) = crate::yaml::read(text, source);
        problems.extend(broken);
        documents
    };
    let definitions: Vec<Node> = documents
        .into_iter()
        .flat_map(|node| unwrap(node, source, problems))
        .collect();
    if definitions.len() > MAX_DEFINITIONS {
        let message = format!(
            "{} definitions in one bundle; at most {MAX_DEFINITIONS}",
            definitions.len()
        );
        problems.push(Problem::new("quota.definitions", "", message).at(source, 1, 1));
        return Vec::new();
    }
    definitions
}

/// Takes the definitions out of an array or of `{"definitions": […]}`; an empty document has none.
fn unwrap(node: Node, source: &str, problems: &mut Vec<Problem>) -> Vec<Node> {
    let (line, column) = (node.line, node.column);
    match node.content {
        Content::Null => Vec::new(),
        Content::List(items) if items.is_empty() => {
            problems.push(
                Problem::new(
                    "request.shape",
                    "",
                    "expected an object, got an array with nothing in it",
                )
                .at(source, line, column),
            );
            Vec::new()
        }
        Content::List(items) => items,
        Content::Map(mut entries) if entries.len() == 1 && entries[0].key == "definitions" => {
            match entries.remove(0).value {
                Node {
                    content: Content::List(items),
                    ..
                } => items,
                other => {
                    let message =
                        format!("expected an array of definitions, got {}", other.describe());
                    problems.push(Problem::new("request.shape", "definitions", message).at(
                        source,
                        other.line,
                        other.column,
                    ));
                    Vec::new()
                }
            }
        }
        content => vec![Node {
            content,
            line,
            column,
        }],
    }
}

/// Reads one definition; what cannot be read is replaced by its default, with a problem.
pub(crate) fn definition(decoder: &mut Decoder, place: &Place<'_>) -> Option<Definition> {
    let Content::Map(entries) = &place.node.content else {
        let message = format!("expected an object, got {}", place.node.describe());
        decoder.problem(place, "request.shape", message);
        return None;
    };
    let Some(entry) = entries.iter().find(|entry| entry.key == "kind") else {
        let message = format!("`kind` is missing: one of {}", Kind::WORDS.join(", "));
        decoder.problem(place, "definition.kind", message);
        return None;
    };
    let kind = Place {
        node: &entry.value,
        path: "kind".to_owned(),
    };
    let Content::Text(text) = &entry.value.content else {
        let message = format!("expected one of {}", Kind::WORDS.join(", "));
        decoder.problem(&kind, "definition.kind", message);
        return None;
    };
    match Kind::parse(text) {
        Some(Kind::Connection) => decode::connection(decoder, place).map(Definition::Connection),
        Some(Kind::Dataset) => decode::dataset(decoder, place).map(Definition::Dataset),
        Some(Kind::Metric) => decode::metric(decoder, place).map(Definition::Metric),
        Some(Kind::Goal) => decode::goal(decoder, place).map(Definition::Goal),
        Some(Kind::Alert) => decode::alert(decoder, place).map(Definition::Alert),
        Some(Kind::Board) => decode::board(decoder, place).map(Definition::Board),
        Some(Kind::Scorecard) => decode::scorecard(decoder, place).map(Definition::Scorecard),
        None => {
            let message = format!(
                "{} is no kind; known are {}",
                quoted(text),
                Kind::WORDS.join(", ")
            );
            let problem = decoder.problem(&kind, "definition.kind", message);
            problem.hint = nearest(text, Kind::WORDS.iter().copied())
                .map(|near| format!("did you mean `{near}`?"));
            None
        }
    }
}

/// Notes where every path of a definition was written.
fn locate(node: &Node, path: &str, positions: &mut BTreeMap<String, (u32, u32)>) {
    if positions.contains_key(path) {
        // A repeated key, or a path too long to be told apart: the first place is the one to show.
        return;
    }
    positions.insert(path.to_owned(), (node.line, node.column));
    match &node.content {
        Content::List(items) => {
            for (index, inner) in items.iter().enumerate() {
                locate(inner, &node::item(path, index), positions);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                locate(&entry.value, &node::join(path, &entry.key), positions);
            }
        }
        _ => {}
    }
}
