//! Which webhooks were taken lately. LiveKit sends one again, under its id, until it hears that it was
//! taken. Kept for as long as a webhook may be old, so many of them, on this node alone: where two nodes
//! take the same one, a meeting looks twice.

use super::{AGE_MAX_MS, AHEAD_MAX_MS};
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::time::Instant;

/// Beyond these the oldest are forgotten. A hundred a second for as long as they are kept.
pub const SEEN_MAX: usize = 65_536;
const KEPT: Duration = Duration::from_millis(AGE_MAX_MS + AHEAD_MAX_MS);

/// Only digests are kept, with a key that nobody knows: an id may be long, and whoever chooses ids
/// cannot choose two that are taken for one.
#[derive(Default)]
pub struct Seen {
    keys: RandomState,
    digests: HashSet<u64>,
    order: VecDeque<(Instant, u64)>,
}

impl Seen {
    /// Remembers an id; false if it is remembered already.
    pub fn is_new(&mut self, id: &[u8], now: Instant) -> bool {
        let is_over = |at: Instant| now.saturating_duration_since(at) > KEPT;
        while self.order.front().is_some_and(|(at, _)| is_over(*at)) {
            self.forget_first();
        }
        let digest = self.keys.hash_one(id);
        if !self.digests.insert(digest) {
            return false;
        }
        if self.order.len() >= SEEN_MAX {
            self.forget_first();
        }
        self.order.push_back((now, digest));
        true
    }

    fn forget_first(&mut self) {
        if let Some((_, digest)) = self.order.pop_front() {
            self.digests.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_in_its_time() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        assert!(seen.is_new(b"one", now) && seen.is_new(b"other", now));
        assert!(!seen.is_new(b"one", now) && !seen.is_new(b"one", now + KEPT));
        assert!(seen.is_new(b"one", now + KEPT + Duration::from_millis(1)));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        for number in 0..SEEN_MAX + 1_000 {
            assert!(seen.is_new(&number.to_le_bytes(), now), "{number}");
            assert!(seen.digests.len() <= SEEN_MAX && seen.order.len() == seen.digests.len());
        }
        assert!(!seen.is_new(&1_000_usize.to_le_bytes(), now), "the oldest that is kept");
        assert!(seen.is_new(&999_usize.to_le_bytes(), now), "the newest that is forgotten");
    }
}
