//! Dates, read as `date.format` and the zone say.
//!
//! ISO texts are read by hand: they are what nearly every row carries, and a general parser costs
//! more than all else that is done with a row. Everything unusual goes on to jiff.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::task::DateForm as Form;

/// Reads the dates of one task.
#[derive(Debug, Clone)]
pub(crate) struct DateReader {
    form: Form,
    zone: TimeZone,
    is_utc: bool,
}

/// Why a date cannot be used: the code, and what to do about it.
pub(crate) type Unread = (&'static str, String);

/// Dates further ahead than this are mistakes (a unit, a placeholder) and not plans.
const MOST_AHEAD_MS: i64 = 3_653 * 86_400_000;

impl DateReader {
    pub(crate) fn new(form: Form, zone: TimeZone) -> Self {
        let is_utc = zone
            .iana_name()
            .is_some_and(|name| matches!(name, "UTC" | "Etc/UTC"))
            || zone == TimeZone::UTC;
        Self { form, zone, is_utc }
    }

    /// Reads a date given as text.
    pub(crate) fn text(&self, text: &str, now_ms: i64) -> Result<Timestamp, Unread> {
        let text = text.trim();
        let read = match &self.form {
            Form::Iso => self.iso(text),
            Form::Date => self.date_only(text),
            Form::Unix | Form::UnixMs => {
                let number = text
                    .parse::<f64>()
                    .map_err(|_| unreadable("number of a unix time"))?;
                return self.number(number, now_ms);
            }
            Form::Pattern(pattern) => self
                .pattern(pattern, text)
                .ok_or_else(|| unreadable(&format!("`{pattern}`"))),
        };
        within(read?, now_ms)
    }

    /// Reads a date given as a number.
    pub(crate) fn number(&self, number: f64, now_ms: i64) -> Result<Timestamp, Unread> {
        let millis = match self.form {
            Form::Unix => number * 1000.0,
            Form::UnixMs => number,
            _ => {
                return Err((
                    "date.needs_format",
                    "a date that is a number needs `format: unix` (seconds) or `unix_ms` (milliseconds)"
                        .to_owned(),
                ));
            }
        };
        let out_of_range = || {
            let hint = if self.form == Form::Unix {
                ": is it in milliseconds (`unix_ms`)?"
            } else {
                ""
            };
            (
                "date.out_of_range",
                format!("the date is not between 1970 and ten years from now{hint}"),
            )
        };
        if !millis.is_finite() || millis.abs() > 1e15 {
            return Err(out_of_range());
        }
        #[expect(clippy::cast_possible_truncation, reason = "below 10^15")]
        let instant =
            Timestamp::from_millisecond(millis.round() as i64).map_err(|_| out_of_range())?;
        within(instant, now_ms).map_err(|_| out_of_range())
    }

    fn iso(&self, text: &str) -> Result<Timestamp, Unread> {
        if let Some(parts) = Parts::read(text.as_bytes()) {
            // Every part was sound: what remains is an instant that nothing can hold.
            return self.instant(&parts).ok_or_else(out_of_range);
        }
        self.general(text).ok_or_else(|| {
            if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
                (
                    "date.needs_format",
                    "a date of digits alone needs `format: unix`, `unix_ms` or a pattern such as \"%Y%m%d\""
                        .to_owned(),
                )
            } else {
                unreadable("ISO 8601 (for example 2026-01-31T08:30:00Z)")
            }
        })
    }

    fn date_only(&self, text: &str) -> Result<Timestamp, Unread> {
        Parts::read(text.get(..10).unwrap_or(text).as_bytes())
            .filter(|parts| parts.time.is_none())
            .and_then(|parts| self.instant(&parts))
            .ok_or_else(|| unreadable("calendar date (2026-01-31)"))
    }

    fn instant(&self, parts: &Parts) -> Option<Timestamp> {
        let (seconds, nanos) = parts.time.unwrap_or((0, 0));
        let civil = i64::from(parts.days) * 86_400 + i64::from(seconds);
        match parts.offset {
            Some(offset) => Timestamp::new(civil - i64::from(offset), nanos).ok(),
            None if self.is_utc => Timestamp::new(civil, nanos).ok(),
            None => {
                // A time that a clock change skips is shifted forward by the length of the gap.
                let wall = Timestamp::new(civil, nanos).ok()?;
                let wall = jiff::tz::Offset::UTC.to_datetime(wall);
                self.zone.to_timestamp(wall).ok()
            }
        }
    }

    /// The forms that are legal and rare: zone annotations, basic form, week dates.
    fn general(&self, text: &str) -> Option<Timestamp> {
        if let Ok(zoned) = text.parse::<Zoned>() {
            return Some(zoned.timestamp());
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(instant);
        }
        // jiff reads eight digits as a date, but they may as well be seconds.
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let wall = text.parse::<DateTime>().ok()?;
        self.zone.to_timestamp(wall).ok()
    }

    fn pattern(&self, pattern: &str, text: &str) -> Option<Timestamp> {
        let mut read = jiff::fmt::strtime::parse(pattern, text).ok()?;
        if let Ok(instant) = read.to_timestamp() {
            return Some(instant);
        }
        if let Ok(zoned) = read.to_zoned() {
            return Some(zoned.timestamp());
        }
        if let Ok(wall) = read.to_datetime() {
            return self.zone.to_timestamp(wall).ok();
        }
        if read.day().is_none() && read.month().is_some() {
            read.set_day(Some(1)).ok()?;
        }
        let day: Date = read.to_date().ok()?;
        self.zone
            .to_timestamp(day.to_datetime(jiff::civil::Time::midnight()))
            .ok()
    }
}

