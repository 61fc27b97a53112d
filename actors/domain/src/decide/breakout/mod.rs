//! Breakout rooms: opened, changed, moved between, merged, closed. All of it is one aggregate with
//! the meeting, so a move of a thousand people is one event, and nobody is ever between two rooms.

pub mod closing;
pub mod moving;
pub mod open;

use super::{checked, person, recordings};
use crate::breakout::{Breakout, BreakoutSet, BreakoutState, Move};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::{MessageId, Millis, ParticipantId, RoomId, To, UserId};
use crate::rejection::Rejection;
use crate::shapes::{Message, Room, RoomKind, RoomState};
use crate::turn::{Caller, Reply, Turn};
use std::collections::{BTreeMap, BTreeSet};

/// A week: no set is to last longer.
const DURATION_S_MAX: u32 = 7 * 24 * 3_600;

fn set<'a>(turn: &'a Turn<'_>) -> Result<&'a BreakoutSet, Rejection> {
    turn.state.breakout.as_ref().ok_or_else(|| Rejection::wrong_state("no breakout rooms are open"))
}

/// A breakout room of the meeting, whatever became of it.
fn breakout_room<'a>(turn: &'a Turn<'_>, id: RoomId) -> Result<&'a Room, Rejection> {
    match turn.state.rooms.get(&id) {
        Some(room) if room.kind == RoomKind::Breakout => Ok(room),
        Some(_) => Err(Rejection::bad_request("the main room is no breakout room")),
        None => Err(Rejection::not_found("no such room")),
    }
}

/// A room that somebody can go to.
pub fn check_open(turn: &Turn<'_>, id: RoomId) -> Result<(), Rejection> {
    match turn.state.rooms.get(&id).map(|room| room.state) {
        Some(RoomState::Open) => Ok(()),
        Some(RoomState::Closing) => Err(Rejection::wrong_state("the room is closing")),
        Some(RoomState::Closed) => Err(Rejection::wrong_state("the room is closed")),
        None => Err(Rejection::not_found("no such room")),
    }
}

fn at_most_meeting(turn: &Turn<'_>, ends_at: Option<Millis>) -> Option<Millis> {
    [ends_at, turn.state.info.ends_at].into_iter().flatten().min()
}

/// The set as it is when its rooms are these.
fn shown_with(breakout: &Breakout, rooms: &[Room]) -> Breakout {
    let is_open = rooms.iter().any(|room| room.state == RoomState::Open);
    Breakout { state: if is_open { BreakoutState::Open } else { BreakoutState::Closing }, ..breakout.clone() }
}

/// Writes down what became of the rooms of the set.
fn change(turn: &mut Turn<'_>, breakout: &Breakout, rooms: Vec<Room>, by: Option<ParticipantId>) {
    let breakout = shown_with(breakout, &rooms);
    turn.emit(Event::BreakoutChanged { rooms, ends_at: breakout.ends_at, breakout, by });
}

/// Moves people: lowers their hands where they were, writes the move down, and shows each what they
/// see now. Services move unseen.
fn relocate(turn: &mut Turn<'_>, moves: Vec<Move>, by: Option<ParticipantId>) {
    let moved: BTreeSet<ParticipantId> = moves.iter().map(|this| this.participant).collect();
    let mut hands = BTreeMap::<RoomId, BTreeSet<ParticipantId>>::new();
    for hand in turn.state.hands.iter().filter(|hand| moved.contains(&hand.participant)) {
        let room = turn.state.member(hand.participant).map(|member| member.participant.room).unwrap_or_default();
        hands.entry(room).or_default().insert(hand.participant);
    }
    for hands in hands.into_values() {
        turn.emit(Event::HandsLowered { hands, by });
    }
    let is_service = |this: &Move| turn.state.member(this.participant).is_some_and(|member| member.is_service());
    let (services, people): (Vec<Move>, Vec<Move>) = moves.into_iter().partition(is_service);
    for moves in [people, services].into_iter().filter(|moves| !moves.is_empty()) {
        let entered: Vec<ParticipantId> = moves.iter().map(|this| this.participant).collect();
        let published = recordings::published(turn.state, &entered);
        turn.emit(Event::ParticipantsMoved { moves, by });
        recordings::tell_silenced(turn, &published);
        for id in entered {
            turn.tell(Effect::Entered(id));
        }
    }
}

/// Takes a user whom the meeting has not met off the lists they stand on.
pub fn unlist(turn: &mut Turn<'_>, user: &UserId) {
    if let Some(mut plan) = turn.state.breakout_plan.clone()
        && plan.forget_user(user)
    {
        turn.emit(Event::BreakoutPlanned { plan: Some(plan), by: None });
    }
    if let Some(set) = &turn.state.breakout {
        let (participants, mut users) = (set.expected.clone(), set.expected_users.clone());
        if users.remove(user).is_some() {
            turn.emit(Event::BreakoutAssigned { participants, users });
        }
    }
}

/// Everybody inside who is in one of these rooms, services included, on the way to another.
fn all_from(turn: &Turn<'_>, rooms: &[RoomId], to: RoomId) -> Vec<Move> {
    let inside = turn.state.inside.iter().filter_map(|id| turn.state.member(*id));
    inside
        .map(|member| Move { participant: member.participant.id, from: member.participant.room, to })
        .filter(|this| rooms.contains(&this.from))
        .collect()
}

/// Says something in all rooms at once; it is kept as a message to everyone, for those who come later.
pub fn broadcast(turn: &mut Turn<'_>, caller: &Caller, text: &str) -> Result<Reply, Rejection> {
    set(turn)?;
    let text = checked(text, "text", turn.limits.chat_chars_max)?;
    let by = caller.participant;
    let message = Message {
        id: MessageId(turn.id()),
        from: by,
        to: To::Everyone,
        room: by.and_then(|id| turn.state.member(id)).map(|member| member.participant.room).unwrap_or_default(),
        origin: None,
        text: text.clone(),
        at: turn.now.at,
        reply_to: None,
        edited_at: None,
        deleted: false,
        reactions: BTreeMap::new(),
    };
    turn.emit(Event::BreakoutBroadcast { message, text, by });
    Ok(Reply::Done)
}

/// Asks for a host. Asking again before one came changes nothing.
pub fn help(turn: &mut Turn<'_>, caller: &Caller) -> Result<Reply, Rejection> {
    let id = person(caller)?;
    let room = turn.member(id)?.participant.room;
    if room == RoomId::Main {
        return Err(Rejection::wrong_state("you are not in a breakout room"));
    }
    if !set(turn)?.help.iter().any(|help| help.participant == id) {
        turn.emit(Event::BreakoutHelpRequested { room, by: Some(id) });
    }
    Ok(Reply::Done)
}
