//! Which format an answer has, where nobody said so: for a look at an API that is not defined yet.
//!
//! Runs never guess: what they read is written in the definition that this helps to write.

use bytes::Bytes;
use definition::{Compression, Response, ResponseFormat};
use url::Url;

use super::{file, to_json};
use crate::decode::{self, Unusable};

/// Lines of a table that must agree on their delimiter.
const LINES: usize = 20;

/// Delimiters that tables have.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// The charset of tables that name none and are not UTF-8: spreadsheets of the West.
const OLD_CHARSET: &str = "windows-1252";

/// A body as JSON, and how a definition would say what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The body as JSON.
    pub body: Bytes,
    /// What it was.
    pub response: Response,
    /// Whether the charset is a guess.
    pub charset_is_guessed: bool,
}

/// Reads a body in the format it seems to have; the error of reading it as JSON, where it seems to have none.
pub fn recognise(
    body: &Bytes,
    content_type: Option<&str>,
    url: &Url,
    cap: usize,
) -> Result<Recognised, Unusable> {
    let (opened, _) = file::open(body.clone(), Compression::Auto, cap)?;
    let as_json = decode::page(opened.clone(), content_type, &[], None);
    let refusal = match as_json {
        Ok((body, _)) => {
            return Ok(Recognised {
                body,
                response: Response::default(),
                charset_is_guessed: false,
            });
        }
        Err(refusal) => refusal,
    };
    for format in likely(&opened, content_type, url) {
        let mut response = Response {
            format,
            ..Response::default()
        };
        if format == ResponseFormat::Csv {
            let Some(delimiter) = delimiter(&opened) else {
                continue;
            };
            response.delimiter = Some(delimiter).filter(|delimiter| *delimiter != ',');
        }
        let read = |response: &Response| to_json(body.clone(), content_type, response, cap);
        let (read, charset_is_guessed) = match read(&response) {
            Err(Unusable::Encoding { .. }) => {
                response.encoding = Some(OLD_CHARSET.to_owned());
                (read(&response), true)
            }
            other => (other, false),
        };
        if let Ok(body) = read {
            return Ok(Recognised {
                body,
                response,
                charset_is_guessed,
            });
        }
    }
    Err(refusal)
}

/// The formats that type, name and beginning speak for, the likeliest first.
fn likely(body: &[u8], content_type: Option<&str>, url: &Url) -> Vec<ResponseFormat> {
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let path = url.path().to_ascii_lowercase();
    let path = path.trim_end_matches(".gz").trim_end_matches(".zip");
    let says = |types: &[&str], endings: &[&str]| {
        types.iter().any(|one| content_type.contains(one))
            || endings.iter().any(|ending| path.ends_with(ending))
    };
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut formats = Vec::new();
    if says(
        &["ndjson", "jsonl", "json-lines", "json-seq"],
        &[".ndjson", ".jsonl"],
    ) || matches!(first, Some(b'{' | b'['))
    {
        formats.push(ResponseFormat::Ndjson);
    }
    if first == Some(&b'<') {
        formats.push(ResponseFormat::Xml);
    }
    // A sentence in plain text is no table; its lines do not agree.
    let may_be_table = content_type.is_empty()
        || ["text/", "octet-stream", "excel", "zip"]
            .iter()
            .any(|one| content_type.contains(one));
    if says(&["csv", "tab-separated"], &[".csv", ".tsv", ".txt"])
        || (may_be_table && !matches!(first, Some(b'{' | b'[' | b'<')))
    {
        formats.push(ResponseFormat::Csv);
    }
    formats
}

/// The delimiter that stands equally often in each of the first lines, outside of quotes.
fn delimiter(body: &[u8]) -> Option<char> {
    let text = String::from_utf8_lossy(&body[..body.len().min(64 * 1024)]);
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if body.len() > 64 * 1024 {
        // The last one is cut.
        lines.pop();
    }
    lines.truncate(LINES);
    if lines.len() < 2 {
        return None;
    }
    let count = |line: &str, delimiter: char| {
        let mut is_quoted = false;
        let mut count = 0_usize;
        for c in line.chars() {
            match c {
                '"' => is_quoted = !is_quoted,
                c if c == delimiter && !is_quoted => count += 1,
                _ => {}
            }
        }
        count
    };
    DELIMITERS
        .into_iter()
        .filter_map(|delimiter| {
            let columns = count(lines[0], delimiter);
            let agrees = lines.iter().all(|line| count(line, delimiter) == columns);
            (columns > 0 && agrees).then_some((columns, delimiter))
        })
        .max_by_key(|(columns, _)| *columns)
        .map(|(_, delimiter)| delimiter)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(path: &str, content_type: Option<&str>, body: &[u8]) -> Result<Recognised, Unusable> {
        let url = Url::parse(&format!("https://a.test{path}")).unwrap();
        recognise(&Bytes::copy_from_slice(body), content_type, &url, 1 << 20)
    }

    #[test]
    fn each_format_is_recognised_and_said_as_a_definition_does() {
        let people = json!([{ "id": "1", "name": "Ada" }, { "id": "2", "name": "Bo;b" }]);
        for (path, content_type, body, response, json) in [
            (
                "/x",
                Some("application/json"),
                &b"[1]"[..],
                json!({"format": "json"}),
                json!([1]),
            ),
            (
                "/x",
                None,
                b"{\"a\":1}\n{\"a\":2}\n",
                json!({"format": "ndjson"}),
                json!([{"a":1},{"a":2}]),
            ),
            (
                "/people.csv",
                Some("text/plain"),
                b"id,name\n1,Ada\n2,Bo;b\n",
                json!({"format": "csv"}),
                people.clone(),
            ),
            (
                "/x",
                Some("text/csv; charset=utf-8"),
                b"id;name\n1;Ada\n2;\"Bo;b\"\n",
                json!({"format": "csv", "delimiter": ";"}),
                people.clone(),
            ),
            (
                "/x.tsv",
                Some("application/octet-stream"),
                b"id\tname\n1\tAda\n2\tBo;b\n",
                json!({"format": "csv", "delimiter": "\t"}),
                people,
            ),
            (
                "/x",
                Some("application/xml"),
                b"<r><n>1</n><n>2</n></r>",
                json!({"format": "xml"}),
                json!({"r": {"n": ["1", "2"]}}),
            ),
            (
                "/x",
                Some("text/csv"),
                b"a,b\n1,caf\xe9\n",
                json!({"format": "csv", "encoding": "windows-1252"}),
                json!([{"a": "1", "b": "caf\u{e9}"}]),
            ),
        ] {
            let read = read(path, content_type, body)
                .unwrap_or_else(|error| panic!("{response}: {error}"));
            assert_eq!(serde_json::to_value(&read.response).unwrap(), response);
            assert_eq!(serde_json::from_slice::<Value>(&read.body).unwrap(), json);
            assert_eq!(read.charset_is_guessed, response.get("encoding").is_some());
        }
    }

    #[test]
    fn what_is_no_data_stays_an_error_about_json() {
        for (content_type, body) in [
            (
                Some("text/html"),
                &b"<!doctype html><html><p>Sign in, please</p></html>"[..],
            ),
            (
                Some("text/plain"),
                b"Not found, sorry.\nTry again, or not, later.\n",
            ),
            (Some("text/plain"), b"OK"),
            (None, b""),
            (Some("application/json"), b"{\"a\":[1,2"),
        ] {
            let error = read("/x", content_type, body).expect_err("no data");
            assert_eq!(error.code(), "upstream.not_json", "{body:?}");
        }
    }
}
