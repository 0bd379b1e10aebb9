use serde::Serialize;

use crate::connection::is_false;
use crate::name::Name;

/// The dataset for whose records another one is asked, record by record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parent {
    /// The dataset whose records they are.
    pub dataset: Name,
    /// Which of them count (JSONata on one record).
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub where_: Option<String>,
    /// After this many records a run is truncated, and marked so.
    #[serde(skip_serializing_if = "is_default_max")]
    pub max_parents: u32,
    /// Whether a record that the API does not know (404, 410) is passed over, and counted.
    #[serde(skip_serializing_if = "is_false")]
    pub skip_missing: bool,
}

impl Parent {
    /// Records that are asked for when the definition does not say.
    pub const DEFAULT_MAX_PARENTS: u32 = 1_000;
    /// The most records a definition may ask for.
    pub const MAX_MAX_PARENTS: u32 = 10_000;
    /// How many parents may stand above one another.
    pub const MAX_DEPTH: usize = 4;
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_default_max(max: &u32) -> bool {
    *max == Parent::DEFAULT_MAX_PARENTS
}
