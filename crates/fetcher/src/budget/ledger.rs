//! The decision over a budget's document: how many requests may be sent, by when, and who holds how many slots.

use std::time::Duration;

use definition::RateLimit;
use serde::{Deserialize, Serialize};
use wire::Budget;
use wire::budget::Pause;

/// Clocks of replicas differ by less than this, or the window is not kept.
const SKEW_MS: i64 = 500;

/// A lease that is not renewed ends after this: longer than the longest request with its pauses.
const LEASE_MS: i64 = 180_000;

/// Who waits for slots asks again every second; one that has not for so long is gone.
const WAITING_MS: i64 = 15_000;

/// A slice is used within this: the rest is lost, and the window must be longer by so much.
const LONGEST_USE_MS: i64 = 1_000;

/// Grants are kept in so many steps of a window: the document stays small.
const STEPS: i64 = 200;

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

    /// Permits that one grant brings at most: a tenth of the rate, so that replicas share it.
    pub fn slice(&self) -> u32 {
        (self.requests / 10).clamp(1, 50)
    }

    /// How long the document must be kept after its last change.
    pub fn lifetime(&self) -> Duration {
        let ms = self.span_ms().saturating_add(LEASE_MS);
        Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)).max(Duration::from_secs(2))
    }

    fn use_within_ms(&self) -> i64 {
        (self.per_ms / 50).clamp(100, LONGEST_USE_MS)
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

/// The document of one connection, with the decisions over it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger(Budget);

impl Ledger {
    /// Grants up to `wanted` permits at `now_ms`, never more than the rule allows in any window.
    pub fn grant(&mut self, rule: &Rule, now_ms: i64, wanted: u32) -> Grant {
        if let Some(pause) = self.0.paused_at(now_ms) {
            return Grant::Wait {
                ms: pause.until - now_ms,
            };
        }
        let grants = &mut self.0.grants;
        // A clock behind the last grant's counts as that: time never goes back here.
        let now_ms = grants
            .last()
            .map_or(now_ms, |(at, _)| now_ms.max(at - rule.step_ms()));
        grants.retain(|(at, _)| at + rule.span_ms() > now_ms);
        let spent: u64 = grants.iter().map(|(_, count)| u64::from(*count)).sum();
        let free = u64::from(rule.requests).saturating_sub(spent);
        let count = u32::try_from(free).unwrap_or(u32::MAX).min(wanted.max(1));
        if count == 0 {
            let first = grants.first().map_or(now_ms, |(at, _)| *at);
            return Grant::Wait {
                ms: (first + rule.span_ms() - now_ms).max(1),
            };
        }
        let step = rule.step_ms();
        let at = now_ms.div_euclid(step) * step + step;
        match grants.last_mut() {
            Some((last, counted)) if *last == at => *counted += count,
            _ => grants.push((at, count)),
        }
        Grant::Permits {
            count,
            use_by_ms: now_ms + rule.use_within_ms(),
        }
    }

    /// Leases up to `wanted` slots to `holder` at `now_ms`, in place of what it held.
    ///
    /// Whoever gets none is remembered as waiting, so that those who hold many give some back
    /// ([`Ledger::may_hold`]); while others wait, nobody gets more than its share.
    pub fn lease(&mut self, rule: &Rule, now_ms: i64, holder: &str, wanted: u32) -> u32 {
        if rule.concurrency.is_none() {
            return wanted;
        }
        self.0.leases.retain(|_, (_, until)| *until > now_ms);
        self.0.waiting.retain(|_, until| *until > now_ms);
        let slots = self.may_hold(rule, now_ms, holder).min(wanted);
        if slots == 0 {
            self.0.leases.remove(holder);
            self.0
                .waiting
                .insert(holder.to_owned(), now_ms + WAITING_MS);
        } else {
            self.0.waiting.remove(holder);
            self.0
                .leases
                .insert(holder.to_owned(), (slots, now_ms + LEASE_MS));
        }
        slots
    }

    /// How many slots `holder` may have: what others do not hold, and no more than its share while others wait.
    pub fn may_hold(&self, rule: &Rule, now_ms: i64, holder: &str) -> u32 {
        let Some(limit) = rule.concurrency else {
            return u32::MAX;
        };
        let of_others: u64 = self
            .0
            .leases
            .iter()
            .filter(|(name, (_, until))| *name != holder && *until > now_ms)
            .map(|(_, (slots, _))| u64::from(*slots))
            .sum();
        let free = u32::try_from(u64::from(limit).saturating_sub(of_others)).unwrap_or(u32::MAX);
        free.min(self.fair_share(rule, now_ms, holder))
    }

    fn fair_share(&self, rule: &Rule, now_ms: i64, holder: &str) -> u32 {
        let limit = rule.concurrency.unwrap_or(u32::MAX);
        let waiting = self.0.waiting.iter().filter(|(_, until)| **until > now_ms);
        let waiting = waiting.filter(|(name, _)| *name != holder).count();
        if waiting == 0 {
            return limit;
        }
        let holding = self
            .0
            .leases
            .iter()
            .filter(|(_, (_, until))| *until > now_ms);
        let holding = holding.filter(|(name, _)| *name != holder).count();
        let all = u32::try_from(waiting + holding + 1).unwrap_or(u32::MAX);
        (limit / all).max(1)
    }

    /// Ends the lease of `holder`.
    pub fn release(&mut self, holder: &str) {
        self.0.leases.remove(holder);
        self.0.waiting.remove(holder);
    }

    /// Sends nothing before `until_ms`; an earlier wish for longer stays.
    pub fn pause(&mut self, until_ms: i64, reason: &str) {
        if self
            .0
            .pause
            .as_ref()
            .is_none_or(|pause| pause.until < until_ms)
        {
            self.0.pause = Some(Pause {
                until: until_ms,
                reason: reason.to_owned(),
            });
        }
    }

    /// Until when nothing is sent, if the API asked for that.
    pub fn paused_until(&self, now_ms: i64) -> Option<i64> {
        self.0.paused_at(now_ms).map(|pause| pause.until)
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
    fn who_holds_all_slots_gives_some_back_to_who_waits() {
        let rule = rule(100, 60_000);
        let mut ledger = Ledger::default();
        assert_eq!(ledger.lease(&rule, 0, "greedy", 8), 8);
        assert_eq!(ledger.fair_share(&rule, 0, "greedy"), 8);
        assert_eq!(ledger.lease(&rule, 0, "a", 8), 0);
        assert_eq!(ledger.fair_share(&rule, 0, "greedy"), 4);
        assert_eq!(ledger.lease(&rule, 1_000, "greedy", 8), 4);
        assert_eq!(ledger.lease(&rule, 1_000, "a", 8), 4);
        assert_eq!(ledger.lease(&rule, 2_000, "b", 8), 0);
        assert_eq!(ledger.fair_share(&rule, 2_000, "a"), 2);
        // Nobody waits for ever.
        assert_eq!(ledger.fair_share(&rule, 2_000 + WAITING_MS, "a"), 8);
    }

    #[test]
    fn a_pause_stops_grants_until_it_is_over() {
        let rule = rule(100, 60_000);
        let mut ledger = Ledger::default();
        ledger.pause(5_000, "429");
        ledger.pause(3_000, "a shorter one");
        assert_eq!(ledger.grant(&rule, 1_000, 1), Grant::Wait { ms: 4_000 });
        assert_eq!(ledger.paused_until(1_000), Some(5_000));
        assert!(matches!(
            ledger.grant(&rule, 5_000, 1),
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
            ledger.lease(&rule, 20_000, "a", 6),
            6,
            "renewing is not asking for more"
        );
        ledger.release("b");
        assert_eq!(ledger.lease(&rule, 20_000, "c", 6), 2);
        assert_eq!(
            ledger.lease(&rule, 20_000 + LEASE_MS, "d", 8),
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
                prop_assert!(ledger.0.grants.len() <= 1_000, "the document stays small");
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
