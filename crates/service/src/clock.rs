//! The time, handed in, so that tests choose it.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Tells the time: the machine's, or one that a test sets.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// Returns the machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a clock that stands at `at` until it is set or advanced; clones stand with it.
    pub fn fixed(at: Timestamp) -> Self {
        Self(Source::Fixed(Arc::new(Mutex::new(at))))
    }

    /// Returns the present instant.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Fixed(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Puts a fixed clock, and all its clones, at `at`; the machine's clock is left alone.
    pub fn set(&self, at: Timestamp) {
        if let Source::Fixed(held) = &self.0 {
            *held.lock().unwrap_or_else(PoisonError::into_inner) = at;
        }
    }

    /// Moves a fixed clock, and all its clones, by `step`, stopping at the ends of time.
    pub fn advance(&self, step: SignedDuration) {
        if let Source::Fixed(held) = &self.0 {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            *held = held.saturating_add(step).unwrap_or(*held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_when_told_and_its_clones_with_it() {
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let clock = Clock::fixed(start);
        let clone = clock.clone();
        assert_eq!(clone.now(), start);

        clock.advance(SignedDuration::from_hours(2));
        assert_eq!(clone.now().to_string(), "2026-03-01T02:00:00Z");

        clone.set(start);
        assert_eq!(clock.now(), start);
    }

    #[test]
    fn the_system_clock_cannot_be_set() {
        let clock = Clock::system();
        clock.set(Timestamp::UNIX_EPOCH);
        assert!(clock.now() > Timestamp::UNIX_EPOCH);
    }
}
