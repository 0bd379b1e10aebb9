//! Exact decimal numbers: what an API printed is what is kept, added and shown.
//!
//! A [`Decimal`] is one number, a [`Sum`] is the exact sum of any number of them. Sums do not depend on
//! the order of their parts, whatever their magnitudes: small ones are kept as one integer at one
//! decimal exponent, and a sum that outgrows this moves to a fixed-point accumulator wide enough for
//! every exponent a decimal may have.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

pub use crate::sum::Sum;

/// Most significant digits a decimal keeps; longer texts are rounded half to even at this digit.
pub const MAX_DIGITS: u32 = 38;
/// Largest power of ten of a decimal's first digit, and (negated) the smallest; f64 reaches 308 and -324.
pub const MAX_MAGNITUDE: i32 = 400;
/// Digits of a quotient that does not end by itself: enough to name one f64.
const QUOTIENT_DIGITS: u32 = 17;

/// Above this many digits the plain form is given up for `1e300`.
const PLAIN_DIGITS: i32 = 40;

/// An exact decimal number: an integer times a power of ten, at most 38 significant digits.
///
/// Equal numbers are equal values (`1.50` is `1.5`, `-0` is `0`), so equality, order and hashing are
/// those of numbers. Serialized for people (JSON) as a number literal with every digit; serialize it
/// directly and not by way of `serde_json::Value`, which would round it to f64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// Without trailing zeros; zero has exponent 0.
    mantissa: i128,
    exponent: i16,
}

/// Says why a text or float is not a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not of the form `-12.5e3`.
    #[error("not a number")]
    Malformed,
    /// Beyond 10^400, or closer to zero than 10^-400 without being zero.
    #[error("number out of range")]
    OutOfRange,
    /// NaN or an infinity.
    #[error("not a finite number")]
    NotFinite,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self {
        mantissa: 0,
        exponent: 0,
    };
    /// One.
    pub const ONE: Self = Self {
        mantissa: 1,
        exponent: 0,
    };

    /// Returns `mantissa × 10^exponent`, or nothing when it is out of range.
    pub fn new(mantissa: i128, exponent: i32) -> Option<Self> {
        let (mantissa, stripped) = strip_zeros(mantissa);
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        let exponent = exponent.checked_add(stripped)?;
        if i64::try_from(mantissa).is_ok() && (-300..300).contains(&exponent) {
            // Nearly every number: its first digit cannot be out of range.
            return Some(Self {
                mantissa,
                exponent: i16::try_from(exponent).ok()?,
            });
        }
        if mantissa.unsigned_abs() >= 10_u128.pow(MAX_DIGITS) {
            // 39 digits fit an i128 but not a decimal.
            return Self::rounded(
                mantissa < 0,
                mantissa.unsigned_abs() / 10,
                exponent + 1,
                mantissa.unsigned_abs() % 10,
                false,
            );
        }
        let magnitude = exponent + digits_of(mantissa.unsigned_abs()) - 1;
        if magnitude.abs() > MAX_MAGNITUDE {
            return None;
        }
        Some(Self {
            mantissa,
            exponent: i16::try_from(exponent).ok()?,
        })
    }

    /// Builds a decimal from leading digits, the digit after them, and whether anything but zeros follows.
    pub(crate) fn rounded(
        negative: bool,
        digits: u128,
        exponent: i32,
        next: u128,
        more: bool,
    ) -> Option<Self> {
        let up = next > 5 || (next == 5 && (more || digits % 2 == 1));
        let mantissa = i128::try_from(digits + u128::from(up)).ok()?;
        Self::new(if negative { -mantissa } else { mantissa }, exponent)
    }

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

    /// Whether this is zero.
    pub const fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Whether this is below zero.
    pub const fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// Returns the number without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self {
            mantissa: self.mantissa.abs(),
            exponent: self.exponent,
        }
    }

    /// Returns the integer and the power of ten it is multiplied with.
    pub const fn parts(self) -> (i128, i16) {
        (self.mantissa, self.exponent)
    }

    /// Returns the sum: exact, unless it needs more than 38 digits.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut sum = Sum::from(self);
        sum.add(other);
        sum.to_decimal()
    }

    /// Returns the difference: exact, unless it needs more than 38 digits.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self {
            mantissa: -other.mantissa,
            exponent: other.exponent,
        })
    }

    /// Returns the product: exact, unless it needs more than 38 digits; nothing when out of range.
    pub fn times(self, other: Self) -> Option<Self> {
        let exponent = i32::from(self.exponent) + i32::from(other.exponent);
        if let Some(product) = self.mantissa.checked_mul(other.mantissa) {
            return Self::new(product, exponent);
        }
        // Schoolbook over halves of 10^19: each partial product fits, and the sum of them is exact.
        let half = 10_i128.pow(19);
        let (high, low) = (self.mantissa / half, self.mantissa % half);
        let mut sum = Sum::default();
        for (left, left_shift) in [(high, 19), (low, 0)] {
            for (right, right_shift) in [(other.mantissa / half, 19), (other.mantissa % half, 0)] {
                let shift = left_shift + right_shift;
                // One part of at most 10^38; split again where the product of parts needs 39 digits.
                let product = left.checked_mul(right)?;
                sum.add(Self::new(product / half, exponent + shift + 19)?);
                sum.add(Self::new(product % half, exponent + shift)?);
            }
        }
        Some(sum.to_decimal())
    }

    /// Returns the quotient: exact where the divisor divides the digits, else rounded half to even at the
    /// 17th significant digit. Nothing when the divisor is zero or the result is out of range.
    pub fn divided_by(self, divisor: Self) -> Option<Self> {
        if divisor.mantissa == 0 {
            return None;
        }
        let exponent = i32::from(self.exponent) - i32::from(divisor.exponent);
        if self.mantissa % divisor.mantissa == 0 {
            return Self::new(self.mantissa / divisor.mantissa, exponent);
        }
        let negative = (self.mantissa < 0) != (divisor.mantissa < 0);
        let (mut remainder, divisor) = (
            self.mantissa.unsigned_abs(),
            divisor.mantissa.unsigned_abs(),
        );
        // Long division, one digit a step.
        let mut digits = remainder / divisor;
        remainder %= divisor;
        let mut exponent = exponent;
        let limit = 10_u128.pow(QUOTIENT_DIGITS - 1);
        if digits >= limit * 10 {
            // More than 17 whole digits: round the whole part itself.
            let excess = digits_of(digits) - i32::try_from(QUOTIENT_DIGITS).unwrap_or(17);
            let unit = 10_u128.pow(excess.unsigned_abs());
            let (kept, rest) = (digits / unit, digits % unit);
            let (next, below) = (rest / (unit / 10), rest % (unit / 10));
            return Self::rounded(
                negative,
                kept,
                exponent + excess,
                next,
                below != 0 || remainder != 0,
            );
        }
        while digits < limit && remainder != 0 {
            let (digit, rest) = next_digit(remainder, divisor);
            digits = digits * 10 + digit;
            remainder = rest;
            exponent -= 1;
        }
        let (next, rest) = next_digit(remainder, divisor);
        Self::rounded(negative, digits, exponent, next, rest != 0)
    }

    /// Returns the number rounded half to even to `digits` significant digits.
    #[must_use]
    pub fn to_significant(self, digits: u32) -> Self {
        let size = digits_of(self.mantissa.unsigned_abs());
        let excess = size - i32::try_from(digits.max(1)).unwrap_or(i32::MAX);
        if excess <= 0 {
            return self;
        }
        let unit = 10_u128.pow(excess.unsigned_abs());
        let magnitude = self.mantissa.unsigned_abs();
        let rest = magnitude % unit;
        Self::rounded(
            self.mantissa < 0,
            magnitude / unit,
            i32::from(self.exponent) + excess,
            rest / (unit / 10),
            !rest.is_multiple_of(unit / 10),
        )
        .unwrap_or(self)
    }
}