fn unreadable(expected: &str) -> Unread {
    (
        "date.unreadable",
        format!("the date is not written as expected: {expected}"),
    )
}

fn within(instant: Timestamp, now_ms: i64) -> Result<Timestamp, Unread> {
    let millis = instant.as_millisecond();
    if (0..=now_ms.saturating_add(MOST_AHEAD_MS)).contains(&millis) {
        Ok(instant)
    } else {
        Err(out_of_range())
    }
}

fn out_of_range() -> Unread {
    (
        "date.out_of_range",
        "the date is not between 1970 and ten years from now".to_owned(),
    )
}

/// The parts of an ISO text: calendar day, time of day, offset.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    /// Days since 1970-01-01.
    days: i32,
    /// Seconds and nanoseconds of the day.
    time: Option<(i32, i32)>,
    /// Seconds east of Greenwich.
    offset: Option<i32>,
}

impl Parts {
    /// Reads `2026-01-31`, `2026-01`, and those with a time after `T` or a space, a fraction and an
    /// offset (`Z`, `UTC`, `+01:00`, `+0100`, `+01`); nothing when the text is anything else.
    fn read(text: &[u8]) -> Option<Self> {
        let year = i32::try_from(number(text.get(0..4)?)?).ok()?;
        let month = number(text.get(5..7)?)?;
        if text[4] != b'-' {
            return None;
        }
        if text.len() == 7 {
            return Some(Self {
                days: days_of(year, month, 1)?,
                time: None,
                offset: None,
            });
        }
        let day = number(text.get(8..10)?)?;
        if text[7] != b'-' {
            return None;
        }
        let days = days_of(year, month, day)?;
        if text.len() == 10 {
            return Some(Self {
                days,
                time: None,
                offset: None,
            });
        }
        if !matches!(text[10], b'T' | b't' | b' ') || text.get(13) != Some(&b':') {
            return None;
        }
        let (hour, minute) = (number(text.get(11..13)?)?, number(text.get(14..16)?)?);
        let (second, mut rest) = match text.get(16..) {
            Some([b':', tens, ones, rest @ ..]) => (number(&[*tens, *ones])?, rest),
            Some(rest) => (0, rest),
            None => return None,
        };
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut nanos = 0_i32;
        if let [b'.' | b',', tail @ ..] = rest {
            let digits = tail
                .iter()
                .position(|b| !b.is_ascii_digit())
                .unwrap_or(tail.len());
            if digits == 0 {
                return None;
            }
            for place in 0..9 {
                let digit = tail[..digits].get(place).map_or(0, |b| i32::from(b - b'0'));
                nanos = nanos * 10 + digit;
            }
            rest = &tail[digits..];
        }
        // A leap second is counted as the second before it.
        let seconds = (hour * 60 + minute) * 60 + second.min(59);
        let time = Some((i32::try_from(seconds).ok()?, nanos));
        Some(Self {
            days,
            time,
            offset: read_offset(rest)?,
        })
    }
}

