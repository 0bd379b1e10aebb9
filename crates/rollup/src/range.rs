//! Ranges by name, and instants as people write them.

use definition::{Granularity, Interval, Weekday};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

/// Most units a `last_N_…` range may reach back.
pub const MAX_UNITS: i64 = 10_000;

/// Says why a range could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not a name of a range.
    #[error(
        "`{name}` is not a range (today, yesterday, last_7_days, last_7_complete_days, this_month, last_month, mtd, all_time …)"
    )]
    Unknown {
        /// What was written.
        name: String,
    },
    /// N of `last_N_…` is 0, or too large.
    #[error("`{name}` must reach back 1 to {MAX_UNITS} units")]
    Units {
        /// What was written.
        name: String,
    },
    /// Neither a date nor an instant.
    #[error("`{text}` is neither a date (2024-01-31) nor an instant (2024-01-31T12:00:00Z)")]
    Instant {
        /// What was written.
        text: String,
    },
    /// The end is not after the start.
    #[error("the range ends ({to}) before it begins ({from})")]
    Backwards {
        /// The start.
        from: Timestamp,
        /// The end.
        to: Timestamp,
    },
}

impl RangeError {
    /// Returns the stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "query.range_unknown",
            Self::Units { .. } => "query.range_units",
            Self::Instant { .. } => "query.instant",
            Self::Backwards { .. } => "query.range_backwards",
        }
    }
}

/// What leaves the open unit out of a `last_N_…` range.
const COMPLETE: &str = "complete_";

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// `count` whole buckets, the last of which lies `back` buckets before the one open now.
    Buckets {
        unit: Granularity,
        count: i64,
        back: i64,
    },
    /// From the start of the open bucket until now.
    ToDate(Granularity),
    AllTime,
}

fn read(name: &str) -> Result<Named, RangeError> {
    use Granularity::{Day, Hour, Month, Quarter, Week, Year};
    let unknown = || RangeError::Unknown {
        name: name.chars().take(64).collect(),
    };
    let whole = |unit, back| {
        Ok(Named::Buckets {
            unit,
            count: 1,
            back,
        })
    };
    match name {
        "today" => return whole(Day, 0),
        "yesterday" => return whole(Day, 1),
        "wtd" => return Ok(Named::ToDate(Week)),
        "mtd" => return Ok(Named::ToDate(Month)),
        "qtd" => return Ok(Named::ToDate(Quarter)),
        "ytd" => return Ok(Named::ToDate(Year)),
        "all_time" => return Ok(Named::AllTime),
        _ => {}
    }
    let unit_of = |word: &str| match word {
        "hour" => Some(Hour),
        "day" => Some(Day),
        "week" => Some(Week),
        "month" => Some(Month),
        "quarter" => Some(Quarter),
        "year" => Some(Year),
        _ => None,
    };
    if let Some(word) = name.strip_prefix("this_") {
        return whole(unit_of(word).ok_or_else(unknown)?, 0);
    }
    let rest = name.strip_prefix("last_").ok_or_else(unknown)?;
    if let Some(unit) = unit_of(rest) {
        return whole(unit, 1);
    }
    let (digits, word) = rest.split_once('_').ok_or_else(unknown)?;
    let (word, back) = match word.strip_prefix(COMPLETE) {
        Some(word) => (word, 1),
        None => (word, 0),
    };
    let unit = unit_of(word.strip_suffix('s').unwrap_or(word)).ok_or_else(unknown)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    match digits.parse() {
        Ok(count @ 1..=MAX_UNITS) => Ok(Named::Buckets { unit, count, back }),
        _ => Err(RangeError::Units {
            name: name.chars().take(64).collect(),
        }),
    }
}

/// Returns the name of the same range without the unit that is open now: `last_7_complete_days` of
/// `last_7_days`. Other ranges have none.
pub fn without_current(name: &str) -> Option<String> {
    match read(name) {
        Ok(Named::Buckets { back: 0, .. }) => {
            let (digits, unit) = name.strip_prefix("last_")?.split_once('_')?;
            Some(format!("last_{digits}_{COMPLETE}{unit}"))
        }
        // It leaves the open unit out already.
        Ok(Named::Buckets { .. }) => Some(name.to_owned()),
        Ok(Named::ToDate(_) | Named::AllTime) | Err(_) => None,
    }
}

