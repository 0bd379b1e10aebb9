//! Reads from an answer what paging needs: how many records, how many there are in all, and what comes next.

use definition::{Pagination, Source};
use http::header::{self, HeaderMap};
use serde_json::Value;
use url::Url;

use crate::decode::{Found, Kind, PlainPath, Scan};
use crate::detect::{self, FirstAnswer, Unread};
use crate::pagination::{Facts, PaginationFault, next_of_link_headers};

/// Knows where a page says what matters for paging.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The paths that one pass over the page finds.
    pub plain: Vec<PlainPath>,
    /// Which of them holds the records that are compared between pages.
    pub compared: Option<usize>,
    records: Option<Path>,
    total_pages: Option<Want>,
    total: Option<Want>,
    has_more: Option<Want>,
    next: Next,
    /// How the only page is asked for, where nothing is said of further ones.
    lone: Option<Asked>,
}

/// How a page is asked for, as far as it tells how others would be.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The address, without credentials.
    pub url: Url,
    /// The JSON body, if any.
    pub body: Option<Value>,
}

/// Where an answer says something.
#[derive(Debug, Clone)]
enum Want {
    Body(Path),
    Header(String),
}

#[derive(Debug, Clone)]
struct Path {
    text: String,
    plain: Option<usize>,
}

/// Where an answer says what comes next.
#[derive(Debug, Clone)]
enum Next {
    Nowhere,
    LinkHeader,
    At(Want),
}

/// What stands at a path, as far as paging cares.
enum Read {
    Missing,
    Value(Value),
    /// An array or object, and how many members it has; not built.
    Members(Kind, u64),
}

impl Reader {
    /// Collects the paths of `pagination` and of the records.
    pub fn of(pagination: &Pagination, records_hint: &str) -> Self {
        let mut reader = Reader {
            plain: Vec::new(),
            compared: None,
            records: None,
            total_pages: None,
            total: None,
            has_more: None,
            next: match pagination {
                Pagination::LinkHeader(_) => Next::LinkHeader,
                _ => Next::Nowhere,
            },
            lone: None,
        };
        let hint = records_hint.trim();
        if !hint.is_empty() {
            let path = reader.path(hint);
            reader.compared = path.plain;
            reader.records = Some(path);
        } else if let Some(root) = PlainPath::parse("$") {
            reader.plain.push(root);
            reader.compared = Some(0);
        }
        if matches!(pagination, Pagination::None | Pagination::Auto) {
            reader.compared = None;
        }
        for (key, source) in pagination.sources() {
            let want = match source {
                Source::Body(path) => Want::Body(reader.path(path)),
                Source::Header(name) => Want::Header(name.clone()),
            };
            match key {
                "total_pages" => reader.total_pages = Some(want),
                "total" => reader.total = Some(want),
                "has_more" => reader.has_more = Some(want),
                _ => reader.next = Next::At(want),
            }
        }
        reader
    }

    /// Looks whether the only page of a run says that there are others; `asked` is how it is asked for.
    #[must_use]
    pub fn watching(self, asked: Option<Asked>) -> Self {
        Self {
            lone: asked,
            ..self
        }
    }

    fn path(&mut self, text: &str) -> Path {
        let plain = PlainPath::parse(text).map(|plain| {
            self.plain.push(plain);
            self.plain.len() - 1
        });
        Path {
            text: text.to_owned(),
            plain,
        }
    }

    /// Reads what a page says; `scan` is of the same body.
    pub fn facts(
        &self,
        body: &[u8],
        scan: &Scan,
        headers: &HeaderMap,
    ) -> Result<Facts, PaginationFault> {
        let answer = Said {
            body,
            scan,
            headers,
        };
        Ok(Facts {
            // Without a path the longest list may be something else, and an expression may leave some out.
            is_counted: match &self.records {
                Some(path) => path.plain.is_some_and(|index| !scan.crosses_array[index]),
                None => scan.prints.is_some(),
            },
            prints: scan.prints.clone().unwrap_or_default(),
            records: self.records(&answer)?,
            total_pages: answer.number(self.total_pages.as_ref())?,
            total: answer.number(self.total.as_ref())?,
            has_more: answer.flag(self.has_more.as_ref())?,
            next: self.next(&answer)?,
            astray: self.astray(&answer)?,
            unread: self.unread(&answer),
            overruled: None,
            hash: String::new(),
        })
    }

