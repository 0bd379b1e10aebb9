//! Chance that is the same for ever: splitmix64, written out so that no library's change moves
//! a single record.

/// A source of numbers that depends on its seed alone.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Returns a source for one purpose; sources of different purposes do not disturb each other.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(seed ^ 0x5DEE_CE66, |state, byte| {
            (state.rotate_left(7) ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self(mixed)
    }

    /// Returns the next number, all 64 bits of it.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Returns a number below `limit`, or 0 when `limit` is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // The bias of the remainder is far below what sample data could show.
        self.next().checked_rem(limit).unwrap_or(0)
    }

    /// Returns a number in `[0, 1)`.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns one of `choices`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_never_change() {
        let mut random = Random::new(7, "subscribers");
        let first = random.next();
        assert_eq!(first, Random::new(7, "subscribers").next());
        assert_ne!(first, Random::new(8, "subscribers").next());
        assert_ne!(first, Random::new(7, "purchases").next());
        assert!((0..1000).all(|_| random.below(10) < 10 && random.fraction() < 1.0));
    }
}
