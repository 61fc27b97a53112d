//! The meeting's hands: an actor for each room that is not closed, of a meeting that is live here.
//! They are told what is wanted whenever that changed, in the meeting's one queue, so never of what
//! might be lost; and nobody waits for them. Words are gathered while others wait to leave, so a
//! crowd that joins costs one walk over the people a commit, and a chat message none.

use crate::ports::{MediaNews, MediaRoom, MeetingKey};
use crate::release::Place;
use crate::room::RoomActor;
use crate::room::words::{Elsewhere, Migrate, Person, ToRoom, Wanted, WantedRecording, Word};
use actix::Addr;
use convoke_domain::recording::LiveRecording;
use convoke_domain::shapes::{Room, RoomState, Status};
use convoke_domain::{Event, Meeting, ParticipantId, Recorded, RecordingId, RoomId, Seq};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Nothing,
    /// Told as soon as what waits to be told has left.
    Soon,
    /// There are rooms that were not: they are asked for before anybody is sent there.
    Now,
}

struct Handle {
    /// Made when there is something to tell.
    address: Option<Addr<RoomActor>>,
    wanted: Arc<Wanted>,
    /// False: it is to be told all that it may not know.
    is_told: bool,
}

/// Somebody on the way to a room, until that says they arrived.
struct Coming {
    room: RoomId,
    seq: Seq,
    /// The room looks out for them.
    is_expected: bool,
    /// A socket of theirs has its place there.
    is_placed: bool,
}

/// Who is missing in a room, and who is so only now.
pub struct Missing {
    pub all: BTreeSet<ParticipantId>,
    pub late: BTreeSet<ParticipantId>,
}

pub struct Rooms {
    rooms: BTreeMap<RoomId, Handle>,
    coming: BTreeMap<ParticipantId, Coming>,
    /// Whose arrival is to be told.
    placed: BTreeMap<RoomId, BTreeSet<ParticipantId>>,
    change: Change,
    has_untold: bool,
    /// Words that wait to leave.
    waiting: usize,
    /// A socket's place is no evidence where the media says itself who is there.
    reports_presence: bool,
    /// Dropped with this, which ends the rooms.
    leash: watch::Sender<()>,
}

impl Rooms {
    pub fn new(reports_presence: bool) -> Self {
        Self {
            rooms: BTreeMap::new(),
            coming: BTreeMap::new(),
            placed: BTreeMap::new(),
            change: Change::Nothing,
            has_untold: false,
            waiting: 0,
            reports_presence,
            leash: watch::Sender::new(()),
        }
    }

    /// A life of the meeting begins. Whether an owner that died had still put away what was closed
    /// by then, nobody knows: it is put away again.
    pub fn begin(&mut self, state: &Meeting, key: &MeetingKey, was_owned: bool) {
        self.change = Change::Now;
        let is_over = state.info.status.is_over();
        let left = state.rooms.values().filter(|room| is_over || room.state == RoomState::Closed);
        let is_followed = |room: &Room| state.open_recordings().any(|live| live.recording.room == room.id);
        for room in left.filter(|room| was_owned || is_followed(room)) {
            let wanted = Arc::new(closed(state, key, room.id));
            self.rooms.insert(room.id, Handle { address: None, wanted, is_told: false });
            self.has_untold = true;
        }
    }

    fn mark(&mut self, change: Change) {
        self.change = self.change.max(change);
    }

    /// Notes what an event means for the rooms. Most mean nothing.
    pub fn note(&mut self, recorded: &Recorded, state: &Meeting) {
        match &recorded.event {
            Event::MeetingStarted { .. } | Event::BreakoutOpened { .. } | Event::BreakoutChanged { .. } => {
                self.mark(Change::Now);
            }
            Event::MeetingEnded { .. } | Event::MeetingCancelled { .. } => {
                self.coming.clear();
                self.mark(Change::Soon);
            }
            Event::ParticipantLeft { participant, .. } | Event::ParticipantRemoved { participant, .. } => {
                self.coming.remove(&participant.id);
                self.mark(Change::Soon);
            }
            Event::ParticipantsMoved { moves, .. } => {
                for this in moves {
                    let is_service = state.member(this.participant).is_some_and(|member| member.is_service());
                    if !is_service {
                        let (room, seq) = (this.to, recorded.seq);
                        let coming = Coming { room, seq, is_expected: false, is_placed: false };
                        self.coming.insert(this.participant, coming);
                    }
                }
                self.mark(Change::Soon);
            }
            Event::MeetingUpdated { .. }
            | Event::ParticipantJoined { .. }
            | Event::RoleChanged { .. }
            | Event::SessionOpened { .. }
            | Event::SessionClosed { .. }
            | Event::BreakoutMerged { .. }
            | Event::BreakoutClosed { .. }
            | Event::RecordingChanged { .. }
            | Event::TakeChanged { .. } => self.mark(Change::Soon),
            // What people may publish, and do, matters to a media server only.
            Event::MediaSet { .. }
            | Event::ParticipantsMuted { .. }
            | Event::ParticipantsPermitted { .. }
            | Event::RecordingConsented { .. }
                if self.reports_presence =>
            {
                self.mark(Change::Soon);
            }
            _ => {}
        }
    }

