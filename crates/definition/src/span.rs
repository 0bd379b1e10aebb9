use std::fmt;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time as people write it: `60s`, `15m`, `1h`, `90d`, `2w`, `3mo`, `1y`.
///
/// Days and longer are calendar lengths in the zone of the metric; hours and shorter are elapsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// How many of the unit.
    pub count: u32,
    /// The unit.
    pub unit: SpanUnit,
}

/// The unit of a [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanUnit {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`, a calendar day
    Day,
    /// `w`, seven calendar days
    Week,
    /// `mo`, a calendar month
    Month,
    /// `y`, a calendar year
    Year,
}

/// Says why a text is not a [`Span`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not a whole number followed by a unit.
    #[error("expected a whole number and one of s, m, h, d, w, mo, y, such as 90d or 1h")]
    Shape,
    /// Zero, or more than a hundred years.
    #[error("must be more than nothing and at most 100 years")]
    Range,
}

const DAY: u64 = 86_400;
const LONGEST: u64 = 36_525 * DAY;

impl Span {
    /// Makes a span of `count` units.
    pub const fn new(count: u32, unit: SpanUnit) -> Self {
        Self { count, unit }
    }

    /// Reads a span.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        if let Some(positive) = text.strip_prefix('-') {
            return Err(Self::parse(positive).err().unwrap_or(SpanError::Range));
        }
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .ok_or(SpanError::Shape)?;
        if digits == 0 {
            return Err(SpanError::Shape);
        }
        let unit = match &text[digits..] {
            "s" => SpanUnit::Second,
            "m" => SpanUnit::Minute,
            "h" => SpanUnit::Hour,
            "d" => SpanUnit::Day,
            "w" => SpanUnit::Week,
            "mo" => SpanUnit::Month,
            "y" => SpanUnit::Year,
            _ => return Err(SpanError::Shape),
        };
        let count = text[..digits]
            .parse::<u32>()
            .map_err(|_| SpanError::Range)?;
        let span = Self { count, unit };
        if count == 0 || span.to_duration().as_secs() > LONGEST {
            return Err(SpanError::Range);
        }
        Ok(span)
    }

    /// Returns the length when every day has 24 hours, every month 30 days and every year 365.
    pub fn to_duration(self) -> Duration {
        let unit = match self.unit {
            SpanUnit::Second => 1,
            SpanUnit::Minute => 60,
            SpanUnit::Hour => 3600,
            SpanUnit::Day => DAY,
            SpanUnit::Week => 7 * DAY,
            SpanUnit::Month => 30 * DAY,
            SpanUnit::Year => 365 * DAY,
        };
        Duration::from_secs(u64::from(self.count) * unit)
    }

    /// Returns the instant this long before `at`, by the calendar of its zone.
    pub fn before(&self, at: &Zoned) -> Zoned {
        at.checked_sub(self.calendar())
            .unwrap_or_else(|_| Timestamp::MIN.to_zoned(at.time_zone().clone()))
    }

    /// Returns the instant this long after `at`, by the calendar of its zone.
    pub fn after(&self, at: &Zoned) -> Zoned {
        at.checked_add(self.calendar())
            .unwrap_or_else(|_| Timestamp::MAX.to_zoned(at.time_zone().clone()))
    }

    fn calendar(self) -> jiff::Span {
        let count = i64::from(self.count);
        let empty = jiff::Span::new();
        match self.unit {
            SpanUnit::Second => empty.try_seconds(count),
            SpanUnit::Minute => empty.try_minutes(count),
            SpanUnit::Hour => empty.try_hours(count),
            SpanUnit::Day => empty.try_days(count),
            SpanUnit::Week => empty.try_weeks(count),
            SpanUnit::Month => empty.try_months(count),
            SpanUnit::Year => empty.try_years(count),
        }
        // Out of jiff's range (about 20,000 years): nothing sensible is that long.
        .unwrap_or_else(|_| jiff::Span::new().years(19_998))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            SpanUnit::Second => "s",
            SpanUnit::Minute => "m",
            SpanUnit::Hour => "h",
            SpanUnit::Day => "d",
            SpanUnit::Week => "w",
            SpanUnit::Month => "mo",
            SpanUnit::Year => "y",
        };
        write!(f, "{}{unit}", self.count)
    }
}

impl std::str::FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        Self::parse(text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for text in ["60s", "15m", "1h", "90d", "2w", "3mo", "1y"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "h",
            "1",
            "-1h",
            "1.5h",
            "1 h",
            "1H",
            "1hh",
            "0s",
            "99999999999s",
            "101y",
            "١h",
        ] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_before_is_a_calendar_day() {
        let at: Zoned = "2026-03-09T00:00:00-04:00[America/New_York]"
            .parse()
            .unwrap();
        let before = Span::new(1, SpanUnit::Day).before(&at);
        assert_eq!(
            before.to_string(),
            "2026-03-08T00:00:00-05:00[America/New_York]"
        );
        let before = Span::new(24, SpanUnit::Hour).before(&at);
        assert_eq!(
            before.to_string(),
            "2026-03-07T23:00:00-05:00[America/New_York]"
        );
    }
}