    /// Where the records should be and are not, though there is a list elsewhere.
    fn astray(&self, answer: &Said<'_>) -> Result<Option<String>, PaginationFault> {
        let (Some(path), Some(1..)) = (&self.records, answer.scan.longest_array) else {
            return Ok(None);
        };
        // An expression may well leave all of them out.
        let is_missing = path.plain.is_some() && matches!(answer.at(path)?, Read::Missing);
        Ok(is_missing.then(|| path.text.clone()))
    }

    /// What the only page says of further ones.
    fn unread(&self, answer: &Said<'_>) -> Option<Unread> {
        let asked = self.lone.as_ref()?;
        let body = detect::outline(answer.body).unwrap_or_default();
        let own = self.records.as_ref().and_then(|path| path.plain);
        let records = match own.map(|index| answer.scan.found[index].as_ref()) {
            Some(Some(Found { kind, members, .. })) if *kind == Kind::Array => Some(*members),
            // What is read is one thing and no list: totals beside it are its own.
            Some(Some(_)) => Some(u64::MAX),
            _ => answer.scan.longest_array,
        };
        detect::unread(&FirstAnswer {
            url: &asked.url,
            sent: asked.body.as_ref(),
            headers: answer.headers,
            body: &body,
            records,
        })
    }

    /// Reads what the headers alone say, of an answer without a body.
    pub fn facts_of_headers(&self, headers: &HeaderMap) -> Result<Facts, PaginationFault> {
        let from_header =
            |want: &Option<Want>| want.clone().filter(|want| matches!(want, Want::Header(_)));
        let next = match &self.next {
            Next::At(Want::Body(_)) => Next::Nowhere,
            other => other.clone(),
        };
        let reader = Reader {
            plain: Vec::new(),
            compared: None,
            records: None,
            total_pages: from_header(&self.total_pages),
            total: from_header(&self.total),
            has_more: from_header(&self.has_more),
            next,
            lone: None,
        };
        let facts = reader.facts(b"", &Scan::default(), headers)?;
        Ok(Facts {
            records: Some(0),
            is_counted: true,
            ..facts
        })
    }

    fn records(&self, answer: &Said<'_>) -> Result<Option<u64>, PaginationFault> {
        let Some(path) = &self.records else {
            return Ok(answer.scan.longest_array);
        };
        Ok(match answer.at(path)? {
            Read::Missing | Read::Value(Value::Null) => Some(0),
            Read::Members(Kind::Array, members) => Some(members),
            Read::Value(Value::Array(items)) => Some(items.len() as u64),
            Read::Members(..) | Read::Value(_) => Some(1),
        })
    }

    fn next(&self, answer: &Said<'_>) -> Result<Value, PaginationFault> {
        let want = match &self.next {
            Next::Nowhere => return Ok(Value::Null),
            Next::LinkHeader => {
                let links = answer.headers.get_all(header::LINK).iter();
                let links: Vec<_> = links
                    .map(|value| String::from_utf8_lossy(value.as_bytes()))
                    .collect();
                let next = next_of_link_headers(links.iter().map(AsRef::as_ref))
                    .map_err(|malformed| PaginationFault::Unreadable(malformed.to_string()))?;
                return Ok(next.map_or(Value::Null, Value::String));
            }
            Next::At(want) => want,
        };
        match answer.read(want)? {
            Read::Missing => Ok(Value::Null),
            Read::Value(value) => Ok(value),
            Read::Members(..) => Err(PaginationFault::Unreadable(
                "the next cursor or link is a list or an object".to_owned(),
            )),
        }
    }
}

/// An answer that is being read.
struct Said<'a> {
    body: &'a [u8],
    scan: &'a Scan,
    headers: &'a HeaderMap,
}

