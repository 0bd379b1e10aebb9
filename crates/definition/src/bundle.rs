use std::collections::BTreeMap;

use serde_json::Value;

use crate::connection::Connection;
use crate::dataset::Dataset;
use crate::decode::{self, Decoder, Place};
use crate::metric::Metric;
use crate::name::Name;
use crate::node::{self, Content, Node};
use crate::problem::{Problem, nearest, quoted};
use crate::request::Request;
use crate::window::Window;
use crate::words::words;

words! {
    /// The kinds of definition.
    pub enum Kind {
        /// One remote API.
        Connection = "connection",
        /// One request and its schedule.
        Dataset = "dataset",
        /// A number that is kept over time.
        Metric = "metric",
    }
}

/// What a user wrote.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most are metrics, and there are at most thousands"
)]
pub enum Definition {
    /// One remote API.
    Connection(Connection),
    /// One request and its schedule.
    Dataset(Dataset),
    /// A number that is kept over time.
    Metric(Metric),
}

impl Definition {
    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connection(_) => Kind::Connection,
            Self::Dataset(_) => Kind::Dataset,
            Self::Metric(_) => Kind::Metric,
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &Name {
        match self {
            Self::Connection(connection) => &connection.name,
            Self::Dataset(dataset) => &dataset.name,
            Self::Metric(metric) => &metric.name,
        }
    }
}

/// A definition and where it was written.
#[derive(Clone, Debug)]
pub struct Located {
    /// The definition.
    pub definition: Definition,
    /// The file, or what stands for one.
    pub source: String,
    /// Line and column of every path in it, such as `request.path`; the empty path is its start.
    pub positions: BTreeMap<String, (u32, u32)>,
}

/// A set of definitions that is applied together.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// The definitions, in the order they were written.
    pub definitions: Vec<Located>,
}

/// What is already applied, for references and the catalogue.
pub trait Known {
    /// Returns the connection of that name.
    fn connection(&self, name: &str) -> Option<Connection>;
    /// Returns the dataset of that name.
    fn dataset(&self, name: &str) -> Option<Dataset>;
    /// Tells whether the catalogue has that connector.
    fn connector(&self, name: &str) -> bool;
}

/// Knows nothing: a bundle must stand on its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKnown;

impl Known for NothingKnown {
    fn connection(&self, _: &str) -> Option<Connection> {
        None
    }

    fn dataset(&self, _: &str) -> Option<Dataset> {
        None
    }

    fn connector(&self, _: &str) -> bool {
        false
    }
}

/// The most text one bundle may hold, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 2 * 1024 * 1024;
/// The most problems that are told at once.
pub const MAX_PROBLEMS: usize = 1_000;
/// The most definitions one bundle may hold.
pub const MAX_DEFINITIONS: usize = 10_000;

/// Reads definitions: YAML documents, or JSON (an object, an array of objects, or
/// `{"definitions": […]}`).
///
/// `source` is the file that problems name; one that ends in `.json` is read as JSON only, and one
/// in `.yaml` or `.yml` as YAML only. Otherwise text that begins with `{` or `[` is tried as JSON first.
///
/// The problems are all there are: when something cannot be read, the rest is still checked.
pub fn parse(text: &str, source: &str) -> Result<Bundle, Vec<Problem>> {
    let mut problems = Vec::new();
    let documents = documents(text, source, &mut problems);
    let mut bundle = Bundle::default();
    let mut clean = Vec::new();
    for document in &documents {
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
        let mut decoder = Decoder::default();
        let definition = definition(&mut decoder, &Place::root(document));
        let found = decoder.problems.into_iter().map(|problem| {
            let (line, column) = (problem.line, problem.column);
            problem.at(source, line, column)
        });
        let before = problems.len();
        problems.extend(found);
        if let Some(definition) = definition {
            let mut positions = BTreeMap::new();
            locate(document, "", &mut positions);
            let located = Located {
                definition,
                source: source.to_owned(),
                positions,
            };
            if problems.len() > before {
                let more = crate::validate::alone(&located);
                let known: Vec<String> = problems[before..]
                    .iter()
                    .map(|problem| problem.path.clone())
                    .collect();
                let new = more
                    .into_iter()
                    .filter(|problem| !known.iter().any(|path| touches(path, &problem.path)));
                problems.extend(new.map(|problem| located.place(problem)));
            }
            clean.push(problems.len() == before);
            bundle.definitions.push(located);
        }
    }
    if problems.is_empty() && bundle.definitions.is_empty() {
        problems.push(
            Problem::new("definition.empty", "", "there is no definition in it").at(source, 1, 1),
        );
    }
    if problems.is_empty() {
        return Ok(bundle);
    }
    // Those that could be read are checked too, so that one round of cures is enough.
    for (located, _) in bundle
        .definitions
        .iter()
        .zip(clean)
        .filter(|(_, clean)| *clean)
    {
        let found = crate::validate::alone(located)
            .into_iter()
            .map(|problem| located.place(problem));
        problems.extend(found);
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    Err(bounded(problems))
}

/// Leaves out what nobody would read.
fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    if problems.len() > MAX_PROBLEMS {
        problems.truncate(MAX_PROBLEMS);
        if let Some(last) = problems.last_mut() {
            last.code = "request.too_many_problems";
            last.path.clear();
            "there are more problems than are shown".clone_into(&mut last.message);
            last.hint = Some("cure these first".to_owned());
        }
    }
    problems
}

