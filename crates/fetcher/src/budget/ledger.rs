//! The decision over a budget's document: how many requests may be sent, by when, and who holds how many slots.

use std::collections::BTreeMap;
use std::time::Duration;

use definition::RateLimit;
use serde::{Deserialize, Serialize};

/// Clocks of replicas differ by less than this, or the window is not kept.
const SKEW_MS: i64 = 500;

/// A lease that is not renewed ends after this: longer than the longest request with its pauses.
const LEASE_MS: i64 = 180_000;

/// A slice is used within this, so that a replica cannot hoard.
const LONGEST_USE_MS: i64 = 5_000;

/// Grants are kept in so many steps of a window: the document stays small.
const STEPS: i64 = 100;

/// What a connection allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Requests in any window.
    pub requests: u32,
    /// The window.
    pub per_ms: i64,
    /// Requests at the same time.
    pub concurrency: Option<u32>,
}

impl Rule {
    /// Reads a definition's limit.
    pub fn of(limit: &RateLimit) -> Self {
        let per_ms = i64::try_from(limit.per.to_duration().as_millis()).unwrap_or(i64::MAX / 4);
        Rule {
            requests: limit.requests,
            per_ms: per_ms.max(1),
            concurrency: limit.concurrency,
        }
    }

    /// Permits that one grant brings: a tenth of the rate, so that replicas share it.
    pub fn slice(&self) -> u32 {
        (self.requests / 10).clamp(1, 50)
    }

    /// How long the document must be kept after its last change.
    pub fn lifetime(&self) -> Duration {
        let ms = self.span_ms().saturating_add(LEASE_MS);
        Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)).max(Duration::from_secs(2))
    }

    fn use_within_ms(&self) -> i64 {
        (self.per_ms / 10).clamp(100, LONGEST_USE_MS)
    }

    /// How long a grant counts: its window, the time in which it may be used, skew, and rounding.
    fn span_ms(&self) -> i64 {
        self.per_ms
            .saturating_add(self.use_within_ms() + SKEW_MS + self.step_ms())
    }

    fn step_ms(&self) -> i64 {
        (self.per_ms / STEPS).max(1)
    }
}

/// What came of asking for permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// So many requests may be sent, each before `use_by_ms`.
    Permits {
        /// How many, at least one.
        count: u32,
        /// Unix milliseconds.
        use_by_ms: i64,
    },
    /// None for so long.
    Wait {
        /// Milliseconds.
        ms: i64,
    },
}

/// The document of one connection: what was granted lately, and who holds slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// (instant rounded up, permits), in order of time.
    #[serde(default)]
    grants: Vec<(i64, u32)>,
    /// Holder → (slots, until).
    #[serde(default)]
    leases: BTreeMap<String, (u32, i64)>,
}

impl Ledger {
    /// Grants up to `wanted` permits at `now_ms`, never more than the rule allows in any window.
    pub fn grant(&mut self, rule: &Rule, now_ms: i64, wanted: u32) -> Grant {
        // A clock behind the last grant's counts as that: time never goes back here.
        let now_ms = self
            .grants
            .last()
            .map_or(now_ms, |(at, _)| now_ms.max(at - rule.step_ms()));
        self.grants.retain(|(at, _)| at + rule.span_ms() > now_ms);
        let spent: u64 = self.grants.iter().map(|(_, count)| u64::from(*count)).sum();
        let free = u64::from(rule.requests).saturating_sub(spent);
        let count = u32::try_from(free).unwrap_or(u32::MAX).min(wanted.max(1));
        if count == 0 {
            let first = self.grants.first().map_or(now_ms, |(at, _)| *at);
            return Grant::Wait {
                ms: (first + rule.span_ms() - now_ms).max(1),
            };
        }
        let step = rule.step_ms();
        let at = now_ms.div_euclid(step) * step + step;
        match self.grants.last_mut() {
            Some((last, counted)) if *last == at => *counted += count,
            _ => self.grants.push((at, count)),
        }
        Grant::Permits {
            count,
            use_by_ms: now_ms + rule.use_within_ms(),
        }
    }