/// Returns the range a name stands for at `now`, in `zone`.
///
/// `last_N_days` is N whole days, today the last of them; `last_N_complete_days` the N before today; `last_month` is the month before this one;
/// `mtd` reaches from the start of the month until now. `all_time` is `known`, what is covered at all
/// (today, when nothing is).
///
/// # Errors
/// Names that are none, and more than [`MAX_UNITS`] units.
pub fn resolve(
    name: &str,
    now: Timestamp,
    zone: &TimeZone,
    week_start: Weekday,
    known: Option<Interval>,
) -> Result<Interval, RangeError> {
    Ok(match read(name)? {
        Named::Buckets { unit, count, back } => {
            let open = unit.start_of(now, zone, week_start);
            let end = match back {
                0 => unit.next(open, zone, week_start),
                back => back_by(open, unit, back - 1, zone, week_start),
            };
            Interval::new(back_by(open, unit, back + count - 1, zone, week_start), end)
        }
        Named::ToDate(unit) => {
            let start = unit.start_of(now, zone, week_start);
            Interval::new(
                start,
                now.max(start.checked_add(1.millisecond()).unwrap_or(start)),
            )
        }
        Named::AllTime => known
            .filter(|known| known.start < known.end)
            .unwrap_or_else(|| {
                let today = Granularity::Day.start_of(now, zone, week_start);
                Interval::new(today, Granularity::Day.next(today, zone, week_start))
            }),
    })
}

/// Where a named range ends because nothing lies beyond, not because somebody asked for that instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loose {
    /// At its end, which is now.
    End,
    /// At both ends, which are the first and the last that is known.
    Both,
}

/// Returns which ends of a named range may move outward to the next stored boundary.
pub(crate) fn loose(name: &str) -> Option<Loose> {
    match read(name).ok()? {
        Named::ToDate(_) => Some(Loose::End),
        Named::AllTime => Some(Loose::Both),
        Named::Buckets { .. } => None,
    }
}

/// Returns the first instant after `now` at which a name stands for another range; nothing for `all_time`.
///
/// # Errors
/// As [`resolve`].
pub fn next_change(
    name: &str,
    now: Timestamp,
    zone: &TimeZone,
    week_start: Weekday,
) -> Result<Option<Timestamp>, RangeError> {
    Ok(match read(name)? {
        Named::Buckets { unit, .. } | Named::ToDate(unit) => {
            let open = unit.start_of(now, zone, week_start);
            Some(unit.next(open, zone, week_start))
        }
        Named::AllTime => None,
    })
}

/// Returns the range to compare `range` with: the one just before it, of the same kind.
///
/// Named ranges move by their own units: `last_month` to the month before it whatever its length, `mtd` to
/// the same days of the month before (no further than its end). Ranges from and to the first of months
/// move by whole months, those between midnights by days, all others by their length.
pub fn previous(
    name: Option<&str>,
    range: Interval,
    zone: &TimeZone,
    week_start: Weekday,
) -> Interval {
    match name.and_then(|name| read(name).ok()) {
        Some(Named::Buckets { unit, count, .. })
            if unit.start_of(range.start, zone, week_start) == range.start =>
        {
            Interval::new(
                back_by(range.start, unit, count, zone, week_start),
                range.start,
            )
        }
        Some(Named::ToDate(unit)) => {
            let start = back_by(range.start, unit, 1, zone, week_start);
            let span = match unit {
                Granularity::Week => 1.week(),
                Granularity::Month => 1.month(),
                Granularity::Quarter => 3.months(),
                _ => 1.year(),
            };
            Interval::new(
                start,
                shifted(range.end, span, zone).min(range.start).max(start),
            )
        }
        _ => before(range, zone, week_start),
    }
}

fn before(range: Interval, zone: &TimeZone, week_start: Weekday) -> Interval {
    let is_start = |unit: Granularity, at| unit.start_of(at, zone, week_start) == at;
    // The start of a day may be later than midnight where the clocks skip it; its date is still right.
    let (from, to) = (
        zone.to_datetime(range.start).date(),
        zone.to_datetime(range.end).date(),
    );
    let start = if is_start(Granularity::Month, range.start)
        && is_start(Granularity::Month, range.end)
    {
        let months = (i32::from(to.year()) - i32::from(from.year())) * 12 + i32::from(to.month())
            - i32::from(from.month());
        from.checked_sub(Span::new().months(months))
            .ok()
            .and_then(|date| first_instant(date, zone))
    } else if is_start(Granularity::Day, range.start) && is_start(Granularity::Day, range.end) {
        from.until(to)
            .ok()
            .and_then(|days| from.checked_sub(days).ok())
            .and_then(|date| first_instant(date, zone))
    } else {
        range
            .start
            .checked_sub(range.start.until(range.end).unwrap_or_default())
            .ok()
    };
    Interval::new(start.unwrap_or(Timestamp::MIN), range.start)
}

