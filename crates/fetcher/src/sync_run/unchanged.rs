//! Pages that did not change since they were last fetched: asked for with their validators, answered by one 304.
//!
//! The body is then read back from the stream and published as a page of this run, so that everything behind the
//! fetcher sees a whole run. What a request depends on is in its mark; another request never meets the validators.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use wire::{PageEntry, SyncRequest};

use super::{Engine, Outlet};
use crate::http::Outgoing;
use crate::pagination::Facts;

/// Pages remembered of one dataset: what most datasets have, within what a memory holds.
const MOST_PAGES: usize = 100;

/// Longest validator; real ones have a few dozen bytes.
const MOST_BYTES: usize = 256;

/// `Last-Modified` counts seconds: a page that changed this shortly before it was fetched may change again unseen.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);

/// What is known of a page that was fetched before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    sequences: Vec<u64>,
    hash: String,
    bytes: u64,
    /// What the answer said about paging; a 304 repeats no headers of its own.
    facts: Facts,
}

/// A validator of an answer and the mark of its request.
#[derive(Debug, Clone)]
pub(super) struct Validator {
    mark: String,
    etag: Option<String>,
    last_modified: Option<String>,
    facts: Facts,
}

/// What is known before a run, and what it learns.
#[derive(Debug, Default)]
pub(super) struct Validators {
    /// Where they are kept; nothing where this run keeps none.
    key: Option<String>,
    known: Mutex<HashMap<String, Known>>,
    learned: Mutex<BTreeMap<String, Known>>,
}

impl Validators {
    /// Reads what earlier runs of the dataset learned. Of datasets with windows, only the newest window repeats itself.
    pub(super) async fn load<O: Outlet>(
        engine: &Engine,
        request: &SyncRequest,
        outlet: &O,
    ) -> Self {
        let is_newest = request.window.as_ref().is_none_or(|window| {
            let end = window.end.parse::<Timestamp>();
            end.is_ok_and(|end| end >= engine.clock.now())
        });
        let key = wire::stream::validators_key(&request.workspace, &request.dataset).ok();
        let Some(key) = key.filter(|_| is_newest && outlet.keeps_pages()) else {
            return Self::default();
        };
        let known = match engine.memory.newest(&key).await {
            Some(found) => serde_json::from_slice(&found).unwrap_or_default(),
            None => HashMap::new(),
        };
        Validators {
            key: Some(key),
            known: Mutex::new(known),
            learned: Mutex::default(),
        }
    }

    /// Whether any page may be asked for with a validator, or one may be learned.
    pub(super) fn are_kept(&self) -> bool {
        self.key.is_some()
    }

    /// What is known of the page that a request asks for.
    pub(super) fn known(&self, mark: &str) -> Option<Known> {
        self.table().get(mark).cloned()
    }

    /// Forgets a page whose body is gone.
    pub(super) fn forget(&self, mark: &str) {
        self.table().remove(mark);
    }

    /// Takes in where the body of an answer with a validator was kept.
    pub(super) fn learn(&self, validator: Validator, entry: &PageEntry) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if self.key.is_some() && learned.len() < MOST_PAGES {
            let known = Known {
                etag: validator.etag,
                last_modified: validator.last_modified,
                sequences: entry.sequences.clone(),
                hash: entry.hash.clone(),
                bytes: entry.bytes,
                facts: validator.facts,
            };
            learned.insert(validator.mark, known);
        }
    }

    /// Keeps what was learned for the next run.
    pub(super) async fn save(self, engine: &Engine) {
        let learned = self.learned.into_inner();
        let learned = learned.unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = self.key
            && !learned.is_empty()
            && let Ok(value) = serde_json::to_vec(&learned)
        {
            engine.memory.remember(&key, value.into()).await;
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Writes the conditions into the headers of a request, unless it has its own.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        let mut put = |name, value: &Option<String>| {
            if let Some(value) = value
                .as_deref()
                .and_then(|text| HeaderValue::from_str(text).ok())
            {
                headers.entry(name).or_insert(value);
            }
        };
        put(header::IF_NONE_MATCH, &self.etag);
        put(header::IF_MODIFIED_SINCE, &self.last_modified);
    }

    /// What the answer said about paging.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The body, from the stream; nothing when it is gone.
    pub(super) async fn body<O: Outlet>(&self, outlet: &O) -> Option<Bytes> {
        let entry = PageEntry {
            sequences: self.sequences.clone(),
            hash: self.hash.clone(),
            bytes: self.bytes,
            ..PageEntry::default()
        };
        match outlet.kept(std::slice::from_ref(&entry)).await {
            Ok(bodies) => bodies?.pop(),
            Err(reason) => {
                tracing::debug!(reason, "an earlier page cannot be read");
                None
            }
        }
    }
}

/// Tells a request from all others: everything that is sent, and the versions of the secrets that are.
///
/// Nothing for requests that may not be asked conditionally: POST, or with conditions of the user's own.
pub(super) fn mark(request: &SyncRequest, outgoing: &Outgoing) -> Option<String> {
    let own = [
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::RANGE,
    ];
    if outgoing.method != http::Method::GET
        || own.iter().any(|name| outgoing.headers.contains_key(name))
    {
        return None;
    }
    let mut parts = vec![outgoing.url.to_string()];
    let headers = outgoing.headers.iter();
    parts.extend(headers.map(|(name, value)| format!("{name}: {value:?}")));
    let secrets = request.secrets.iter();
    parts.extend(secrets.map(|secret| format!("{} {}", secret.name, secret.version)));
    // What is read from a page depends on the definition.
    let asked = request.request.as_ref();
    parts.extend(asked.map(|document| document.0.to_string()));
    parts.push(format!("{} {}", request.epoch, request.records_hint));
    parts.sort_unstable();
    let mut mark = wire::page::hash(parts.join("\n").as_bytes());
    mark.truncate(32);
    Some(mark)
}

/// The validator of an answer; nothing when it has none that can be trusted.
pub(super) fn validator(
    mark: String,
    headers: &HeaderMap,
    facts: &Facts,
    now: Timestamp,
) -> Option<Validator> {
    let text = |name| {
        let text = headers.get(name)?.to_str().ok()?.trim();
        (!text.is_empty() && text.len() <= MOST_BYTES).then(|| text.to_owned())
    };
    let etag = text(header::ETAG);
    let last_modified = text(header::LAST_MODIFIED).filter(|value| {
        rfc2822::DateTimeParser::new()
            .relaxed_weekday(true)
            .parse_zoned(value)
            .is_ok_and(|at| now.duration_since(at.timestamp()) >= SETTLED)
    });
    // An answer that forbids keeping it is not kept beyond its run.
    let forbids = text(header::CACHE_CONTROL).is_some_and(|value| value.contains("no-store"));
    (!forbids && (etag.is_some() || last_modified.is_some())).then_some(Validator {
        mark,
        etag,
        last_modified,
        facts: Facts {
            hash: String::new(),
            prints: Vec::new(),
            ..facts.clone()
        },
    })
}
