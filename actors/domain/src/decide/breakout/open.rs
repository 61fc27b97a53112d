//! Opening a set of rooms: as listed, as planned beforehand, or as the last time; and changing what
//! is open by one more room or another name.

use super::{DURATION_S_MAX, at_most_meeting, breakout_room, change, checked, relocate, set};
use crate::breakout::{Assign, Breakout, BreakoutState, Layout, Move, OpenRooms, PlannedRoom, ms};
use crate::event::Event;
use crate::ids::{Millis, ParticipantId, RoomId, UserId};
use crate::limits::Limits;
use crate::rejection::Rejection;
use crate::shapes::{Room, RoomState, Status};
use crate::state::{Member, Standing};
use crate::turn::{Caller, Reply, Turn};
use std::collections::{BTreeMap, BTreeSet};

const GRACE_S_MAX: u32 = 600;
const GRACE_S: u32 = 10;
const WARNINGS_MAX: usize = 10;
const WARN_S: [u32; 2] = [60, 10];

/// Who belongs where, by the room's place in the list.
#[derive(Default)]
struct Placed {
    inside: BTreeMap<ParticipantId, usize>,
    expected: BTreeMap<ParticipantId, usize>,
    users: BTreeMap<UserId, usize>,
}

fn check(wanted: &OpenRooms, limits: &Limits) -> Result<Vec<String>, Rejection> {
    let most = limits.breakout_rooms_max;
    if wanted.rooms.len() > most {
        return Err(Rejection::capacity(format!("a meeting has at most {most} breakout rooms")));
    }
    if wanted.duration_s.is_some_and(|s| s == 0 || s > DURATION_S_MAX) {
        return Err(Rejection::bad_request(format!("duration_s is from 1 to {DURATION_S_MAX}")));
    }
    if wanted.grace_s.is_some_and(|s| s > GRACE_S_MAX) {
        return Err(Rejection::bad_request(format!("grace_s is from 0 to {GRACE_S_MAX}")));
    }
    if let Some(warnings) = &wanted.warn_s
        && (warnings.len() > WARNINGS_MAX || warnings.iter().any(|s| *s == 0 || *s > DURATION_S_MAX))
    {
        return Err(Rejection::bad_request(format!(
            "warn_s has up to {WARNINGS_MAX} values from 1 to {DURATION_S_MAX}"
        )));
    }
    let mut people = BTreeSet::new();
    let mut users = BTreeSet::new();
    for room in &wanted.rooms {
        let is_twice = |is_new: bool| if is_new { Ok(()) } else { Err(twice()) };
        room.participants.iter().try_for_each(|id| is_twice(people.insert(*id)))?;
        room.users.iter().try_for_each(|user| is_twice(users.insert(user.clone())))?;
    }
    if people.len().saturating_add(users.len()) > limits.gone_max {
        return Err(Rejection::capacity("the list of people is too long"));
    }
    wanted.rooms.iter().map(|room| checked(&room.name, "name", limits.name_chars_max)).collect()
}

/// A plan as it is kept; none where it lists no rooms.
pub fn planned(mut plan: OpenRooms, limits: &Limits) -> Result<Option<OpenRooms>, Rejection> {
    if plan.from.is_some() {
        return Err(Rejection::bad_request("a plan lists its rooms"));
    }
    let names = check(&plan, limits)?;
    for (room, name) in plan.rooms.iter_mut().zip(names) {
        room.name = name;
    }
    Ok((!plan.rooms.is_empty()).then_some(plan))
}

/// Stores what is to be opened later; no rooms take it back.
pub fn plan(turn: &mut Turn<'_>, caller: &Caller, plan: OpenRooms) -> Result<Reply, Rejection> {
    let plan = planned(plan, turn.limits)?;
    if plan != turn.state.breakout_plan {
        turn.emit(Event::BreakoutPlanned { plan, by: caller.participant });
    }
    Ok(Reply::Done)
}

