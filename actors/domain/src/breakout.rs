//! Breakout rooms: what a host asks for, what clients see, and what the meeting keeps of the present
//! set. All rooms of a set share one absolute deadline; a room that is to close turns `closing` for
//! the grace period first. What can be told from the rooms themselves is not kept here.

use crate::ids::{Millis, ParticipantId, RoomId, UserId};
use crate::limits::Limits;
use crate::shapes::{Room, RoomKind, RoomState};
use crate::state::Meeting;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How people come into the rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Assign {
    /// As the hosts say.
    #[default]
    Manual,
    /// Everybody but hosts and cohosts is spread evenly.
    Automatic,
    /// Everybody chooses.
    #[serde(rename = "self")]
    Themselves,
}

/// Where the rooms of a new set are taken from, if they are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// What was stored with the meeting beforehand.
    Plan,
    /// The set before: its names, and the people as they were last in its rooms.
    Last,
}

/// One room to be opened, and who belongs there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlannedRoom {
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub participants: Vec<ParticipantId>,
    /// People as the tenant knows them, also those the meeting has not met yet.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub users: Vec<UserId>,
}

/// What `breakout.open` asks for, and what a plan keeps of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct OpenRooms {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<PlannedRoom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assign: Option<Assign>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_s: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_return: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Layout>,
}

impl OpenRooms {
    /// Takes somebody off the lists. True if they stood there.
    pub fn forget_user(&mut self, user: &UserId) -> bool {
        let named = |rooms: &[PlannedRoom]| rooms.iter().map(|room| room.users.len()).sum::<usize>();
        let before = named(&self.rooms);
        self.rooms.iter_mut().for_each(|room| room.users.retain(|other| other != user));
        named(&self.rooms) != before
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Destination {
    pub participant: ParticipantId,
    pub room: RoomId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Move {
    pub participant: ParticipantId,
    pub from: RoomId,
    pub to: RoomId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum BreakoutState {
    Open,
    /// No room of the set is open any more.
    Closing,
}

/// The set as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Breakout {
    pub state: BreakoutState,
    /// When the rooms turn `closing`; never behind the meeting's own end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ends_at: Option<Millis>,
    /// How long before that clients are warned, in seconds.
    pub warn_s: Vec<u32>,
    pub grace_s: u32,
    pub assign: Assign,
    pub allow_return: bool,
    /// Each room is recorded while somebody is in it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub record: bool,
}

impl Breakout {
    pub fn grace_ms(&self) -> Millis {
        ms(self.grace_s)
    }

    /// When people are still to be warned, as seen from a moment.
    pub fn warnings_after(&self, at: Millis) -> BTreeMap<Millis, u32> {
        let Some(ends_at) = self.ends_at else { return BTreeMap::new() };
        let warnings = self.warn_s.iter().map(|warn_s| (ends_at.saturating_sub(ms(*warn_s)), *warn_s));
        warnings.filter(|(due, _)| *due > at).collect()
    }
}

/// Somebody in a breakout room asks for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Help {
    pub room: RoomId,
    pub participant: ParticipantId,
    pub at: Millis,
}

/// The present set, as the meeting keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakoutSet {
    pub shown: Breakout,
    /// All rooms of the set, closed ones too, in the order they were made.
    pub rooms: Vec<RoomId>,
    /// Warnings that are still to come.
    pub warnings: BTreeMap<Millis, u32>,
    /// People who have a room and are not inside; they go there when they come.
    pub expected: BTreeMap<ParticipantId, RoomId>,
    /// The same of users that the meeting has not met.
    pub expected_users: BTreeMap<UserId, RoomId>,
    /// The room of this set that each person was in last: the layout that may be used again.
    pub seats: BTreeMap<ParticipantId, RoomId>,
    pub help: Vec<Help>,
}

pub fn ms(seconds: u32) -> Millis {
    u64::from(seconds).saturating_mul(1_000)
}

impl Room {
    pub fn breakout(id: RoomId, name: String, ends_at: Option<Millis>) -> Self {
        Self { id, name, kind: RoomKind::Breakout, state: RoomState::Open, ends_at }
    }
}

impl Meeting {
    /// The rooms of the present set, in the order they were made; closed ones too.
    pub fn set_rooms(&self) -> impl Iterator<Item = &Room> {
        let ids = self.breakout.as_ref().map(|set| set.rooms.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|id| self.rooms.get(id))
    }

    pub fn is_open(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|room| room.state == RoomState::Open)
    }

    pub fn people_in(&self, room: RoomId) -> impl Iterator<Item = ParticipantId> {
        let is_there = move |id: &&ParticipantId| self.member(**id).is_some_and(|m| m.participant.room == room);
        self.inside.iter().filter(is_there).copied()
    }

    /// Where somebody comes in: the room they were given or left, if it is open; else main.
    pub fn door_of(&self, id: ParticipantId) -> RoomId {
        let Some((set, member)) = self.breakout.as_ref().zip(self.member(id)) else { return RoomId::Main };
        let room = set.expected.get(&id).copied().unwrap_or(member.participant.room);
        if self.is_open(room) { room } else { RoomId::Main }
    }

    /// The names of the rooms that are not closed, and who was in which of them last, for the next time.
    pub fn layout(&self) -> Vec<PlannedRoom> {
        let Some(set) = &self.breakout else { return Vec::new() };
        let planned = |room: &Room| PlannedRoom {
            name: room.name.clone(),
            participants: set.seats.iter().filter(|(_, seat)| **seat == room.id).map(|(id, _)| *id).collect(),
            users: Vec::new(),
        };
        self.set_rooms().filter(|room| room.state != RoomState::Closed).map(planned).collect()
    }

    /// Forgets the closed rooms of former sets beyond a limit, oldest first.
    pub fn forget_rooms(&mut self, limits: &Limits) {
        let present = self.breakout.as_ref().map(|set| set.rooms.as_slice()).unwrap_or_default();
        // A room whose recordings are still to be followed is needed for that.
        let is_recorded = |id: RoomId| self.unfinished().any(|live| live.recording.room == id);
        let is_old = |room: &&Room| room.state == RoomState::Closed && !present.contains(&room.id);
        let old = self.rooms.values().filter(is_old).filter(|room| !is_recorded(room.id));
        let excess = self.rooms.len().saturating_sub(limits.rooms_kept_max);
        let forgotten: Vec<RoomId> = old.map(|room| room.id).take(excess).collect();
        self.rooms.retain(|id, _| !forgotten.contains(id));
        self.merged_into.retain(|id, _| !forgotten.contains(id));
        self.generations.retain(|id, _| !forgotten.contains(id));
    }
}
