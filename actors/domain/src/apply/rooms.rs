//! Folding what happens to rooms: sets that open and end, people who move, histories that merge.

use crate::breakout::{Breakout, BreakoutSet, Help, Move, OpenRooms};
use crate::event::{Event, Recorded};
use crate::ids::{Millis, ParticipantId, RoomId, Seq, UserId};
use crate::limits::Limits;
use crate::shapes::{Participant, Room, RoomKind, RoomState};
use crate::state::{Meeting, Permits};
use std::collections::BTreeMap;

pub fn fold(state: &mut Meeting, recorded: &Recorded, limits: &Limits) {
    match &recorded.event {
        Event::BreakoutPlanned { plan, .. } => state.breakout_plan.clone_from(plan),
        Event::BreakoutOpened { rooms, breakout, .. } => {
            state.breakout = Some(BreakoutSet {
                shown: breakout.clone(),
                rooms: rooms.iter().map(|room| room.id).collect(),
                warnings: breakout.warnings_after(recorded.at),
                expected: BTreeMap::new(),
                expected_users: BTreeMap::new(),
                seats: BTreeMap::new(),
                help: Vec::new(),
            });
            put(state, rooms);
            state.forget_rooms(limits);
        }
        Event::BreakoutAssigned { participants, users } => {
            if let Some(set) = &mut state.breakout {
                set.expected.clone_from(participants);
                set.expected_users.clone_from(users);
                set.seats.extend(participants);
            }
        }
        Event::ParticipantsMoved { moves, .. } => {
            for this in moves {
                relocate(state, this, recorded.seq, recorded.at);
            }
        }
        Event::BreakoutChanged { rooms, breakout, .. } => {
            change(state, breakout, recorded.at);
            if let Some(set) = &mut state.breakout {
                let new = rooms.iter().map(|room| room.id).filter(|id| !set.rooms.contains(id));
                set.rooms.extend(new.collect::<Vec<_>>());
            }
            put(state, rooms);
            state.forget_rooms(limits);
        }
        Event::BreakoutEndingSoon { ends_at, warn_s } => {
            if let Some(set) = &mut state.breakout {
                set.warnings.remove(&ends_at.saturating_sub(crate::breakout::ms(*warn_s)));
            }
        }
        Event::BreakoutHelpRequested { room, by: Some(participant) } => {
            if let Some(set) = &mut state.breakout {
                set.help.push(Help { room: *room, participant: *participant, at: recorded.at });
            }
        }
        Event::BreakoutMerged { from, into, breakout, .. } => {
            if breakout.is_none() {
                state.last_layout = state.layout();
            }
            let there = state.shown_merge(from, *into);
            merge(state, from, *into);
            // They are shown what came with the other rooms.
            there.into_iter().for_each(|id| shows_anew(state, id, recorded.seq));
            what_is_left(state, breakout.as_ref(), recorded.at);
            state.forget_rooms(limits);
        }
        Event::BreakoutClosed { rooms, breakout, .. } => {
            if breakout.is_none() {
                state.last_layout = state.layout();
            }
            for room in rooms {
                close(state, room.id);
            }
            state.leads_of(RoomId::Main).into_iter().for_each(|id| shows_anew(state, id, recorded.seq));
            what_is_left(state, breakout.as_ref(), recorded.at);
        }
        _ => {}
    }
}

fn put(state: &mut Meeting, rooms: &[Room]) {
    for room in rooms {
        state.rooms.insert(room.id, room.clone());
    }
}

/// What was due has fired before anything else happens, so the warnings to come are those after now.
fn change(state: &mut Meeting, breakout: &Breakout, at: Millis) {
    let Some(set) = &mut state.breakout else { return };
    set.warnings = breakout.warnings_after(at);
    if breakout.state == crate::breakout::BreakoutState::Closing {
        set.warnings.clear();
    }
    set.shown = breakout.clone();
}

/// The last room is closed, or the set goes on.
fn what_is_left(state: &mut Meeting, breakout: Option<&Breakout>, at: Millis) {
    match breakout {
        Some(breakout) => change(state, breakout, at),
        None => state.breakout = None,
    }
}

fn close(state: &mut Meeting, id: RoomId) {
    if let Some(room) = state.rooms.get_mut(&id) {
        room.state = RoomState::Closed;
        room.ends_at = None;
    }
    if let Some(set) = &mut state.breakout {
        set.help.retain(|help| help.room != id);
        set.expected.retain(|_, room| *room != id);
        set.expected_users.retain(|_, room| *room != id);
    }
}

