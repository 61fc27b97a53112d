//! Whether a thread has stood still: its machine was suspended, or its process stopped. What is read
//! from a socket after that may have lain there all the while, and whoever sent it may have gone to
//! another node since; only the thread itself can notice, by a tick that came much too late.

use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Ticks are a second apart; a busy thread is late by less.
const BREAK: Duration = Duration::from_secs(2);
/// How long what was waiting takes to be read.
const AFTERMATH: Duration = Duration::from_secs(2);

pub struct Steady {
    ticked_at: Cell<Instant>,
    stood_until: Cell<Option<Instant>>,
}

impl Default for Steady {
    fn default() -> Self {
        Self { ticked_at: Cell::new(Instant::now()), stood_until: Cell::default() }
    }
}

impl Steady {
    /// Called every second.
    pub fn tick(&self) {
        let now = Instant::now();
        if now.duration_since(self.ticked_at.replace(now)) > BREAK {
            self.stood_until.set(Some(now));
        }
    }

    /// Whether it stands to reason that what is read now was sent now.
    pub fn is(&self) -> bool {
        let stood_of_late = self.stood_until.get().is_some_and(|until| until.elapsed() < AFTERMATH);
        self.ticked_at.get().elapsed() <= BREAK && !stood_of_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_break_is_noticed_before_its_tick_and_for_a_while_after() {
        let steady = Steady::default();
        advance(Duration::from_secs(1)).await;
        steady.tick();
        assert!(steady.is());
        advance(Duration::from_secs(3)).await;
        assert!(!steady.is(), "before the tick");
        steady.tick();
        assert!(!steady.is(), "after it");
        advance(Duration::from_secs(1)).await;
        steady.tick();
        assert!(!steady.is());
        advance(Duration::from_secs(1)).await;
        steady.tick();
        assert!(steady.is(), "all has been read by now");
    }
}
