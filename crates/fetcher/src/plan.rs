//! Reads a sync request into what a run needs: the rendered template, the opened secrets, and what to look for in pages.

use std::sync::Arc;

use definition::template::Scope;
use definition::{Conditions, Connection, Interval, Pagination, RateLimit, Request};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use service::Identity;
use wire::SyncRequest;

use crate::auth::Access;
use crate::decode::{Found, Kind, PlainPath, Scan};
use crate::error::PageError;
use crate::exchange::Recorder;
use crate::pagination::{Facts, PaginationFault};
use crate::redact::Redactor;
use crate::render::Template;

/// Requests of one run at the same time where the connection does not say.
const CONCURRENCY: u32 = 8;

/// More requests at once than this help nobody.
const MOST_CONCURRENCY: u32 = 64;

/// What a run needs.
#[derive(Debug)]
pub struct Plan {
    /// The connection's name.
    pub connection: String,
    /// What the connection allows.
    pub rate_limit: Option<RateLimit>,
    /// The request without the page's place.
    pub template: Template,
    /// The opened secrets.
    pub access: Access,
    /// Finds them in what comes back.
    pub redactor: Redactor,
    /// How pages follow one another.
    pub pagination: Pagination,
    /// After so many pages the run is truncated.
    pub max_pages: u32,
    /// Requests at the same time.
    pub concurrency: u32,
    /// Where a page says what matters for paging.
    pub reader: Reader,
    /// How an answer of 200 says that it is an error.
    pub conditions: Conditions,
    /// Who is told of every request and answer.
    pub recorder: Option<Arc<Recorder>>,
}

impl Plan {
    /// Reads `request`, renders its templates and opens its secrets.
    pub fn of(
        request: &SyncRequest,
        identities: &[Identity],
        now: Timestamp,
    ) -> Result<Self, PageError> {
        let connection = Connection::from_document(&document(request.connection.as_ref()))
            .map_err(|problems| unusable("connection", &problems))?;
        let asked = Request::from_document(&document(request.request.as_ref()))
            .map_err(|problems| unusable("request", &problems))?;
        let window = request.window.as_ref().map(interval).transpose()?;
        let zone = match request.timezone.as_str() {
            "" => TimeZone::UTC,
            name => TimeZone::get(name)
                .map_err(|_| PageError::Request(format!("time zone `{name}` is unknown")))?,
        };
        let now = request.slot.parse().unwrap_or(now);
        let scope = Scope {
            window,
            now,
            zone,
            connection: connection.constants(),
            parent: None,
        };
        if let Some(kind) = match &connection.auth {
            definition::Auth::OAuth2(_) => Some("oauth2"),
            definition::Auth::Login(_) => Some("login"),
            _ => None,
        } {
            let message = format!("authentication by {kind} is not performed yet");
            return Err(PageError::Request(message));
        }
        let template = Template::new(&connection, &asked, &scope)?;
        let access = Access::open(
            &request.workspace,
            &connection,
            &request.secrets,
            identities,
        )?;
        let limit = connection.rate_limit.clone();
        let concurrency = limit
            .as_ref()
            .and_then(|limit| limit.concurrency)
            .unwrap_or(CONCURRENCY);
        let max_pages = if request.max_pages == 0 {
            asked.max_pages
        } else {
            request.max_pages
        };
        Ok(Plan {
            connection: connection.name.to_string(),
            rate_limit: limit,
            template,
            redactor: access.redactor(),
            access,
            conditions: asked.conditions.or(&connection.conditions),
            reader: Reader::of(&asked.pagination, &request.records_hint),
            pagination: asked.pagination,
            recorder: None,
            max_pages: max_pages.clamp(1, Request::MAX_MAX_PAGES),
            concurrency: concurrency.clamp(1, MOST_CONCURRENCY),
        })
    }
}

/// Documents of the store say their kind; the types do not.
fn document(document: Option<&wire::Json>) -> Value {
    let mut document = document
        .map(|document| document.0.clone())
        .unwrap_or_default();
    if let Value::Object(fields) = &mut document {
        fields.shift_remove("kind");
    }
    document
}

fn unusable(what: &str, problems: &[definition::Problem]) -> PageError {
    let first = problems
        .first()
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .unwrap_or_default();
    PageError::Request(format!("its {what} cannot be read ({first})"))
}

fn interval(window: &wire::Window) -> Result<Interval, PageError> {
    let read = |text: &str| {
        text.parse::<Timestamp>()
            .map_err(|_| PageError::Request("its window has no readable dates".to_owned()))
    };
    Ok(Interval {
        start: read(&window.start)?,
        end: read(&window.end)?,
    })
}

/// Knows where a page says what matters for paging.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The paths that one pass over the page finds.
    pub plain: Vec<PlainPath>,
    records: Option<Want>,
    total_pages: Option<Want>,
    total: Option<Want>,
    has_more: Option<Want>,
    next: Option<Want>,
}

