//! Whiteboards: made, renamed, opened to some and closed to others, copied and deleted. Boards belong to a
//! room; what was drawn stays when that closes.

use super::checked;
use crate::event::Event;
use crate::ids::{ParticipantId, RoomId, WhiteboardId};
use crate::redact::ERASED_NAME;
use crate::rejection::Rejection;
use crate::shapes::{RoomKind, WhiteboardPolicy};
use crate::turn::{Caller, Reply, Turn};
use crate::whiteboard::{BoardRight, CreateWhiteboard, Whiteboard, WhiteboardAccess};
use std::collections::BTreeSet;

fn leads(caller: &Caller) -> bool {
    caller.is_operator || caller.role.leads()
}

/// A board that whoever asks may see: another is as if it were not there.
fn seen<'a>(turn: &'a Turn<'_>, caller: &Caller, id: WhiteboardId) -> Result<&'a Whiteboard, Rejection> {
    let room = turn.room_of_caller(caller);
    let board = turn.state.whiteboards.get(&id).filter(|board| leads(caller) || board.room == room);
    board.ok_or_else(|| Rejection::not_found("no such whiteboard"))
}

fn check_policy(turn: &Turn<'_>, caller: &Caller) -> Result<(), Rejection> {
    if turn.state.info.settings.whiteboard == WhiteboardPolicy::Hosts && !leads(caller) {
        return Err(Rejection::not_permitted("whiteboards are made and changed by hosts and cohosts here"));
    }
    Ok(())
}

/// Whoever leads, and, as the policy says, whoever made it.
fn own<'a>(turn: &'a Turn<'_>, caller: &Caller, id: WhiteboardId) -> Result<&'a Whiteboard, Rejection> {
    let board = seen(turn, caller, id)?;
    check_policy(turn, caller)?;
    let is_theirs = caller.participant.is_some() && board.by == caller.participant;
    if leads(caller) || is_theirs {
        return Ok(board);
    }
    Err(Rejection::not_permitted("only whoever made a whiteboard, a host or a cohost may change it"))
}

/// Whether so many more boards fit, each in one of these rooms.
fn has_room(turn: &Turn<'_>, rooms: &BTreeSet<RoomId>) -> Result<(), Rejection> {
    let (most, most_of_all) = (turn.limits.whiteboards_max, turn.limits.whiteboards_total_max);
    if rooms.iter().any(|room| turn.state.whiteboards_in(*room).count() >= most) {
        return Err(Rejection::capacity(format!("a room has at most {most} whiteboards")));
    }
    if turn.state.whiteboards.len().saturating_add(rooms.len()) > most_of_all {
        return Err(Rejection::capacity(format!("a meeting has at most {most_of_all} whiteboards")));
    }
    Ok(())
}

fn open_room(turn: &Turn<'_>, room: RoomId) -> Result<RoomId, Rejection> {
    match turn.state.rooms.get(&room) {
        None => Err(Rejection::not_found("no such room")),
        Some(_) if turn.state.is_open(room) => Ok(room),
        Some(_) => Err(Rejection::wrong_state("the room is closing or closed")),
    }
}

pub fn create(turn: &mut Turn<'_>, caller: &Caller, wanted: CreateWhiteboard) -> Result<Reply, Rejection> {
    let CreateWhiteboard { name, room, copy_of, access } = wanted;
    let name = checked(&name, "name", turn.limits.name_chars_max)?;
    check_policy(turn, caller)?;
    let here = turn.room_of_caller(caller);
    let room = open_room(turn, room.unwrap_or(here))?;
    if room != here && !leads(caller) {
        return Err(Rejection::not_permitted("you are not in that room"));
    }
    if let Some(id) = copy_of {
        seen(turn, caller, id)?;
    }
    has_room(turn, &[room].into())?;
    let access = access.unwrap_or_default();
    if access != WhiteboardAccess::Everyone && !leads(caller) {
        return Err(Rejection::not_permitted("only hosts and cohosts keep others from drawing"));
    }
    let (id, by) = (WhiteboardId(turn.id()), caller.participant);
    put(turn, caller, Whiteboard { id, room, name, access, by, named_by: None }, copy_of);
    Ok(Reply::Done)
}

fn put(turn: &mut Turn<'_>, caller: &Caller, whiteboard: Whiteboard, copy_of: Option<WhiteboardId>) {
    turn.emit(Event::WhiteboardCreated { whiteboard, copy_of, by: caller.participant });
}

