//! Numbers as people read them in messages.

use definition::{Format, FormatStyle, Interval, Metric};
use jiff::tz::TimeZone;

use crate::decimal::Decimal;

/// Decimals shown where a metric does not say.
const DECIMALS: u32 = 2;

/// Returns a value as text: thousands apart, with its unit or sign, as the metric's format says.
pub fn shown(value: Decimal, format: Option<&Format>, unit: Option<&str>) -> String {
    let style = format.map_or(FormatStyle::Number, |format| format.style);
    let decimals = format.and_then(|format| format.decimals);
    match style {
        FormatStyle::Percent => format!("{} %", number(value, decimals)),
        FormatStyle::Duration => duration(value),
        FormatStyle::Currency => {
            let money = number(value, Some(decimals.unwrap_or(DECIMALS)));
            with_unit(&money, unit)
        }
        FormatStyle::Number => with_unit(&number(value, decimals), unit),
    }
}

/// Returns a change in percent as text, with its sign.
pub fn shown_percent(percent: Decimal) -> String {
    let text = number(percent, Some(1));
    if percent > Decimal::ZERO {
        format!("+{text} %")
    } else {
        format!("{text} %")
    }
}

/// Returns a range as text: its days, the last of them included.
pub fn shown_range(range: Interval, zone: &TimeZone) -> String {
    let from = zone.to_datetime(range.start).date();
    let last = range
        .end
        .checked_sub(jiff::Span::new().milliseconds(1))
        .unwrap_or(range.end);
    let to = zone.to_datetime(last).date();
    if from == to {
        from.to_string()
    } else {
        format!("{from} to {to}")
    }
}

/// Returns what people call a metric.
pub fn title_of(metric: &Metric) -> &str {
    metric.title.as_deref().unwrap_or(metric.name.as_str())
}

fn with_unit(text: &str, unit: Option<&str>) -> String {
    match unit.filter(|unit| !unit.is_empty()) {
        Some(unit) => format!("{text} {unit}"),
        None => text.to_owned(),
    }
}

fn duration(value: Decimal) -> String {
    let seconds = value.to_f64().round();
    let sign = if seconds < 0.0 { "-" } else { "" };
    let seconds = seconds.abs();
    // Beyond what fits, a plain number is the honest form.
    if seconds >= 1e12 {
        return format!("{} s", number(value, Some(0)));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, positive and below 10^12"
    )]
    let whole = seconds as u64;
    let (days, hours, minutes, rest) = (
        whole / 86_400,
        whole / 3_600 % 24,
        whole / 60 % 60,
        whole % 60,
    );
    let parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let words: Vec<String> = parts[first..]
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0 || first == 3)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    format!("{sign}{}", words.join(" "))
}

/// A number with its thousands apart, rounded half to even to so many decimals; all that it has, up to two, where
/// nothing is said.
fn number(value: Decimal, decimals: Option<u32>) -> String {
    let (mantissa, exponent) = value.parts();
    let kept = decimals.unwrap_or(DECIMALS);
    let rounded = round(mantissa, i32::from(exponent), kept);
    let Some((negative, digits)) = rounded else {
        return value.to_string();
    };
    let kept = usize::try_from(kept).unwrap_or(0);
    let padded = format!("{digits:0>width$}", width = kept + 1);
    let (whole, fraction) = padded.split_at(padded.len() - kept);
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = match decimals {
        Some(_) => fraction,
        None => fraction.trim_end_matches('0'),
    };
    let sign = if negative { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{grouped}")
    } else {
        format!("{sign}{grouped}.{fraction}")
    }
}

/// The sign and the digits of a number in units of `10^-decimals`; nothing when it is too large to be written out.
fn round(mantissa: i128, exponent: i32, decimals: u32) -> Option<(bool, String)> {
    let shift = exponent + i32::try_from(decimals).ok()?;
    let magnitude = mantissa.unsigned_abs();
    let units = if shift >= 0 {
        magnitude.checked_mul(10_u128.checked_pow(shift.unsigned_abs())?)?
    } else {
        match 10_u128.checked_pow(shift.unsigned_abs()) {
            None => 0,
            Some(unit) => {
                let (whole, rest) = (magnitude / unit, magnitude % unit);
                let up = match (rest * 2).cmp(&unit) {
                    std::cmp::Ordering::Greater => true,
                    std::cmp::Ordering::Equal => whole % 2 == 1,
                    std::cmp::Ordering::Less => false,
                };
                whole + u128::from(up)
            }
        }
    };
    Some((mantissa < 0 && units > 0, units.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &str, style: FormatStyle, decimals: Option<u32>, unit: Option<&str>) -> String {
        let format = Format { style, decimals };
        shown(value.parse().unwrap(), Some(&format), unit)
    }

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        use FormatStyle::{Currency, Duration, Number, Percent};
        for (value, style, decimals, unit, expected) in [
            ("1234567", Number, None, None, "1,234,567"),
            ("1234.5", Number, None, None, "1,234.5"),
            ("0.005", Number, None, None, "0"),
            ("0.015", Number, None, None, "0.02"),
            ("-0.001", Number, None, None, "0"),
            ("999.995", Number, Some(2), None, "1,000.00"),
            ("1e6", Number, None, Some("kg"), "1,000,000 kg"),
            ("-1234.5", Currency, None, Some("USD"), "-1,234.50 USD"),
            ("12.345", Percent, Some(1), Some("ignored"), "12.3 %"),
            ("59", Duration, None, None, "59s"),
            ("3661", Duration, None, None, "1h 1m"),
            ("-90000", Duration, None, None, "-1d 1h"),
            ("0", Duration, None, None, "0s"),
        ] {
            assert_eq!(show(value, style, decimals, unit), expected, "{value}");
        }
        assert_eq!(shown("7".parse().unwrap(), None, None), "7");
        assert_eq!(shown_percent("12.34".parse().unwrap()), "+12.3 %");
        assert_eq!(shown_percent("-0.5".parse().unwrap()), "-0.5 %");
    }

    #[test]
    fn a_range_is_shown_by_its_days() {
        let range =
            |from: &str, to: &str| Interval::new(from.parse().unwrap(), to.parse().unwrap());
        let day = range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        assert_eq!(shown_range(day, &TimeZone::UTC), "2026-01-01");
        let week = range("2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z");
        assert_eq!(
            shown_range(week, &TimeZone::UTC),
            "2026-01-01 to 2026-01-07"
        );
    }
}