#[derive(Debug, Clone)]
struct Want {
    path: String,
    plain: Option<usize>,
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
            records: None,
            total_pages: None,
            total: None,
            has_more: None,
            next: None,
        };
        let hint = Some(records_hint.trim())
            .filter(|hint| !hint.is_empty())
            .map(str::to_owned);
        reader.records = reader.want(hint.as_ref());
        match pagination {
            Pagination::None | Pagination::LinkHeader => {}
            Pagination::Page(page) => {
                reader.total_pages = reader.want(page.total_pages.as_ref());
                reader.total = reader.want(page.total.as_ref());
                reader.has_more = reader.want(page.has_more.as_ref());
            }
            Pagination::Offset(offset) => {
                reader.total = reader.want(offset.total.as_ref());
                reader.has_more = reader.want(offset.has_more.as_ref());
            }
            Pagination::Cursor(cursor) => {
                reader.has_more = reader.want(cursor.has_more.as_ref());
                reader.next = reader.want(Some(&cursor.from));
            }
            Pagination::NextUrl(next) => reader.next = reader.want(Some(&next.from)),
        }
        reader
    }

    fn want(&mut self, path: Option<&String>) -> Option<Want> {
        let path = path?;
        let plain = PlainPath::parse(path).map(|plain| {
            self.plain.push(plain);
            self.plain.len() - 1
        });
        Some(Want {
            path: path.clone(),
            plain,
        })
    }

    /// Reads what a page says; `scan` is of the same body.
    pub fn facts(&self, body: &[u8], scan: &Scan) -> Result<Facts, PaginationFault> {
        Ok(Facts {
            records: self.records(body, scan)?,
            total_pages: Self::number(self.total_pages.as_ref(), body, scan)?,
            total: Self::number(self.total.as_ref(), body, scan)?,
            has_more: self.has_more(body, scan)?,
            next: match self
                .next
                .as_ref()
                .map(|want| read(want, body, scan))
                .transpose()?
            {
                None | Some(Read::Missing) => Value::Null,
                Some(Read::Value(value)) => value,
                Some(Read::Members(..)) => {
                    return Err(PaginationFault::Unreadable(
                        "the next cursor or link is a list or an object".to_owned(),
                    ));
                }
            },
            hash: String::new(),
        })
    }

    fn records(&self, body: &[u8], scan: &Scan) -> Result<Option<u64>, PaginationFault> {
        let Some(want) = &self.records else {
            return Ok(scan.longest_array);
        };
        Ok(match read(want, body, scan)? {
            Read::Missing | Read::Value(Value::Null) => Some(0),
            Read::Members(Kind::Array, members) => Some(members),
            Read::Value(Value::Array(items)) => Some(items.len() as u64),
            Read::Members(..) | Read::Value(_) => Some(1),
        })
    }

    fn number(
        want: Option<&Want>,
        body: &[u8],
        scan: &Scan,
    ) -> Result<Option<u64>, PaginationFault> {
        let Some(want) = want else { return Ok(None) };
        let unreadable = || PaginationFault::Unreadable(format!("`{}` is not a number", want.path));
        match read(want, body, scan)? {
            Read::Missing | Read::Value(Value::Null) => Ok(None),
            Read::Value(Value::Number(number)) => {
                let whole = number.as_u64().or_else(|| {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "checked to be whole and small"
                    )]
                    number
                        .as_f64()
                        .filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n))
                        .map(|n| n as u64)
                });
                whole.map(Some).ok_or_else(unreadable)
            }
            Read::Value(Value::String(text)) => {
                text.trim().parse().map(Some).map_err(|_| unreadable())
            }
            Read::Value(_) | Read::Members(..) => Err(unreadable()),
        }
    }

    fn has_more(&self, body: &[u8], scan: &Scan) -> Result<Option<bool>, PaginationFault> {
        let Some(want) = &self.has_more else {
            return Ok(None);
        };
        Ok(match read(want, body, scan)? {
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

fn read(want: &Want, body: &[u8], scan: &Scan) -> Result<Read, PaginationFault> {
    if let Some(index) = want.plain.filter(|index| !scan.crosses_array[*index]) {
        return Ok(match &scan.found[index] {
            None => Read::Missing,
            Some(Found {
                kind: kind @ (Kind::Array | Kind::Object),
                members,
                ..
            }) => Read::Members(*kind, *members),
            Some(found) => {
                serde_json::from_slice(&body[found.span.clone()]).map_or(Read::Missing, Read::Value)
            }
        });
    }
    match expression::select_path(&want.path, body) {
        Ok(Some(value)) => Ok(Read::Value(value)),
        Ok(None) => Ok(Read::Missing),
        Err(error) => Err(PaginationFault::Path {
            path: want.path.clone(),
            message: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(pagination: &Value, hint: &str, body: &Value) -> Result<Facts, PaginationFault> {
        let request = Request::from_document(&json!({"path": "/x", "pagination": pagination}))
            .expect("a request");
        let reader = Reader::of(&request.pagination, hint);
        let body = body.to_string();
        let scan = crate::decode::scan(body.as_bytes(), &reader.plain).expect("json");
        reader.facts(body.as_bytes(), &scan)
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
        assert!(facts(&page, "items", &json!({"meta": {"total": "many"}})).is_err());
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
