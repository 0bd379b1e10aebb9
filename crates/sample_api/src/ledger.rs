//! What was served: for tests that ask who called, how often, and how many at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More than this are counted, but no longer listed one by one.
const MOST_LISTED: usize = 100_000;

/// What the sample API has served since it started, or since the ledger was last emptied.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// All requests, refused and failed ones included.
    pub requests: u64,
    /// Requests by path.
    pub by_path: BTreeMap<String, u64>,
    /// Answers by status; a connection that was reset counts as status 0.
    pub by_status: BTreeMap<u16, u64>,
    /// The most requests that were in hand at one time.
    pub most_at_once: u32,
    /// Requests refused because of the rate limit.
    pub refused: u64,
    /// The latest requests, oldest first, at most 100,000.
    pub served: Vec<Served>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Served {
    /// When it came, since the server's start.
    pub at: Duration,
    /// Its path.
    pub path: String,
    /// Its query, with the value of any `api_secret`, `key` or `api_key` as `***`.
    pub query: String,
    /// Which page it asked for, counted from 1.
    pub page: u32,
    /// The status it was answered with; 0 when the connection was reset.
    pub status: u16,
}

impl Ledger {
    /// Returns how many requests asked for a page of `path` and were answered with 200.
    pub fn pages_of(&self, path: &str) -> Vec<u32> {
        self.served
            .iter()
            .filter(|one| one.path == path && one.status == 200)
            .map(|one| one.page)
            .collect()
    }

    /// Returns the most requests that came within any span of this length.
    pub fn most_within(&self, span: Duration) -> usize {
        let mut most = 0;
        let mut first = 0;
        for (index, one) in self.served.iter().enumerate() {
            while one.at.saturating_sub(self.served[first].at) >= span {
                first += 1;
            }
            most = most.max(index + 1 - first);
        }
        most
    }
}

#[derive(Debug)]
pub(crate) struct Books {
    started: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    ledger: Ledger,
    served: VecDeque<Served>,
    at_once: u32,
    recent: VecDeque<Instant>,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            open: Mutex::default(),
        }
    }

    /// Notes that a request has come; says no when the rate limit is reached.
    pub(crate) fn begin(&self, limit: Option<(u32, Duration)>) -> bool {
        let mut open = self.open();
        open.at_once += 1;
        open.ledger.most_at_once = open.ledger.most_at_once.max(open.at_once);
        let Some((requests, span)) = limit else {
            return true;
        };
        let now = Instant::now();
        while open
            .recent
            .front()
            .is_some_and(|first| now.duration_since(*first) >= span)
        {
            open.recent.pop_front();
        }
        if open.recent.len() >= requests as usize {
            open.ledger.refused += 1;
            return false;
        }
        open.recent.push_back(now);
        true
    }

    /// Notes how a request was answered.
    pub(crate) fn end(&self, path: &str, query: &str, page: u32, status: u16) {
        let at = self.started.elapsed();
        let mut open = self.open();
        open.at_once = open.at_once.saturating_sub(1);
        open.ledger.requests += 1;
        if let Some(count) = open.ledger.by_path.get_mut(path) {
            *count += 1;
        } else {
            open.ledger.by_path.insert(path.to_owned(), 1);
        }
        *open.ledger.by_status.entry(status).or_default() += 1;
        if open.served.len() >= MOST_LISTED {
            open.served.pop_front();
        }
        open.served.push_back(Served {
            at,
            path: path.to_owned(),
            query: masked(query),
            page,
            status,
        });
    }

    pub(crate) fn snapshot(&self) -> Ledger {
        let open = self.open();
        Ledger {
            served: open.served.iter().cloned().collect(),
            ..open.ledger.clone()
        }
    }

    pub(crate) fn empty(&self) {
        let mut open = self.open();
        open.ledger = Ledger::default();
        open.served.clear();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn masked(query: &str) -> String {
    const SECRET: [&str; 3] = ["api_secret=", "key=", "api_key="];
    if !SECRET.iter().any(|name| query.contains(name)) {
        return query.to_owned();
    }
    let pairs: Vec<&str> = query
        .split('&')
        .map(|pair| {
            SECRET
                .iter()
                .find_map(|name| pair.starts_with(name).then_some(*name))
                .unwrap_or(pair)
        })
        .collect();
    pairs
        .iter()
        .map(|pair| {
            if SECRET.contains(pair) {
                format!("{pair}***")
            } else {
                (*pair).to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_secrets_masked() {
        let books = Books::new();
        assert!(books.begin(None));
        assert!(books.begin(None));
        books.end("/v3/subscribers", "api_secret=canary&page=2", 2, 200);
        books.end("/v3/subscribers", "", 1, 500);
        let ledger = books.snapshot();
        assert_eq!((ledger.requests, ledger.most_at_once), (2, 2));
        assert_eq!(ledger.by_path["/v3/subscribers"], 2);
        assert_eq!(ledger.pages_of("/v3/subscribers"), [2]);
        assert_eq!(ledger.served[0].query, "api_secret=***&page=2");
        assert_eq!(ledger.most_within(Duration::from_mins(1)), 2);
        books.empty();
        assert_eq!(books.snapshot().requests, 0);
    }

    #[test]
    fn the_rate_limit_slides() {
        let books = Books::new();
        let limit = Some((2, Duration::from_mins(1)));
        assert!(books.begin(limit) && books.begin(limit) && !books.begin(limit));
        assert_eq!(books.snapshot().refused, 1);
    }
}
