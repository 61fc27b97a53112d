//! What drawing costs, and who may have it cost how much. To find its place an item may have to pass by every other
//! of its list: an update that was made to be awkward takes the product of its items and the board's.

use super::deep::Place;
use super::document::Bounds;
use super::inspect::Made;
use convoke_domain::SessionId;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Steps after which it is looked how long an update takes already. One takes up to 300 ns: some half a second, at
/// worst; and nearly nothing where nobody means harm.
const STEPS_UNSEEN: usize = 1 << 21;
/// Steps that are taken on the thread that a board shares with others, when they have taken long: 80 ms, at worst.
const STEPS_CAREFUL: usize = 1 << 18;
/// How long a board is careful.
const CAREFUL: Duration = Duration::from_secs(60);
/// To split a text or a list is to pass over its positions, so many in the time of a step.
const POSITIONS_A_STEP: usize = 32;
/// What drawing costs where time is simulated.
const SIMULATED: Duration = Duration::from_micros(1);
/// Sessions whose drawing is looked after before it is looked who of them needs no looking after any more.
const TIDY_AT: usize = 1_024;

/// What a board has to step over for each item that is drawn: what is deleted of it is among its items.
fn length(all: Made) -> usize {
    all.items.saturating_add(all.positions / POSITIONS_A_STEP)
}

/// Steps that an update may take at worst, on a board that is made of this.
pub fn steps(new: Made, board: Made) -> usize {
    new.weight().saturating_mul(length(board.and(new)))
}

/// Items and ranges of an update that are drawn before it is looked how long it takes.
pub fn at_once(new: Made, board: Made) -> usize {
    (STEPS_UNSEEN / length(board.and(new)).max(1)).max(1)
}

/// How much a board may draw on the thread that it shares. What an update takes at worst says little of what it takes;
/// so that is tried, until one takes long. Of many that take little each, others get their turn in between.
#[derive(Debug, Default)]
pub struct Caution {
    until: Option<Instant>,
    since_pause: Duration,
}

impl Caution {
    pub fn learn(&mut self, took: Duration, bounds: &Bounds) {
        self.since_pause = self.since_pause.saturating_add(took);
        if took > bounds.time_shared {
            self.until = Instant::now().checked_add(CAREFUL);
        }
    }

    /// Whether others are to go first.
    pub fn needs_pause(&self, bounds: &Bounds) -> bool {
        self.since_pause > bounds.time_shared
    }

    pub fn paused(&mut self) {
        self.since_pause = Duration::ZERO;
    }

    /// Steps that may be taken there.
    pub fn steps(&self) -> usize {
        let is_careful = self.until.is_some_and(|until| Instant::now() < until);
        if is_careful { STEPS_CAREFUL } else { STEPS_UNSEEN }
    }
}

/// How long something takes; where time is simulated it is always the same.
#[derive(Clone, Copy, Debug)]
pub struct Watch(Option<std::time::Instant>);

impl Watch {
    pub fn new(place: Place) -> Self {
        Self((place == Place::Aside).then(std::time::Instant::now))
    }

    pub fn elapsed(&self) -> Duration {
        self.0.map_or(SIMULATED, |began| began.elapsed())
    }
}

/// What the drawing of each session has cost, on all boards of a node. It is forgotten little by little.
#[derive(Debug, Default)]
pub struct Spent {
    sessions: HashMap<SessionId, (Duration, Instant)>,
    tidy_at: usize,
}

fn left(spent: (Duration, Instant), bounds: &Bounds) -> Duration {
    let (cost, at) = spent;
    let micros = u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX);
    cost.saturating_sub(bounds.session_time_per_s.saturating_mul(micros) / 1_000_000)
}

impl Spent {
    pub fn add(&mut self, session: SessionId, cost: Duration, bounds: &Bounds) {
        let spent = self.of(session, bounds).saturating_add(cost);
        self.sessions.insert(session, (spent, Instant::now()));
        if self.sessions.len() >= self.tidy_at.max(TIDY_AT) {
            self.sessions.retain(|_, spent| !left(*spent, bounds).is_zero());
            self.tidy_at = self.sessions.len().saturating_mul(2);
        }
    }

    fn of(&self, session: SessionId, bounds: &Bounds) -> Duration {
        self.sessions.get(&session).map_or(Duration::ZERO, |spent| left(*spent, bounds))
    }

    /// Whether it has had its share, and more.
    pub fn is_over(&self, session: SessionId, bounds: &Bounds) -> bool {
        self.of(session, bounds) > bounds.session_time_max
    }
}

#[cfg(test)]
mod tests;
