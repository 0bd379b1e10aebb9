//! What is true: sums made straight from the records, for whole-system tests to compare with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::listing::money;
use crate::query::Query;
use crate::world::{World, instant};

/// Which interval a sum is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Calendar days.
    #[default]
    Day,
    /// Weeks that begin on Monday.
    Week,
    /// Calendar months.
    Month,
    /// Everything together, under the first day there is.
    All,
}

/// Which sums are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The interval.
    pub by: By,
    /// The zone in which days begin.
    pub zone: TimeZone,
    /// The first day, if not all.
    pub from: Option<Date>,
    /// The last day, if not all.
    pub to: Option<Date>,
    /// Whether sums are split by state (subscribers) or currency (purchases).
    pub split: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            by: By::Day,
            zone: TimeZone::UTC,
            from: None,
            to: None,
            split: false,
        }
    }
}

/// The sums of one interval and, where split, one state or currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many records.
    pub count: u64,
    /// The sum of what distinguishes records: `weight` of subscribers, cents of purchases.
    pub sum: u64,
}

/// Sums by the interval's first day and the state or currency (empty when not split).
pub type Truth = BTreeMap<(Date, String), Sums>;

/// Returns what is true of subscribers, by the day they joined.
pub(crate) fn subscribers(world: &World, wanted: &Wanted) -> Truth {
    let records = world.subscribers.iter();
    sums(
        wanted,
        records.map(|one| (one.created, one.state.word(), one.weight)),
    )
}

/// Returns what is true of purchases, by the day they were made, in cents of their totals.
pub(crate) fn purchases(world: &World, wanted: &Wanted) -> Truth {
    let records = world.purchases.iter();
    sums(
        wanted,
        records.map(|one| (one.at, one.currency, one.total_cents())),
    )
}

fn sums<'a>(wanted: &Wanted, records: impl Iterator<Item = (i64, &'a str, u64)>) -> Truth {
    let mut truth = Truth::new();
    let mut first = None;
    for (at, part, value) in records {
        let day = instant(at).to_zoned(wanted.zone.clone()).date();
        if wanted.from.is_some_and(|from| day < from) || wanted.to.is_some_and(|to| day > to) {
            continue;
        }
        let earliest = *first.get_or_insert(day);
        let start = match wanted.by {
            By::Day => day,
            By::Month => day.first_of_month(),
            By::All => earliest,
            By::Week => {
                let back = i64::from(day.weekday().to_monday_zero_offset());
                day.checked_sub(jiff::Span::new().days(back)).unwrap_or(day)
            }
        };
        let part = if wanted.split { part } else { "" };
        let sums = truth.entry((start, part.to_owned())).or_default();
        sums.count += 1;
        sums.sum += value;
    }
    truth
}

/// Answers `/truth/subscribers` and `/truth/purchases`, with `by`, `split`, `from`, `to`, `zone`.
pub(crate) fn answer(world: &World, noun: &str, query: &Query) -> Option<String> {
    let wanted = Wanted {
        by: match query.get("by") {
            Some("week") => By::Week,
            Some("month") => By::Month,
            Some("all") => By::All,
            _ => By::Day,
        },
        zone: query
            .get("zone")
            .and_then(|name| TimeZone::get(name).ok())
            .unwrap_or(TimeZone::UTC),
        from: query.get("from").and_then(|day| day.parse().ok()),
        to: query.get("to").and_then(|day| day.parse().ok()),
        split: query.get("split") == Some("true"),
    };
    let (truth, split_name, sum_name) = match noun {
        "subscribers" => (subscribers(world, &wanted), "state", "weight"),
        "purchases" => (purchases(world, &wanted), "currency", "total"),
        _ => return None,
    };
    let shown = |sum: u64| {
        if noun == "purchases" {
            money(sum)
        } else {
            sum.to_string()
        }
    };
    let mut out = String::from(r#"{"rows":["#);
    for (index, ((start, part), sums)) in truth.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"{comma}{{"start":"{start}","{split_name}":"{part}","count":{},"{sum_name}":{}}}"#,
            sums.count,
            shown(sums.sum)
        );
    }
    let count: u64 = truth.values().map(|sums| sums.count).sum();
    let sum: u64 = truth.values().map(|sums| sums.sum).sum();
    let _ = write!(out, r#"],"count":{count},"{sum_name}":{}}}"#, shown(sum));
    Some(out)
}
