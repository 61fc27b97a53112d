//! The model's rooms, written from `SPEC.md` (BR): which are open, who is in which, when they end. A
//! room is known by its place in a list; the ids are learnt from what the meeting said. Where chance
//! decides (an automatic assignment), the model learns who went where and checks how even it is.

use crate::deeds::Who;
use crate::plan::RoomDeed;
use crate::roster::{Place, Roster, is_lead, is_service};
use convoke_domain::breakout::Assign;
use convoke_domain::shapes::{RoomState, Status};
use convoke_domain::{Event, Meeting, MessageId, Millis, ParticipantId, Recorded, RoomId, UserId};
use std::collections::BTreeMap;

pub const MAIN: usize = 0;

pub struct ModelRoom {
    pub id: Option<RoomId>,
    pub state: RoomState,
    pub closes_at: Millis,
}

pub struct Set {
    pub ends_at: Option<Millis>,
    grace_ms: Millis,
    assign: Assign,
    may_return: bool,
    /// Places in the list, closed rooms too.
    pub rooms: Vec<usize>,
    expected: BTreeMap<ParticipantId, usize>,
    expected_users: BTreeMap<UserId, usize>,
}

impl Set {
    pub fn unlist(&mut self, user: &UserId) {
        self.expected_users.remove(user);
    }
}

#[derive(Default)]
pub struct Rooms {
    pub list: Vec<ModelRoom>,
    pub set: Option<Set>,
    /// The room that each message is in now, and the one it was said in.
    pub said: BTreeMap<MessageId, (usize, usize)>,
    /// How many people each room of an automatic assignment must have, in some order.
    spread: Option<Vec<usize>>,
}

/// A number means one of the rooms there ever were, or one that never was.
fn chosen(number: u8, rooms: usize) -> Option<usize> {
    Some(usize::from(number) % (rooms + 1)).filter(|room| *room < rooms)
}

impl Rooms {
    pub fn new() -> Self {
        let main = ModelRoom { id: Some(RoomId::Main), state: RoomState::Open, closes_at: 0 };
        Self { list: vec![main], ..Self::default() }
    }

    pub fn chosen(&self, number: u8) -> Option<usize> {
        chosen(number, self.list.len())
    }

    pub fn id(&self, number: u8) -> RoomId {
        let nowhere = RoomId::Breakout(uuid::Uuid::from_u128(u128::MAX));
        chosen(number, self.list.len()).and_then(|room| self.list[room].id).unwrap_or(nowhere)
    }

    pub fn is_open(&self, room: usize) -> bool {
        self.list[room].state == RoomState::Open
    }

    fn open_rooms(&self) -> Vec<usize> {
        let set = self.set.iter().flat_map(|set| set.rooms.iter().copied());
        set.filter(|room| self.is_open(*room)).collect()
    }

    fn is_closing(&self) -> bool {
        self.open_rooms().is_empty()
    }

    /// When the rooms next have something to do.
    pub fn next_at(&self) -> Option<Millis> {
        let set = self.set.as_ref()?;
        let due = set.ends_at.filter(|_| !self.is_closing());
        let closing = set.rooms.iter().map(|room| &self.list[*room]);
        let shut = closing.filter(|room| room.state == RoomState::Closing).map(|room| room.closes_at).min();
        due.into_iter().chain(shut).min()
    }

    /// Learns the ids of new rooms, in their order, and who was moved where by chance.
    pub fn learn(&mut self, recorded: &[Recorded]) {
        for recorded in recorded {
            if let Event::BreakoutOpened { rooms, .. } | Event::BreakoutChanged { rooms, .. } = &recorded.event {
                for room in rooms {
                    let is_new = !self.list.iter().any(|known| known.id == Some(room.id));
                    if is_new && let Some(unnamed) = self.list.iter_mut().find(|known| known.id.is_none()) {
                        unnamed.id = Some(room.id);
                    }
                }
            }
        }
    }
}

