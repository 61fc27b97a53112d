//! The latest events of a meeting, encoded, for sessions that come back: exactly what they missed,
//! without reading the log. Bounded in events and in bytes; what it no longer holds is answered
//! with a snapshot instead.

use crate::release::Place;
use bytestring::ByteString;
use convoke_domain::{Audience, Seq};
use std::collections::VecDeque;

pub const EVENTS_MAX: usize = 2_048;
const BYTES_MAX: usize = 2 << 20;

struct Entry {
    seq: Seq,
    audience: Audience,
    message: ByteString,
}

#[derive(Default)]
pub struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Everything after this seq is here.
    after: Seq,
}

impl Ring {
    /// An empty ring that continues after this seq.
    pub fn starting_after(after: Seq) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, after }
    }

    pub fn push(&mut self, seq: Seq, audience: Audience, message: ByteString) {
        self.bytes = self.bytes.saturating_add(message.len());
        self.entries.push_back(Entry { seq, audience, message });
        while self.entries.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.message.len());
            self.after = oldest.seq;
        }
    }

    /// The events after a cursor that this place may see. None where the ring does not reach back.
    pub fn since(&self, cursor: Seq, place: Place) -> Option<Vec<(Seq, ByteString)>> {
        if cursor < self.after {
            return None;
        }
        let from = self.entries.partition_point(|entry| entry.seq <= cursor);
        let missed = self.entries.iter().skip(from).filter(|entry| place.sees(&entry.audience));
        Some(missed.map(|entry| (entry.seq, entry.message.clone())).collect())
    }

    /// Forgets everything up to here: it holds words that were deleted.
    pub fn forget(&mut self, upto: Seq) {
        *self = Self::starting_after(upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_domain::{ParticipantId, RoomId};

    fn place() -> Place {
        let participant = ParticipantId("018f0000-0000-7000-8000-000000000001".parse().unwrap());
        Place { participant, room: RoomId::Main, leads: false, waiting: false }
    }

    #[test]
    fn gives_exactly_what_was_missed_and_may_be_seen() {
        let mut ring = Ring::starting_after(Seq(10));
        for (seq, audience) in [(11, Audience::Everyone), (12, Audience::Leads), (13, Audience::Room(RoomId::Main))] {
            ring.push(Seq(seq), audience, ByteString::from(seq.to_string()));
        }
        assert_eq!(ring.since(Seq(10), place()), Some(vec![(Seq(11), "11".into()), (Seq(13), "13".into())]));
        assert_eq!(ring.since(Seq(11), place()), Some(vec![(Seq(13), "13".into())]));
        assert_eq!(ring.since(Seq(13), place()), Some(vec![]));
        assert_eq!(ring.since(Seq(9), place()), None);
    }

    #[test]
    fn is_bounded_in_events_and_in_bytes() {
        let mut ring = Ring::default();
        for seq in 1..=3_000 {
            ring.push(Seq(seq), Audience::Everyone, ByteString::from_static("x"));
        }
        assert_eq!(ring.entries.len(), EVENTS_MAX);
        assert_eq!(ring.since(Seq(3_000 - 2_049), place()), None);
        assert_eq!(ring.since(Seq(3_000 - 2_048), place()).map(|missed| missed.len()), Some(EVENTS_MAX));
        for seq in 3_001..=3_010 {
            ring.push(Seq(seq), Audience::Everyone, ByteString::from("y".repeat(1 << 19)));
        }
        assert!(ring.bytes <= BYTES_MAX);
    }
}
