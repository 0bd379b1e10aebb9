//! What the server keeps: the records as they are now, the pages written from them, the books,
//! and the routes that ask or change them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;

use crate::answer::Answer;
use crate::door::Door;
use crate::fault::{Book, Fault};
use crate::ledger::Books;
use crate::orders::Orders;
use crate::query::Query;
use crate::world::World;
use crate::{Config, api, truth};

/// Kept pages are forgotten together beyond this, so that no set of queries eats the machine.
const MOST_KEPT_BYTES: usize = 256 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct House {
    pub(crate) config: Config,
    present: RwLock<Arc<Present>>,
    pub(crate) latency: RwLock<Duration>,
    pub(crate) book: Book,
    pub(crate) books: Books,
    pub(crate) door: Door,
    pub(crate) orders: Orders,
}

/// The records as they are now, and the pages already written from them.
#[derive(Debug)]
pub(crate) struct Present {
    pub(crate) world: World,
    kept: RwLock<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: usize,
    pages: HashMap<Box<str>, Answer>,
}

impl Present {
    fn new(world: World) -> Arc<Self> {
        Arc::new(Self {
            world,
            kept: RwLock::default(),
        })
    }
}

impl House {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            present: RwLock::new(Present::new(World::make(&config))),
            latency: RwLock::new(config.latency),
            book: Book::default(),
            books: Books::new(),
            door: Door::new(config.seed, &config.secret),
            orders: Orders::default(),
            config,
        }
    }

    pub(crate) fn present(&self) -> Arc<Present> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn add_subscribers(&self, count: u32, at: Timestamp) {
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        let mut world = present.world.clone();
        world.add_subscribers(count, at.as_second());
        *present = Present::new(world);
    }

    /// Answers what is asked about the sample API itself.
    pub(crate) fn control(&self, head: &http::request::Parts, body: &[u8]) -> Answer {
        let query = Query::parse(head.uri.query().unwrap_or(""));
        let path = head.uri.path();
        if let Some(noun) = path.strip_prefix("/truth/") {
            let answer = truth::answer(&self.present().world, noun, &query);
            return answer.map_or_else(api::not_found, Answer::json);
        }
        let done = || Answer::json(r#"{"done":true}"#);
        match (head.method.as_str(), path) {
            ("POST", "/control/faults") => match Fault::parse_all(&String::from_utf8_lossy(body)) {
                Ok(faults) => {
                    let path = query.get("path");
                    self.book.add(faults.into_iter().map(|fault| match path {
                        Some(path) => fault.on(path),
                        None => fault,
                    }));
                    done()
                }
                Err(error) => Answer::v4_error(
                    StatusCode::BAD_REQUEST,
                    &error.to_string().replace('"', "'"),
                ),
            },
            ("DELETE", "/control/tokens") => {
                self.door.revoke();
                done()
            }
            ("POST", "/control/tokens") => {
                self.door
                    .set_life(Duration::from_secs(query.number("life").unwrap_or(3600)));
                done()
            }
            ("DELETE", "/control/faults") => {
                self.book.clear();
                done()
            }
            ("POST", "/control/latency") => {
                let latency = Duration::from_millis(query.number("ms").unwrap_or(0));
                *self.latency.write().unwrap_or_else(PoisonError::into_inner) = latency;
                done()
            }
            ("POST", "/control/subscribers") => {
                let at = query
                    .get("at")
                    .and_then(|at| at.parse().ok())
                    .unwrap_or_else(Timestamp::now);
                self.add_subscribers(
                    u32::try_from(query.number("count").unwrap_or(1)).unwrap_or(1),
                    at,
                );
                done()
            }
            ("GET", "/control/ledger") => {
                let ledger = self.books.snapshot();
                Answer::json(
                    serde_json::json!({
                        "requests": ledger.requests, "by_path": ledger.by_path, "by_status": ledger.by_status,
                        "most_at_once": ledger.most_at_once, "refused": ledger.refused,
                    })
                    .to_string(),
                )
            }
            ("DELETE", "/control/ledger") => {
                self.books.empty();
                done()
            }
            _ => api::not_found(),
        }
    }
}

impl Present {
    pub(crate) fn kept(&self, key: &str) -> Option<Answer> {
        self.kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .pages
            .get(key)
            .cloned()
    }

    pub(crate) fn keep(&self, key: &str, answer: &Answer) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = key.len() + answer.body.len() + 256;
        if kept.bytes + bytes > MOST_KEPT_BYTES {
            *kept = Kept::default();
        }
        if kept.pages.insert(key.into(), answer.clone()).is_none() {
            kept.bytes += bytes;
        }
    }
}