/// The rooms that are asked for: each once, and open.
fn listed(turn: &Turn<'_>, rooms: &[RoomId]) -> Result<BTreeSet<RoomId>, Rejection> {
    if rooms.is_empty() {
        return Err(Rejection::bad_request("there is no room to copy the whiteboard into"));
    }
    let different: BTreeSet<RoomId> = rooms.iter().copied().collect();
    if different.len() != rooms.len() {
        return Err(Rejection::bad_request("a room is listed twice"));
    }
    different.into_iter().map(|room| open_room(turn, room)).collect()
}

/// Every breakout room that is open, but the one that the board is in.
fn others(turn: &Turn<'_>, but: RoomId) -> Result<BTreeSet<RoomId>, Rejection> {
    let breakout = turn.state.rooms.values().filter(|room| room.kind == RoomKind::Breakout && room.id != but);
    let open: BTreeSet<RoomId> = breakout.map(|room| room.id).filter(|room| turn.state.is_open(*room)).collect();
    if open.is_empty() {
        return Err(Rejection::wrong_state("no other breakout room is open"));
    }
    Ok(open)
}

/// A copy in each of these rooms, or in each other breakout room that is open.
pub fn copy(
    turn: &mut Turn<'_>,
    caller: &Caller,
    id: WhiteboardId,
    rooms: Option<Vec<RoomId>>,
) -> Result<Reply, Rejection> {
    let source = seen(turn, caller, id)?.clone();
    let rooms = match rooms {
        Some(rooms) => listed(turn, &rooms)?,
        None => others(turn, source.room)?,
    };
    has_room(turn, &rooms)?;
    let by = caller.participant;
    let named_by = source.named_by.or(source.by).filter(|namer| Some(*namer) != by);
    for room in rooms {
        let (name, access) = (source.name.clone(), source.access);
        let copy = Whiteboard { id: WhiteboardId(turn.id()), room, name, access, by, named_by };
        put(turn, caller, copy, Some(id));
    }
    Ok(Reply::Done)
}

pub fn update(
    turn: &mut Turn<'_>,
    caller: &Caller,
    id: WhiteboardId,
    name: Option<&str>,
    access: Option<WhiteboardAccess>,
) -> Result<Reply, Rejection> {
    let mut whiteboard = own(turn, caller, id)?.clone();
    let before = whiteboard.clone();
    if let Some(name) = name {
        whiteboard.name = checked(name, "name", turn.limits.name_chars_max)?;
    }
    if whiteboard.name != before.name {
        whiteboard.named_by = caller.participant.filter(|namer| Some(*namer) != whiteboard.by);
    }
    if let Some(access) = access.filter(|access| *access != whiteboard.access) {
        if !leads(caller) {
            return Err(Rejection::not_permitted("only hosts and cohosts say who draws"));
        }
        whiteboard.access = access;
    }
    if whiteboard != before {
        turn.emit(Event::WhiteboardUpdated { whiteboard, by: caller.participant });
    }
    Ok(Reply::Done)
}

pub fn delete(turn: &mut Turn<'_>, caller: &Caller, id: WhiteboardId) -> Result<Reply, Rejection> {
    let whiteboard = own(turn, caller, id)?.clone();
    turn.emit(Event::WhiteboardDeleted { whiteboard, by: caller.participant });
    Ok(Reply::Done)
}

/// What whoever asks needs to connect to the board.
pub fn open(turn: &Turn<'_>, caller: &Caller, id: WhiteboardId) -> Result<Reply, Rejection> {
    let member = turn.member(super::person(caller)?)?;
    let board = turn.state.whiteboards.get(&id);
    let right = board.and_then(|board| turn.state.board_right(member, board));
    let right = right.ok_or_else(|| Rejection::not_found("no such whiteboard"))?;
    Ok(Reply::Whiteboard { id, writable: right == BoardRight::Draw })
}

/// The boards of somebody who is erased stay, and are nobody's. Their names may say who that was, and so may the
/// names that they gave to others' boards.
pub fn disown(turn: &mut Turn<'_>, who: ParticipantId) {
    let theirs = turn.state.whiteboards.values().filter(|board| board.tells_of(who));
    for whiteboard in theirs.cloned().collect::<Vec<_>>() {
        let by = whiteboard.by.filter(|maker| *maker != who);
        let whiteboard = Whiteboard { name: ERASED_NAME.to_owned(), by, named_by: None, ..whiteboard };
        turn.emit(Event::WhiteboardUpdated { whiteboard, by: None });
    }
}

/// Restoring and keeping a state of a board: whoever may change it. The board itself does it.
pub fn keep(turn: &Turn<'_>, caller: &Caller, id: WhiteboardId) -> Result<Reply, Rejection> {
    own(turn, caller, id)?;
    Ok(Reply::Done)
}
