//! What users write: connections, datasets, metrics and what they are used for, read, checked and explained.
//!
//! Text goes in ([`parse`]), a [`Bundle`] of definitions comes out, or every [`Problem`] at once
//! with its place, code and hint. Nothing here touches a socket, a file or the clock.

mod about;
mod aggregation;
mod alert;
mod auth;
mod board;
mod bundle;
mod conditions;
mod connection;
mod dataset;
mod decode;
mod deliver;
mod fetch;
mod flow;
mod formula;
mod goal;
mod granularity;
mod json;
mod metric;
mod name;
mod node;
mod pagination;
mod parent;
mod problem;
mod range_name;
mod read;
mod request;
mod response;
mod schedule;
mod schema;
mod scorecard;
mod selection;
mod span;
/// Placeholders in requests: checked strictly, rendered within bounds.
pub mod template;
mod validate;
mod variable;
/// The dates a run asks for.
pub mod window;
mod words;
mod yaml;
/// Time zones by IANA name.
pub mod zone;

pub use about::{About, Where};
pub use aggregation::{Aggregation, MetricType, OverTime};
pub use alert::{Against, Alert, ChangeIn, Condition, Quiet, Side, Threshold, Urgency};
pub use auth::{
    Algorithm, Assertion, Auth, ClientAuth, Credential, Grant, Login, LoginRequest, OAuth2, Pair,
    Put, Stored, TextOrSecret, TokenSource, secret_leaf,
};
pub use board::{Block, BlockKind, Board};
pub use bundle::{
    Bundle, Definition, Kind, Known, Located, MAX_BUNDLE_BYTES, MAX_DEFINITIONS, MAX_PROBLEMS,
    NothingKnown, in_order,
};
pub use conditions::Conditions;
pub use connection::{Connection, RateLimit};
pub use dataset::Dataset;
pub use deliver::{Email, SecretRef, Shape, Target, Webhook};
pub use fetch::Fetch;
pub use flow::flow;
pub use formula::{
    Formula, FormulaError, FormulaUnit, Function, MAX_FORMULA_DEPTH, MAX_FORMULA_SOURCES, Operator,
    Term, UnitError,
};
pub use goal::{Aim, Goal};
pub use granularity::Granularity;
pub use jiff::civil::Weekday;
pub use metric::{Covers, Metric, MetricSource, Mode, Ratio, Scope, Trend};
pub use name::{
    ConnectionName, DatasetName, DimensionName, MetricName, Name, NameError, SecretName,
};
pub use pagination::{
    Cursor, LinkHeader, NextRequest, NextUrl, Offset, PageNumber, Pagination, Placement, Source,
};
pub use parent::Parent;
pub use problem::{Problem, Severity, hidden_character};
pub use range_name::RangeName;
pub use read::{parse, read, read_json};
pub use request::{Method, QueryValue, Request};
pub use response::{Compression, CsvHeader, Response, ResponseFormat};
pub use schedule::Schedule;
pub use schema::json_schema;
pub use scorecard::{Entry, Scorecard};
pub use selection::{
    DateFormat, DateSelect, Format, FormatStyle, Missing, NumberFormat, Records, Select, ValuePage,
    ValueSelect,
};
pub use span::{Span, SpanError, SpanUnit};
pub use validate::graphql::{changes as changes_by_graphql, is_mutation};
pub use validate::{is_secret_header, is_secret_parameter};
pub use variable::{LookUp, Variable};
pub use window::{Interval, Window};