/// Splits text into documents.
fn documents(text: &str, source: &str, problems: &mut Vec<Problem>) -> Vec<Node> {
    if text.len() > MAX_BUNDLE_BYTES {
        let message = format!("larger than {MAX_BUNDLE_BYTES} bytes");
        problems.push(Problem::new("request.too_large", "", message).at(source, 1, 1));
        return Vec::new();
    }
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    let suffix = source.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let json_like = trimmed.starts_with(['{', '[']) && !matches!(suffix, "yaml" | "yml");
    let documents = if suffix == "json" || json_like {
        match crate::json::read(text, source) {
            Ok(node) => vec![node],
            Err(problem) => {
                // A flow map such as `{kind: metric}` is YAML; when it is neither, the JSON error is the clearer one.
                let (documents, broken) = if suffix == "json" {
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

/// The kinds of the design that this version does not read.
const LATER: &[&str] = &["goal", "alert", "board", "scorecard"];

/// Reads one definition; what cannot be read is replaced by its default, with a problem.
fn definition(decoder: &mut Decoder, place: &Place<'_>) -> Option<Definition> {
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
    match &entry.value.content {
        Content::Text(text) if LATER.contains(&text.as_str()) => {
            decoder.not_yet(&kind, &format!("the kind `{text}`"));
            None
        }
        Content::Text(text) => match Kind::parse(text) {
            Some(Kind::Connection) => {
                decode::connection(decoder, place).map(Definition::Connection)
            }
            Some(Kind::Dataset) => decode::dataset(decoder, place).map(Definition::Dataset),
            Some(Kind::Metric) => decode::metric(decoder, place).map(Definition::Metric),
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
        },
        _ => {
            decoder.problem(
                &kind,
                "definition.kind",
                format!("expected one of {}", Kind::WORDS.join(", ")),
            );
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

/// Tells whether one path is the other or leads to it.
fn touches(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    long.strip_prefix(short)
        .is_some_and(|rest| !short.is_empty() && (rest.is_empty() || rest.starts_with(['.', '['])))
}

impl Bundle {
    /// Returns everything that is wrong with the definitions, alone and together, warnings included.
    pub fn validate(&self, known: &dyn Known) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        for located in &self.definitions {
            problems.extend(
                crate::validate::alone(located)
                    .into_iter()
                    .map(|problem| located.place(problem)),
            );
        }
        problems.extend(crate::validate::together(self, known));
        let order = |source: &str| {
            self.definitions
                .iter()
                .position(|located| located.source == source)
        };
        problems
            .sort_by_cached_key(|problem| (order(&problem.source), problem.line, problem.column));
        bounded(problems)
    }

    /// Makes a problem at `path` of the definition at `index`.
    ///
    /// A path that was not written (a default, a short form) is placed at its nearest parent.
    pub fn problem_at(
        &self,
        index: usize,
        path: &str,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        let mut problem = Problem::new(code, path, message);
        problem.hint = hint;
        match self.definitions.get(index) {
            Some(located) => located.place(problem),
            None => problem,
        }
    }
}

impl Located {
    /// Returns line and column of `path`, or of its nearest parent that was written.
    pub fn position(&self, path: &str) -> (u32, u32) {
        let mut path = path;
        loop {
            if let Some(place) = self.positions.get(path) {
                return *place;
            }
            if path.is_empty() {
                return (0, 0);
            }
            path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
        }
    }

    /// Puts a problem of this definition where it was written.
    pub(crate) fn place(&self, problem: Problem) -> Problem {
        let (line, column) = self.position(&problem.path);
        problem.at(&self.source, line, column)
    }
}

impl Definition {
    /// Returns the canonical JSON form, which the store keeps: `kind` first, defaults left out.
    pub fn to_document(&self) -> Value {
        let document = match self {
            Self::Connection(connection) => connection.to_document(),
            Self::Dataset(dataset) => dataset.to_document(),
            Self::Metric(metric) => metric.to_document(),
        };
        let mut fields = serde_json::Map::new();
        fields.insert(
            "kind".to_owned(),
            Value::String(self.kind().as_str().to_owned()),
        );
        if let Value::Object(rest) = document {
            fields.extend(rest);
        }
        Value::Object(fields)
    }

    /// Reads the canonical JSON form. It is decoded but not validated.
    pub fn from_document(document: &Value) -> Result<Self, Vec<Problem>> {
        read_document(document, definition)
    }
}

/// Decodes one value that has no text around it.
pub(crate) fn read_document<T>(
    document: &Value,
    read: impl Fn(&mut Decoder, &Place<'_>) -> Option<T>,
) -> Result<T, Vec<Problem>> {
    let node = Node::from_value(document);
    let mut decoder = Decoder::default();
    match read(&mut decoder, &Place::root(&node)) {
        Some(found) if decoder.problems.is_empty() => Ok(found),
        _ => Err(decoder.problems),
    }
}

/// Gives a part of a definition its JSON form and reads it back.
macro_rules! documents {
    ($($type:ident: $read:path),+) => {$(
        impl $type {
            /// Returns its JSON form, defaults left out.
            pub fn to_document(&self) -> Value {
                serde_json::to_value(self).unwrap_or(Value::Null)
            }

            /// Reads its JSON form. It is decoded but not validated.
            pub fn from_document(document: &Value) -> Result<Self, Vec<Problem>> {
                read_document(document, $read)
            }
        }
    )+};
}

documents!(
    Connection: decode::connection,
    Dataset: decode::dataset,
    Metric: decode::metric,
    Request: decode::request,
    Window: decode::window
);