#[expect(
    clippy::option_option,
    reason = "no offset is an answer, a malformed one is none"
)]
fn read_offset(rest: &[u8]) -> Option<Option<i32>> {
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let (sign, digits) = match rest {
        [] => return Some(None),
        b"Z" | b"z" | b"UTC" | b"GMT" => return Some(Some(0)),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [a, b] => (number(&[*a, *b])?, 0),
        [a, b, c, d] | [a, b, b':', c, d] => (number(&[*a, *b])?, number(&[*c, *d])?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(Some(
        sign * i32::try_from((hours * 60 + minutes) * 60).ok()?,
    ))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `days_from_civil`).
fn days_of(year: i32, month: u32, day: u32) -> Option<i32> {
    const LENGTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = *LENGTHS.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    let length = if month == 2 && is_leap { 29 } else { length };
    if day == 0 || day > length {
        return None;
    }
    let (month, day) = (i32::try_from(month).ok()?, i32::try_from(day).ok()?);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-23T00:00:00Z
    const NOW: i64 = 1_795_392_000_000;

    fn reader(form: Form, zone: &str) -> DateReader {
        DateReader::new(form, TimeZone::get(zone).unwrap())
    }

    fn read(form: Form, zone: &str, text: &str) -> Result<String, &'static str> {
        reader(form, zone)
            .text(text, NOW)
            .map(|t| t.to_string())
            .map_err(|(code, _)| code)
    }

    #[test]
    fn iso_texts_are_read_with_and_without_a_zone() {
        for (zone, text, expected) in [
            ("UTC", "2026-01-31T08:30:00Z", "2026-01-31T08:30:00Z"),
            ("UTC", "2026-01-31T08:30:00.250Z", "2026-01-31T08:30:00.25Z"),
            ("UTC", "2026-01-31 08:30:00 +0100", "2026-01-31T07:30:00Z"),
            ("UTC", "2026-01-31T08:30:00+01:30", "2026-01-31T07:00:00Z"),
            ("UTC", "2026-01-31 08:30:00 UTC", "2026-01-31T08:30:00Z"),
            ("UTC", "2026-01-31T08:30Z", "2026-01-31T08:30:00Z"),
            ("UTC", "2026-01-31T08:30:60Z", "2026-01-31T08:30:59Z"),
            ("UTC", "20260131T083000Z", "2026-01-31T08:30:00Z"),
            (
                "UTC",
                "2026-01-31T08:30:00+01:00[Europe/Paris]",
                "2026-01-31T07:30:00Z",
            ),
            ("UTC", "2026-02", "2026-02-01T00:00:00Z"),
            (
                "Asia/Kolkata",
                "2026-01-31T08:30:00",
                "2026-01-31T03:00:00Z",
            ),
            ("Asia/Kolkata", "2026-01-31", "2026-01-30T18:30:00Z"),
            (
                "Asia/Kolkata",
                "2026-01-31T08:30:00Z",
                "2026-01-31T08:30:00Z",
            ),
            // The clock of Los Angeles skips 02:00–03:00 on this day: shifted forward.
            (
                "America/Los_Angeles",
                "2024-03-10T02:30:00",
                "2024-03-10T10:30:00Z",
            ),
            // And shows 01:30 twice on this one: the first is meant.
            (
                "America/Los_Angeles",
                "2024-11-03T01:30:00",
                "2024-11-03T08:30:00Z",
            ),
            // Midnight itself is skipped: the day starts at 01:00.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
        ] {
            assert_eq!(
                read(Form::Iso, zone, text).as_deref(),
                Ok(expected),
                "{zone} {text}"
            );
        }
    }

    #[test]
    fn other_forms_are_read_as_they_say() {
        let pattern = |text: &str| Form::Pattern(text.to_owned());
        for (form, zone, text, expected) in [
            (
                Form::Date,
                "Europe/Berlin",
                "2026-01-31T23:59:00Z",
                "2026-01-30T23:00:00Z",
            ),
            (Form::Unix, "UTC", "1700000000", "2023-11-14T22:13:20Z"),
            (Form::Unix, "UTC", "1700000000.5", "2023-11-14T22:13:20.5Z"),
            (Form::UnixMs, "UTC", "1700000000000", "2023-11-14T22:13:20Z"),
            (
                pattern("%d/%m/%Y"),
                "Europe/Berlin",
                "31/01/2026",
                "2026-01-30T23:00:00Z",
            ),
            (
                pattern("%d/%m/%Y %H:%M"),
                "UTC",
                "31/01/2026 08:30",
                "2026-01-31T08:30:00Z",
            ),
            (
                pattern("%Y-%m-%d %H:%M %z"),
                "UTC",
                "2026-01-31 08:30 +0100",
                "2026-01-31T07:30:00Z",
            ),
            (pattern("%Y%m%d"), "UTC", "20260131", "2026-01-31T00:00:00Z"),
            (pattern("%b %Y"), "UTC", "Jan 2026", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(form, zone, text).as_deref(), Ok(expected), "{text}");
        }
        let seconds = reader(Form::Unix, "UTC")
            .number(1_700_000_000.0, NOW)
            .unwrap();
        assert_eq!(seconds.to_string(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn dates_that_cannot_be_read_say_why() {
        for (form, text, code) in [
            (Form::Iso, "yesterday", "date.unreadable"),
            (Form::Iso, "2026-02-30", "date.unreadable"),
            (Form::Iso, "2026-01-31T25:00:00Z", "date.unreadable"),
            (Form::Iso, "", "date.unreadable"),
            (Form::Iso, "1700000000", "date.needs_format"),
            (Form::Iso, "20260131", "date.needs_format"),
            (Form::Iso, "1969-12-31T23:59:59Z", "date.out_of_range"),
            (Form::Iso, "2037-01-01", "date.out_of_range"),
            (Form::Iso, "9999-12-31", "date.out_of_range"),
            (Form::Unix, "1700000000000", "date.out_of_range"),
            (Form::Unix, "soon", "date.unreadable"),
            (
                Form::Pattern("%d/%m/%Y".into()),
                "2026-01-31",
                "date.unreadable",
            ),
        ] {
            assert_eq!(read(form, "UTC", text), Err(code), "{text}");
        }
        let number = reader(Form::Iso, "UTC").number(1_700_000_000.0, NOW);
        assert_eq!(number.unwrap_err().0, "date.needs_format");
    }

    proptest! {
        #[test]
        fn the_fast_way_agrees_with_jiff(
            ms in 0_i64..2_000_000_000_000,
            nanos in 0_i32..1_000_000,
            offset in -20_i32..20,
            space in any::<bool>(),
        ) {
            let instant = Timestamp::from_millisecond(ms).unwrap()
                + jiff::SignedDuration::from_nanos(i64::from(nanos));
            let offset = jiff::tz::Offset::from_seconds(offset * 1800).unwrap();
            let text = instant.display_with_offset(offset).to_string();
            let text = if space { text.replacen('T', " ", 1) } else { text };
            let parts = Parts::read(text.as_bytes()).expect("the common form takes the fast way");
            prop_assert_eq!(reader(Form::Iso, "UTC").instant(&parts), Some(instant));
        }

        #[test]
        fn dates_without_a_zone_agree_with_jiff(seconds in 0_i64..1_900_000_000, zone in 0_usize..5) {
            let zone = ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Europe/London"][zone];
            let wall = jiff::tz::Offset::UTC.to_datetime(Timestamp::from_second(seconds).unwrap());
            let expected = TimeZone::get(zone).unwrap().to_timestamp(wall).unwrap();
            prop_assert_eq!(reader(Form::Iso, zone).iso(&wall.to_string()).unwrap(), expected);
        }

        #[test]
        fn any_text_is_read_like_jiff_or_refused(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?") {
            let ours = Parts::read(text.as_bytes()).is_some();
            let theirs = text.parse::<Timestamp>().is_ok() || text.parse::<Date>().is_ok();
            prop_assert_eq!(ours, theirs || (ours && text.ends_with(":60Z")), "{}", text);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,40}") {
            for form in [Form::Iso, Form::Date, Form::Unix, Form::Pattern("%Y-%m-%d".into())] {
                let _ = reader(form, "UTC").text(&text, NOW);
            }
        }
    }
}
