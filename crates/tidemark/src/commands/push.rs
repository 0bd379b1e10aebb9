//! `push`: values that come from elsewhere.

use std::io::Read as _;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Done;
use super::definitions::segment;
use crate::cli::{Output, Push};
use crate::client::Client;
use crate::failure::Failure;
use crate::output;

/// What the gateway takes at once, in rows and in bytes, with room for brackets and commas.
const ROWS_AT_ONCE: usize = 10_000;
const BYTES_AT_ONCE: usize = 380 * 1024;

/// Sends rows, all at once where they fit; of more, what was taken stays, and sending all again changes nothing.
pub(crate) async fn push(arguments: &Push) -> Done {
    let client = Client::new(&arguments.remote)?;
    let path = format!("/metrics/{}/points", segment(&arguments.name)?);
    let rows = rows(&text(arguments)?)?;
    let (mut taken, mut counted, mut changed) = (0, 0, 0);
    let mut last = Value::Null;
    let parts = parts(&rows);
    let count = parts.len();
    for (place, part) in parts.into_iter().enumerate() {
        let batch = match (&arguments.batch, count) {
            (Some(batch), 1) => Some(batch.clone()),
            (Some(batch), _) => Some(format!("{batch}/{place}")),
            (None, _) => None,
        };
        let sent = client.post_once(&path, batch.as_deref(), joined(part));
        last = sent.await.inspect_err(|_| {
            if taken > 0 {
                eprintln!(
                    "the {taken} rows before these were taken; places are counted behind them"
                );
            }
        })?;
        let of = |name: &str| last.get(name).and_then(Value::as_u64).unwrap_or(0);
        taken += part.len();
        counted += of("rows");
        changed += of("changed");
    }
    let summary = json!({
        "metric": arguments.name, "rows": counted, "changed": changed, "run": last.get("run"),
        "version": last.get("version"),
    });
    match client.output {
        Output::Json => say!("{}", output::json(&summary)),
        Output::Table | Output::Csv => say!(
            "{} taken, {counted} of them count, {} changed",
            output::counted(&taken.to_string(), "row"),
            output::counted(&changed.to_string(), "point")
        ),
    }
    Ok(())
}

fn text(arguments: &Push) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if arguments.file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(&arguments.file).map(|read| text = read)
    };
    let name = arguments.file.display();
    read.map_err(|error| Failure::invalid(format!("`{name}` cannot be read: {error}")))?;
    Ok(text)
}

/// Reads a list, one row, or a row a line; each stays as it is written, so that no digit is lost.
fn rows(text: &str) -> Result<Vec<Box<RawValue>>, Failure> {
    let wrong =
        |error: serde_json::Error| Failure::invalid(format!("the rows are not JSON: {error}"));
    let mut rows = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
        let value = value.map_err(wrong)?;
        if value.get().starts_with('[') {
            let list: Vec<Box<RawValue>> = serde_json::from_str(value.get()).map_err(wrong)?;
            rows.extend(list);
        } else {
            rows.push(value);
        }
    }
    if rows.is_empty() {
        return Err(Failure::invalid("there are no rows"));
    }
    Ok(rows)
}

/// Splits rows where one request would be too large.
fn parts(rows: &[Box<RawValue>]) -> Vec<&[Box<RawValue>]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        let length = row.get().len() + 1;
        if at > start && (at - start == ROWS_AT_ONCE || bytes + length > BYTES_AT_ONCE) {
            parts.push(&rows[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += length;
    }
    parts.push(&rows[start..]);
    parts
}

fn joined(rows: &[Box<RawValue>]) -> String {
    let rows: Vec<&str> = rows.iter().map(|row| row.get()).collect();
    format!("[{}]", rows.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_list_or_one_a_line() {
        for text in [
            r#"[{"value":1},{"value":2}]"#,
            "{\"value\":1}\n{\"value\":2}\n",
        ] {
            let rows = rows(text).unwrap();
            assert_eq!(joined(&rows), r#"[{"value":1},{"value":2}]"#);
        }
        assert!(rows("").is_err());
        assert!(rows("{").is_err());
    }

    #[test]
    fn digits_stay_and_what_is_too_large_is_split() {
        let one = r#"{"value":1.00000000000000000001}"#;
        assert_eq!(joined(&rows(one).unwrap()), format!("[{one}]"));
        let many = format!("[{}]", vec![one; 25_000].join(","));
        let many = rows(&many).unwrap();
        let parts = parts(&many);
        let counts: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(counts, [10_000, 10_000, 5_000]);
        assert!(
            parts
                .iter()
                .all(|part| joined(part).len() <= BYTES_AT_ONCE + 2)
        );
    }
}
