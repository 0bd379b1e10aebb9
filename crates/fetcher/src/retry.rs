//! Decides whether and when a request is tried again. Pure: time and chance are handed in.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Tries of one page before its run fails.
pub const TRIES: u32 = 8;

/// Longer waits are handed back: the run waits in the ledger, not in our hands.
pub const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// How waits grow.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How often one page is tried.
    pub tries: u32,
    /// The ceiling of the first wait; it doubles with each try.
    pub base: Duration,
    /// The ceiling of all waits that the server did not name.
    pub ceiling: Duration,
    /// The longest wait that is waited here.
    pub longest: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            tries: TRIES,
            base: Duration::from_millis(500),
            ceiling: Duration::from_secs(30),
            longest: LONGEST_WAIT,
        }
    }
}

/// What an error allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Trying again may help; the server may have said when.
    Retry {
        /// What `Retry-After` asked for.
        after: Option<Duration>,
    },
    /// Worth one more try, no more: more of them tell the same.
    RetryOnce,
    /// The run fails now.
    Fail,
    /// The run fails now, and a person must act (credentials).
    NeedsAttention,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait, then try again.
    Wait(Duration),
    /// The wait is too long to be waited here: hand the request back with it.
    HandBack(Duration),
    /// No further try.
    GiveUp,
}

impl Policy {
    /// Decides after the `tried`-th try (from 1) met `fate`; `chance` is between 0 and 1.
    pub fn next(&self, tried: u32, fate: Fate, chance: f64) -> Next {
        let after = match fate {
            Fate::Fail | Fate::NeedsAttention => return Next::GiveUp,
            Fate::RetryOnce if tried >= 2 => return Next::GiveUp,
            Fate::Retry { .. } if tried >= self.tries => return Next::GiveUp,
            Fate::RetryOnce => None,
            Fate::Retry { after } => after,
        };
        let chance = chance.clamp(0.0, 1.0);
        let wait = if let Some(after) = after {
            // Jitter on top: a server that says "7 s" to everybody does not want everybody then.
            after
                + Duration::from_secs(1)
                    .min(after / 10 + self.base / 2)
                    .mul_f64(chance)
        } else {
            // Full jitter.
            let doublings = 1_u32
                .checked_shl(tried.saturating_sub(1))
                .unwrap_or(u32::MAX);
            self.base
                .saturating_mul(doublings)
                .min(self.ceiling)
                .mul_f64(chance)
        };
        if wait > self.longest {
            Next::HandBack(wait)
        } else {
            Next::Wait(wait)
        }
    }
}

/// Reads `Retry-After`: seconds, or a date. Garbage, negative and absurd values are ignored.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A week is already absurd, ten digits are a unix time or a joke.
        let seconds: u64 = value.parse().ok()?;
        return (seconds <= 7 * 24 * 3600).then(|| Duration::from_secs(seconds));
    }
    let at = parse_http_date(value)?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn parse_http_date(value: &str) -> Option<Timestamp> {
    // HTTP says GMT where RFC 2822 accepts it as an obsolete zone.
    let zoned = rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_zoned(value)
        .ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T10:00:00Z".parse().expect("a time")
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        assert_eq!(retry_after("7", now()), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(" 0 ", now()), Some(Duration::ZERO));
        assert_eq!(
            retry_after("Mon, 23 Nov 2026 10:02:00 GMT", now()),
            Some(Duration::from_mins(2))
        );
        assert_eq!(
            retry_after("Mon, 23 Nov 2026 09:00:00 GMT", now()),
            Some(Duration::ZERO),
            "a date gone by is now"
        );
        assert!(
            retry_after("Fri, 31 Dec 2027 23:59:59 GMT", now())
                .is_some_and(|wait| wait > LONGEST_WAIT)
        );
        for garbage in [
            "-1",
            "1e3",
            "1.5",
            "soon",
            "",
            "1000000000000000000000000000000",
            "99999999",
            "+7",
        ] {
            assert_eq!(retry_after(garbage, now()), None, "{garbage}");
        }
    }

    #[test]
    fn waits_double_with_full_jitter_up_to_a_ceiling() {
        let policy = Policy::default();
        let retry = Fate::Retry { after: None };
        assert_eq!(policy.next(1, retry, 0.0), Next::Wait(Duration::ZERO));
        assert_eq!(
            policy.next(1, retry, 1.0),
            Next::Wait(Duration::from_millis(500))
        );
        assert_eq!(
            policy.next(3, retry, 1.0),
            Next::Wait(Duration::from_secs(2))
        );
        assert_eq!(
            policy.next(7, retry, 1.0),
            Next::Wait(Duration::from_secs(30))
        );
        assert_eq!(policy.next(8, retry, 1.0), Next::GiveUp);
    }

    #[test]
    fn the_servers_wait_is_honoured_or_handed_back() {
        let policy = Policy::default();
        let after = |seconds| Fate::Retry {
            after: Some(Duration::from_secs(seconds)),
        };
        assert_eq!(
            policy.next(1, after(7), 0.0),
            Next::Wait(Duration::from_secs(7))
        );
        let Next::Wait(wait) = policy.next(1, after(7), 1.0) else {
            panic!("no wait")
        };
        assert!(wait > Duration::from_secs(7) && wait <= Duration::from_secs(8));
        assert!(matches!(
            policy.next(1, after(16 * 60), 0.0),
            Next::HandBack(_)
        ));
        assert_eq!(policy.next(8, after(1), 0.0), Next::GiveUp);
    }

    #[test]
    fn some_errors_are_worth_one_more_try_and_some_none() {
        let policy = Policy::default();
        assert!(matches!(
            policy.next(1, Fate::RetryOnce, 0.5),
            Next::Wait(_)
        ));
        assert_eq!(policy.next(2, Fate::RetryOnce, 0.5), Next::GiveUp);
        assert_eq!(policy.next(1, Fate::Fail, 0.5), Next::GiveUp);
        assert_eq!(policy.next(1, Fate::NeedsAttention, 0.5), Next::GiveUp);
    }
}
