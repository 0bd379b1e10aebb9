//! Where a page stands, and the parameters that say so.

use definition::{Pagination, Placement};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a page stands, as its request says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The first page, where nothing says so.
    Start,
    /// A page number.
    Page(i64),
    /// The number of its first record.
    Offset(u64),
    /// What the page before it said.
    Cursor(Value),
    /// An address, without credentials.
    Url(String),
}

impl Position {
    /// Tells whether this is where `pagination` begins.
    pub fn is_first(&self, pagination: &Pagination) -> bool {
        match (self, pagination) {
            (Position::Start, _) => true,
            (Position::Page(number), Pagination::Page(page)) => *number == page.start,
            (Position::Offset(first), Pagination::Offset(offset)) => *first == offset.start,
            _ => false,
        }
    }
}

/// A pagination parameter and where it is put.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its name; dotted inside a body.
    pub param: String,
    /// Where.
    pub placement: Placement,
    /// Its value.
    pub value: Value,
}

/// Returns the parameters that a request for `position` carries.
pub fn parameters(pagination: &Pagination, position: &Position) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |param: &str, placement: Placement, value: Value| {
        places.push(Place {
            param: param.to_owned(),
            placement,
            value,
        });
    };
    // A size has no place in a path.
    let beside = |placement: Placement| {
        if placement == Placement::Path {
            Placement::Query
        } else {
            placement
        }
    };
    match (pagination, position) {
        (Pagination::Page(page), Position::Page(number)) => {
            add(&page.param, page.placement, Value::from(*number));
            if let (Some(param), Some(size)) = (&page.size_param, page.size) {
                add(param, beside(page.placement), Value::from(size));
            }
        }
        (Pagination::Offset(offset), Position::Offset(first)) => {
            add(&offset.param, offset.placement, Value::from(*first));
            if let (Some(param), Some(limit)) = (&offset.limit_param, offset.limit) {
                add(param, beside(offset.placement), Value::from(limit));
            }
        }
        (Pagination::Cursor(cursor), position) => {
            if let Position::Cursor(value) = position {
                add(&cursor.param, cursor.placement, value.clone());
            }
            if let (Some(param), Some(size)) = (&cursor.size_param, cursor.size) {
                add(param, beside(cursor.placement), Value::from(size));
            }
        }
        _ => {}
    }
    places
}
