//! What the scalars of one place look like: evidence while they pass, a judgement at the end.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{DateLook, Looks, Meaning, NumberLook};
use crate::mask;
use crate::read_date::DateReader;
use crate::read_number::NumberReader;
use crate::task::{DateForm, NumberStyle};

/// Values beyond this many tell nothing new.
const LOOKED_AT: u64 = 5_000;

/// Different values counted; beyond, they are simply many.
const DIFFERENT: usize = 1_000;

/// More different texts than this are no dimension.
const MEMBERS: usize = 20;

/// Longer texts are prose.
const MEMBER_CHARACTERS: usize = 40;

/// Characters of a sample.
const SAMPLE: usize = 60;

/// Formats of dates in text that are tried, the likeliest first. Those that differ in day and month only are neighbours.
const DATES: &[&str] = &[
    "iso",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%d %b %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%a %b %d %H:%M:%S %z %Y",
    "%Y-%m-%d %H:%M:%S UTC",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y%m%d",
];

/// Parts of names whose numbers may be instants.
const TIMES: &[&str] = &[
    "_at", "date", "time", "created", "updated", "modified", "changed", "stamp", "epoch", "_on",
    "start", "end", "since", "until", "expires",
];

/// Codes that are currencies even where the field does not say so.
const CURRENCIES: &[&str] = &[
    "USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK",
    "INR", "CNY", "BRL", "MXN", "ZAR", "SGD", "HKD", "KRW", "TRY", "ILS",
];

/// What was seen at one place.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    seen: u64,
    texts: u64,
    numbers: u64,
    booleans: u64,
    first: Option<Value>,
    different: HashMap<String, u64>,
    many: bool,
    long: bool,
    /// Formats that have read every text so far, with the range of dates.
    dates: Option<Vec<(usize, Timestamp, Timestamp)>>,
    zoned: u64,
    /// Styles that have read every text so far.
    styles: Option<Vec<NumberStyle>>,
    plain_digits: u64,
    decimal_comma: bool,
    percents: u64,
    emails: u64,
    urls: u64,
    codes: u64,
    uuids: u64,
    range: Option<(f64, f64)>,
}

impl Evidence {
    /// Takes a text, number or truth value in.
    pub(super) fn see(&mut self, value: &Value, now_ms: i64) {
        if self.seen >= LOOKED_AT {
            return;
        }
        self.seen += 1;
        if self.first.is_none() {
            self.first = Some(value.clone());
        }
        match value {
            Value::String(text) => self.text(text, now_ms),
            Value::Number(number) => {
                self.numbers += 1;
                if let Some(number) = number.as_f64() {
                    self.widen(number);
                }
            }
            _ => self.booleans += 1,
        }
        let shown = match value {
            Value::String(text) => text.chars().take(2 * MEMBER_CHARACTERS).collect(),
            other => other.to_string(),
        };
        if self.different.contains_key(&shown) || self.different.len() < DIFFERENT {
            *self.different.entry(shown).or_default() += 1;
        } else {
            self.many = true;
        }
    }