impl Said<'_> {
    fn read(&self, want: &Want) -> Result<Read, PaginationFault> {
        match want {
            Want::Body(path) => self.at(path),
            Want::Header(name) => {
                let value = self.headers.get(name);
                let text = value.and_then(|value| value.to_str().ok());
                Ok(text.map_or(Read::Missing, |text| {
                    Read::Value(Value::String(text.trim().to_owned()))
                }))
            }
        }
    }

    fn at(&self, path: &Path) -> Result<Read, PaginationFault> {
        if let Some(index) = path.plain.filter(|index| !self.scan.crosses_array[*index]) {
            return Ok(match &self.scan.found[index] {
                None => Read::Missing,
                Some(Found {
                    kind: kind @ (Kind::Array | Kind::Object),
                    members,
                    ..
                }) => Read::Members(*kind, *members),
                Some(found) => serde_json::from_slice(&self.body[found.span.clone()])
                    .map_or(Read::Missing, Read::Value),
            });
        }
        match expression::select_path(&path.text, self.body) {
            Ok(Some(value)) => Ok(Read::Value(value)),
            Ok(None) => Ok(Read::Missing),
            Err(error) => Err(PaginationFault::Path {
                path: path.text.clone(),
                message: error.to_string(),
            }),
        }
    }

    fn number(&self, want: Option<&Want>) -> Result<Option<u64>, PaginationFault> {
        let Some(want) = want else { return Ok(None) };
        let unreadable = {
            let place = match want {
                Want::Body(path) => format!("`{}`", path.text),
                Want::Header(name) => format!("header `{name}`"),
            };
            move |got: &str| {
                PaginationFault::Unreadable(format!(
                    "{place} is {got}, and a count is a whole number from 0 on"
                ))
            }
        };
        match self.read(want)? {
            Read::Missing | Read::Value(Value::Null) => Ok(None),
            Read::Value(Value::Number(number)) => {
                let read = whole(&number).map(Some);
                read.ok_or_else(|| unreadable(&number.to_string()))
            }
            Read::Value(Value::String(text)) => {
                // `Content-Range: items 0-24/319` (RFC 9110); `*` says that it is not known.
                let text = match want {
                    Want::Header(_) => text.rsplit('/').next().unwrap_or_default(),
                    Want::Body(_) => text.as_str(),
                };
                match text.trim() {
                    "" | "*" if matches!(want, Want::Header(_)) => Ok(None),
                    text => {
                        let shown: String = text.chars().take(20).collect();
                        let got = || unreadable(&format!("the text \"{shown}\""));
                        text.parse().map(Some).map_err(|_| got())
                    }
                }
            }
            Read::Value(Value::Bool(truth)) => Err(unreadable(&truth.to_string())),
            Read::Value(Value::Array(_)) | Read::Members(Kind::Array, _) => {
                Err(unreadable("a list"))
            }
            Read::Value(_) | Read::Members(..) => Err(unreadable("an object")),
        }
    }

    fn flag(&self, want: Option<&Want>) -> Result<Option<bool>, PaginationFault> {
        let Some(want) = want else {
            return Ok(None);
        };
        Ok(match self.read(want)? {
            Read::Missing => None,
            Read::Value(Value::Null) => Some(false),
            Read::Value(Value::Bool(more)) => Some(more),
            Read::Value(Value::Number(number)) => Some(number.as_f64() != Some(0.0)),
            Read::Value(Value::String(text)) => {
                Some(!matches!(text.trim(), "" | "false" | "False" | "no" | "0"))
            }
            Read::Value(Value::Array(items)) => Some(!items.is_empty()),
            Read::Value(Value::Object(fields)) => Some(!fields.is_empty()),
            Read::Members(_, members) => Some(members > 0),
        })
    }
}

/// A number without a fraction, up to 10¹⁵.
fn whole(number: &serde_json::Number) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and small"
    )]
    number.as_u64().or_else(|| {
        number
            .as_f64()
            .filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n))
            .map(|n| n as u64)
    })
}

#[cfg(test)]
mod tests {
    use definition::Request;
    use serde_json::json;

    use super::*;

    fn facts(pagination: &Value, hint: &str, body: &Value) -> Result<Facts, PaginationFault> {
        with_headers(pagination, hint, body, &[])
    }

