//! The end of rooms: the deadline of the set and its warnings, the grace period, the return to main.

use super::{DURATION_S_MAX, all_from, at_most_meeting, breakout_room, change, relocate, set, shown_with};
use crate::breakout::{Breakout, BreakoutState, ms};
use crate::decide::{polls, recordings};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::{Millis, ParticipantId, RoomId};
use crate::rejection::Rejection;
use crate::shapes::{Room, RoomState};
use crate::turn::{Caller, Reply, Turn};

/// Gives the set another deadline. One behind the meeting's own end is cut to that.
pub fn extend(
    turn: &mut Turn<'_>,
    caller: &Caller,
    by_s: Option<u32>,
    ends_at: Option<Millis>,
) -> Result<Reply, Rejection> {
    let shown = &set(turn)?.shown;
    let wanted = match (by_s, ends_at) {
        (Some(0), None) => return Err(Rejection::bad_request("by_s is at least 1")),
        (Some(by_s), None) => {
            let present = shown
                .ends_at
                .ok_or_else(|| Rejection::wrong_state("the breakout rooms have no deadline; set one with ends_at"))?;
            present.saturating_add(ms(by_s))
        }
        (None, Some(at)) if at <= turn.now.at => return Err(Rejection::bad_request("ends_at has passed")),
        (None, Some(at)) => at,
        _ => return Err(Rejection::bad_request("give by_s or ends_at")),
    };
    if shown.state == BreakoutState::Closing {
        return Err(Rejection::wrong_state("the breakout rooms are closing"));
    }
    if wanted > turn.now.at.saturating_add(ms(DURATION_S_MAX)) {
        return Err(Rejection::bad_request(format!("the deadline is at most {DURATION_S_MAX} s away")));
    }
    let ends_at = at_most_meeting(turn, Some(wanted));
    if ends_at == shown.ends_at {
        return match ends_at == Some(wanted) {
            true => Ok(Reply::Done),
            false => Err(Rejection::conflict("the meeting itself ends then")),
        };
    }
    set_deadline(turn, ends_at, caller.participant);
    Ok(Reply::Done)
}

fn set_deadline(turn: &mut Turn<'_>, ends_at: Option<Millis>, by: Option<ParticipantId>) {
    let Some(set) = &turn.state.breakout else { return };
    let breakout = Breakout { ends_at, ..set.shown.clone() };
    let mut rooms: Vec<Room> = turn.state.set_rooms().cloned().collect();
    for room in rooms.iter_mut().filter(|room| room.state == RoomState::Open) {
        room.ends_at = ends_at;
    }
    change(turn, &breakout, rooms, by);
}

/// The meeting's own end may have moved: no set outlives it.
pub fn hold_to_meeting(turn: &mut Turn<'_>, by: Option<ParticipantId>) {
    let Some(set) = &turn.state.breakout else { return };
    let ends_at = at_most_meeting(turn, set.shown.ends_at);
    if set.shown.state == BreakoutState::Open && ends_at != set.shown.ends_at {
        set_deadline(turn, ends_at, by);
    }
}

/// Closes one room or all, at once or after the grace period.
pub fn close(turn: &mut Turn<'_>, caller: &Caller, room: Option<RoomId>, now: bool) -> Result<Reply, Rejection> {
    let grace_s = set(turn)?.shown.grace_s;
    let chosen: Vec<(RoomId, RoomState)> = match room {
        None => turn.state.set_rooms().map(|room| (room.id, room.state)).collect(),
        Some(id) => {
            let room = breakout_room(turn, id)?;
            if room.state == RoomState::Closed {
                return Err(Rejection::wrong_state("the room is closed already"));
            }
            vec![(id, room.state)]
        }
    };
    let in_state = |wanted: &[RoomState]| {
        chosen.iter().filter(|(_, state)| wanted.contains(state)).map(|(id, _)| *id).collect::<Vec<_>>()
    };
    if now || grace_s == 0 {
        shut(turn, &in_state(&[RoomState::Open, RoomState::Closing]), caller.participant);
    } else {
        begin_closing(turn, &in_state(&[RoomState::Open]), caller.participant);
    }
    Ok(Reply::Done)
}

fn begin_closing(turn: &mut Turn<'_>, chosen: &[RoomId], by: Option<ParticipantId>) {
    let Some(set) = &turn.state.breakout else { return };
    if chosen.is_empty() {
        return;
    }
    let breakout = set.shown.clone();
    let closes_at = turn.now.at.saturating_add(breakout.grace_ms());
    let mut rooms: Vec<Room> = turn.state.set_rooms().cloned().collect();
    for room in rooms.iter_mut().filter(|room| chosen.contains(&room.id)) {
        room.state = RoomState::Closing;
        room.ends_at = Some(closes_at);
    }
    change(turn, &breakout, rooms, by);
}

/// Closes rooms for good, and brings back everybody who is there.
fn shut(turn: &mut Turn<'_>, chosen: &[RoomId], by: Option<ParticipantId>) {
    let Some(set) = &turn.state.breakout else { return };
    if chosen.is_empty() {
        return;
    }
    let is_left = |room: &&Room| room.state != RoomState::Closed && !chosen.contains(&room.id);
    let left: Vec<Room> = turn.state.set_rooms().filter(is_left).cloned().collect();
    let breakout = (!left.is_empty()).then(|| shown_with(&set.shown, &left));
    let closed = turn.state.set_rooms().filter(|room| chosen.contains(&room.id)).cloned();
    let rooms = closed.map(|room| Room { state: RoomState::Closed, ends_at: None, ..room }).collect();
    let moves = all_from(turn, chosen, RoomId::Main);
    polls::finish_in(turn, chosen, by);
    recordings::stop_in(turn, chosen, by);
    turn.emit(Event::BreakoutClosed { rooms, breakout, by });
    // They are shown what is left of the rooms, where they are.
    for lead in turn.state.leads_of(RoomId::Main) {
        turn.tell(Effect::Entered(lead));
    }
    relocate(turn, moves, by);
}

/// The set's deadline has come.
pub fn deadline(turn: &mut Turn<'_>) {
    let open: Vec<RoomId> =
        turn.state.set_rooms().filter(|room| room.state == RoomState::Open).map(|room| room.id).collect();
    if turn.state.breakout.as_ref().is_some_and(|set| set.shown.grace_s == 0) {
        shut(turn, &open, None);
    } else {
        begin_closing(turn, &open, None);
    }
}

/// The grace period of closing rooms is over.
pub fn grace_over(turn: &mut Turn<'_>) {
    let now = turn.now.at;
    let is_due = |room: &&Room| room.state == RoomState::Closing && room.ends_at.is_some_and(|at| at <= now);
    let due: Vec<RoomId> = turn.state.set_rooms().filter(is_due).map(|room| room.id).collect();
    shut(turn, &due, None);
}

/// People are told how long they have left.
pub fn warn(turn: &mut Turn<'_>) {
    let next = turn.state.breakout.as_ref().and_then(|set| set.warnings.first_key_value().zip(set.shown.ends_at));
    if let Some(((_, warn_s), ends_at)) = next {
        turn.emit(Event::BreakoutEndingSoon { ends_at, warn_s: *warn_s });
    }
}