impl Roster {
    /// BR5: where somebody comes in.
    pub fn door(&self, i: usize) -> usize {
        let p = &self.people[i];
        let Some(set) = &self.rooms.set else { return MAIN };
        let room = *set.expected.get(&p.id).unwrap_or(&p.room);
        if self.rooms.is_open(room) { room } else { MAIN }
    }

    /// Somebody came in: nobody waits for them any more.
    pub fn has_come(&mut self, i: usize) {
        let p = &self.people[i];
        if let Some(set) = &mut self.rooms.set {
            set.expected.remove(&p.id);
        }
    }

    /// The meeting meets a user that a room was kept for.
    pub fn meet(&mut self, i: usize) {
        let p = &self.people[i];
        if let Some((set, user)) = self.rooms.set.as_mut().zip(p.user.as_ref())
            && let Some(room) = set.expected_users.remove(user)
        {
            set.expected.insert(p.id, room);
        }
    }

    pub fn forget_expected(&mut self, i: usize) {
        let id = self.people[i].id;
        if let Some(set) = &mut self.rooms.set {
            set.expected.remove(&id);
        }
    }

    fn put(&mut self, i: usize, room: usize) {
        if self.people[i].room != room {
            let id = self.people[i].id;
            self.hands.retain(|hand| *hand != id);
            self.people[i].room = room;
        }
    }

    pub fn ends_at(&self) -> Option<Millis> {
        self.started_at.zip(self.duration_s).map(|(at, s)| at + u64::from(s) * 1_000)
    }

    fn cut(&self, at: Option<Millis>) -> Option<Millis> {
        at.into_iter().chain(self.ends_at()).min()
    }

    /// BR10: the meeting's end may have moved.
    pub fn hold_rooms_to_end(&mut self) {
        if self.rooms.is_closing() {
            return;
        }
        let cut = self.cut(self.rooms.set.as_ref().and_then(|set| set.ends_at));
        if let Some(set) = &mut self.rooms.set {
            set.ends_at = cut;
        }
    }

    fn begin_closing(&mut self, rooms: &[usize]) {
        let Some(set) = &self.rooms.set else { return };
        let (at, grace_ms) = (self.now + set.grace_ms, set.grace_ms);
        if grace_ms == 0 {
            return self.shut(rooms);
        }
        for room in rooms {
            if self.rooms.is_open(*room) {
                self.rooms.list[*room].state = RoomState::Closing;
                self.rooms.list[*room].closes_at = at;
            }
        }
    }

    fn shut(&mut self, rooms: &[usize]) {
        for room in rooms {
            self.rooms.list[*room].state = RoomState::Closed;
        }
        if let Some(set) = &mut self.rooms.set {
            set.expected.retain(|_, room| !rooms.contains(room));
            set.expected_users.retain(|_, room| !rooms.contains(room));
        }
        for i in 0..self.people.len() {
            if self.people[i].is_inside() && rooms.contains(&self.people[i].room) {
                self.put(i, MAIN);
            }
        }
        self.end_set_if_closed();
    }

    fn end_set_if_closed(&mut self) {
        let list = &self.rooms.list;
        if self
            .rooms
            .set
            .as_ref()
            .is_some_and(|set| set.rooms.iter().all(|room| list[*room].state == RoomState::Closed))
        {
            self.rooms.set = None;
        }
    }

    /// What is due of the rooms.
    pub fn fire_rooms(&mut self) {
        let open = self.rooms.open_rooms();
        let is_due = self.rooms.set.as_ref().and_then(|set| set.ends_at).is_some_and(|at| at <= self.now);
        if is_due && !open.is_empty() {
            return self.begin_closing(&open);
        }
        let list = &self.rooms.list;
        let is_due = |room: &usize| list[*room].state == RoomState::Closing && list[*room].closes_at <= self.now;
        let due: Vec<usize> = self.rooms.set.iter().flat_map(|set| set.rooms.clone()).filter(is_due).collect();
        self.shut(&due);
    }