    fn with_headers(
        pagination: &Value,
        hint: &str,
        body: &Value,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Facts, PaginationFault> {
        let request = Request::from_document(&json!({"path": "/x", "pagination": pagination}))
            .expect("a request");
        let reader = Reader::of(&request.pagination, hint);
        let body = body.to_string();
        let scan = crate::decode::scan(body.as_bytes(), &reader.plain).expect("json");
        let headers = headers.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_static(value))
        });
        reader.facts(body.as_bytes(), &scan, &headers.collect())
    }

    #[test]
    fn headers_say_as_much_as_bodies() {
        let body = json!([{ "id": 1 }]);
        let page = json!({"page": {"param": "p", "total_pages": {"header": "X-WP-TotalPages"},
            "total": {"header": "Content-Range"}, "has_more": {"header": "X-More"}}});
        let headers = [
            ("x-wp-totalpages", "12"),
            ("content-range", "items 0-24/319"),
            ("x-more", "true"),
        ];
        let read = with_headers(&page, "$", &body, &headers).expect("facts");
        assert_eq!(
            (read.total_pages, read.total, read.has_more, read.records),
            (Some(12), Some(319), Some(true), Some(1))
        );
        let unknown = [("content-range", "items 0-24/*")];
        let read = with_headers(&page, "$", &body, &unknown).expect("facts");
        assert_eq!(
            (read.total_pages, read.total, read.has_more),
            (None, None, None)
        );
        assert!(with_headers(&page, "$", &body, &[("x-wp-totalpages", "many")]).is_err());

        let cursor = json!({"cursor": {"from": {"header": "X-Next-Page"}, "param": "page"}});
        for (headers, next) in [
            (vec![("x-next-page", "2")], json!("2")),
            (vec![("x-next-page", " ")], json!("")),
            (vec![], Value::Null),
        ] {
            assert_eq!(
                with_headers(&cursor, "$", &body, &headers)
                    .expect("facts")
                    .next,
                next
            );
        }
        let link = [
            (
                "link",
                "</x?page=3>; rel=\"last\", </x?page=2>; rel=\"next\"",
            ),
            ("x-total-count", "42"),
        ];
        let links = json!({"link_header": {"total": {"header": "X-Total-Count"}}});
        let read = with_headers(&links, "$", &body, &link).expect("facts");
        assert_eq!((read.next, read.total), (json!("/x?page=2"), Some(42)));
    }

    #[test]
    fn what_a_page_says_is_read_in_every_spelling() {
        let page = json!({"page": {"param": "p", "total_pages": "meta.pages", "total": "meta.total", "has_more": "meta.more"}});
        let read = facts(
            &page,
            "items",
            &json!({"meta": {"pages": "12", "total": 120.0, "more": "false"}, "items": [1, 2]}),
        );
        let read = read.expect("facts");
        assert_eq!(
            (read.total_pages, read.total, read.has_more, read.records),
            (Some(12), Some(120), Some(false), Some(2))
        );
        let silent = facts(&page, "items", &json!({"items": null})).expect("facts");
        assert_eq!(
            (
                silent.total_pages,
                silent.total,
                silent.has_more,
                silent.records
            ),
            (None, None, None, Some(0))
        );
        let nothing = facts(&page, "", &json!({"other": [], "rows": [1, 2, 3]})).expect("facts");
        assert_eq!(
            nothing.records,
            Some(3),
            "without a hint the longest list counts"
        );
        for (meta, said) in [
            (
                json!({"total": "many"}),
                "`meta.total` is the text \"many\", and a count is a whole number from 0 on",
            ),
            (json!({"pages": -1}), "`meta.pages` is -1, and a count"),
            (json!({"pages": 2.5}), "`meta.pages` is 2.5,"),
            (json!({"total": [1]}), "`meta.total` is a list,"),
            (json!({"total": true}), "`meta.total` is true,"),
        ] {
            let error = facts(&page, "items", &json!({ "meta": meta })).expect_err("no count");
            assert!(error.to_string().contains(said), "{error}");
        }
        let renamed = facts(&page, "items", &json!({"people": [1, 2]})).expect("facts");
        assert_eq!(renamed.astray.as_deref(), Some("items"));
        for whole in [
            json!({"items": [], "tags": [1]}),
            json!({"items": null, "tags": [1]}),
            json!({}),
        ] {
            assert_eq!(facts(&page, "items", &whole).expect("facts").astray, None);
        }
    }

    #[test]
    fn cursors_and_links_are_read_by_path_or_expression() {
        let cursor = |from: &str| json!({"cursor": {"from": from, "param": "after"}});
        let body =
            json!({"items": [{"id": 7}, {"id": 9}], "links": [{"rel": "next", "href": "/2"}]});
        for (from, expected) in [
            ("items[-1].id", json!(9)),
            ("links[rel = \"next\"].href", json!("/2")),
            ("missing", Value::Null),
            ("items.id", json!([7, 9])),
        ] {
            assert_eq!(
                facts(&cursor(from), "items", &body).expect(from).next,
                expected,
                "{from}"
            );
        }
        assert!(facts(&cursor("items"), "items", &body).is_err());
    }
}
