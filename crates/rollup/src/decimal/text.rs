//! Decimals as text, as floats and as serialized.

use std::fmt;

use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Decimal, DecimalError, MAX_DIGITS, digits_of};

/// Above this many digits the plain form is given up for `1e300`.
const PLAIN_DIGITS: i32 = 40;

impl Decimal {
    /// Reads `-12.50`, `3e-7`, `+4`: what JSON allows, and a leading `+`, leading zeros or a bare `.5` besides.
    ///
    /// # Errors
    /// Text that is no number, or is beyond 10^±400.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let bytes = text.as_bytes();
        let (negative, mut rest) = match bytes.first() {
            Some(b'-') => (true, &bytes[1..]),
            Some(b'+') => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        // The first 18 digits are read in 64 bits, which is faster.
        let (mut mantissa, mut small) = (0_u128, 0_u64);
        let mut kept = 0_u32;
        let mut exponent = 0_i32;
        let (mut next, mut more) = (None, false);
        let (mut seen, mut fraction) = (false, false);
        while let Some((&byte, tail)) = rest.split_first() {
            match byte {
                b'0'..=b'9' => {
                    seen = true;
                    let digit = u128::from(byte - b'0');
                    if kept < 18 {
                        small = small * 10 + u64::from(byte - b'0');
                        mantissa = u128::from(small);
                        kept += u32::from(small != 0);
                        exponent -= i32::from(fraction);
                    } else if kept < MAX_DIGITS {
                        mantissa = mantissa * 10 + digit;
                        kept += u32::from(mantissa != 0);
                        exponent -= i32::from(fraction);
                    } else {
                        if next.is_none() {
                            next = Some(digit);
                        } else {
                            more |= digit != 0;
                        }
                        exponent += i32::from(!fraction);
                    }
                }
                b'.' if !fraction => fraction = true,
                b'e' | b'E' if seen => {
                    exponent = exponent.saturating_add(parse_exponent(tail)?);
                    break;
                }
                _ => return Err(DecimalError::Malformed),
            }
            rest = tail;
        }
        if !seen || bytes.last() == Some(&b'.') {
            return Err(DecimalError::Malformed);
        }
        Self::rounded(negative, mantissa, exponent, next.unwrap_or(0), more)
            .ok_or(DecimalError::OutOfRange)
    }

    /// Reads the shortest text that names `number` (so that `0.1` is one tenth).
    ///
    /// # Errors
    /// NaN and infinities.
    pub fn from_f64(number: f64) -> Result<Self, DecimalError> {
        if !number.is_finite() {
            return Err(DecimalError::NotFinite);
        }
        if number.abs() < 9.0e15 && number.fract() == 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            return Ok(Self::from(number as i64));
        }
        // A decimal of at most 15 digits that names this float is its shortest text: no two such decimals
        // name the same float. Division rounds once, so it tells whether this one does.
        for (places, power) in [(1, 1e1), (2, 1e2), (3, 1e3), (4, 1e4)] {
            let whole = (number * power).round_ties_even();
            #[expect(
                clippy::float_cmp,
                reason = "the same float is asked for, not a near one"
            )]
            if whole.abs() < 1e15 && whole != 0.0 && whole / power == number {
                #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
                return Self::new(i128::from(whole as i64), -places)
                    .ok_or(DecimalError::OutOfRange);
            }
        }
        let mut text = ShortText::default();
        fmt::Write::write_fmt(&mut text, format_args!("{number:e}"))
            .map_err(|_| DecimalError::Malformed)?;
        Self::parse(text.as_str())
    }

    /// Returns the nearest f64.
    pub fn to_f64(self) -> f64 {
        /// Powers of ten that an f64 holds exactly.
        const EXACT: [f64; 23] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
            1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
        ];
        if self.mantissa.unsigned_abs() < 1 << 53 {
            // Both parts are exact, so one operation rounds once.
            let mantissa = self.mantissa as f64;
            let power = usize::from(self.exponent.unsigned_abs());
            if let Some(power) = EXACT.get(power) {
                return if self.exponent < 0 {
                    mantissa / power
                } else {
                    mantissa * power
                };
            }
        }
        format!("{}e{}", self.mantissa, self.exponent)
            .parse()
            .unwrap_or(f64::NAN)
    }
}

impl std::str::FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Self::parse(text)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::fmt::Write as _;
        let magnitude = self.mantissa.unsigned_abs();
        let digits = digits_of(magnitude);
        let exponent = i32::from(self.exponent);
        let mut text = String::with_capacity(48);
        if exponent >= 0 {
            if digits + exponent > PLAIN_DIGITS {
                write!(text, "{magnitude}e{exponent}")?;
            } else {
                write!(text, "{magnitude}")?;
                text.extend(std::iter::repeat_n(
                    '0',
                    usize::from(self.exponent.unsigned_abs()),
                ));
            }
        } else if -exponent < digits {
            write!(text, "{magnitude}")?;
            let point = text.len() - usize::from(self.exponent.unsigned_abs());
            text.insert(point, '.');
        } else if -exponent > PLAIN_DIGITS {
            write!(text, "{magnitude}e{exponent}")?;
        } else {
            text.push_str("0.");
            text.extend(std::iter::repeat_n(
                '0',
                (-exponent - digits).unsigned_abs() as usize,
            ));
            write!(text, "{magnitude}")?;
        }
        formatter.pad_integral(self.mantissa >= 0, "", &text)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (self.mantissa, self.exponent).serialize(serializer);
        }
        if let Ok(whole) = i64::try_from(self.mantissa)
            && self.exponent == 0
        {
            return serializer.serialize_i64(whole);
        }
        serde_json::value::RawValue::from_string(self.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
            return Self::parse(raw.get().trim_matches('"')).map_err(de::Error::custom);
        }
        let (mantissa, exponent) = <(i128, i16)>::deserialize(deserializer)?;
        Self::new(mantissa, i32::from(exponent))
            .ok_or_else(|| de::Error::custom(DecimalError::OutOfRange))
    }
}

fn parse_exponent(bytes: &[u8]) -> Result<i32, DecimalError> {
    let (negative, digits) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return Err(DecimalError::Malformed);
    }
    let mut value = 0_i32;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return Err(DecimalError::Malformed);
        }
        value = value
            .saturating_mul(10)
            .saturating_add(i32::from(byte - b'0'));
    }
    // Far beyond any magnitude, yet safe to add to.
    let value = value.min(1_000_000);
    Ok(if negative { -value } else { value })
}

/// Room for the longest `{:e}` of an f64 (24 bytes), without allocating.
#[derive(Default)]
struct ShortText {
    bytes: [u8; 32],
    length: usize,
}

impl ShortText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes
            .get_mut(self.length..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