    /// A socket is given its place. For whoever is on the way there, that is their arrival: they were
    /// connected when they were moved, or have come back since.
    pub fn placed(&mut self, place: Place) {
        let Some(coming) = self.coming.get_mut(&place.participant) else { return };
        if coming.room == place.room && !place.waiting && !self.reports_presence && !coming.is_placed {
            coming.is_placed = true;
            self.placed.entry(place.room).or_default().insert(place.participant);
            self.mark(Change::Soon);
        }
    }

    /// What the rooms are to be told as of the present state, in order. It leaves when that is durable.
    pub fn stage(&mut self, state: &Meeting, key: &MeetingKey) -> Vec<(RoomId, ToRoom)> {
        let mut words = Vec::new();
        if self.change == Change::Now || (self.change == Change::Soon && self.waiting == 0) {
            self.change = Change::Nothing;
            self.changed(state, key, &mut words);
        }
        if std::mem::take(&mut self.has_untold) {
            let untold: Vec<RoomId> = self.rooms.iter().filter(|(_, h)| !h.is_told).map(|(id, _)| *id).collect();
            for room in untold {
                self.tell_all(room, &mut words);
            }
        }
        self.waiting = self.waiting.saturating_add(words.len());
        words
    }

    fn changed(&mut self, state: &Meeting, key: &MeetingKey, words: &mut Vec<(RoomId, ToRoom)>) {
        for wanted in self.all_wanted(state, key) {
            let room = wanted.media.room;
            if self.rooms.get(&room).is_some_and(|handle| handle.wanted.is_like(&wanted)) {
                continue;
            }
            let wanted = Arc::new(wanted);
            let address = self.rooms.remove(&room).and_then(|handle| handle.address);
            self.rooms.insert(room, Handle { address, wanted: Arc::clone(&wanted), is_told: true });
            words.push((room, ToRoom::Wanted(wanted)));
        }
        let mut unexpected = BTreeMap::<RoomId, BTreeMap<ParticipantId, Seq>>::new();
        for (id, coming) in self.coming.iter().filter(|(_, coming)| !coming.is_expected) {
            unexpected.entry(coming.room).or_default().insert(*id, coming.seq);
        }
        words.extend(unexpected.into_iter().map(|(room, people)| (room, ToRoom::Migrate(Migrate { people }))));
        let placed = std::mem::take(&mut self.placed);
        words.extend(placed.into_iter().map(|(room, people)| (room, ToRoom::Arrived(people))));
    }

    /// Of each room that is there, and of each that was.
    fn all_wanted(&self, state: &Meeting, key: &MeetingKey) -> Vec<Wanted> {
        let mut people = BTreeMap::<RoomId, BTreeMap<ParticipantId, Person>>::new();
        for member in state.inside.iter().filter_map(|id| state.member(*id)) {
            let person = Person {
                is_service: member.is_service(),
                sessions: member.sessions.clone(),
                may: state.may_publish_all(member),
                media: member.participant.media,
                mutes: member.mutes.clone(),
            };
            people.entry(member.participant.room).or_default().insert(member.participant.id, person);
        }
        let is_live = state.info.status == Status::Live;
        let is_there = |room: &&Room| is_live && room.state != RoomState::Closed;
        let mut wanted: BTreeMap<RoomId, Wanted> = BTreeMap::new();
        for room in state.rooms.values().filter(is_there) {
            let this = Wanted {
                at_seq: state.seq,
                state: room.state,
                media: media_room(state, key, room.id),
                people: people.remove(&room.id).unwrap_or_default(),
                recordings: recordings_of(state, room.id),
                elsewhere: elsewhere(state, room.id),
            };
            wanted.insert(room.id, this);
        }
        for id in self.rooms.keys() {
            wanted.entry(*id).or_insert_with(|| closed(state, key, *id));
        }
        wanted.into_values().collect()
    }

    /// Everything that a room which knows nothing has to know.
    fn tell_all(&mut self, room: RoomId, words: &mut Vec<(RoomId, ToRoom)>) {
        let Some(handle) = self.rooms.get_mut(&room) else { return };
        handle.is_told = true;
        words.push((room, ToRoom::Wanted(Arc::clone(&handle.wanted))));
        let coming = self.coming.iter().filter(|(_, coming)| coming.room == room);
        let people: BTreeMap<ParticipantId, Seq> = coming.clone().map(|(id, coming)| (*id, coming.seq)).collect();
        let placed: BTreeSet<ParticipantId> = coming.filter(|(_, c)| c.is_placed).map(|(id, _)| *id).collect();
        if !people.is_empty() {
            words.push((room, ToRoom::Migrate(Migrate { people })));
        }
        if !placed.is_empty() {
            words.push((room, ToRoom::Arrived(placed)));
        }
    }