/// One step of long division: the next decimal digit and what is left.
fn next_digit(remainder: u128, divisor: u128) -> (u128, u128) {
    // remainder < divisor <= 1.8e38, so ten times it may pass 2^128 = 3.4e38; add instead of multiply.
    let mut digit = 0;
    let mut rest = 0_u128;
    for bit in [0b1000_u32, 0b100, 0b10, 0b1] {
        // Horner over the bits of 10 = 0b1010.
        rest <<= 1;
        digit <<= 1;
        if rest >= divisor {
            rest -= divisor;
            digit += 1;
        }
        if 0b1010 & bit != 0 {
            rest += remainder;
            if rest >= divisor {
                rest -= divisor;
                digit += 1;
            }
        }
    }
    (digit, rest)
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

/// Cuts trailing zeros; returns how many.
fn strip_zeros(mantissa: i128) -> (i128, i32) {
    let mut count = 0;
    if let Ok(mut small) = i64::try_from(mantissa) {
        if small == 0 {
            return (0, 0);
        }
        while small % 10 == 0 {
            small /= 10;
            count += 1;
        }
        return (i128::from(small), count);
    }
    let mut mantissa = mantissa;
    while mantissa % 10 == 0 {
        mantissa /= 10;
        count += 1;
    }
    (mantissa, count)
}

pub(crate) fn digits_of(magnitude: u128) -> i32 {
    magnitude
        .checked_ilog10()
        .map_or(1, |log| i32::try_from(log).unwrap_or(0) + 1)
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

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.exponent == other.exponent {
            return self.mantissa.cmp(&other.mantissa);
        }
        let by_sign = self.mantissa.signum().cmp(&other.mantissa.signum());
        if by_sign != Ordering::Equal {
            return by_sign;
        }
        let (left, right) = (self.mantissa.unsigned_abs(), other.mantissa.unsigned_abs());
        let (left_digits, right_digits) = (digits_of(left), digits_of(right));
        let by_size = (i32::from(self.exponent) + left_digits)
            .cmp(&(i32::from(other.exponent) + right_digits))
            .then_with(|| {
                // Same first digit's place: line the shorter one up, which stays within 38 digits.
                let longer = left_digits.max(right_digits);
                let widen = |value: u128, digits: i32| {
                    value * 10_u128.pow((longer - digits).unsigned_abs())
                };
                widen(left, left_digits).cmp(&widen(right, right_digits))
            });
        if self.mantissa < 0 {
            by_size.reverse()
        } else {
            by_size
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Decimal {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::new(i128::from(value), 0).unwrap_or(Self::ZERO)
    }
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Self {
        Self::new(i128::from(value), 0).unwrap_or(Self::ZERO)
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

#[cfg(test)]
mod tests;