    fn text(&mut self, text: &str, now_ms: i64) {
        self.texts += 1;
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.long |= text.chars().count() > MEMBER_CHARACTERS;
        self.read_date(text, now_ms);
        self.read_number(text);
        self.emails += u64::from(is_email(text));
        self.urls += u64::from(text.starts_with("http://") || text.starts_with("https://"));
        self.codes += u64::from(text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()));
        self.uuids += u64::from(is_uuid(text));
        self.plain_digits += u64::from(text.bytes().all(|b| b.is_ascii_digit()));
        self.percents += u64::from(text.ends_with('%'));
    }

    fn read_date(&mut self, text: &str, now_ms: i64) {
        let plausible = (6..=40).contains(&text.len()) && text.bytes().any(|b| b.is_ascii_digit());
        let tried: Vec<(usize, Option<(Timestamp, Timestamp)>)> = match &self.dates {
            None => (0..DATES.len()).map(|place| (place, None)).collect(),
            Some(left) => left
                .iter()
                .map(|(place, from, to)| (*place, Some((*from, *to))))
                .collect(),
        };
        let mut left = Vec::new();
        for (place, range) in tried.into_iter().filter(|_| plausible) {
            // Digits alone are a date only where all eight of them are one.
            if DATES[place] == "%Y%m%d" && text.len() != 8 {
                continue;
            }
            if let Ok(at) = reader(DATES[place]).text(text, now_ms) {
                let (from, to) = range.unwrap_or((at, at));
                left.push((place, from.min(at), to.max(at)));
            }
        }
        self.dates = Some(left);
        self.zoned += u64::from(has_zone(text));
    }

    fn read_number(&mut self, text: &str) {
        let styles = self
            .styles
            .take()
            .unwrap_or_else(|| vec![NumberStyle::PointDecimal, NumberStyle::CommaDecimal]);
        let plausible = text.len() <= 40 && text.bytes().any(|b| b.is_ascii_digit());
        // A percentage is read by the format of its decimals here; which is suggested is decided in the end.
        let bare = text.trim_matches(|c: char| c == '%' || c.is_whitespace());
        let left: Vec<NumberStyle> = styles
            .into_iter()
            .filter(|style| plausible && NumberReader::new(*style, None).text(bare).is_ok())
            .collect();
        // `12,5` and `1.234,50` settle what `1,234` leaves open.
        let behind = text
            .rsplit_once(',')
            .map(|(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
        self.decimal_comma |= behind.is_some_and(|digits| digits > 0 && digits != 3);
        if let Some(style) = left.first()
            && let Ok(number) = NumberReader::new(*style, None).text(bare)
        {
            self.widen(number.to_f64());
        }
        self.styles = Some(left);
    }

    fn widen(&mut self, number: f64) {
        self.range = Some(self.range.map_or((number, number), |(least, most)| {
            (least.min(number), most.max(number))
        }));
    }

    /// One of the values, masked and cut.
    pub(super) fn sample(&self) -> Option<String> {
        Some(match self.first.as_ref()? {
            Value::String(text) => mask::excerpt(&one_line(text), SAMPLE),
            other => other.to_string(),
        })
    }

    /// What the values of the field `name` look like.
    pub(super) fn looks(&self, name: &str) -> Looks {
        if self.seen == 0 {
            return Looks::default();
        }
        let name = name.to_ascii_lowercase();
        let date = self.date(&name);
        let meaning = self.meaning(&name).filter(|_| date.is_none());
        let number = self
            .number(&name)
            .filter(|_| date.is_none() && meaning.is_none());
        let is_member = date.is_none()
            && (number.is_none() || self.booleans > 0)
            && !matches!(meaning, Some(Meaning::Id | Meaning::Email | Meaning::Url));
        Looks {
            members: if is_member {
                self.members()
            } else {
                Vec::new()
            },
            different: Some(self.different.len() as u64),
            number,
            date,
            meaning,
        }
    }

    fn date(&self, name: &str) -> Option<DateLook> {
        let named =
            TIMES.iter().any(|part| name.contains(part)) || matches!(name, "ts" | "t" | "dt");
        let look = |format: &str, or: Option<&str>, zoned: bool, from: Timestamp, to: Timestamp| {
            DateLook {
                format: format.to_owned(),
                zoned,
                or: or.map(str::to_owned),
                earliest: from.to_string(),
                latest: to.to_string(),
            }
        };
        if self.texts == self.seen
            && let Some(left) = &self.dates
            && let Some((place, from, to)) = left.first()
        {
            let format = DATES[*place];
            if format == "%Y%m%d" && !named {
                return None;
            }
            let or = left.get(1).map(|(other, ..)| DATES[*other]);
            // Only a swap of day and month is a doubt; formats that read the same are none.
            let or = or.filter(|_| left.get(1).is_some_and(|(_, f, t)| (f, t) != (from, to)));
            let zoned =
                self.zoned == self.texts || format.ends_with("GMT") || format.ends_with("UTC");
            return Some(look(format, or, zoned, *from, *to));
        }
        let all_digits = self.numbers == self.seen || self.plain_digits == self.seen;
        let (least, most) = self.range.filter(|_| named && all_digits)?;
        let instant = |number: f64, format: &str| reader(format).number(number, i64::MAX / 2).ok();
        let format = match () {
            () if least >= 5e8 && most < 5e9 => "unix",
            () if least >= 5e11 && most < 5e12 => "unix_ms",
            () => return None,
        };
        Some(look(
            format,
            None,
            true,
            instant(least, format)?,
            instant(most, format)?,
        ))
    }

    fn meaning(&self, name: &str) -> Option<Meaning> {
        let all = |count: u64| count > 0 && count == self.texts && self.texts == self.seen;
        if all(self.emails) {
            return Some(Meaning::Email);
        }
        if all(self.urls) {
            return Some(Meaning::Url);
        }
        let known = || {
            self.different
                .keys()
                .all(|code| CURRENCIES.contains(&code.as_str()))
        };
        let lower = self.texts == self.seen && self.different.keys().all(|code| code.len() == 3);
        if (all(self.codes) && (name.contains("currency") || known()))
            || (name.contains("currency") && lower)
        {
            return Some(Meaning::Currency);
        }
        let is_named = name == "id"
            || name == "key"
            || name == "gid"
            || ["_id", "uuid", "guid", "-id"]
                .iter()
                .any(|end| name.ends_with(end))
            || (name.ends_with("id") && (all(self.uuids) || self.counts_up()));
        let long_digits =
            all(self.plain_digits) && self.different.keys().all(|text| text.len() > 15);
        (self.booleans == 0 && (is_named || all(self.uuids) || long_digits)).then_some(Meaning::Id)
    }

    /// Whether the values are whole numbers that follow each other, each once.
    fn counts_up(&self) -> bool {
        let once = self.different.len() as u64;
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        let length = self.seen as f64;
        let follow = |(least, most): (f64, f64)| {
            least.fract() == 0.0 && (most - least + 1.0 - length).abs() < f64::EPSILON
        };
        self.seen > 2
            && self.numbers == self.seen
            && once == self.seen
            && self.range.is_some_and(follow)
    }

    fn number(&self, name: &str) -> Option<NumberLook> {
        let (smallest, largest) = self.range?;
        if self.booleans > 0 {
            return None;
        }
        let format = match self.styles.as_deref() {
            None => None,
            Some([]) => return None,
            // With a comma before the decimals, `1,234 %` is about one percent: only the comma's format knows.
            Some(left)
                if self.percents > 0
                    && left.contains(&NumberStyle::PointDecimal)
                    && !self.decimal_comma =>
            {
                Some("percent")
            }
            Some(left) if left.contains(&NumberStyle::CommaDecimal) => {
                let sure = !left.contains(&NumberStyle::PointDecimal) || self.decimal_comma;
                Some(if sure { "1.234,56" } else { "1,234.56" })
            }
            Some(_) => Some("1,234.56"),
        };
        if self.numbers == 0 && format.is_none() {
            return None;
        }
        let in_cents =
            name.contains("cents") || name.contains("_minor") || name.contains("minor_unit");
        Some(NumberLook {
            format: format.map(str::to_owned),
            smallest,
            largest,
            scale: in_cents.then_some(0.01),
        })
    }

    fn members(&self) -> Vec<(String, u64)> {
        let few = self.different.len() <= MEMBERS && !self.many && !self.long;
        let repeats = (self.different.len() as u64) < self.seen.max(2) || self.booleans > 0;
        if !few || !repeats {
            return Vec::new();
        }
        let mut members: Vec<(String, u64)> = self
            .different
            .iter()
            .map(|(text, count)| (mask::excerpt(&one_line(text), MEMBER_CHARACTERS), *count))
            .collect();
        members.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        members
    }
}

fn reader(format: &str) -> DateReader {
    let form = match format {
        "iso" => DateForm::Iso,
        "unix" => DateForm::Unix,
        "unix_ms" => DateForm::UnixMs,
        pattern => DateForm::Pattern(pattern.to_owned()),
    };
    DateReader::new(form, TimeZone::UTC)
}

/// Control characters would leave the line that a sample is shown in.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn has_zone(text: &str) -> bool {
    let behind_date = text.get(10..).unwrap_or("");
    text.ends_with('Z')
        || behind_date.contains('+')
        || behind_date.contains('-')
        || text.ends_with("UTC")
        || text.ends_with("GMT")
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !text.contains(char::is_whitespace)
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