    /// Leases up to `wanted` slots to `holder` at `now_ms`, in place of what it held.
    pub fn lease(&mut self, rule: &Rule, now_ms: i64, holder: &str, wanted: u32) -> u32 {
        self.leases.retain(|_, (_, until)| *until > now_ms);
        let Some(limit) = rule.concurrency else {
            return wanted;
        };
        let of_others: u64 = self
            .leases
            .iter()
            .filter(|(name, _)| *name != holder)
            .map(|(_, (slots, _))| u64::from(*slots))
            .sum();
        let free = u32::try_from(u64::from(limit).saturating_sub(of_others)).unwrap_or(u32::MAX);
        let slots = free.min(wanted);
        if slots == 0 {
            self.leases.remove(holder);
        } else {
            self.leases
                .insert(holder.to_owned(), (slots, now_ms + LEASE_MS));
        }
        slots
    }

    /// Ends the lease of `holder`.
    pub fn release(&mut self, holder: &str) {
        self.leases.remove(holder);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(requests: u32, per_ms: i64) -> Rule {
        Rule {
            requests,
            per_ms,
            concurrency: Some(8),
        }
    }

    #[test]
    fn a_spent_budget_says_how_long_to_wait() {
        let rule = rule(3, 60_000);
        let mut ledger = Ledger::default();
        assert!(matches!(
            ledger.grant(&rule, 1_000, 2),
            Grant::Permits { count: 2, .. }
        ));
        assert!(matches!(
            ledger.grant(&rule, 2_000, 2),
            Grant::Permits { count: 1, .. }
        ));
        let Grant::Wait { ms } = ledger.grant(&rule, 3_000, 2) else {
            panic!("granted")
        };
        assert!((58_000..=70_000).contains(&ms), "{ms}");
        assert!(matches!(
            ledger.grant(&rule, 3_000 + ms, 2),
            Grant::Permits { .. }
        ));
    }

    #[test]
    fn slots_are_shared_and_come_back_when_a_holder_dies() {
        let rule = rule(100, 60_000);
        let mut ledger = Ledger::default();
        assert_eq!(ledger.lease(&rule, 0, "a", 6), 6);
        assert_eq!(ledger.lease(&rule, 0, "b", 6), 2);
        assert_eq!(ledger.lease(&rule, 0, "c", 6), 0);
        assert_eq!(
            ledger.lease(&rule, 10_000, "a", 6),
            6,
            "renewing is not asking for more"
        );
        ledger.release("b");
        assert_eq!(ledger.lease(&rule, 10_000, "c", 6), 2);
        assert_eq!(
            ledger.lease(&rule, 10_000 + LEASE_MS, "d", 8),
            8,
            "nobody renewed"
        );
    }

    proptest! {
        /// Whatever clients ask for and whenever within its time they send, no window holds more than the limit.
        #[test]
        fn no_window_ever_holds_more_than_the_limit(
            requests in 1_u32..40,
            per_ms in 50_i64..5_000,
            asks in proptest::collection::vec((0_i64..800, 1_u32..20, 0_i64..=100, -200_i64..200), 1..200),
        ) {
            let rule = rule(requests, per_ms);
            let mut ledger = Ledger::default();
            let mut clock = 1_000_000;
            let mut sent = Vec::new();
            for (pause, wanted, late_percent, skew) in asks {
                clock += pause;
                if let Grant::Permits { count, use_by_ms } = ledger.grant(&rule, clock + skew, wanted) {
                    prop_assert!(count >= 1 && count <= wanted.max(1));
                    // The client sends by its own clock, before `use_by_ms`.
                    let latest = (use_by_ms - skew - 1).max(clock);
                    let at = clock + (latest - clock) * late_percent / 100;
                    sent.extend(std::iter::repeat_n(at, count as usize));
                }
                prop_assert!(ledger.grants.len() <= 400, "the document stays small");
            }
            sent.sort_unstable();
            for (index, at) in sent.iter().enumerate() {
                let inside = sent[index..].iter().take_while(|later| **later < at + per_ms).count();
                prop_assert!(inside <= requests as usize, "{} in a window of {}", inside, requests);
            }
        }

        #[test]
        fn a_waiter_is_served_when_its_wait_is_over(requests in 1_u32..40, per_ms in 50_i64..5_000) {
            let rule = rule(requests, per_ms);
            let mut ledger = Ledger::default();
            let mut now = 5_000;
            for _ in 0..50 {
                match ledger.grant(&rule, now, 7) {
                    Grant::Permits { .. } => now += 1,
                    Grant::Wait { ms } => {
                        now += ms;
                        let served = matches!(ledger.grant(&rule, now, 7), Grant::Permits { .. });
                        prop_assert!(served);
                    }
                }
            }
        }
    }
}
