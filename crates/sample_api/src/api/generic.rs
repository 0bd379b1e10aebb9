//! The same subscribers behind every other way of paging and of signing in.
//!
//! Records are `{id, at, state, country, amount, weight}`. `from` and `to` filter by day, both
//! inclusive; `size` (or `per_page`, or `limit`) is the page's size.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::Value;

use super::v4::{read_cursor, write_cursor};
use super::{Asked, Twists, not_found};
use crate::answer::Answer;
use crate::listing::{Rows, Slice, Twist, money, write_list};
use crate::query::Query;
use crate::world::{Subscriber, World, end_of_day, instant, start_of_day};

/// The largest page; what is more is cut to it.
const MOST: u64 = 10_000;

pub(super) fn answer(world: &World, path: &str, asked: &Asked<'_>, twists: Twists<'_>) -> Answer {
    let (path, kept) = match path.strip_prefix("/secured/") {
        Some(rest) => {
            let (kind, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !signed_in(world, kind, asked) {
                return Answer::v4_error(StatusCode::UNAUTHORIZED, "The access token is invalid");
            }
            // What a header decides must not be kept for callers without it.
            (path, kind == "query")
        }
        None => (path, true),
    };
    let mut answer = route(world, path, asked, twists);
    answer.repeatable &= kept;
    answer
}

fn signed_in(world: &World, kind: &str, asked: &Asked<'_>) -> bool {
    let header = |name: &str| {
        asked
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let secret = world.secret.as_str();
    match kind {
        "basic" => {
            header("authorization")
                == Some(&format!(
                    "Basic {}",
                    STANDARD.encode(format!("sample:{secret}"))
                ))
        }
        "bearer" => {
            header("authorization").and_then(|text| text.strip_prefix("Bearer ")) == Some(secret)
        }
        "token" => {
            header("authorization").and_then(|text| text.strip_prefix("Token ")) == Some(secret)
        }
        "header" => header("x-api-key") == Some(secret),
        "query" => asked.query.get("key") == Some(secret),
        _ => false,
    }
}

fn route(world: &World, path: &str, asked: &Asked<'_>, twists: Twists<'_>) -> Answer {
    let query = asked.query;
    let list = List {
        world,
        query,
        rows: rows(world, query),
        twists,
    };
    match (path, asked.method == Method::POST) {
        ("/api/page", false) => list.page(query.number("page"), query),
        ("/api/has_more", false) => list.has_more(),
        ("/api/short", false) => list.short(),
        ("/api/offset", false) => list.offset(query.number("offset"), query),
        ("/api/cursor", false) => list.cursor(query.get("after")),
        ("/api/next", false) => list.next(asked),
        ("/api/link", false) => list.link(asked),
        ("/api/search", true) => list.search(asked.body),
        ("/api/form", true) => {
            let form = Query::parse(&String::from_utf8_lossy(asked.body));
            without_keeping(match (form.number("offset"), form.get("after")) {
                (None, None) => list.page(form.number("page"), &form),
                (Some(offset), _) => list.offset(Some(offset), &form),
                (None, after) => list.cursor(after),
            })
        }
        ("/api/by_header", false) => {
            let page = asked
                .headers
                .get("x-page")
                .and_then(|page| page.to_str().ok()?.parse().ok());
            without_keeping(list.page(page, query))
        }
        ("/api/by_header/offset", false) => {
            let offset = header(asked, "x-offset").and_then(|text| text.parse().ok());
            without_keeping(list.offset(offset, query))
        }
        ("/api/by_header/after", false) => without_keeping(list.cursor(header(asked, "x-after"))),
        ("/api/headers", false) => list.headers(asked),
        ("/api/rates", false) => {
            Answer::json(r#"{"base":"USD","rates":{"EUR":0.92,"JPY":151.3,"GBP":0.79}}"#)
        }
        ("/api/columns", false) => columns(world),
        (other, false) => match other.strip_prefix("/api/by_path/") {
            Some(place) => list.by_path(place, query),
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn header<'a>(asked: &Asked<'a>, name: &str) -> Option<&'a str> {
    asked
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
}

fn without_keeping(mut answer: Answer) -> Answer {
    answer.repeatable = false;
    answer
}

fn rows(world: &World, query: &Query) -> Rows {
    let all = &world.subscribers;
    let from = query.get("from").and_then(start_of_day);
    let to = query.get("to").and_then(end_of_day);
    let first = from.map_or(0, |from| all.partition_point(|one| one.created < from));
    let end = to
        .map_or(all.len(), |to| all.partition_point(|one| one.created < to))
        .max(first);
    if query.get("order") == Some("desc") {
        Rows::Backward(first..end)
    } else {
        Rows::Forward(first..end)
    }
}

struct List<'a> {
    world: &'a World,
    query: &'a Query,
    rows: Rows,
    twists: Twists<'a>,
}

impl List<'_> {
    fn size(&self, from: &Query) -> usize {
        let asked = ["size", "per_page", "limit"]
            .iter()
            .find_map(|name| from.number(name));
        usize::try_from(
            asked
                .unwrap_or(u64::from(self.world.page_size))
                .clamp(1, MOST),
        )
        .unwrap_or(1)
    }

    fn write(&self, out: &mut String, key: &str, slice: Slice, twist: &Twist) {
        write_list(out, key, &self.rows, slice, twist, |out, index| {
            write_record(out, &self.world.subscribers[index]);
        });
    }

    /// Numbered pages with totals; `zero=true` counts them from 0.
    fn page(self, asked: Option<u64>, from: &Query) -> Answer {
        let first = u64::from(from.get("zero") != Some("true"));
        let number = asked.unwrap_or(first).max(first);
        let slice = Slice::page(number - first + 1, self.size(from));
        let twist = (self.twists)(slice.number());
        let pages = self.rows.len().div_ceil(slice.size);
        let mut out = String::from("{");
        self.write(&mut out, "items", slice, &twist);
        let _ = write!(
            out,
            r#","page":{number},"total_pages":{pages},"total":{}}}"#,
            self.rows.len()
        );
        Answer::json(out)
            .page(slice.number())
            .header("x-total-pages", pages.to_string())
    }

    /// A place in the path: `7`, `offset/120` or `after/CURSOR`.
    fn by_path(self, place: &str, query: &Query) -> Answer {
        match place.split_once('/') {
            None => match place.parse() {
                Ok(page) => self.page(Some(page), query),
                Err(_) => not_found(),
            },
            Some(("offset", offset)) => match offset.parse() {
                Ok(offset) => self.offset(Some(offset), query),
                Err(_) => not_found(),
            },
            Some(("after", cursor)) => self.cursor(Some(cursor)),
            Some(_) => not_found(),
        }
    }

    /// Bare arrays: all that is said of pages stands in headers.
    fn headers(self, asked: &Asked<'_>) -> Answer {
        let slice = Slice::page(
            self.query.number("page").unwrap_or(1),
            self.size(self.query),
        );
        let twist = (self.twists)(slice.number());
        let mut out = String::new();
        self.write(&mut out, "", slice, &twist);
        let pages = self.rows.len().div_ceil(slice.size);
        let answer = host_decides(Answer::json(out).page(slice.number()))
            .header("x-total-count", self.rows.len().to_string())
            .header("x-total-pages", pages.to_string());
        match self.next_address(asked, slice, &twist) {
            Some(url) => {
                let next = slice.number() + u64::from(!twist.repeats_cursor);
                answer
                    .header("next-page", url)
                    .header("x-next-page", next.to_string())
            }
            None => answer,
        }
    }

    /// Numbered pages that only say whether there are more.
    fn has_more(self) -> Answer {
        let slice = Slice::page(
            self.query.number("page").unwrap_or(1),
            self.size(self.query),
        );
        let twist = (self.twists)(slice.number());
        let mut out = String::from("{");
        self.write(&mut out, "items", slice, &twist);
        let _ = write!(out, r#","has_more":{}}}"#, slice.end() < self.rows.len());
        Answer::json(out).page(slice.number())
    }

    /// Numbered pages that are bare arrays: only a short or empty one tells the end.
    fn short(self) -> Answer {
        let slice = Slice::page(
            self.query.number("page").unwrap_or(1),
            self.size(self.query),
        );
        let twist = (self.twists)(slice.number());
        let mut out = String::new();
        self.write(&mut out, "", slice, &twist);
        Answer::json(out).page(slice.number())
    }

    fn offset(self, asked: Option<u64>, from: &Query) -> Answer {
        let start = usize::try_from(asked.unwrap_or(0)).unwrap_or(usize::MAX);
        let slice = Slice {
            start,
            size: self.size(from),
        };
        let twist = (self.twists)(slice.number());
        let mut out = String::from("{");
        self.write(&mut out, "items", slice, &twist);
        let _ = write!(
            out,
            r#","offset":{start},"limit":{},"total":{}}}"#,
            slice.size,
            self.rows.len()
        );
        Answer::json(out).page(slice.number())
    }

    /// Cursors that end with null, unless `ends=empty` (a text without characters) or `ends=absent`.
    fn cursor(self, after: Option<&str>) -> Answer {
        let Some(slice) = self.after(after) else {
            return Answer::v4_error(StatusCode::UNPROCESSABLE_ENTITY, "The cursor is invalid");
        };
        let twist = (self.twists)(slice.number());
        let is_last = slice.end() >= self.rows.len();
        let mut out = String::from("{");
        self.write(&mut out, "items", slice, &twist);
        let next = if twist.repeats_cursor {
            Some(after.unwrap_or("WzBd").to_owned())
        } else {
            (!is_last).then(|| write_cursor(slice.end() as u64))
        };
        match (next, self.query.get("ends")) {
            (Some(next), _) => drop(write!(out, r#","next_cursor":"{next}""#)),
            (None, Some("empty")) => out.push_str(r#","next_cursor":"""#),
            (None, Some("absent")) => {}
            (None, _) => out.push_str(r#","next_cursor":null"#),
        }
        let _ = write!(out, r#","has_more":{}}}"#, !is_last || twist.repeats_cursor);
        Answer::json(out).page(slice.number())
    }

    fn after(&self, cursor: Option<&str>) -> Option<Slice> {
        let start = match cursor.filter(|text| !text.is_empty()) {
            Some(text) => usize::try_from(read_cursor(text)?).ok()?,
            None => 0,
        };
        Some(Slice {
            start,
            size: self.size(self.query),
        })
    }

    /// The next page's address in the body: absolute, or relative with `relative=true`, or on
    /// another origin with `foreign=http://…`.
    fn next(self, asked: &Asked<'_>) -> Answer {
        let slice = Slice::page(
            self.query.number("page").unwrap_or(1),
            self.size(self.query),
        );
        let twist = (self.twists)(slice.number());
        let mut out = String::from("{");
        self.write(&mut out, "items", slice, &twist);
        let next = self
            .next_address(asked, slice, &twist)
            .map_or("null".to_owned(), |url| format!("\"{url}\""));
        let _ = write!(out, r#","next":{next},"total":{}}}"#, self.rows.len());
        host_decides(Answer::json(out).page(slice.number()))
    }

    fn link(self, asked: &Asked<'_>) -> Answer {
        let slice = Slice::page(
            self.query.number("page").unwrap_or(1),
            self.size(self.query),
        );
        let twist = (self.twists)(slice.number());
        let mut out = String::new();
        self.write(&mut out, "", slice, &twist);
        let answer = host_decides(Answer::json(out).page(slice.number()));
        match self.next_address(asked, slice, &twist) {
            Some(url) => {
                let first = format!("{}?page=1", asked.path);
                answer.header(
                    "link",
                    format!("<{first}>; rel=\"first\", <{url}>; rel=\"next\""),
                )
            }
            None => answer,
        }
    }

    fn next_address(&self, asked: &Asked<'_>, slice: Slice, twist: &Twist) -> Option<String> {
        if slice.end() >= self.rows.len() && !twist.repeats_cursor {
            return None;
        }
        let number = slice.number() + u64::from(!twist.repeats_cursor);
        let query = self.query.with(&["page"], &[("page", &number.to_string())]);
        let origin = match (self.query.get("foreign"), self.query.get("relative")) {
            (Some(foreign), _) => foreign.trim_end_matches('/').to_owned(),
            (None, Some("true")) => String::new(),
            _ => {
                let host = asked
                    .headers
                    .get("host")
                    .and_then(|host| host.to_str().ok())
                    .unwrap_or("localhost");
                format!("http://{host}")
            }
        };
        Some(format!("{origin}{}?{query}", asked.path))
    }

    /// A search by POST: `{"page":…}`, `{"paging":{"offset":…,"limit":…}}` or
    /// `{"cursor":{"after":…}}` in the body, whichever is there.
    fn search(self, body: &[u8]) -> Answer {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Answer::v4_error(StatusCode::BAD_REQUEST, "The body is not JSON");
        };
        if let Some(paging) = body.get("paging") {
            let sized = sized(paging.get("limit"));
            return without_keeping(
                self.offset(paging.get("offset").and_then(Value::as_u64), &sized),
            );
        }
        if let Some(cursor) = body.get("cursor") {
            return without_keeping(self.cursor(cursor.get("after").and_then(Value::as_str)));
        }
        let sized = sized(body.get("size"));
        without_keeping(self.page(body.get("page").and_then(Value::as_u64), &sized))
    }
}

fn sized(size: Option<&Value>) -> Query {
    size.and_then(Value::as_u64)
        .map_or_else(Query::default, |size| Query::parse(&format!("size={size}")))
}

/// An absolute next link repeats the caller's `Host`, so it is written anew for each.
fn host_decides(answer: Answer) -> Answer {
    without_keeping(answer)
}

fn write_record(out: &mut String, one: &Subscriber) {
    let _ = write!(
        out,
        r#"{{"id":{},"at":"{}","state":"{}","country":"{}","amount":{},"weight":{}}}"#,
        one.id,
        instant(one.created),
        one.state.word(),
        one.country,
        money(one.weight % 100_000),
        one.weight
    );
}

/// Parallel arrays, as weather APIs answer: one entry for each of the last 48 subscribers.
fn columns(world: &World) -> Answer {
    let last = &world.subscribers[world.subscribers.len().saturating_sub(48)..];
    let times: Vec<String> = last
        .iter()
        .map(|one| format!("\"{}\"", instant(one.created)))
        .collect();
    let rain: Vec<String> = last.iter().map(|one| money(one.weight % 1_000)).collect();
    Answer::json(format!(
        r#"{{"hourly":{{"time":[{}],"rain":[{}]}}}}"#,
        times.join(","),
        rain.join(",")
    ))
}
