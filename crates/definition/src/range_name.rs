use std::fmt;

use serde::{Serialize, Serializer};

/// A range by its name: `today`, `last_7_days`, `mtd` … What it stands for is a matter of the day it is asked on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RangeName(Box<str>);

const UNITS: &[&str] = &["hour", "day", "week", "month", "quarter", "year"];
/// As far as a range may reach back, in its units.
const MOST: u32 = 10_000;

impl RangeName {
    /// Some of the names, for messages.
    pub const EXAMPLES: &'static str =
        "today, yesterday, this_week, last_month, last_7_days, wtd, mtd, qtd, ytd, all_time";

    /// Reads a name; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let whole = ["today", "yesterday", "wtd", "mtd", "qtd", "ytd", "all_time"];
        let known = whole.contains(&text)
            || text
                .strip_prefix("this_")
                .is_some_and(|unit| UNITS.contains(&unit))
            || text.strip_prefix("last_").is_some_and(is_last);
        known.then(|| Self(text.into()))
    }

    /// Returns `today`.
    pub fn today() -> Self {
        Self("today".into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_today(&self) -> bool {
        &*self.0 == "today"
    }
}

fn is_last(rest: &str) -> bool {
    if UNITS.contains(&rest) {
        return true;
    }
    let Some((count, unit)) = rest.split_once('_') else {
        return false;
    };
    let unit = unit.strip_prefix("complete_").unwrap_or(unit);
    let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    digits
        && count
            .parse()
            .is_ok_and(|count: u32| (1..=MOST).contains(&count))
        && UNITS.contains(&unit.strip_suffix('s').unwrap_or(unit))
}

impl fmt::Display for RangeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for RangeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_others_are_not() {
        for good in [
            "today",
            "last_7_days",
            "last_1_hour",
            "last_7_complete_days",
            "this_quarter",
            "last_year",
            "mtd",
            "all_time",
        ] {
            assert_eq!(RangeName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "tomorrow",
            "last_0_days",
            "last_10001_days",
            "last__days",
            "last_x_days",
            "this_7_days",
            "last_7_fortnights",
            "Today",
        ] {
            assert_eq!(RangeName::parse(bad), None, "{bad}");
        }
    }
}
