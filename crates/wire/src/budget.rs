//! What the replicas of the fetcher share about a connection's rate: one small document in the key-value bucket.
//!
//! It is no message: fetchers change it by compare-and-set, and whoever wants to show it reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A connection's budget as it stands. Instants are unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// (instant rounded up, permits), in order of time.
    pub grants: Vec<(i64, u32)>,
    /// Holder → (slots, until): who may have how many requests under way.
    pub leases: BTreeMap<String, (u32, i64)>,
    /// Holder → until: who waits for slots.
    pub waiting: BTreeMap<String, i64>,
    /// When the API asked to be left alone.
    pub pause: Option<Pause>,
}

/// An API's wish to be left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Nothing is sent before this.
    pub until: i64,
    /// What the API said, for people.
    pub reason: String,
}

impl Budget {
    /// Requests granted since `since`.
    pub fn granted_since(&self, since: i64) -> u64 {
        let grants = self.grants.iter().filter(|(at, _)| *at > since);
        grants.map(|(_, permits)| u64::from(*permits)).sum()
    }

    /// Slots in use at `now`.
    pub fn slots_in_use(&self, now: i64) -> u64 {
        let leases = self.leases.values().filter(|(_, until)| *until > now);
        leases.map(|(slots, _)| u64::from(*slots)).sum()
    }

    /// The pause that holds at `now`.
    pub fn paused_at(&self, now: i64) -> Option<&Pause> {
        self.pause.as_ref().filter(|pause| pause.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_still_counts_is_counted() {
        let budget = Budget {
            grants: vec![(100, 5), (200, 7)],
            leases: [("a".to_owned(), (2, 300)), ("b".to_owned(), (3, 150))].into(),
            pause: Some(Pause {
                until: 200,
                reason: "429".into(),
            }),
            ..Budget::default()
        };
        assert_eq!(budget.granted_since(100), 7);
        assert_eq!(budget.slots_in_use(200), 2);
        assert!(budget.paused_at(199).is_some() && budget.paused_at(200).is_none());
    }

    #[test]
    fn a_document_of_another_version_is_read() {
        let old = r#"{"grants":[[1,2]],"weather":"fine"}"#;
        let budget: Budget = serde_json::from_str(old).unwrap();
        assert_eq!((budget.grants.len(), budget.pause), (1, None));
    }
}
