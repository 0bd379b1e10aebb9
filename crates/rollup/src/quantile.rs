//! Percentiles: exact up to a bound, then by a sketch with at most 1 % relative error.
//!
//! The percentile is that of linear interpolation between the closest ranks: with n sorted values and
//! h = (n − 1) · p, it is v⌊h⌋ + (h − ⌊h⌋) · (v⌊h⌋₊₁ − v⌊h⌋). Source: Hyndman and Fan, "Sample quantiles in
//! statistical packages", 1996, definition 7; the same as `percentile_cont` of SQL and NumPy's default.
//!
//! The sketch is `DDSketch` (Masson, Rim and Lee, VLDB 2019) with the linearly interpolated mapping: 64
//! bins an octave, taken from the bits of the f64, so that every machine fills the same bins.

use std::collections::BTreeMap;

use crate::decimal::Decimal;

/// Up to this many values are kept as they are.
pub(crate) const EXACT_LIMIT: usize = 256;
/// Bins kept for each sign: 64 octaves, a factor of 10^19 between the largest and the smallest value.
/// Smaller ones fall into the smallest bin kept.
const BINS_A_SIGN: i32 = 4096;
/// Sign and exponent, and six bits of the fraction.
const KEY_SHIFT: u32 = 46;
/// Digits shown of an estimate; a fifth digit would claim more than 1 % allows.
const ESTIMATE_DIGITS: u32 = 4;

/// The values of a bucket, as exactly as their number allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Quantiles {
    /// All values, sorted.
    Exact(Vec<Decimal>),
    /// How many values fell in each bin; keys order as values do.
    Bins(BTreeMap<i32, u64>),
}

impl Default for Quantiles {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Quantiles {
    pub(crate) fn add(&mut self, value: Decimal) {
        match self {
            Self::Exact(values) => {
                let place = values.partition_point(|own| *own <= value);
                values.insert(place, value);
                self.convert_if_large();
            }
            Self::Bins(bins) => {
                *bins.entry(key_of(value)).or_default() += 1;
                collapse(bins);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Exact(own), Self::Exact(values)) => {
                own.extend_from_slice(values);
                own.sort_unstable();
                self.convert_if_large();
            }
            (Self::Bins(own), Self::Bins(bins)) => {
                for (key, count) in bins {
                    *own.entry(*key).or_default() += count;
                }
                collapse(own);
            }
            (Self::Bins(own), Self::Exact(values)) => {
                for value in values {
                    *own.entry(key_of(*value)).or_default() += 1;
                }
                collapse(own);
            }
            (Self::Exact(values), Self::Bins(bins)) => {
                let mut bins = bins.clone();
                for value in values {
                    *bins.entry(key_of(*value)).or_default() += 1;
                }
                collapse(&mut bins);
                *self = Self::Bins(bins);
            }
        }
    }

    fn convert_if_large(&mut self) {
        if let Self::Exact(values) = self
            && values.len() > EXACT_LIMIT
        {
            let mut bins = BTreeMap::new();
            for value in values {
                *bins.entry(key_of(*value)).or_default() += 1;
            }
            collapse(&mut bins);
            *self = Self::Bins(bins);
        }
    }

