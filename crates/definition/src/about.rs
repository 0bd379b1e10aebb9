use indexmap::IndexMap;
use serde::Serialize;

use crate::name::Name;

/// What goals, alerts, boards and scorecards say about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it is found by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Keeps only some members of dimensions: each dimension with the texts it may have; all must hold.
pub type Where = IndexMap<Name, Vec<String>>;
