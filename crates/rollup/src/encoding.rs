//! The binary form of a state, one version byte first. Old bytes must decode for ever: `tests/golden`
//! holds some of every version.
//!
//! Version 1: the byte 1, a byte of flags, the count, then the parts the flags announce. Integers are
//! LEB128, signed ones zigzag; an instant is seconds and nanoseconds since 1970.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::accumulator::{Mark, Numbers, Sketch, State};
use crate::decimal::Decimal;
use crate::distinct::{self, Distinct};
use crate::quantile::{self, Quantiles};
use crate::sum::{Canonical, Sum};

const VERSION: u8 = 1;

/// Numbers follow: min, then what the flags below leave in.
const NUMBERS: u8 = 1;
/// The largest is the smallest, and is left out.
const ONE_VALUE: u8 = 1 << 1;
/// The last mark is the first, and is left out.
const ONE_MARK: u8 = 1 << 2;
/// The first mark's value is the smallest, and is left out.
const FIRST_IS_MIN: u8 = 1 << 3;
/// The sum is written as limbs.
const WIDE_SUM: u8 = 1 << 4;
/// The sum is the smallest value, and is left out.
const SUM_IS_MIN: u8 = 1 << 5;
/// A byte for the kind of sketch, and the sketch, follow at the end.
const SKETCH: u8 = 1 << 6;

const EXACT_DISTINCT: u8 = 1;
const REGISTERS: u8 = 2;
const EXACT_VALUES: u8 = 3;
const BINS: u8 = 4;

/// Says that bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer program.
    #[error("state of version {0} is not known")]
    Version(u8),
    /// Cut short, followed by more, or not what any program writes.
    #[error("state is malformed")]
    Malformed,
}

