//! Exact decimal numbers: what an API printed is what is kept, added and shown.
//!
//! A [`Decimal`] is one number, a [`Sum`] is the exact sum of any number of them. Sums do not depend on
//! the order of their parts, whatever their magnitudes: small ones are kept as one integer at one
//! decimal exponent, and a sum that outgrows this moves to a fixed-point accumulator wide enough for
//! every exponent a decimal may have.

use std::cmp::Ordering;

mod text;

pub use crate::sum::Sum;

/// Most significant digits a decimal keeps; longer texts are rounded half to even at this digit.
pub const MAX_DIGITS: u32 = 38;
/// Largest power of ten of a decimal's first digit, and (negated) the smallest; f64 reaches 308 and -324.
pub const MAX_MAGNITUDE: i32 = 400;
/// Digits of a quotient that does not end by itself: enough to name one f64.
const QUOTIENT_DIGITS: u32 = 17;

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

#[cfg(test)]
mod tests;
