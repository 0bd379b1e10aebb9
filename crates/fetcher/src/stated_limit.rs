//! What an API says about its own limit: `RateLimit` of the IETF draft in its forms, `X-RateLimit-*`, `Retry-After`.
//!
//! Pure: headers and the time go in, a wish to be left alone comes out. Garbage is ignored.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::retry::retry_after;

/// An API that asks for a longer silence is asked again after this: headers are often wrong about days.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// Numbers above this are instants in unix seconds, above the next in milliseconds: no window lasts so long.
const UNIX_SECONDS: f64 = 1e9;
const UNIX_MILLISECONDS: f64 = 1e12;

/// A wish to be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// For how long.
    pub wait: Duration,
    /// What the API said, for people.
    pub reason: String,
}

/// Reads an answer's wish to be left alone, by whichever header says it best; nothing when it has none.
///
/// `Retry-After` counts with a refusal (429 or 503). A limit that is used up counts with every answer.
pub fn pause(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Pause> {
    let refused = matches!(status.as_u16(), 429 | 503);
    let named = text(headers, "retry-after").and_then(|value| retry_after(value, now));
    if refused && let Some(wait) = named.filter(|wait| !wait.is_zero()) {
        return Some(Pause {
            wait: wait.min(LONGEST_PAUSE),
            reason: format!("the API answered {} and asked for a pause", status.as_u16()),
        });
    }
    let stated = stated(headers, now)?;
    let is_used_up = stated.remaining == Some(0) || (status == 429 && stated.remaining.is_none());
    let wait = stated
        .resets_in
        .filter(|wait| !wait.is_zero() && is_used_up)?;
    let limit = stated.limit.map_or_else(
        || "the API's limit".to_owned(),
        |limit| format!("the API's limit of {limit} requests"),
    );
    Some(Pause {
        wait: wait.min(LONGEST_PAUSE),
        reason: format!("{limit} is used up, as it says"),
    })
}

#[derive(Debug, Default, PartialEq)]
struct Stated {
    limit: Option<u64>,
    remaining: Option<u64>,
    resets_in: Option<Duration>,
}

fn stated(headers: &HeaderMap, now: Timestamp) -> Option<Stated> {
    by_draft(headers).or_else(|| by_fields(headers, now))
}

/// `RateLimit: "name";r=50;t=30`, several of them by commas, with `RateLimit-Policy: "name";q=100;w=60`; or the form
/// of earlier drafts, `RateLimit: limit=100, remaining=50, reset=30`. The item that leaves least counts.
fn by_draft(headers: &HeaderMap) -> Option<Stated> {
    let value = text(headers, "ratelimit")?;
    let parameter = |item: &str, name: &str| -> Option<u64> {
        item.split([';', ','])
            .filter_map(|part| part.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value.trim().trim_matches('"').parse().ok())
    };
    if let Some(remaining) = parameter(value, "remaining") {
        return Some(Stated {
            limit: parameter(value, "limit"),
            remaining: Some(remaining),
            resets_in: parameter(value, "reset").map(Duration::from_secs),
        });
    }
    let policy = text(headers, "ratelimit-policy").unwrap_or_default();
    let name = |item: &str| item.split(';').next().unwrap_or_default().trim().to_owned();
    value
        .split(',')
        .filter_map(|item| {
            let its_policy = policy.split(',').find(|one| name(one) == name(item));
            let of_policy = |key| its_policy.and_then(|policy| parameter(policy, key));
            Some(Stated {
                limit: of_policy("q"),
                remaining: Some(parameter(item, "r")?),
                resets_in: parameter(item, "t")
                    .or_else(|| of_policy("w"))
                    .map(Duration::from_secs),
            })
        })
        .min_by_key(|stated| (stated.remaining, std::cmp::Reverse(stated.resets_in)))
}

/// `RateLimit-Limit`, `-Remaining`, `-Reset`, with `X-` or without, also spelled `X-Rate-Limit-…`.
fn by_fields(headers: &HeaderMap, now: Timestamp) -> Option<Stated> {
    ["x-ratelimit", "ratelimit", "x-rate-limit"]
        .into_iter()
        .find_map(|family| {
            let field = |name: &str| text(headers, &format!("{family}-{name}"));
            let stated = Stated {
                limit: field("limit").and_then(whole),
                remaining: field("remaining").and_then(whole),
                resets_in: field("reset-after")
                    .and_then(seconds)
                    .or_else(|| field("reset").and_then(|value| reset(value, now))),
            };
            (stated.remaining.is_some() || stated.resets_in.is_some()).then_some(stated)
        })
}

/// Reads a count; some APIs list several windows (`100, 100;w=60`): the first is the tightest.
fn whole(value: &str) -> Option<u64> {
    let first = value.split([',', ';']).next()?.trim();
    // Some write counts as `59.0`.
    first
        .split_once('.')
        .map_or(first, |(whole, _)| whole)
        .parse()
        .ok()
}

fn seconds(value: &str) -> Option<Duration> {
    let seconds: f64 = value.split(',').next()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Reads `Reset`: seconds from now, an instant in unix seconds or milliseconds, or a date.
fn reset(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).ok();
    let Ok(number) = value.parse::<f64>() else {
        return match value.parse::<Timestamp>() {
            Ok(at) => until(at),
            Err(_) => retry_after(value, now),
        };
    };
    let now_seconds = now.as_millisecond() as f64 / 1000.0;
    let ahead = if number >= UNIX_MILLISECONDS {
        number / 1000.0 - now_seconds
    } else if number >= UNIX_SECONDS {
        number - now_seconds
    } else {
        number
    };
    Duration::try_from_secs_f64(ahead).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(status: u16, pairs: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().expect("a header's value"));
        }
        let now = "2026-11-23T10:00:00Z".parse().expect("a time");
        let status = StatusCode::from_u16(status).expect("a status");
        pause(status, &headers, now).map(|pause| pause.wait.as_secs())
    }

    #[test]
    fn a_refusal_with_retry_after_is_a_pause_and_a_success_with_it_is_none() {
        assert_eq!(after(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(
            after(503, &[("retry-after", "Mon, 23 Nov 2026 10:00:30 GMT")]),
            Some(30)
        );
        assert_eq!(after(200, &[("retry-after", "7")]), None);
        assert_eq!(after(429, &[]), None);
        assert_eq!(
            after(429, &[("retry-after", "86400")]),
            Some(3600),
            "asked again in an hour"
        );
    }

    #[test]
    fn every_draft_of_ratelimit_is_read() {
        for (value, policy, expected) in [
            ("\"default\";r=0;t=30", "\"default\";q=100;w=60", Some(30)),
            ("\"default\";r=0", "\"default\";q=100;w=60", Some(60)),
            ("\"burst\";r=3;t=1, \"day\";r=0;t=900", "", Some(900)),
            ("\"default\";r=12;t=30", "\"default\";q=100;w=60", None),
            ("limit=100, remaining=0, reset=20", "", Some(20)),
            ("limit=100, remaining=5, reset=20", "", None),
            ("nonsense", "nonsense", None),
        ] {
            let found = after(200, &[("ratelimit", value), ("ratelimit-policy", policy)]);
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn the_usual_fields_are_read_with_every_kind_of_reset() {
        for (reset, expected) in [
            ("25", Some(25)),
            ("1795428025", Some(25)),
            ("1795428025000", Some(25)),
            ("2026-11-23T10:00:25Z", Some(25)),
            ("Mon, 23 Nov 2026 10:00:25 GMT", Some(25)),
            ("1700000000", None),
            ("-5", None),
            ("soon", None),
        ] {
            for family in ["x-ratelimit", "ratelimit", "x-rate-limit"] {
                let names = ["remaining", "reset", "limit"].map(|name| format!("{family}-{name}"));
                let [remaining, resets, limit] =
                    names.map(|name| &*Box::leak(name.into_boxed_str()));
                let found = after(200, &[(remaining, "0"), (resets, reset), (limit, "60")]);
                assert_eq!(found, expected, "{family}: {reset}");
            }
        }
        assert_eq!(
            after(
                200,
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset-after", "1.5")
                ]
            ),
            Some(1)
        );
        assert_eq!(
            after(
                200,
                &[("x-ratelimit-remaining", "4"), ("x-ratelimit-reset", "9")]
            ),
            None
        );
        assert_eq!(
            after(429, &[("x-ratelimit-reset", "9")]),
            Some(9),
            "a refusal needs no count"
        );
    }
}
