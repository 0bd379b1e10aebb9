//! Numbers in text, read exactly as `number` says.

use rollup::Decimal;

use crate::task::NumberStyle as Style;

/// Reads the values of one task.
#[derive(Debug, Clone)]
pub(crate) struct NumberReader {
    style: Style,
    scale: Option<Decimal>,
}

/// Why a value is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotANumber {
    Text,
    /// It has a percent sign, and the format is another one.
    Percent,
    NotFinite,
    OutOfRange,
}

impl NumberReader {
    pub(crate) fn new(style: Style, scale: Option<f64>) -> Self {
        Self {
            style,
            scale: scale.and_then(|scale| Decimal::from_f64(scale).ok()),
        }
    }

    /// What may be written instead of the format in force, for a text that it does not read.
    pub(crate) fn advice(&self, text: Option<&str>) -> String {
        let reads = |style| text.is_some_and(|text| Self::new(style, None).text(text).is_ok());
        let named = |style| match style {
            Style::PointDecimal => "`number: \"1,234.56\"`",
            Style::CommaDecimal => "`number: \"1.234,56\"`",
            _ => "`number: percent`",
        };
        let all = [Style::PointDecimal, Style::CommaDecimal, Style::Percent];
        let fitting = all
            .into_iter()
            .filter(|style| *style != self.style && reads(*style))
            .find(|style| text.is_none_or(|text| !text.contains('%')) || *style == Style::Percent);
        match (fitting, self.style) {
            (Some(style), Style::Plain) => {
                format!("say how it is written, as with {}", named(style))
            }
            (Some(style), own) => {
                format!("{} is in force, and {} reads it", named(own), named(style))
            }
            (None, Style::Plain) => {
                "take its number out with JSONata, such as $number($replace(…))".to_owned()
            }
            (None, own) => format!(
                "{} does not read it, and no other format does: take its number out with JSONata, or leave such rows out \
                 with `where`",
                named(own)
            ),
        }
    }

    pub(crate) fn number(&self, value: f64, calculated: bool) -> Result<Decimal, NotANumber> {
        let mut decimal = Decimal::from_f64(value).map_err(|_| NotANumber::NotFinite)?;
        if calculated && value.fract() != 0.0 {
            decimal = without_binary_noise(decimal);
        }
        self.scaled(decimal)
    }

    /// Reads a number of JSON by its digits.
    pub(crate) fn long(&self, digits: &str) -> Result<Decimal, NotANumber> {
        self.scaled(parse(digits)?)
    }

    pub(crate) fn text(&self, text: &str) -> Result<Decimal, NotANumber> {
        let text = text.trim();
        if matches!(text, "NaN" | "Infinity" | "-Infinity" | "inf" | "-inf") {
            return Err(NotANumber::NotFinite);
        }
        let decimal = match self.style {
            Style::Plain if crate::page::needs_quotes(text) => parse(text)?,
            Style::Plain => return Err(NotANumber::Text),
            // Whoever reads 12.5% as 12.5 should have said so.
            Style::PointDecimal if text.contains('%') => {
                plain_form(text, '.')?;
                return Err(NotANumber::Percent);
            }
            Style::PointDecimal => parse(&plain_form(text, '.')?)?,
            Style::CommaDecimal => parse(&plain_form(text, ',')?)?,
            // `12,5 %` can only be meant one way; what could be meant both ways has a point.
            Style::Percent => parse(&plain_form(text, '.').or_else(|_| plain_form(text, ','))?)?,
        };
        self.scaled(decimal)
    }

    fn scaled(&self, decimal: Decimal) -> Result<Decimal, NotANumber> {
        match self.scale {
            Some(scale) => decimal.times(scale).ok_or(NotANumber::OutOfRange),
            None => Ok(decimal),
        }
    }
}

fn parse(text: &str) -> Result<Decimal, NotANumber> {
    Decimal::parse(text).map_err(|error| match error {
        rollup::DecimalError::OutOfRange => NotANumber::OutOfRange,
        _ => NotANumber::Text,
    })
}

/// Takes the noise of binary arithmetic off a calculated number: 0.1 + 0.2 is 0.3.
///
/// Only where the double stands within its own precision of a much shorter decimal; a number with
/// many digits of its own keeps them.
fn without_binary_noise(decimal: Decimal) -> Decimal {
    const SURE_DIGITS: u32 = 15;
    const SHORT: i128 = 10_i128.pow(12);
    let (mantissa, _) = decimal.parts();
    if mantissa.unsigned_abs() < 10_u128.pow(SURE_DIGITS) {
        return decimal;
    }
    let rounded = decimal.to_significant(SURE_DIGITS);
    if rounded.parts().0.abs() < SHORT {
        rounded
    } else {
        decimal
    }
}