/// Returns the same range a year earlier, by the calendar; of weeks, 52 weeks earlier, so that weeks meet
/// weeks. 29 February meets 28 February.
pub fn last_year(range: Interval, granularity: Granularity, zone: &TimeZone) -> Interval {
    let span = || {
        if granularity == Granularity::Week {
            52.weeks()
        } else {
            1.year()
        }
    };
    Interval::new(
        shifted(range.start, span(), zone),
        shifted(range.end, span(), zone),
    )
}

/// Moves an instant back on the zone's calendar, keeping the time of day. The first instant of a day moves
/// to the first instant of a day.
fn shifted(at: Timestamp, span: Span, zone: &TimeZone) -> Timestamp {
    let moved = |datetime: DateTime| datetime.checked_sub(span);
    let here = zone.to_datetime(at);
    if Granularity::Day.start_of(at, zone, Weekday::Monday) == at {
        return moved(here)
            .ok()
            .and_then(|there| first_instant(there.date(), zone))
            .unwrap_or(Timestamp::MIN);
    }
    moved(here)
        .ok()
        .and_then(|there| zone.to_ambiguous_timestamp(there).compatible().ok())
        .unwrap_or(Timestamp::MIN)
}

/// Returns the start of the bucket `count` buckets before the one that begins at `start`.
pub(crate) fn back_by(
    start: Timestamp,
    unit: Granularity,
    count: i64,
    zone: &TimeZone,
    week_start: Weekday,
) -> Timestamp {
    if count == 0 {
        return start;
    }
    if unit == Granularity::Hour {
        let mut start = start;
        for _ in 0..count {
            let before = start.checked_sub(1.nanosecond()).unwrap_or(Timestamp::MIN);
            start = unit.start_of(before, zone, week_start);
        }
        return start;
    }
    let date = zone.to_datetime(start).date();
    let moved = match unit {
        Granularity::Week => date.checked_sub(Span::new().weeks(count)),
        Granularity::Month => date.checked_sub(Span::new().months(count)),
        Granularity::Quarter => date.checked_sub(Span::new().months(count * 3)),
        Granularity::Year => date.checked_sub(Span::new().years(count.min(9_999))),
        Granularity::Hour | Granularity::Day | Granularity::All => {
            date.checked_sub(Span::new().days(count))
        }
    };
    moved
        .ok()
        .and_then(|date| first_instant(date, zone))
        .unwrap_or(Timestamp::MIN)
}

/// The first instant of a date; of a date the zone skipped, the first after it.
fn first_instant(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let noon = zone
        .to_ambiguous_timestamp(date.at(12, 0, 0, 0))
        .compatible()
        .ok()?;
    Some(Granularity::Day.start_of(noon, zone, Weekday::Monday))
}

/// Reads an instant: RFC 3339 with an offset or `Z`; a local date and time, or a bare date (its midnight),
/// in `zone`.
///
/// # Errors
/// Any other text.
pub fn parse_instant(text: &str, zone: &TimeZone) -> Result<Timestamp, RangeError> {
    let wrong = || RangeError::Instant {
        text: text.chars().take(64).collect(),
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if text.len() == 10 {
        let date: Date = text.parse().map_err(|_| wrong())?;
        return first_instant(date, zone).ok_or_else(wrong);
    }
    // Neither an offset nor a zone in brackets may follow what is read as local.
    let local =
        text.len() >= 16 && !text.contains(['Z', 'z', '[', '+']) && text.matches('-').count() == 2;
    let datetime: DateTime = text.parse().ok().filter(|_| local).ok_or_else(wrong)?;
    zone.to_ambiguous_timestamp(datetime)
        .compatible()
        .map_err(|_| wrong())
}

/// Returns the range between two instants as people write them; see [`parse_instant`].
///
/// # Errors
/// Unreadable instants, and ranges that end before they begin.
pub fn between(from: &str, to: &str, zone: &TimeZone) -> Result<Interval, RangeError> {
    let (from, to) = (parse_instant(from, zone)?, parse_instant(to, zone)?);
    if from >= to {
        return Err(RangeError::Backwards { from, to });
    }
    Ok(Interval::new(from, to))
}

#[cfg(test)]
mod tests;
