//! Counting distinct texts: exactly up to a bound, then by HyperLogLog.

/// Up to this many distinct values are counted exactly (by 64-bit hash): 16 KiB a bucket at most, the size
/// at which the registers become the smaller form.
pub(crate) const EXACT_LIMIT: usize = 2048;
/// HyperLogLog's precision: 2^14 registers, a relative standard error of 1.04 / √16384 = 0.8 %.
const PRECISION: u32 = 14;
/// Number of registers.
pub(crate) const REGISTERS: usize = 1 << PRECISION;
/// The largest rank a register holds.
pub(crate) const MAX_RANK: u8 = 51;
const _: () = assert!(MAX_RANK as u32 == 64 - PRECISION + 1);

/// A set of distinct values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Distinct {
    /// Sorted hashes.
    Exact(Vec<u64>),
    /// HyperLogLog's registers.
    Registers(Box<[u8]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Distinct {
    pub(crate) fn add(&mut self, text: &str) {
        self.add_hash(hash(text.as_bytes()));
    }

    fn add_hash(&mut self, hash: u64) {
        match self {
            Self::Exact(hashes) => {
                if let Err(place) = hashes.binary_search(&hash) {
                    hashes.insert(place, hash);
                    self.convert_if_large();
                }
            }
            Self::Registers(registers) => raise(registers, hash),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Exact(own), Self::Exact(hashes)) => {
                own.extend_from_slice(hashes);
                own.sort_unstable();
                own.dedup();
                self.convert_if_large();
            }
            (Self::Registers(own), Self::Registers(registers)) => {
                for (own, other) in own.iter_mut().zip(registers) {
                    *own = (*own).max(*other);
                }
            }
            (Self::Registers(_), Self::Exact(hashes)) => {
                for hash in hashes {
                    self.add_hash(*hash);
                }
            }
            (Self::Exact(hashes), Self::Registers(registers)) => {
                let mut registers = registers.clone();
                for hash in hashes {
                    raise(&mut registers, *hash);
                }
                *self = Self::Registers(registers);
            }
        }
    }

    fn convert_if_large(&mut self) {
        if let Self::Exact(hashes) = self
            && hashes.len() > EXACT_LIMIT
        {
            let mut registers = vec![0; REGISTERS].into_boxed_slice();
            for hash in hashes {
                raise(&mut registers, *hash);
            }
            *self = Self::Registers(registers);
        }
    }

    /// Returns the number of distinct values: exact, or estimated.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Exact(hashes) => hashes.len() as u64,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rounded estimate above zero"
            )]
            Self::Registers(registers) => estimate(registers).round() as u64,
        }
    }
}

fn raise(registers: &mut [u8], hash: u64) {
    let place = (hash >> (64 - PRECISION)) as usize;
    // The sentinel bit ends the run of zeros at the last usable bit.
    let rank = ((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() + 1;
    if let (Some(register), Ok(rank)) = (registers.get_mut(place), u8::try_from(rank)) {
        *register = (*register).max(rank);
    }
}

/// Ertl's improved raw estimator: unbiased over the whole range, without tables.
/// Source: Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6.
fn estimate(registers: &[u8]) -> f64 {
    /// 1 / (2 ln 2)
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let mut histogram = [0_u32; MAX_RANK as usize + 1];
    for register in registers {
        if let Some(bar) = histogram.get_mut(usize::from(*register)) {
            *bar += 1;
        }
    }
    let size = registers.len() as f64;
    let top = usize::from(MAX_RANK);
    let mut z = size * tau((size - f64::from(histogram[top])) / size);
    for bar in histogram[1..top].iter().rev() {
        z = 0.5 * (z + f64::from(*bar));
    }
    z += size * sigma(f64::from(histogram[0]) / size);
    ALPHA * size * size / z
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;

/// XXH64 with seed 0: stored states hold these hashes, so they must never change.
/// Source: the xxHash specification, version 0.1.1.
fn hash(bytes: &[u8]) -> u64 {
    let round = |lane: u64, input: u64| {
        lane.wrapping_add(input.wrapping_mul(PRIME_2))
            .rotate_left(31)
            .wrapping_mul(PRIME_1)
    };
    let (stripes, mut rest) = bytes.as_chunks::<32>();
    let mut state = if stripes.is_empty() {
        PRIME_5
    } else {
        let mut lanes = [
            PRIME_1.wrapping_add(PRIME_2),
            PRIME_2,
            0,
            0_u64.wrapping_sub(PRIME_1),
        ];
        for stripe in stripes {
            let (words, _) = stripe.as_chunks::<8>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let [a, b, c, d] = lanes;
        let joined = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        lanes.iter().fold(joined, |state, lane| {
            (state ^ round(0, *lane))
                .wrapping_mul(PRIME_1)
                .wrapping_add(PRIME_4)
        })
    };
    state = state.wrapping_add(bytes.len() as u64);
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        state ^= round(0, u64::from_le_bytes(*word));
        state = state
            .rotate_left(27)
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4);
        rest = tail;
    }
    if let Some((word, tail)) = rest.split_first_chunk::<4>() {
        state ^= u64::from(u32::from_le_bytes(*word)).wrapping_mul(PRIME_1);
        state = state
            .rotate_left(23)
            .wrapping_mul(PRIME_2)
            .wrapping_add(PRIME_3);
        rest = tail;
    }
    for byte in rest {
        state ^= u64::from(*byte).wrapping_mul(PRIME_5);
        state = state.rotate_left(11).wrapping_mul(PRIME_1);
    }
    state = (state ^ (state >> 33)).wrapping_mul(PRIME_2);
    state = (state ^ (state >> 29)).wrapping_mul(PRIME_3);
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_xxh64() {
        // Vectors of the reference implementation.
        assert_eq!(hash(b""), 0xEF46_DB37_51D8_E999);
        assert_eq!(hash(b"a"), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(hash(b"abc"), 0x44BC_2CF5_AD77_0999);
        assert_eq!(
            hash(b"Nobody inspects the spammish repetition"),
            0xFBCE_A83C_8A37_8BF1
        );
    }

    #[test]
    fn counts_are_exact_up_to_the_bound_and_within_three_percent_beyond() {
        let mut distinct = Distinct::default();
        let mut added = 0;
        for target in [1_u32, 10, 2048, 2049, 5_000, 20_000, 60_000, 200_000] {
            while added < target {
                distinct.add(&format!("customer {added}"));
                distinct.add(&format!("customer {added}"));
                added += 1;
            }
            let count = distinct.count() as f64;
            let error = (count - f64::from(target)).abs() / f64::from(target);
            let allowed = if target as usize <= EXACT_LIMIT {
                0.0
            } else {
                0.03
            };
            assert!(error <= allowed, "{target}: {count}");
        }
    }

    #[test]
    fn merging_gives_the_set_of_both_whatever_the_forms() {
        let of = |range: std::ops::Range<u32>| {
            let mut distinct = Distinct::default();
            range.for_each(|number| distinct.add(&number.to_string()));
            distinct
        };
        for (left, right, all) in [
            (0..10, 5..20, 0..20),
            (0..5000, 10..20, 0..5000),
            (0..1500, 1000..3000, 0..3000),
        ] {
            let mut one = of(left.clone());
            one.merge(&of(right.clone()));
            let mut two = of(right);
            two.merge(&of(left));
            assert_eq!(one, two);
            assert_eq!(one, of(all));
        }
    }
}
