//! Exact sums of decimals, independent of order.

use crate::decimal::{Decimal, MAX_DIGITS, MAX_MAGNITUDE, digits_of};

/// The accumulator's limbs hold nine decimal digits each.
const BASE: i64 = 1_000_000_000;
const DIGITS_A_LIMB: i32 = 9;
/// The exponent of the lowest limb's unit: below any digit a decimal may have (10^-400 with 38 digits).
const ORIGIN: i32 = -450;
/// Enough limbs for 10^400 added 2^64 times.
const LIMBS: usize = 100;

/// The exact sum of decimals; merging two sums is adding their parts in any order.
#[derive(Clone, Debug)]
pub struct Sum(Kept);

#[derive(Clone, Debug)]
enum Kept {
    /// One integer at one exponent: nearly every sum there is.
    Narrow { mantissa: i128, exponent: i32 },
    /// A fixed-point number of 900 digits, for sums of very unlike magnitudes.
    Wide(Box<[i64; LIMBS]>),
}

impl Default for Sum {
    fn default() -> Self {
        Self(Kept::Narrow {
            mantissa: 0,
            exponent: 0,
        })
    }
}

impl From<Decimal> for Sum {
    fn from(value: Decimal) -> Self {
        let (mantissa, exponent) = value.parts();
        Self(Kept::Narrow {
            mantissa,
            exponent: i32::from(exponent),
        })
    }
}

impl Sum {
    /// Adds one number.
    pub fn add(&mut self, value: Decimal) {
        let (mantissa, exponent) = value.parts();
        self.add_parts(mantissa, i32::from(exponent));
    }

    /// Adds everything `other` holds.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Kept::Narrow { mantissa, exponent } => self.add_parts(*mantissa, *exponent),
            Kept::Wide(limbs) => {
                let own = self.widen();
                for (own, other) in own.iter_mut().zip(limbs.iter()) {
                    *own += other;
                }
                carry(own);
            }
        }
    }

    fn add_parts(&mut self, mantissa: i128, exponent: i32) {
        if mantissa == 0 {
            return;
        }
        if let Kept::Narrow {
            mantissa: own,
            exponent: own_exponent,
        } = &mut self.0
        {
            if *own_exponent == exponent {
                if let Some(sum) = own.checked_add(mantissa) {
                    *own = sum;
                    return;
                }
            } else if *own == 0 {
                (*own, *own_exponent) = (mantissa, exponent);
                return;
            } else if let Some((sum, at)) = aligned_sum(*own, *own_exponent, mantissa, exponent) {
                (*own, *own_exponent) = (sum, at);
                return;
            }
        }
        let limbs = self.widen();
        add_to_limbs(limbs, mantissa, exponent);
    }

    fn widen(&mut self) -> &mut [i64; LIMBS] {
        if let Kept::Narrow { mantissa, exponent } = self.0 {
            let mut limbs = Box::new([0; LIMBS]);
            add_to_limbs(&mut limbs, mantissa, exponent);
            self.0 = Kept::Wide(limbs);
        }
        match &mut self.0 {
            Kept::Wide(limbs) => limbs,
            Kept::Narrow { .. } => unreachable!("widened above"),
        }
    }

    /// Whether the sum is zero.
    pub fn is_zero(&self) -> bool {
        match &self.0 {
            Kept::Narrow { mantissa, .. } => *mantissa == 0,
            Kept::Wide(limbs) => limbs.iter().all(|limb| *limb == 0),
        }
    }

    /// Returns the sum as a decimal: exact up to 38 significant digits, rounded once (half to even) beyond.
    /// A sum beyond 10^400, which takes more numbers than fit a store, stands at the largest decimal.
    pub fn to_decimal(&self) -> Decimal {
        match &self.0 {
            Kept::Narrow { mantissa, exponent } => {
                Decimal::new(*mantissa, *exponent).unwrap_or_else(|| largest(*mantissa < 0))
            }
            Kept::Wide(limbs) => {
                let (negative, magnitude) = sign_and_magnitude(limbs);
                leading_digits(negative, &magnitude)
            }
        }
    }

    /// Returns the sum's one canonical form: a decimal where 38 digits hold it exactly, else all limbs.
    pub(crate) fn canonical(&self) -> Canonical {
        let decimal = self.to_decimal();
        match &self.0 {
            Kept::Narrow { mantissa, exponent } if Decimal::new(*mantissa, *exponent).is_some() => {
                // 39 digits fit the integer and not the decimal.
                if mantissa.unsigned_abs() < 10_u128.pow(MAX_DIGITS)
                    || Sum::from(decimal).equals_parts(*mantissa, *exponent)
                {
                    return Canonical::Decimal(decimal);
                }
                let mut limbs = Box::new([0; LIMBS]);
                add_to_limbs(&mut limbs, *mantissa, *exponent);
                Canonical::Limbs(limbs)
            }
            Kept::Narrow { mantissa, exponent } => {
                let mut limbs = Box::new([0; LIMBS]);
                add_to_limbs(&mut limbs, *mantissa, *exponent);
                Canonical::Limbs(limbs)
            }
            Kept::Wide(limbs) => {
                let (mantissa, exponent) = decimal.parts();
                let mut same = Box::new([0; LIMBS]);
                add_to_limbs(&mut same, mantissa, i32::from(exponent));
                if same == *limbs {
                    Canonical::Decimal(decimal)
                } else {
                    Canonical::Limbs(limbs.clone())
                }
            }
        }
    }

    fn equals_parts(&self, mantissa: i128, exponent: i32) -> bool {
        let limbs = |mantissa, exponent| {
            let mut limbs = [0; LIMBS];
            add_to_limbs(&mut limbs, mantissa, exponent);
            limbs
        };
        match &self.0 {
            Kept::Narrow {
                mantissa: own,
                exponent: at,
            } => limbs(*own, *at) == limbs(mantissa, exponent),
            Kept::Wide(own) => **own == limbs(mantissa, exponent),
        }
    }

    /// Rebuilds a sum from limbs, lowest first from limb `first`; nothing when they do not fit.
    pub(crate) fn from_limbs(first: usize, parts: &[i64]) -> Option<Self> {
        let mut limbs = Box::new([0; LIMBS]);
        let end = first.checked_add(parts.len())?;
        limbs.get_mut(first..end)?.copy_from_slice(parts);
        if parts.iter().any(|limb| limb.abs() >= BASE) {
            return None;
        }
        Some(Self(Kept::Wide(limbs)))
    }
}

impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        match (self.canonical(), other.canonical()) {
            (Canonical::Decimal(left), Canonical::Decimal(right)) => left == right,
            (Canonical::Limbs(left), Canonical::Limbs(right)) => left == right,
            _ => false,
        }
    }
}

impl Eq for Sum {}

/// A sum in the one form that depends on its value alone.
pub(crate) enum Canonical {
    Decimal(Decimal),
    Limbs(Box<[i64; LIMBS]>),
}

/// Adds two numbers at the smaller of their exponents, where the result fits.
fn aligned_sum(
    left: i128,
    left_exponent: i32,
    right: i128,
    right_exponent: i32,
) -> Option<(i128, i32)> {
    let at = left_exponent.min(right_exponent);
    let raise = |mantissa: i128, exponent: i32| {
        let power = 10_i128.checked_pow(u32::try_from(exponent - at).ok()?)?;
        mantissa.checked_mul(power)
    };
    Some((
        raise(left, left_exponent)?.checked_add(raise(right, right_exponent)?)?,
        at,
    ))
}

fn add_to_limbs(limbs: &mut [i64; LIMBS], mantissa: i128, exponent: i32) {
    let offset = exponent - ORIGIN;
    let (mut place, shift) = (
        (offset / DIGITS_A_LIMB).unsigned_abs() as usize,
        (offset % DIGITS_A_LIMB).unsigned_abs(),
    );
    let power = 10_i64.pow(shift);
    let mut rest = mantissa;
    while rest != 0 {
        let digits = i64::try_from(rest % i128::from(BASE)).unwrap_or(0);
        rest /= i128::from(BASE);
        // Below 10^9 × 10^8: splits into two limbs' worth.
        let part = digits * power;
        if let Some(low) = limbs.get_mut(place) {
            *low += part % BASE;
        }
        if let Some(high) = limbs.get_mut(place + 1) {
            *high += part / BASE;
        }
        place += 1;
    }
    carry(limbs);
}

/// Brings every limb but the last into 0..BASE; the last carries the sign.
fn carry(limbs: &mut [i64; LIMBS]) {
    let mut over = 0;
    for limb in &mut limbs[..LIMBS - 1] {
        let value = *limb + over;
        *limb = value.rem_euclid(BASE);
        over = value.div_euclid(BASE);
    }
    limbs[LIMBS - 1] += over;
}

fn sign_and_magnitude(limbs: &[i64; LIMBS]) -> (bool, [i64; LIMBS]) {
    let mut magnitude = *limbs;
    let negative = magnitude[LIMBS - 1] < 0;
    if negative {
        for limb in &mut magnitude {
            *limb = -*limb;
        }
        carry(&mut magnitude);
    }
    (negative, magnitude)
}

/// Rounds a magnitude to 38 digits.
fn leading_digits(negative: bool, magnitude: &[i64; LIMBS]) -> Decimal {
    let Some(top) = magnitude.iter().rposition(|limb| *limb != 0) else {
        return Decimal::ZERO;
    };
    let mut digits = Vec::with_capacity((top + 1) * 9);
    for limb in magnitude[..=top].iter().rev() {
        let mut unit = BASE / 10;
        while unit > 0 {
            digits.push(u128::from((limb / unit % 10).unsigned_abs()));
            unit /= 10;
        }
    }
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(0);
    let digits = &digits[first..];
    let kept = digits.len().min(MAX_DIGITS as usize);
    let mantissa = digits[..kept]
        .iter()
        .fold(0_u128, |value, digit| value * 10 + digit);
    let next = digits.get(kept).copied().unwrap_or(0);
    let more = digits.iter().skip(kept + 1).any(|digit| *digit != 0);
    let exponent = ORIGIN + i32::try_from(digits.len() - kept).unwrap_or(0);
    debug_assert!(digits_of(mantissa) <= 38, "at most 38 digits were taken");
    Decimal::rounded(negative, mantissa, exponent, next, more).unwrap_or_else(|| largest(negative))
}

fn largest(negative: bool) -> Decimal {
    let mantissa = 10_i128.pow(MAX_DIGITS) - 1;
    Decimal::new(
        if negative { -mantissa } else { mantissa },
        MAX_MAGNITUDE - 37,
    )
    .unwrap_or(Decimal::ZERO)
}