    pub fn end_rooms(&mut self) {
        self.rooms.set = None;
        for room in self.rooms.list.iter_mut().skip(1) {
            room.state = RoomState::Closed;
        }
    }

    /// Whether it is taken, and what the rooms are then.
    pub fn room_deed(&mut self, who: &Who, deed: &RoomDeed) -> bool {
        match deed {
            RoomDeed::Open { .. } => self.open_set(deed),
            RoomDeed::Move(moves) => self.move_people(moves),
            RoomDeed::Go(room) => self.go(who, *room),
            RoomDeed::Extend { by_s, in_ms } => self.extend(*by_s, *in_ms),
            RoomDeed::Add => {
                let present = |set: &Set| {
                    set.rooms.iter().filter(|room| self.rooms.list[**room].state != RoomState::Closed).count()
                };
                let is_free = self.rooms.set.as_ref().is_some_and(|set| {
                    present(set) < self.limits.breakout_rooms_max && set.rooms.len() < self.limits.rooms_kept_max
                });
                let may = is_free && !self.rooms.is_closing();
                if may {
                    let new = self.new_rooms(1);
                    self.rooms.set.iter_mut().for_each(|set| set.rooms.extend(&new));
                }
                may
            }
            RoomDeed::Rename(room) => {
                let room = chosen(*room, self.rooms.list.len());
                room.is_some_and(|room| room != MAIN && self.rooms.list[room].state != RoomState::Closed)
            }
            RoomDeed::Broadcast => self.rooms.set.is_some(),
            RoomDeed::Help => who.person.is_some_and(|i| self.people[i].room != MAIN),
            RoomDeed::Merge { from, into } => self.merge(from, *into),
            RoomDeed::Close { room, now } => self.close_rooms(*room, *now),
        }
    }

    fn new_rooms(&mut self, count: usize) -> Vec<usize> {
        let first = self.rooms.list.len();
        let new = || ModelRoom { id: None, state: RoomState::Open, closes_at: 0 };
        self.rooms.list.extend(std::iter::repeat_with(new).take(count));
        (first..first + count).collect()
    }

    fn open_set(&mut self, deed: &RoomDeed) -> bool {
        let RoomDeed::Open { rooms, assign, listed, users, duration_s, grace_s, may_return } = deed else {
            return false;
        };
        let count = usize::from(*rooms);
        let is_bad = count == 0 || count > self.limits.breakout_rooms_max || *duration_s == Some(0);
        if self.status != Status::Live || self.rooms.set.is_some() || is_bad {
            return false;
        }
        let mut inside = BTreeMap::new();
        let mut expected = BTreeMap::new();
        let mut named_users = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for (whom, room) in listed {
            let Some(i) = self.target(*whom) else { return false };
            let p = &self.people[i];
            if is_service(p.role) || p.was_removed || !seen.insert(i) {
                return false;
            }
            let people = if p.is_inside() { &mut inside } else { &mut expected };
            people.insert(p.id, usize::from(*room) % count);
        }
        for (number, room) in users {
            let user = crate::user(*number);
            let room = usize::from(*room) % count;
            let Some(i) = self.people.iter().position(|p| p.user.as_ref() == Some(&user)) else {
                if named_users.insert(user, room).is_some() {
                    return false;
                }
                continue;
            };
            let p = &self.people[i];
            if users.iter().filter(|(other, _)| other == number).count() > 1 {
                return false;
            }
            if is_service(p.role) || p.was_removed {
                continue;
            }
            if !seen.insert(i) {
                return false;
            }
            let people = if p.is_inside() { &mut inside } else { &mut expected };
            people.insert(p.id, room);
        }
        if *assign == Assign::Automatic {
            let mut sizes = vec![0; count];
            inside.values().chain(expected.values()).chain(named_users.values()).for_each(|room| sizes[*room] += 1);
            let is_spread =
                |p: &&crate::roster::Person| p.is_person_inside() && !is_lead(p.role) && !inside.contains_key(&p.id);
            for _ in 0..self.people.iter().filter(is_spread).count() {
                *sizes.iter_mut().min().expect("a room") += 1;
            }
            expected.values().chain(named_users.values()).for_each(|room| sizes[*room] -= 1);
            self.rooms.spread = Some(sizes);
        }
        let new = self.new_rooms(count);
        self.rooms.set = Some(Set {
            ends_at: self.cut(duration_s.map(|s| self.now + u64::from(s) * 1_000)),
            grace_ms: u64::from(*grace_s) * 1_000,
            assign: *assign,
            may_return: *may_return,
            rooms: new.clone(),
            expected: expected.into_iter().map(|(id, room)| (id, new[room])).collect(),
            expected_users: named_users.into_iter().map(|(user, room)| (user, new[room])).collect(),
        });
        for (id, room) in inside {
            let i = self.people.iter().position(|p| p.id == id).expect("somebody known");
            self.put(i, new[room]);
        }
        true
    }

