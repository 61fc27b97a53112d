//! What a meeting and its rooms say to each other. The meeting says what is wanted, as a level: a
//! word that is lost is made good by the next, and an older one changes nothing. A room answers
//! with what only it can know. What it saw of the media is an observation like any other: the meeting
//! decides what comes of it.

use crate::ports::MediaRoom;
use actix::Message;
use convoke_domain::recording::{Observation, Recording, Take, TakeState};
use convoke_domain::shapes::{Media as Sources, RoomState, Source};
use convoke_domain::{ParticipantId, RecordingId, RoomId, Seq, SessionId, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Somebody who is in the room, or is on the way back to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub is_service: bool,
    pub sessions: BTreeSet<SessionId>,
    pub may: Sources,
    /// What they publish, as the meeting has it.
    pub media: Sources,
    /// What was muted and not turned on since, by the event that said so.
    pub mutes: BTreeMap<Source, Seq>,
}

/// A recording that something is still to come of, with what is known of its takes: part and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRecording {
    pub recording: Recording,
    pub takes: BTreeMap<String, (String, TakeState)>,
}

/// What the other rooms of a meeting look after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Their media rooms, by generation.
    pub rooms: BTreeMap<RoomId, u32>,
    pub recordings: BTreeSet<RecordingId>,
}

/// All that is wanted of a room. It leaves the meeting when `at_seq` is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub at_seq: Seq,
    /// Closed: nothing of it is to be left.
    pub state: RoomState,
    pub media: MediaRoom,
    pub people: BTreeMap<ParticipantId, Person>,
    pub recordings: BTreeMap<RecordingId, WantedRecording>,
    /// For the main room: what other rooms look after. Whatever else of the meeting is there is nobody's.
    pub elsewhere: Elsewhere,
}

impl Wanted {
    pub fn is_closed(&self) -> bool {
        self.state == RoomState::Closed
    }

    /// Whether it asks for the same, at whatever seq.
    pub fn is_like(&self, other: &Self) -> bool {
        self.state == other.state
            && self.media == other.media
            && self.recordings == other.recordings
            && self.elsewhere == other.elsewhere
            && self.people == other.people
    }

    pub fn sessions(&self) -> BTreeSet<SessionId> {
        self.people.values().flat_map(|person| person.sessions.iter().copied()).collect()
    }
}

/// Who comes over from other rooms, and the seq of each one's move. Whoever has not been
/// acknowledged is named again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrate {
    pub people: BTreeMap<ParticipantId, Seq>,
}

#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub enum ToRoom {
    Wanted(Arc<Wanted>),
    Migrate(Migrate),
    /// These are there, by the word of whoever knows.
    Arrived(BTreeSet<ParticipantId>),
    /// The media server says that people or tracks changed here.
    Changed,
    /// It says so of takes.
    Takes(Vec<(RecordingId, Take)>),
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FromRoom {
    pub room: RoomId,
    /// The life of the meeting whose hand it is; a later one does not listen to it.
    pub term: Term,
    pub word: Word,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// It has lost what it knew, and is to be told all again.
    Asks,
    /// It looks out for those whose move is at or before this seq. They need nothing more from it:
    /// their credentials stand in the view that went with the move.
    Expects {
        upto: Seq,
    },
    Arrived(BTreeSet<ParticipantId>),
    /// Who did not arrive in time and has not come since; `late` are those who are new among them.
    Missing {
        missing: BTreeSet<ParticipantId>,
        late: BTreeSet<ParticipantId>,
    },
    /// What it saw of the media, in order.
    Seen(Vec<Observation>),
    /// It was closed, and nothing of it is left.
    Gone,
}