pub(crate) fn encode(state: &State) -> Vec<u8> {
    let mut flags = 0;
    let sum = state.sum.canonical();
    if let Some(numbers) = &state.numbers {
        flags |= NUMBERS;
        flags |= if numbers.min == numbers.max {
            ONE_VALUE
        } else {
            0
        };
        flags |= if numbers.first == numbers.last {
            ONE_MARK
        } else {
            0
        };
        flags |= if numbers.first.value == numbers.min {
            FIRST_IS_MIN
        } else {
            0
        };
        flags |= match &sum {
            Canonical::Decimal(sum) if *sum == numbers.min => SUM_IS_MIN,
            Canonical::Decimal(_) => 0,
            Canonical::Limbs(_) => WIDE_SUM,
        };
    }
    flags |= if state.sketch == Sketch::None {
        0
    } else {
        SKETCH
    };
    let mut out = Vec::with_capacity(48);
    out.extend([VERSION, flags]);
    put(&mut out, u128::from(state.count));
    if let Some(numbers) = &state.numbers {
        put_decimal(&mut out, numbers.min);
        if flags & ONE_VALUE == 0 {
            put_decimal(&mut out, numbers.max);
        }
        if flags & SUM_IS_MIN == 0 {
            put_sum(&mut out, &sum);
        }
        put_mark(&mut out, &numbers.first, flags & FIRST_IS_MIN == 0);
        if flags & ONE_MARK == 0 {
            put_mark(&mut out, &numbers.last, true);
        }
    }
    put_sketch(&mut out, &state.sketch);
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<State, DecodeError> {
    match bytes.first() {
        Some(&VERSION) => decode_1(&bytes[1..]).ok_or(DecodeError::Malformed),
        Some(&version) => Err(DecodeError::Version(version)),
        None => Err(DecodeError::Malformed),
    }
}

fn decode_1(bytes: &[u8]) -> Option<State> {
    let mut input = Input(bytes);
    let flags = input.byte()?;
    let count = input.whole()?;
    let mut sum = Sum::default();
    let mut numbers = None;
    if flags & NUMBERS != 0 {
        let min = input.decimal()?;
        let max = if flags & ONE_VALUE == 0 {
            input.decimal()?
        } else {
            min
        };
        sum = match (flags & SUM_IS_MIN != 0, flags & WIDE_SUM != 0) {
            (true, _) => Sum::from(min),
            (false, false) => Sum::from(input.decimal()?),
            (false, true) => input.wide_sum()?,
        };
        let first = input.mark((flags & FIRST_IS_MIN != 0).then_some(min))?;
        let last = if flags & ONE_MARK == 0 {
            input.mark(None)?
        } else {
            first
        };
        numbers = Some(Numbers {
            min,
            max,
            first,
            last,
        });
    }
    let sketch = if flags & SKETCH == 0 {
        Sketch::None
    } else {
        input.sketch()?
    };
    input.0.is_empty().then_some(State {
        count,
        sum,
        numbers,
        sketch,
    })
}

pub(crate) fn put(out: &mut Vec<u8>, mut value: u128) {
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn put_signed(out: &mut Vec<u8>, value: i128) {
    put(
        out,
        (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned(),
    );
}

pub(crate) fn put_decimal(out: &mut Vec<u8>, value: Decimal) {
    let (mantissa, exponent) = value.parts();
    put_signed(out, i128::from(exponent));
    put_signed(out, mantissa);
}

fn put_sum(out: &mut Vec<u8>, sum: &Canonical) {
    match sum {
        Canonical::Decimal(sum) => put_decimal(out, *sum),
        Canonical::Limbs(limbs) => {
            let first = limbs.iter().position(|limb| *limb != 0).unwrap_or(0);
            let end = limbs
                .iter()
                .rposition(|limb| *limb != 0)
                .map_or(first, |last| last + 1);
            put(out, first as u128);
            put(out, (end - first) as u128);
            for limb in &limbs[first..end] {
                put_signed(out, i128::from(*limb));
            }
        }
    }
}

fn put_mark(out: &mut Vec<u8>, mark: &Mark, with_value: bool) {
    put_signed(out, i128::from(mark.at.as_second()));
    put_signed(out, i128::from(mark.at.subsec_nanosecond()));
    put(out, u128::from(mark.page));
    put(out, u128::from(mark.index));
    if with_value {
        put_decimal(out, mark.value);
    }
}

fn put_sketch(out: &mut Vec<u8>, sketch: &Sketch) {
    match sketch {
        Sketch::None => {}
        Sketch::Distinct(Distinct::Exact(hashes)) => {
            out.push(EXACT_DISTINCT);
            put(out, hashes.len() as u128);
            for hash in hashes {
                out.extend(hash.to_le_bytes());
            }
        }
        Sketch::Distinct(Distinct::Registers(registers)) => {
            out.push(REGISTERS);
            // Four registers of six bits in three bytes.
            for four in registers.as_chunks::<4>().0 {
                let word = four
                    .iter()
                    .fold(0_u32, |word, register| (word << 6) | u32::from(*register));
                out.extend(&word.to_be_bytes()[1..]);
            }
        }
        Sketch::Quantiles(Quantiles::Exact(values)) => {
            out.push(EXACT_VALUES);
            put(out, values.len() as u128);
            for value in values {
                put_decimal(out, *value);
            }
        }
        Sketch::Quantiles(Quantiles::Bins(bins)) => {
            out.push(BINS);
            put(out, bins.len() as u128);
            let mut before = 0;
            for (key, count) in bins {
                put_signed(out, i128::from(*key) - before);
                put(out, u128::from(*count));
                before = i128::from(*key);
            }
        }
    }
}

pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl Input<'_> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn wide(&mut self) -> Option<u128> {
        // Short integers, which nearly all are, in 64 bits.
        let mut short = 0_u64;
        for (place, byte) in self.0.iter().take(9).enumerate() {
            short |= u64::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Some(u128::from(short));
            }
        }
        let mut value = 0_u128;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let low = u128::from(byte & 0x7F);
            if shift > 127 || (low << shift) >> shift != low {
                return None;
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
            shift += 7;
        }
    }

    pub(crate) fn whole<T: TryFrom<u128>>(&mut self) -> Option<T> {
        T::try_from(self.wide()?).ok()
    }

    pub(crate) fn signed<T: TryFrom<i128>>(&mut self) -> Option<T> {
        let value = self.wide()?;
        T::try_from((value >> 1).cast_signed() ^ -((value & 1).cast_signed())).ok()
    }

    pub(crate) fn decimal(&mut self) -> Option<Decimal> {
        let exponent = self.signed()?;
        Decimal::new(self.signed()?, exponent)
    }

    fn wide_sum(&mut self) -> Option<Sum> {
        let first = self.whole()?;
        let length: usize = self.whole()?;
        let limbs: Option<Vec<i64>> = (0..length.min(self.0.len()))
            .map(|_| self.signed())
            .collect();
        Sum::from_limbs(first, &limbs?)
    }

    fn mark(&mut self, value: Option<Decimal>) -> Option<Mark> {
        let at = Timestamp::new(self.signed()?, self.signed()?).ok()?;
        let (page, index) = (self.whole()?, self.whole()?);
        let value = match value {
            Some(value) => value,
            None => self.decimal()?,
        };
        Some(Mark {
            at,
            page,
            index,
            value,
        })
    }

    fn sketch(&mut self) -> Option<Sketch> {
        match self.byte()? {
            EXACT_DISTINCT => {
                let length: usize = self.whole()?;
                let end = length.checked_mul(8)?;
                let (words, _) = self.0.get(..end)?.as_chunks::<8>();
                let hashes: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
                self.0 = &self.0[end..];
                let sorted = hashes.is_sorted_by(|left, right| left < right);
                (sorted && length <= distinct::EXACT_LIMIT)
                    .then_some(Sketch::Distinct(Distinct::Exact(hashes)))
            }
            REGISTERS => {
                let packed = self.0.get(..distinct::REGISTERS / 4 * 3)?;
                self.0 = &self.0[packed.len()..];
                let mut registers = Vec::with_capacity(distinct::REGISTERS);
                for three in packed.as_chunks::<3>().0 {
                    let word = u32::from_be_bytes([0, three[0], three[1], three[2]]);
                    registers.extend([18, 12, 6, 0].map(|shift| (word >> shift & 0x3F) as u8));
                }
                let sound = registers
                    .iter()
                    .all(|register| *register <= distinct::MAX_RANK);
                sound.then(|| Sketch::Distinct(Distinct::Registers(registers.into_boxed_slice())))
            }
            EXACT_VALUES => {
                let length: usize = self.whole()?;
                if length > quantile::EXACT_LIMIT {
                    return None;
                }
                let values: Option<Vec<Decimal>> = (0..length).map(|_| self.decimal()).collect();
                values
                    .filter(|values| values.is_sorted())
                    .map(|values| Sketch::Quantiles(Quantiles::Exact(values)))
            }
            BINS => {
                let length: usize = self.whole()?;
                let mut bins = BTreeMap::new();
                let mut key = 0_i32;
                for place in 0..length {
                    let step: i32 = self.signed()?;
                    if place > 0 && step <= 0 {
                        return None;
                    }
                    key = key.checked_add(step)?;
                    bins.insert(key, self.whole()?);
                }
                Some(Sketch::Quantiles(Quantiles::Bins(bins)))
            }
            _ => None,
        }
    }
}
