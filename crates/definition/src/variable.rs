use serde::Serialize;
use serde_json::Value;

/// One of a connection's variables, `connection.NAME` in templates.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Variable {
    /// Asked of the API once, and again when the API answers 404.
    LookedUp(LookUp),
    /// A text, a number, true or false.
    Constant(Value),
}

/// Where a variable is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookUp {
    /// The path below the connection's `base_url`; its templates know the constants only.
    pub path: String,
    /// Where the answer holds the value (JSONata).
    pub select: String,
}

impl Variable {
    /// The most variables of a connection.
    pub const MOST: usize = 32;
    /// The longest text of a variable, in characters.
    pub const MAX_TEXT: usize = 2_000;
}