/// What was asked for, filled up from the plan or the last time.
fn filled(turn: &Turn<'_>, wanted: OpenRooms) -> Result<OpenRooms, Rejection> {
    let Some(from) = wanted.from else { return Ok(wanted) };
    if !wanted.rooms.is_empty() {
        return Err(Rejection::bad_request("either list the rooms, or say where they are from"));
    }
    match from {
        Layout::Plan => {
            let plan = turn.state.breakout_plan.clone();
            let plan = plan.ok_or_else(|| Rejection::wrong_state("nothing was planned"))?;
            Ok(OpenRooms {
                rooms: plan.rooms,
                assign: wanted.assign.or(plan.assign),
                duration_s: wanted.duration_s.or(plan.duration_s),
                warn_s: wanted.warn_s.or(plan.warn_s),
                grace_s: wanted.grace_s.or(plan.grace_s),
                allow_return: wanted.allow_return.or(plan.allow_return),
                record: wanted.record.or(plan.record),
                from: None,
            })
        }
        Layout::Last if turn.state.last_layout.is_empty() => {
            Err(Rejection::wrong_state("there were no breakout rooms before"))
        }
        Layout::Last => Ok(OpenRooms { rooms: turn.state.last_layout.clone(), from: None, ..wanted }),
    }
}

/// Where those who are named belong. Whoever is not here is expected. By their user, or in a layout
/// that is used again, whoever cannot have a room is left out; by their id that is an error.
fn placed(turn: &Turn<'_>, rooms: &[PlannedRoom], is_reused: bool) -> Result<Placed, Rejection> {
    let mut placed = Placed::default();
    for (number, room) in rooms.iter().enumerate() {
        for id in &room.participants {
            let is_known = placed.put(turn.state.member(*id), number)?;
            if !is_known && !is_reused {
                return Err(Rejection::not_found("no such participant in the meeting"));
            }
        }
        for user in &room.users {
            match turn.state.users.get(user) {
                Some(id) => drop(placed.put(turn.state.member(*id), number)?),
                None => drop(placed.users.insert(user.clone(), number)),
            }
        }
    }
    Ok(placed)
}

impl Placed {
    /// False for somebody who can have no room.
    fn put(&mut self, member: Option<&Member>, number: usize) -> Result<bool, Rejection> {
        let can_have = |member: &&Member| !member.is_service() && !matches!(member.standing, Standing::Removed { .. });
        let Some(member) = member.filter(can_have) else { return Ok(false) };
        let id = member.participant.id;
        if self.inside.contains_key(&id) || self.expected.contains_key(&id) {
            return Err(twice());
        }
        let people = if member.is_inside() { &mut self.inside } else { &mut self.expected };
        people.insert(id, number);
        Ok(true)
    }
}

/// Warnings in the order they were given, each once.
fn once_each(warnings: Vec<u32>) -> Vec<u32> {
    let mut known = BTreeSet::new();
    warnings.into_iter().filter(|warn_s| known.insert(*warn_s)).collect()
}

fn twice() -> Rejection {
    Rejection::bad_request("somebody is listed twice")
}

/// Spreads everybody who is not placed, hosts and cohosts excepted: each goes where there are fewest,
/// in an order that chance decides.
fn spread(turn: &Turn<'_>, rooms: usize, placed: &mut Placed) {
    let mut sizes = vec![0_usize; rooms];
    for number in placed.inside.values().chain(placed.expected.values()).chain(placed.users.values()) {
        if let Some(size) = sizes.get_mut(*number) {
            *size = size.saturating_add(1);
        }
    }
    let is_free =
        |member: &&Member| !member.participant.role.leads() && !placed.inside.contains_key(&member.participant.id);
    let mut people: Vec<(u64, ParticipantId)> = turn
        .state
        .people()
        .filter(is_free)
        .map(|member| (shuffled(member.participant.id, turn.chance()), member.participant.id))
        .collect();
    people.sort_unstable();
    for (_, id) in people {
        let fewest = sizes.iter_mut().enumerate().min_by_key(|(_, size)| **size);
        let Some((number, size)) = fewest else { return };
        *size = size.saturating_add(1);
        placed.inside.insert(id, number);
    }
}

fn shuffled(id: ParticipantId, entropy: u64) -> u64 {
    let (high, low) = id.0.as_u64_pair();
    let mut mixed = (high ^ low.rotate_left(32) ^ entropy).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mixed ^ (mixed >> 32)
}