    /// Takes over who went where by chance, and checks that it is even.
    pub fn learn_spread(&mut self, state: &Meeting) {
        let Some(sizes) = self.rooms.spread.take() else { return };
        let Some(set) = &self.rooms.set else { return };
        let new = set.rooms.clone();
        for i in 0..self.people.len() {
            let p = &self.people[i];
            let may_move = p.is_person_inside() && !is_lead(p.role) && p.room == MAIN;
            let there = state.member(p.id).map(|member| member.participant.room);
            let room = self.rooms.list.iter().position(|room| room.id == there).unwrap_or(MAIN);
            if may_move {
                assert_ne!(room, MAIN, "BR3: everybody but leads is spread");
                self.put(i, room);
            }
        }
        let count = |room: &usize| self.people.iter().filter(|p| p.is_inside() && p.room == *room).count();
        let (mut is, mut wanted): (Vec<usize>, Vec<usize>) = (new.iter().map(count).collect(), sizes);
        is.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(is, wanted, "BR3: evenly");
    }

    fn move_people(&mut self, moves: &[(u8, u8)]) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let mut to = Vec::new();
        for (whom, room) in moves {
            let target = self.target(*whom).filter(|i| self.people[*i].is_person_inside());
            let room = chosen(*room, self.rooms.list.len()).filter(|room| self.rooms.is_open(*room));
            let (Some(i), Some(room)) = (target, room) else { return false };
            if !seen.insert(i) {
                return false;
            }
            to.push((i, room));
        }
        if self.rooms.set.is_none() || moves.is_empty() {
            return false;
        }
        to.into_iter().for_each(|(i, room)| self.put(i, room));
        true
    }

    fn go(&mut self, who: &Who, room: u8) -> bool {
        let Some(i) = who.person else { return false };
        let Some(room) = chosen(room, self.rooms.list.len()).filter(|room| self.rooms.is_open(*room)) else {
            return false;
        };
        let leaves_closing = room == MAIN && !self.rooms.is_open(self.people[i].room);
        let is_free = is_lead(who.role) || is_service(who.role) || leaves_closing;
        let may = is_free
            || self
                .rooms
                .set
                .as_ref()
                .is_none_or(|set| set.assign == Assign::Themselves || (room == MAIN && set.may_return));
        if may {
            self.put(i, room);
        }
        may
    }

    fn extend(&mut self, by_s: Option<u32>, in_ms: Option<i64>) -> bool {
        let Some(present) = self.rooms.set.as_ref().map(|set| set.ends_at) else { return false };
        let wanted = match (by_s, in_ms) {
            (Some(by_s), None) if by_s > 0 => present.map(|at| at + u64::from(by_s) * 1_000),
            (None, Some(ms)) => self.now.checked_add_signed(ms).filter(|at| *at > self.now),
            _ => None,
        };
        let cut = self.cut(wanted);
        let week = self.now + 7 * 24 * 3_600_000;
        if wanted.is_none_or(|at| at > week) || self.rooms.is_closing() || (cut == present && cut != wanted) {
            return false;
        }
        self.rooms.set.iter_mut().for_each(|set| set.ends_at = cut);
        true
    }

    fn merge(&mut self, from: &[u8], into: u8) -> bool {
        let count = self.rooms.list.len();
        let rooms: Option<Vec<usize>> = from.iter().map(|room| chosen(*room, count)).collect();
        let (Some(mut rooms), Some(into)) = (rooms, chosen(into, count)) else { return false };
        let listed = rooms.len();
        rooms.sort_unstable();
        rooms.dedup();
        let can = |room: &usize| *room != MAIN && self.rooms.list[*room].state != RoomState::Closed;
        if rooms.is_empty() || rooms.len() != listed || rooms.contains(&into) || !rooms.iter().all(can) {
            return false;
        }
        if !self.rooms.is_open(into) {
            return false;
        }
        for (room, _) in self.rooms.said.values_mut().filter(|(room, _)| rooms.contains(room)) {
            *room = into;
        }
        self.merge_boards(&rooms, into);
        for i in 0..self.people.len() {
            if self.people[i].is_inside() && rooms.contains(&self.people[i].room) {
                self.put(i, into);
            }
        }
        for p in self.people.iter_mut().filter(|p| rooms.contains(&p.room)) {
            p.room = into;
        }
        if let Some(set) = &mut self.rooms.set
            && into != MAIN
        {
            let redirect = |room: &mut usize| {
                if rooms.contains(room) {
                    *room = into;
                }
            };
            set.expected.values_mut().for_each(redirect);
            set.expected_users.values_mut().for_each(redirect);
            set.rooms.retain(|room| !rooms.contains(room));
        }
        self.shut(&rooms);
        true
    }

    fn close_rooms(&mut self, room: Option<u8>, now: bool) -> bool {
        let Some(set) = &self.rooms.set else { return false };
        let rooms = match room {
            None => set.rooms.clone(),
            Some(number) => {
                let room = chosen(number, self.rooms.list.len());
                let can = |room: &usize| *room != MAIN && self.rooms.list[*room].state != RoomState::Closed;
                match room.filter(can) {
                    Some(room) => vec![room],
                    None => return false,
                }
            }
        };
        if now {
            self.shut(&rooms)
        } else {
            self.begin_closing(&rooms)
        }
        true
    }

    pub fn said(&mut self, recorded: &[Recorded]) {
        for recorded in recorded {
            let message = match &recorded.event {
                Event::ChatPosted { message } | Event::BreakoutBroadcast { message, .. } => message,
                _ => continue,
            };
            let room = self.rooms.list.iter().position(|room| room.id == Some(message.room)).expect("a room");
            self.rooms.said.insert(message.id, (room, room));
        }
    }

    /// The meeting's rooms are the model's.
    pub fn same_rooms(&self, state: &Meeting) {
        for room in &self.rooms.list {
            let id = room.id.expect("a room that was opened has an id");
            assert_eq!(state.rooms[&id].state, room.state, "{id}");
        }
        assert_eq!(state.rooms.len(), self.rooms.list.len(), "rooms known");
        let deadline = self.rooms.set.as_ref().map(|set| set.ends_at);
        assert_eq!(state.breakout.as_ref().map(|set| set.shown.ends_at), deadline, "BR10: the deadline");
        for p in self.people.iter().filter(|p| p.place == Place::Inside) {
            let room = state.member(p.id).expect("somebody known").participant.room;
            assert_eq!(Some(room), self.rooms.list[p.room].id, "BR2: {p:?}");
        }
        for (id, (room, said_in)) in &self.rooms.said {
            let Some(live) = state.messages.get(id) else { continue };
            assert_eq!(Some(live.message.room), self.rooms.list[*room].id, "BR14: a message is in its room");
            let origin = (room != said_in).then(|| self.rooms.list[*said_in].id).flatten();
            assert_eq!(live.message.origin, origin, "BR14: and says where it is from");
        }
    }
}