    /// Returns the percentile; `min` and `max` are the exact extremes, which no estimate may pass.
    pub(crate) fn at(&self, percent: u64, min: Decimal, max: Decimal) -> Option<Decimal> {
        let count = match self {
            Self::Exact(values) => values.len() as u64,
            Self::Bins(bins) => bins.values().sum(),
        };
        // Hundredths of a rank are exact in integers.
        let position = u128::from(count.checked_sub(1)?) * u128::from(percent);
        let (rank, hundredths) = (u64::try_from(position / 100).ok()?, position % 100);
        let fraction = Decimal::new(i128::try_from(hundredths).ok()?, -2)?;
        let (below, above) = match self {
            Self::Exact(values) => {
                let below = *values.get(usize::try_from(rank).ok()?)?;
                (
                    below,
                    values
                        .get(usize::try_from(rank).ok()? + 1)
                        .copied()
                        .unwrap_or(below),
                )
            }
            Self::Bins(bins) => {
                let below = value_at(bins, rank)?;
                (below, value_at(bins, rank + 1).unwrap_or(below))
            }
        };
        let value = below.plus(above.minus(below).times(fraction)?);
        Some(match self {
            Self::Exact(_) => value,
            Self::Bins(_) => value.to_significant(ESTIMATE_DIGITS).clamp(min, max),
        })
    }
}

/// The bin of a value: 0 for zero, positive and growing with the value, negative for its mirror image.
fn key_of(value: Decimal) -> i32 {
    let number = value.to_f64();
    let magnitude = number.abs().min(f64::MAX);
    if magnitude == 0.0 {
        return 0;
    }
    // 63 bits shifted by 46 leave 17.
    let key = i32::try_from(magnitude.to_bits() >> KEY_SHIFT).unwrap_or(i32::MAX - 1) + 1;
    if number < 0.0 { -key } else { key }
}

/// The middle of a bin, at most 1/128 = 0.8 % from any value in it.
fn middle_of(key: i32) -> Option<Decimal> {
    if key == 0 {
        return Some(Decimal::ZERO);
    }
    let bits = (u64::from(key.unsigned_abs() - 1) << KEY_SHIFT) | (1 << (KEY_SHIFT - 1));
    let middle = Decimal::from_f64(f64::from_bits(bits)).ok()?;
    Some(if key < 0 {
        Decimal::ZERO.minus(middle)
    } else {
        middle
    })
}

fn value_at(bins: &BTreeMap<i32, u64>, rank: u64) -> Option<Decimal> {
    let mut before = 0;
    for (key, count) in bins {
        before += count;
        if before > rank {
            return middle_of(*key);
        }
    }
    None
}

/// Moves values too small beside the largest of their sign into the smallest bin kept. What is moved
/// depends on the largest key alone, so the result does not depend on when this is done.
fn collapse(bins: &mut BTreeMap<i32, u64>) {
    if let (Some((&largest, _)), Some((&smallest, _))) =
        (bins.range(1..).next_back(), bins.range(1..).next())
        && largest - smallest >= BINS_A_SIGN
    {
        let floor = largest - BINS_A_SIGN + 1;
        let small: Vec<i32> = bins.range(1..floor).map(|(key, _)| *key).collect();
        let moved: u64 = small.iter().filter_map(|key| bins.remove(key)).sum();
        *bins.entry(floor).or_default() += moved;
    }
    if let (Some((&largest, _)), Some((&smallest, _))) =
        (bins.range(..0).next(), bins.range(..0).next_back())
        && smallest - largest >= BINS_A_SIGN
    {
        let floor = largest + BINS_A_SIGN - 1;
        let small: Vec<i32> = bins.range(floor + 1..0).map(|(key, _)| *key).collect();
        let moved: u64 = small.iter().filter_map(|key| bins.remove(key)).sum();
        *bins.entry(floor).or_default() += moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    fn of(texts: &[&str]) -> Quantiles {
        let mut quantiles = Quantiles::default();
        for text in texts {
            quantiles.add(decimal(text));
        }
        quantiles
    }

    #[test]
    fn small_sets_are_interpolated_exactly() {
        let quantiles = of(&["4", "1", "3", "2"]);
        let at = |percent| quantiles.at(percent, decimal("1"), decimal("4")).unwrap();
        assert_eq!(at(50), decimal("2.5"));
        assert_eq!(at(90), decimal("3.7"));
        assert_eq!(at(99), decimal("3.97"));
        assert_eq!(
            of(&["0.1"]).at(95, decimal("0.1"), decimal("0.1")),
            Some(decimal("0.1"))
        );
        assert_eq!(of(&[]).at(50, Decimal::ZERO, Decimal::ZERO), None);
    }

    #[test]
    fn large_sets_are_within_one_percent() {
        let mut quantiles = Quantiles::default();
        for number in 1..=10_000_i64 {
            quantiles.add(Decimal::new(i128::from(number * number), -3).unwrap());
        }
        for percent in [50, 90, 95, 99] {
            let exact = (9_999.0 * f64::from(u32::try_from(percent).unwrap()) / 100.0 + 1.0)
                .powi(2)
                / 1000.0;
            let value = quantiles
                .at(percent, decimal("0.001"), decimal("100000"))
                .unwrap()
                .to_f64();
            assert!(
                (value - exact).abs() / exact < 0.01,
                "p{percent}: {value} for {exact}"
            );
        }
    }

    #[test]
    fn middles_are_within_one_percent_of_what_fell_into_their_bin() {
        for text in [
            "1",
            "1.0156",
            "1.99999",
            "2",
            "1e-300",
            "123456.789",
            "-0.007",
            "1.7e308",
        ] {
            let value = decimal(text);
            let middle = middle_of(key_of(value)).unwrap();
            let error = (middle.to_f64() - value.to_f64()).abs() / value.to_f64().abs();
            assert!(error <= 1.0 / 128.0, "{text} {middle}");
        }
    }

    #[test]
    fn collapsing_does_not_depend_on_order() {
        let values: Vec<Decimal> = (-150..150)
            .map(|power| Decimal::new(if power % 2 == 0 { 3 } else { -7 }, power).unwrap())
            .collect();
        let (mut up, mut down) = (Quantiles::default(), Quantiles::default());
        for value in &values {
            up.add(*value);
        }
        for value in values.iter().rev() {
            down.add(*value);
        }
        assert_eq!(up, down);
    }
}
