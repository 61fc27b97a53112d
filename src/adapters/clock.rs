//! The wall clock, corrected by the database's: the nodes agree on that one. A meeting's own time
//! never runs backwards, whatever this one does.

use convoke_actors::ports::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A smaller difference is the way to the database and back, and is left alone.
const NOISE_MS: i64 = 100;

pub struct SystemClock {
    /// This machine's time, in Unix milliseconds.
    machine: Box<dyn Fn() -> i64 + Send + Sync>,
    /// What is added to it.
    correction: AtomicI64,
}

impl SystemClock {
    /// A clock that goes by another machine's time.
    pub fn reading(machine: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { machine: Box::new(machine), correction: AtomicI64::new(0) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::reading(machine)
    }
}

fn machine() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        u64::try_from((self.machine)().saturating_add(self.correction.load(Ordering::Relaxed))).unwrap_or(0)
    }

    fn entropy(&self) -> u128 {
        rand::random()
    }

    fn correct(&self, database: u64) {
        let difference = i64::try_from(database).unwrap_or(i64::MAX).saturating_sub((self.machine)());
        let known = self.correction.load(Ordering::Relaxed);
        if difference.saturating_sub(known).abs() > NOISE_MS {
            tracing::info!(difference_ms = difference, "this machine's clock differs from the database's");
            self.correction.store(difference, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_database_and_not_its_jitter() {
        let clock = SystemClock::default();
        let correction = || clock.correction.load(Ordering::Relaxed);
        clock.correct(clock.now() + 5_000);
        let corrected = correction();
        // What passes between reading the clock and correcting it is no more than a moment.
        assert!((1_000..=5_000).contains(&corrected), "{corrected}");
        clock.correct(clock.now() + 50);
        assert_eq!(correction(), corrected, "fifty milliseconds are the way there");
        clock.correct(clock.now() - 4_000);
        assert!(correction() < corrected - 3_000, "{}", correction());
    }
}