/// Rewrites `-1.234,50 €` as `-1234.50`; refuses groups that are not thousands, so that a text in
/// the other convention is an error and not a number a thousand times off.
fn plain_form(text: &str, point: char) -> Result<String, NotANumber> {
    let comma = if point == '.' { ',' } else { '.' };
    let (negative, text) = match text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let is_trimmed = |c: char| c.is_whitespace() || matches!(c, '$' | '€' | '£' | '¥' | '₹' | '%');
    let text = text.trim_matches(is_trimmed);
    let (sign, text) = match text.strip_prefix(['-', '−']) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let text = text.trim_matches(is_trimmed);
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let (whole, fraction) = number.split_once(point).unwrap_or((number, ""));
    let is_group_mark =
        |c: char| c == comma || matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\'' | '’');
    let groups: Vec<&str> = whole.split(is_group_mark).collect();
    let sound = groups
        .iter()
        .all(|group| group.bytes().all(|b| b.is_ascii_digit()));
    let thousands = groups.len() == 1
        || (groups.last().is_some_and(|group| group.len() == 3)
            && groups
                .first()
                .is_some_and(|group| (1..=3).contains(&group.len()))
            && groups
                .iter()
                .skip(1)
                .all(|group| (2..=3).contains(&group.len())));
    if !sound || !thousands || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotANumber::Text);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(NotANumber::Text);
    }
    let mut plain = String::with_capacity(text.len() + 2);
    if negative != sign {
        plain.push('-');
    }
    plain.extend(groups);
    if !fraction.is_empty() {
        plain.push('.');
        plain.push_str(fraction);
    }
    plain.push_str(exponent);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(style: Style, scale: Option<f64>, text: &str) -> Result<String, NotANumber> {
        NumberReader::new(style, scale)
            .text(text)
            .map(|decimal| decimal.to_string())
    }

    #[test]
    fn text_is_read_as_the_format_says_and_exactly() {
        for (style, scale, text, expected) in [
            (Style::PointDecimal, None, "1,234.56", "1234.56"),
            (Style::PointDecimal, None, "-1,234,567.10", "-1234567.1"),
            (Style::PointDecimal, None, "(99.50)", "-99.5"),
            (Style::PointDecimal, None, "$ 12", "12"),
            (Style::PointDecimal, None, "-$12.50", "-12.5"),
            (Style::PointDecimal, None, "12,34,567", "1234567"),
            (Style::PointDecimal, None, ".5", "0.5"),
            (Style::PointDecimal, None, "1e3", "1000"),
            (Style::CommaDecimal, None, "1.234,56", "1234.56"),
            (Style::CommaDecimal, None, "1 234,56 €", "1234.56"),
            (Style::CommaDecimal, Some(0.01), "1.234,56", "12.3456"),
            (Style::Percent, None, "12.5 %", "12.5"),
            (Style::Percent, Some(0.01), "-3%", "-0.03"),
            (Style::Percent, None, "12,5 %", "12.5"),
            (Style::Percent, None, "-0,25%", "-0.25"),
            (Style::CommaDecimal, None, "1.012,5 %", "1012.5"),
            (Style::CommaDecimal, None, "(1.234,56)", "-1234.56"),
            (
                Style::PointDecimal,
                None,
                "12345678901234567890.12",
                "12345678901234567890.12",
            ),
            (Style::Plain, None, "9007199254740993", "9007199254740993"),
            (
                Style::Plain,
                Some(0.01),
                "9007199254740993",
                "90071992547409.93",
            ),
        ] {
            assert_eq!(read(style, scale, text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn text_in_another_convention_is_refused_rather_than_misread() {
        for (style, text) in [
            (Style::PointDecimal, "1.234,56"),
            (Style::PointDecimal, "1,23"),
            (Style::PointDecimal, "12,3456"),
            (Style::PointDecimal, "abc"),
            (Style::PointDecimal, ""),
            (Style::PointDecimal, "1.2.3"),
            (Style::PointDecimal, "(1,234.56"),
            (Style::CommaDecimal, "1,234.56"),
            (Style::CommaDecimal, "1.5"),
            (Style::Plain, "12.5"),
            (Style::Plain, "1234567890123456"),
            (Style::PointDecimal, "1.234,5 %"),
        ] {
            assert_eq!(read(style, None, text), Err(NotANumber::Text), "{text}");
        }
        for text in ["12.5%", "12.5 %", "-1,234%"] {
            let read = read(Style::PointDecimal, None, text);
            assert_eq!(read, Err(NotANumber::Percent), "{text}");
        }
        assert_eq!(
            read(Style::PointDecimal, None, "NaN"),
            Err(NotANumber::NotFinite)
        );
        assert_eq!(
            read(Style::PointDecimal, None, "1e999"),
            Err(NotANumber::OutOfRange)
        );
    }

    #[test]
    fn calculated_numbers_lose_their_binary_noise_and_nothing_else() {
        let reader = NumberReader::new(Style::Plain, None);
        for (value, expected) in [
            (0.1 + 0.2, "0.3"),
            (0.1 + 0.7, "0.8"),
            (1.1 * 1.1, "1.21"),
            (1.0 / 3.0, "0.3333333333333333"),
            (12_345_678_901_234.56, "12345678901234.56"),
            (-0.0, "0"),
        ] {
            assert_eq!(reader.number(value, true).unwrap().to_string(), expected);
        }
        assert_eq!(
            reader.number(0.1 + 0.2, false).unwrap().to_string(),
            "0.30000000000000004"
        );
    }
}