    /// Tells a room, whose actor is made if there is none. One that cannot take it now is told all
    /// with the meeting's next step.
    pub fn send(&mut self, room: RoomId, word: ToRoom, make: impl FnOnce(watch::Receiver<()>) -> Addr<RoomActor>) {
        self.waiting = self.waiting.saturating_sub(1);
        let Some(handle) = self.rooms.get_mut(&room) else { return };
        let present = handle.address.take().filter(Addr::connected);
        let is_enough = present.is_some() || matches!(word, ToRoom::Wanted(_));
        let address = present.unwrap_or_else(|| make(self.leash.subscribe()));
        if address.try_send(word).is_err() || !is_enough {
            handle.is_told = false;
            self.has_untold = true;
        }
        handle.address = Some(address);
    }

    /// Something is to be told that could not be.
    pub fn is_behind(&self) -> bool {
        self.has_untold
    }

    /// The media server says that something changed in these rooms. A room that is too busy to hear it looks
    /// by itself, later.
    pub fn pass_on(&self, news: MediaNews) {
        let tell = |room: &RoomId, word: ToRoom| {
            if let Some(address) = self.rooms.get(room).and_then(|handle| handle.address.as_ref()) {
                let _ = address.try_send(word);
            }
        };
        for room in &news.rooms {
            tell(room, ToRoom::Changed);
        }
        if news.takes.is_empty() {
            return;
        }
        let of = |wanted: &Wanted, id: RecordingId| wanted.recordings.contains_key(&id);
        for (room, handle) in &self.rooms {
            let is_main = *room == RoomId::Main;
            let known = |id: RecordingId| {
                of(&handle.wanted, id) || (is_main && !handle.wanted.elsewhere.recordings.contains(&id))
            };
            let takes: Vec<_> = news.takes.iter().filter(|(id, _)| known(*id)).cloned().collect();
            if !takes.is_empty() {
                tell(room, ToRoom::Takes(takes));
            }
        }
    }

    /// Takes what a room says. Answers who is missing there, where that has changed.
    pub fn hear(&mut self, room: RoomId, word: Word) -> Option<Missing> {
        match word {
            Word::Asks => {
                if let Some(handle) = self.rooms.get_mut(&room) {
                    handle.is_told = false;
                    self.has_untold = true;
                }
            }
            Word::Expects { upto } => {
                for coming in self.coming.values_mut().filter(|coming| coming.room == room && coming.seq <= upto) {
                    coming.is_expected = true;
                }
            }
            Word::Arrived(people) => {
                self.coming.retain(|id, coming| coming.room != room || !people.contains(id));
            }
            Word::Missing { missing, late } => return Some(Missing { all: missing, late }),
            // The meeting takes it as an input, before it comes here.
            Word::Seen(_) => {}
            Word::Gone => {
                if self.rooms.get(&room).is_some_and(|handle| handle.wanted.is_closed()) {
                    self.rooms.remove(&room);
                }
            }
        }
        None
    }
}

pub fn media_room(state: &Meeting, key: &MeetingKey, room: RoomId) -> MediaRoom {
    MediaRoom { key: key.clone(), room, generation: state.generation(room) }
}

fn closed(state: &Meeting, key: &MeetingKey, room: RoomId) -> Wanted {
    Wanted {
        at_seq: state.seq,
        state: RoomState::Closed,
        media: media_room(state, key, room),
        people: BTreeMap::new(),
        recordings: recordings_of(state, room),
        elsewhere: elsewhere(state, room),
    }
}

fn recordings_of(state: &Meeting, room: RoomId) -> BTreeMap<RecordingId, WantedRecording> {
    let here = state.open_recordings().filter(|live| live.recording.room == room);
    let wanted = |live: &LiveRecording| WantedRecording {
        recording: live.recording.clone(),
        takes: live.takes.values().map(|take| (take.id.clone(), (take.part.clone(), take.state))).collect(),
    };
    here.map(|live| (live.recording.id, wanted(live))).collect()
}

fn elsewhere(state: &Meeting, room: RoomId) -> Elsewhere {
    if room != RoomId::Main {
        return Elsewhere::default();
    }
    let is_live = state.info.status == Status::Live;
    let others = state.rooms.values().filter(|other| is_live && other.id != room && other.state != RoomState::Closed);
    let recordings = state.open_recordings().filter(|live| live.recording.room != room);
    Elsewhere {
        rooms: others.map(|other| (other.id, state.generation(other.id))).collect(),
        recordings: recordings.map(|live| live.recording.id).collect(),
    }
}

#[cfg(test)]
mod tests;
