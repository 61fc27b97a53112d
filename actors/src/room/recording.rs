//! Whether a room is to be recorded now. It is while somebody who is no service is in it, where the
//! set of breakout rooms, or for the main room the meeting's settings, ask for it. When the last one
//! goes it is recorded a while longer, so that somebody who comes back soon finds one recording and
//! not two.

use convoke_domain::Meeting;
use convoke_domain::shapes::{Room, RoomKind};
use std::time::Duration;
use tokio::time::Instant;

/// How long a room may be empty before its recording stops.
pub const PAUSE: Duration = Duration::from_secs(30);

/// What the meeting's rules say of this room, whoever is in it.
pub fn is_asked_for(state: &Meeting, room: &Room) -> bool {
    match room.kind {
        RoomKind::Main => state.info.settings.auto_record,
        RoomKind::Breakout => state.breakout.as_ref().is_some_and(|set| set.shown.record),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    #[default]
    Off,
    On,
    /// It goes on, and nobody has been there since then.
    Emptied {
        since: Instant,
    },
}

impl Recording {
    /// What follows, given what is asked for and whether somebody is there.
    #[must_use]
    pub fn next(self, is_asked_for: bool, is_attended: bool, now: Instant) -> Self {
        match self {
            _ if !is_asked_for => Self::Off,
            _ if is_attended => Self::On,
            Self::Off => Self::Off,
            Self::On => Self::Emptied { since: now },
            Self::Emptied { since } if now.duration_since(since) >= PAUSE => Self::Off,
            Self::Emptied { .. } => self,
        }
    }

    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    /// When it stops, if nobody comes.
    pub fn stops_at(self) -> Option<Instant> {
        match self {
            Self::Emptied { since } => since.checked_add(PAUSE),
            Self::Off | Self::On => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_recorded_only_where_that_is_asked_for_and_from_the_first_one_in_it() {
        let now = Instant::now();
        assert_eq!(Recording::Off.next(false, true, now), Recording::Off);
        assert_eq!(Recording::Off.next(true, false, now), Recording::Off);
        assert_eq!(Recording::Off.next(true, true, now), Recording::On);
        assert_eq!(Recording::On.next(true, true, now), Recording::On);
        assert_eq!(Recording::On.next(false, true, now), Recording::Off, "taken back: at once");
    }

    #[test]
    fn it_stops_a_while_after_the_last_one_went() {
        let now = Instant::now();
        let emptied = Recording::On.next(true, false, now);
        assert_eq!(emptied.stops_at(), Some(now + PAUSE));
        let before = now + PAUSE - Duration::from_millis(1);
        assert_eq!(emptied.next(true, false, before), emptied);
        assert!(emptied.is_on());
        assert_eq!(emptied.next(true, true, before), Recording::On);
        assert_eq!(emptied.next(true, false, now + PAUSE), Recording::Off);
    }
}
