//! Who is in which room: moved by hosts, by themselves as far as the set allows, or with a room that
//! is merged into another.

use super::{all_from, breakout_room, check_open, person, relocate, set, shown_with};
use crate::breakout::{Assign, Breakout, Destination, Move};
use crate::decide::{polls, recordings};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::RoomId;
use crate::rejection::Rejection;
use crate::shapes::{Room, RoomState};
use crate::turn::{Caller, Reply, Turn};
use std::collections::BTreeSet;

/// Moves any set of people at once: all of them, or nobody.
pub fn move_people(turn: &mut Turn<'_>, caller: &Caller, wanted: &[Destination]) -> Result<Reply, Rejection> {
    if wanted.is_empty() {
        return Err(Rejection::bad_request("there is nobody to move"));
    }
    set(turn)?;
    let mut known = BTreeSet::new();
    let mut moves = Vec::new();
    for Destination { participant, room } in wanted {
        if !known.insert(*participant) {
            return Err(Rejection::bad_request("somebody is listed twice"));
        }
        check_open(turn, *room)?;
        let from = turn.inside(*participant)?.participant.room;
        if from != *room {
            moves.push(Move { participant: *participant, from, to: *room });
        }
    }
    relocate(turn, moves, caller.participant);
    Ok(Reply::Done)
}

/// Somebody goes to another room by themselves. Being there already is no error.
pub fn join(turn: &mut Turn<'_>, caller: &Caller, to: RoomId) -> Result<Reply, Rejection> {
    let id = person(caller)?;
    let from = turn.member(id)?.participant.room;
    check_open(turn, to)?;
    let leaves_closing = to == RoomId::Main && !turn.state.is_open(from);
    let may = match turn.state.breakout.as_ref().map(|set| &set.shown) {
        None => true,
        Some(_) if caller.role.leads() || caller.role.is_service() || leaves_closing => true,
        Some(Breakout { assign: Assign::Themselves, .. }) => true,
        Some(Breakout { allow_return, .. }) => to == RoomId::Main && *allow_return,
    };
    if !may {
        return Err(Rejection::not_permitted("the hosts decide who goes to which room"));
    }
    if from != to {
        relocate(turn, vec![Move { participant: id, from, to }], Some(id));
    }
    Ok(Reply::Done)
}

/// Merges rooms into another, with their people and what was said there.
pub fn merge(turn: &mut Turn<'_>, caller: &Caller, from: Vec<RoomId>, into: RoomId) -> Result<Reply, Rejection> {
    if from.is_empty() {
        return Err(Rejection::bad_request("there is no room to merge"));
    }
    let merged: BTreeSet<RoomId> = from.iter().copied().collect();
    if merged.len() != from.len() {
        return Err(Rejection::bad_request("a room is listed twice"));
    }
    if merged.contains(&into) {
        return Err(Rejection::bad_request("a room cannot be merged with itself"));
    }
    for id in &from {
        if breakout_room(turn, *id)?.state == RoomState::Closed {
            return Err(Rejection::wrong_state("the room is closed"));
        }
    }
    check_open(turn, into)?;
    let shown = &set(turn)?.shown;
    let is_left = |room: &&Room| room.state != RoomState::Closed && !merged.contains(&room.id);
    let left: Vec<Room> = turn.state.set_rooms().filter(is_left).cloned().collect();
    let breakout = (!left.is_empty()).then(|| shown_with(shown, &left));
    let moves = all_from(turn, &from, into);
    polls::finish_in(turn, &from, caller.participant);
    recordings::stop_in(turn, &from, caller.participant);
    let there = turn.state.shown_merge(&from, into);
    turn.emit(Event::BreakoutMerged { from, into, breakout, by: caller.participant });
    for id in there {
        turn.tell(Effect::Entered(id));
    }
    relocate(turn, moves, caller.participant);
    Ok(Reply::Done)
}
