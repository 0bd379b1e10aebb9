use std::collections::BTreeMap;

use serde_json::Value;

use crate::connection::Connection;
use crate::dataset::Dataset;
use crate::metric::Metric;
use crate::name::Name;
use crate::problem::Problem;
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

/// Reads definitions: YAML documents, or JSON.
pub fn parse(text: &str, source: &str) -> Result<Bundle, Vec<Problem>> {
    let _ = text;
    Err(vec![
        Problem::new("definition.not_yet", "", "not read yet").at(source, 1, 1),
    ])
}

/// Returns the JSON Schema of definitions.
pub fn json_schema() -> Value {
    Value::Null
}

impl Bundle {
    /// Returns everything that is wrong with the definitions, warnings included.
    pub fn validate(&self, known: &dyn Known) -> Vec<Problem> {
        let _ = known;
        Vec::new()
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
            Some(located) => {
                let (line, column) = located.position(path);
                problem.at(&located.source, line, column)
            }
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
}

impl Definition {
    /// Returns the canonical JSON form, which the store keeps: `kind` first, defaults left out.
    pub fn to_document(&self) -> Value {
        Value::Null
    }

    /// Reads the canonical JSON form.
    pub fn from_document(document: &Value) -> Result<Self, Vec<Problem>> {
        let _ = document;
        Err(vec![Problem::new("definition.not_yet", "", "not read yet")])
    }
}

/// Gives a part of a definition its JSON form and reads it back.
macro_rules! documents {
    ($($type:ident),+) => {$(
        impl $type {
            /// Returns its JSON form, defaults left out.
            pub fn to_document(&self) -> Value {
                serde_json::to_value(self).unwrap_or(Value::Null)
            }

            /// Reads its JSON form.
            pub fn from_document(document: &Value) -> Result<Self, Vec<Problem>> {
                let _ = document;
                Err(vec![Problem::new("definition.not_yet", "", "not read yet")])
            }
        }
    )+};
}

documents!(Connection, Dataset, Metric, Request, Window);
