use std::collections::BTreeMap;

use serde_json::Value;

use crate::alert::Alert;
use crate::board::Board;
use crate::connection::Connection;
use crate::dataset::Dataset;
use crate::decode::{self, Decoder, Place};
use crate::deliver::Target;
use crate::goal::Goal;
use crate::metric::Metric;
use crate::name::Name;
use crate::node::Node;
use crate::problem::Problem;
use crate::request::Request;
use crate::scorecard::Scorecard;
use crate::selection::Select;
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
        /// A number that a metric should come to, or stay on one side of.
        Goal = "goal",
        /// A condition on a metric that people want to hear of.
        Alert = "alert",
        /// A page of blocks over metrics.
        Board = "board",
        /// A digest of several metrics.
        Scorecard = "scorecard",
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
    /// A number that a metric should come to, or stay on one side of.
    Goal(Goal),
    /// A condition on a metric that people want to hear of.
    Alert(Alert),
    /// A page of blocks over metrics.
    Board(Board),
    /// A digest of several metrics.
    Scorecard(Scorecard),
}

impl Definition {
    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connection(_) => Kind::Connection,
            Self::Dataset(_) => Kind::Dataset,
            Self::Metric(_) => Kind::Metric,
            Self::Goal(_) => Kind::Goal,
            Self::Alert(_) => Kind::Alert,
            Self::Board(_) => Kind::Board,
            Self::Scorecard(_) => Kind::Scorecard,
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &Name {
        match self {
            Self::Connection(connection) => &connection.name,
            Self::Dataset(dataset) => &dataset.name,
            Self::Metric(metric) => &metric.name,
            Self::Goal(goal) => &goal.name,
            Self::Alert(alert) => &alert.name,
            Self::Board(board) => &board.name,
            Self::Scorecard(scorecard) => &scorecard.name,
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
    /// The paths of what could not be read in it.
    pub(crate) broken: Vec<String>,
}

/// A set of definitions that is applied together.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// The definitions, in the order they were written.
    pub definitions: Vec<Located>,
    /// Kinds of which there may be more than could be read, so that a missing one proves nothing.
    hidden: Vec<Kind>,
}

/// What is already applied, for references and the catalogue.
pub trait Known {
    /// Returns the connection of that name.
    fn connection(&self, name: &str) -> Option<Connection>;
    /// Returns the dataset of that name.
    fn dataset(&self, name: &str) -> Option<Dataset>;
    /// Tells whether the catalogue has that connector.
    fn connector(&self, name: &str) -> bool;
    /// Returns the metric of that name.
    fn metric(&self, _name: &str) -> Option<Metric> {
        None
    }
    /// Returns the goal of that name.
    fn goal(&self, _name: &str) -> Option<Goal> {
        None
    }
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

/// Sorts problems as they are read: file by file, each from its top; leaves out repeats, and what
/// nobody would read.
pub fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    let mut files: Vec<String> = Vec::new();
    for problem in &problems {
        if !files.contains(&problem.source) {
            files.push(problem.source.clone());
        }
    }
    let file = |source: &str| files.iter().position(|known| known == source);
    problems.sort_by_cached_key(|problem| (file(&problem.source), problem.line, problem.column));
    problems.dedup();
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
    ///
    /// What follows from something that could not be read is left out.
    pub fn validate(&self, known: &dyn Known) -> Vec<Problem> {
        let mut problems = self.alone();
        problems.extend(crate::validate::together(self, known));
        in_order(problems)
    }

    /// Returns what is wrong with each definition by itself.
    pub(crate) fn alone(&self) -> Vec<Problem> {
        self.definitions
            .iter()
            .flat_map(|located| {
                crate::validate::alone(located)
                    .into_iter()
                    .filter(|problem| !located.is_broken(&problem.path))
                    .map(|problem| located.place(problem))
            })
            .collect()
    }

    /// Puts the definitions of another file behind these.
    pub fn append(&mut self, mut other: Self) {
        self.definitions.append(&mut other.definitions);
        self.hide(&other.hidden);
    }

    /// Notes that definitions of these kinds may be in the text that could not be read.
    pub(crate) fn hide(&mut self, kinds: &[Kind]) {
        self.hidden.extend(kinds);
    }

    /// Tells whether a definition of this kind may be in the text that could not be read.
    pub(crate) fn may_hide(&self, kind: Kind) -> bool {
        self.hidden.contains(&kind)
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
    /// Tells whether `path`, something above it or something below it could not be read.
    pub fn is_broken(&self, path: &str) -> bool {
        self.broken.iter().any(|broken| touches(broken, path))
    }

    /// Tells whether `path` was written, whatever it says.
    pub fn says(&self, path: &str) -> bool {
        self.positions.contains_key(path)
    }

    /// Returns the form the store keeps: canonical, and with what was written on purpose although
    /// it is the default: `pagination: none`, where a connector has a proposal.
    pub fn to_document(&self) -> Value {
        const PAGINATION: &str = "request.pagination";
        let mut document = self.definition.to_document();
        if self.says(PAGINATION)
            && let Some(Value::Object(request)) = document.get_mut("request")
            && !request.contains_key("pagination")
        {
            request.insert("pagination".to_owned(), Value::from("none"));
        }
        document
    }

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
    /// Returns the metrics and goals that it is made of, each once; they must be there, and stay.
    pub fn uses(&self) -> Vec<(Kind, Name)> {
        if let Self::Metric(metric) = self {
            let inputs = metric.inputs().into_iter();
            return inputs.map(|input| (Kind::Metric, input.clone())).collect();
        }
        let mut uses: Vec<(Kind, Name)> = Vec::new();
        for used in crate::validate::references(self) {
            if let Ok(name) = Name::parse(used.name)
                && !uses.contains(&(used.kind, name.clone()))
            {
                uses.push((used.kind, name));
            }
        }
        uses
    }

    /// Returns where it sends messages to people.
    pub fn targets(&self) -> &[Target] {
        match self {
            Self::Goal(goal) => &goal.deliver,
            Self::Alert(alert) => &alert.deliver,
            Self::Scorecard(scorecard) => &scorecard.deliver,
            Self::Connection(_) | Self::Dataset(_) | Self::Metric(_) | Self::Board(_) => &[],
        }
    }

    /// Returns the canonical JSON form, which the store keeps: `kind` first, defaults left out.
    pub fn to_document(&self) -> Value {
        let document = match self {
            Self::Connection(connection) => connection.to_document(),
            Self::Dataset(dataset) => dataset.to_document(),
            Self::Metric(metric) => metric.to_document(),
            Self::Goal(goal) => goal.to_document(),
            Self::Alert(alert) => alert.to_document(),
            Self::Board(board) => board.to_document(),
            Self::Scorecard(scorecard) => scorecard.to_document(),
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
        read_document(document, crate::read::definition)
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
    Goal: decode::goal,
    Alert: decode::alert,
    Board: decode::board,
    Scorecard: decode::scorecard,
    Target: decode::target,
    Request: decode::request,
    Select: decode::select,
    Window: decode::window
);