/// What was said, and who is expected or was last, goes over to the other room; a message that was
/// merged twice keeps the room it was said in.
fn merge(state: &mut Meeting, from: &[RoomId], into: RoomId) {
    for live in state.messages.values_mut() {
        let message = &mut live.message;
        if from.contains(&message.room) {
            message.origin.get_or_insert(message.room);
            message.room = into;
        }
    }
    super::interaction::merge(state, from, into);
    super::whiteboards::merge(state, from, into);
    // What is told late of a room that is gone belongs to where that went.
    for room in state.merged_into.values_mut().filter(|room| from.contains(room)) {
        *room = into;
    }
    state.merged_into.extend(from.iter().map(|room| (*room, into)));
    // Whoever is away comes back to where their room went.
    for member in state.members.values_mut().filter(|member| !member.is_inside()) {
        if from.contains(&member.participant.room) {
            member.participant.room = into;
        }
    }
    // What goes into the main room is closed like any other; what goes into another breakout room
    // takes its people's seats along, and is none to be opened again.
    if let Some(set) = &mut state.breakout
        && into != RoomId::Main
    {
        let redirect = |room: &mut RoomId| {
            if from.contains(room) {
                *room = into;
            }
        };
        set.seats.values_mut().for_each(redirect);
        set.expected.values_mut().for_each(redirect);
        set.expected_users.values_mut().for_each(redirect);
        set.rooms.retain(|room| !from.contains(room));
    }
    for room in from {
        close(state, *room);
    }
}

fn relocate(state: &mut Meeting, this: &Move, seq: Seq, at: Millis) {
    let Some(member) = state.members.get_mut(&this.participant) else { return };
    member.is_in(this.to, at);
    member.room_permits = Permits::default();
    let leads = member.leads();
    shows_anew(state, this.participant, seq);
    super::recordings::hold_to_consent(state, this.participant);
    if let Some(set) = &mut state.breakout {
        if this.to != RoomId::Main {
            set.seats.insert(this.participant, this.to);
        }
        set.help.retain(|help| help.participant != this.participant && !(leads && help.room == this.to));
    }
}

/// Who was inside is shown something else. The new view goes out behind the event; that one has heard the
/// event does not say that one was shown it, so a replay begins behind the next.
pub fn shows_anew(state: &mut Meeting, id: ParticipantId, seq: Seq) {
    if let Some(member) = state.members.get_mut(&id) {
        member.view_seq = seq.next();
    }
}

/// Somebody came in, by whatever door: nobody waits for them any more.
pub fn arrived(state: &mut Meeting, participant: &Participant) {
    let Some(set) = &mut state.breakout else { return };
    set.expected.remove(&participant.id);
    if participant.room != RoomId::Main {
        set.seats.insert(participant.id, participant.room);
        set.help.retain(|help| !(participant.role.leads() && help.room == participant.room));
    }
}

/// The meeting meets a user that a room is kept for.
pub fn met(state: &mut Meeting, user: &UserId, id: ParticipantId) {
    if let Some(set) = &mut state.breakout
        && let Some(room) = set.expected_users.remove(user)
    {
        set.expected.insert(id, room);
        set.seats.insert(id, room);
    }
}

/// Somebody is gone. Whoever went by themselves comes back to their room; whoever was sent, to main.
pub fn left(state: &mut Meeting, id: ParticipantId) {
    if let Some(set) = &mut state.breakout {
        set.help.retain(|help| help.participant != id);
    }
    if let Some(member) = state.members.get_mut(&id)
        && member.must_wait
    {
        member.is_in(RoomId::Main, state.at);
        if let Some(set) = &mut state.breakout {
            set.expected.remove(&id);
        }
    }
}

/// Nobody is left to come back.
pub fn forget(state: &mut Meeting, id: ParticipantId) {
    if let Some(set) = &mut state.breakout {
        set.expected.remove(&id);
        set.seats.remove(&id);
        set.help.retain(|help| help.participant != id);
    }
    let planned = state.breakout_plan.iter_mut().flat_map(|plan| &mut plan.rooms);
    for room in state.last_layout.iter_mut().chain(planned) {
        room.participants.retain(|other| *other != id);
    }
}

/// Nobody of this name is expected any more.
pub fn forget_user(set: &mut Option<BreakoutSet>, plan: &mut Option<OpenRooms>, user: &UserId) {
    if let Some(set) = set {
        set.expected_users.remove(user);
    }
    if let Some(plan) = plan {
        plan.forget_user(user);
    }
}

/// The meeting is over, and its rooms with it.
pub fn end(state: &mut Meeting) {
    state.breakout = None;
    for room in state.rooms.values_mut().filter(|room| room.kind == RoomKind::Breakout) {
        room.state = RoomState::Closed;
        room.ends_at = None;
    }
}
