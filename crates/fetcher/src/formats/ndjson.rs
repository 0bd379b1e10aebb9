//! One JSON document a line.

use definition::ResponseFormat;

use super::too_large;
use crate::decode::{Unusable, scan};

/// Returns the list of the documents; empty lines are passed over.
pub(super) fn to_json(body: &[u8], cap: usize) -> Result<Vec<u8>, Unusable> {
    let mut out = Vec::with_capacity(body.len() + 2);
    out.push(b'[');
    for (number, line) in (1_usize..).zip(body.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        match scan(line, &[]) {
            Ok(_) => {}
            Err(Unusable::NotJson { reason, ends_early }) => {
                let reason = reason.replace(" at line 1, column ", ", column ");
                // Only the last line can have been cut.
                let is_last = body.ends_with(line);
                return Err(Unusable::Malformed {
                    format: ResponseFormat::Ndjson,
                    reason: format!("line {number}: {reason}"),
                    ends_early: ends_early && is_last,
                });
            }
            Err(Unusable::OutOfRange { column, .. }) => {
                return Err(Unusable::OutOfRange {
                    line: number,
                    column,
                });
            }
            Err(other) => return Err(other),
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(line);
        if out.len() > cap {
            return Err(too_large(cap));
        }
    }
    out.push(b']');
    Ok(out)
}