pub fn open(turn: &mut Turn<'_>, caller: &Caller, wanted: OpenRooms) -> Result<Reply, Rejection> {
    if turn.state.info.status != Status::Live {
        return Err(Rejection::wrong_state("the meeting has not started"));
    }
    if turn.state.breakout.is_some() {
        return Err(Rejection::wrong_state("breakout rooms are open already"));
    }
    let is_reused = wanted.from.is_some();
    let wanted = filled(turn, wanted)?;
    let names = check(&wanted, turn.limits)?;
    if names.is_empty() {
        return Err(Rejection::bad_request("there is no room to open"));
    }
    let mut placed = placed(turn, &wanted.rooms, is_reused)?;
    let assign = wanted.assign.unwrap_or_default();
    if assign == Assign::Automatic {
        spread(turn, names.len(), &mut placed);
    }
    let ends_at = wanted.duration_s.map(|s| turn.now.at.saturating_add(ms(s)));
    let ends_at: Option<Millis> = at_most_meeting(turn, ends_at);
    let breakout = Breakout {
        state: BreakoutState::Open,
        ends_at,
        warn_s: once_each(wanted.warn_s.unwrap_or_else(|| WARN_S.into())),
        grace_s: wanted.grace_s.unwrap_or(GRACE_S),
        assign,
        allow_return: wanted.allow_return.unwrap_or(true),
        record: wanted.record.unwrap_or(false),
    };
    let count = u16::try_from(names.len()).map_err(|_| Rejection::capacity("too many rooms"))?;
    let ids: Vec<RoomId> = turn.ids(count).map(RoomId::Breakout).collect();
    let rooms = ids.iter().zip(names).map(|(id, name)| Room::breakout(*id, name, ends_at)).collect();
    turn.emit(Event::BreakoutOpened { rooms, breakout, ends_at, by: caller.participant });
    let id_of = |number: usize| ids.get(number).copied().unwrap_or_default();
    if !placed.expected.is_empty() || !placed.users.is_empty() {
        turn.emit(Event::BreakoutAssigned {
            participants: placed.expected.into_iter().map(|(id, number)| (id, id_of(number))).collect(),
            users: placed.users.into_iter().map(|(user, number)| (user, id_of(number))).collect(),
        });
    }
    let moves = placed.inside.into_iter().map(|(participant, number)| {
        let from = turn.state.member(participant).map(|member| member.participant.room).unwrap_or_default();
        Move { participant, from, to: id_of(number) }
    });
    let moves = moves.collect();
    relocate(turn, moves, caller.participant);
    Ok(Reply::Done)
}

pub fn add(turn: &mut Turn<'_>, caller: &Caller, name: &str) -> Result<Reply, Rejection> {
    let set = set(turn)?;
    if set.shown.state == BreakoutState::Closing {
        return Err(Rejection::wrong_state("the breakout rooms are closing"));
    }
    let name = checked(name, "name", turn.limits.name_chars_max)?;
    let present = turn.state.set_rooms().filter(|room| room.state != RoomState::Closed).count();
    let most = turn.limits.breakout_rooms_max;
    if present >= most || set.rooms.len() >= turn.limits.rooms_kept_max {
        return Err(Rejection::capacity(format!("a meeting has at most {most} breakout rooms")));
    }
    let breakout = set.shown.clone();
    let mut rooms: Vec<Room> = turn.state.set_rooms().cloned().collect();
    rooms.push(Room::breakout(RoomId::Breakout(turn.id()), name, breakout.ends_at));
    change(turn, &breakout, rooms, caller.participant);
    Ok(Reply::Done)
}

pub fn rename(turn: &mut Turn<'_>, caller: &Caller, id: RoomId, name: &str) -> Result<Reply, Rejection> {
    let room = breakout_room(turn, id)?;
    if room.state == RoomState::Closed {
        return Err(Rejection::wrong_state("the room is closed"));
    }
    let name = checked(name, "name", turn.limits.name_chars_max)?;
    if room.name == name {
        return Ok(Reply::Done);
    }
    let breakout = set(turn)?.shown.clone();
    let mut rooms: Vec<Room> = turn.state.set_rooms().cloned().collect();
    for room in rooms.iter_mut().filter(|room| room.id == id) {
        room.name.clone_from(&name);
    }
    change(turn, &breakout, rooms, caller.participant);
    Ok(Reply::Done)
}
