//! The records of a page, whole: for requests that are made once for each of them.

use definition::Select;
use jiff::Timestamp;
use serde_json::Value;

use crate::budget::Limits;
use crate::evaluate::evaluate_json_within;
use crate::generate::records_of;
use crate::{PathError, check};

/// Returns the records that `select` finds in a page (its `records` and `where`), in their order.
///
/// Evaluated within tight limits: this is user text in a process that holds credentials.
///
/// ```
/// let select = definition::Select::from_document(&serde_json::json!({"records": "items", "where": "n > 1"}));
/// let found = expression::select_records(&select.unwrap_or_default(), br#"{"items":[{"n":1},{"n":2}]}"#);
/// assert_eq!(found.ok(), Some(vec![serde_json::json!({"n": 2})]));
/// ```
pub fn select_records(select: &Select, body: &[u8]) -> Result<Vec<Value>, PathError> {
    let checked = check(&records_of(select))?;
    let limits = Limits::for_records();
    let found = evaluate_json_within(&checked, body, Timestamp::UNIX_EPOCH, &limits)?;
    Ok(match found {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(records)) => records,
        Some(record) => vec![record],
    })
}
