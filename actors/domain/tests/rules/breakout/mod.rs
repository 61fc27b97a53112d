//! BR: breakout rooms. The cases are those that other systems got wrong.

mod closing;
mod merging;
mod moving;
mod opening;
mod siblings;

use crate::common::*;
use convoke_domain::breakout::{Assign, Destination, OpenRooms, PlannedRoom};
use convoke_domain::shapes::{Role, Room, RoomState};
use convoke_domain::*;

pub fn named(name: &str, participants: &[ParticipantId]) -> PlannedRoom {
    PlannedRoom { name: name.to_owned(), participants: participants.to_vec(), users: Vec::new() }
}

pub fn rooms(rooms: &[PlannedRoom]) -> OpenRooms {
    OpenRooms { rooms: rooms.to_vec(), ..OpenRooms::default() }
}

pub fn open(wanted: OpenRooms) -> Command {
    Command::OpenBreakout(wanted)
}

pub fn lasting(s: u32, wanted: OpenRooms) -> OpenRooms {
    OpenRooms { duration_s: Some(s), ..wanted }
}

pub fn to(participant: ParticipantId, room: RoomId) -> Destination {
    Destination { participant, room }
}

pub fn move_to(moves: &[Destination]) -> Command {
    Command::MovePeople { moves: moves.to_vec() }
}

pub fn go(room: RoomId) -> Command {
    Command::JoinRoom { room }
}

pub const CLOSE: Command = Command::CloseRooms { room: None, now: false };
pub const CLOSE_NOW: Command = Command::CloseRooms { room: None, now: true };

/// Ann hosts, Bob and Cid take part; Bob is in the first of two rooms, Cid in the second.
pub struct Two {
    pub scene: Scene,
    pub ann: Device,
    pub bob: Device,
    pub cid: Device,
    pub first: RoomId,
    pub second: RoomId,
}

impl Two {
    pub fn open() -> Self {
        Self::with(OpenRooms::default())
    }

    pub fn with(wanted: OpenRooms) -> Self {
        let mut scene = Scene::new();
        let ann = scene.enters("Ann", Role::Host);
        let bob = scene.enters("Bob", Role::Participant);
        let cid = scene.enters("Cid", Role::Participant);
        let listed = [named("First", &[scene.id(&bob)]), named("Second", &[scene.id(&cid)])];
        scene.does(&ann, open(OpenRooms { rooms: listed.to_vec(), ..wanted }));
        let [first, second] = ids(&scene)[..] else { panic!("two rooms") };
        Self { scene, ann, bob, cid, first, second }
    }
}

/// The set's rooms, in their order.
pub fn ids(scene: &Scene) -> Vec<RoomId> {
    scene.state.set_rooms().map(|room| room.id).collect()
}

pub fn room_of(scene: &Scene, device: &Device) -> RoomId {
    scene.member(device).participant.room
}

pub fn room(scene: &Scene, id: RoomId) -> &Room {
    &scene.state.rooms[&id]
}

pub fn state_of(scene: &Scene, id: RoomId) -> RoomState {
    room(scene, id).state
}

pub fn automatic(count: usize) -> OpenRooms {
    let rooms = (1..=count).map(|number| named(&format!("Room {number}"), &[])).collect();
    OpenRooms { rooms, assign: Some(Assign::Automatic), ..OpenRooms::default() }
}

/// Who was shown what they see now.
pub fn entered(scene: &Scene) -> Vec<ParticipantId> {
    let shown = scene.effects.iter().filter_map(|effect| match effect {
        Effect::Entered(id) => Some(*id),
        _ => None,
    });
    shown.collect()
}
