//! The model: who is inside, who waits, who is gone, and in what role, kept as a plain list of
//! people and written from `SPEC.md` alone. It shares no code with the decisions but ids and roles;
//! it says beforehand whether an input is taken or refused, and what the roster is then.

use crate::boards::Boards;
use crate::rooms::{MAIN, Rooms};
use convoke_domain::shapes::{LobbyPolicy, Role, Status};
use convoke_domain::{Limits, Millis, ParticipantId, SessionId, UserId};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Inside,
    Waiting { since: Millis, for_host: bool },
    Gone,
}

#[derive(Clone, Debug)]
pub struct Person {
    pub id: ParticipantId,
    pub user: Option<UserId>,
    pub guest: Option<SessionId>,
    pub place: Place,
    pub role: Role,
    /// The meeting's own host.
    pub is_own_host: bool,
    /// The role to go back to, of a stand-in.
    pub stands_in_from: Option<Role>,
    pub was_admitted: bool,
    pub is_held: bool,
    pub is_banned: bool,
    pub was_removed: bool,
    /// A place in the list of rooms; also of somebody who left it.
    pub room: usize,
    pub joined_at: Millis,
    /// Each open session, with the time its socket was lost.
    pub sessions: BTreeMap<SessionId, Option<Millis>>,
}

impl Person {
    pub fn is_inside(&self) -> bool {
        self.place == Place::Inside
    }
    pub fn is_waiting(&self) -> bool {
        matches!(self.place, Place::Waiting { .. })
    }
    pub fn is_connected(&self) -> bool {
        self.sessions.values().any(Option::is_none)
    }
    pub fn leads(&self) -> bool {
        self.is_inside() && is_lead(self.role)
    }
    pub fn is_person_inside(&self) -> bool {
        self.is_inside() && !is_service(self.role)
    }
}

pub fn is_lead(role: Role) -> bool {
    role == Role::Host || role == Role::Cohost
}

pub fn is_service(role: Role) -> bool {
    role == Role::Agent || role == Role::Recorder
}

pub struct Roster {
    pub limits: Limits,
    pub now: Millis,
    pub status: Status,
    pub lobby: LobbyPolicy,
    pub before_host: bool,
    pub locked: bool,
    pub seats: u32,
    pub duration_s: Option<u32>,
    pub absent_s: Option<u32>,
    pub started_at: Option<Millis>,
    pub empty_since: Option<Millis>,
    pub leaderless_since: Option<Millis>,
    pub was_led: bool,
    pub people: Vec<Person>,
    pub hands: Vec<ParticipantId>,
    pub rooms: Rooms,
    pub boards: Boards,
}

/// What is due; of what is due at the same time, the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    Grace(SessionId),
    Rooms,
    End,
}

/// Whoever is at the door.
pub struct AtDoor {
    pub session: SessionId,
    pub user: Option<UserId>,
    pub role: Role,
}

impl Roster {
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Ended | Status::Cancelled)
    }

    pub fn find(&self, user: Option<&UserId>, session: SessionId) -> Option<usize> {
        self.people.iter().position(|p| match user {
            Some(user) => p.user.as_ref() == Some(user),
            None => p.guest == Some(session),
        })
    }

    pub fn holder(&self, session: SessionId) -> Option<usize> {
        self.people.iter().position(|p| p.sessions.contains_key(&session))
    }

    pub fn waiting(&self) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.people.len()).filter(|i| self.people[*i].is_waiting()).collect();
        found.sort_by_key(|i| match self.people[*i].place {
            Place::Waiting { since, .. } => (since, self.people[*i].id),
            _ => unreachable!(),
        });
        found
    }

    pub fn people_inside(&self) -> usize {
        self.people.iter().filter(|p| p.is_person_inside()).count()
    }

    fn is_led(&self) -> bool {
        self.people.iter().any(Person::leads)
    }

    pub fn hosts(&self) -> usize {
        self.people.iter().filter(|p| p.is_inside() && p.role == Role::Host).count()
    }

    fn has_seat(&self, role: Role) -> bool {
        is_lead(role) || is_service(role) || self.people_inside() < self.seats as usize
    }

    fn lobby_holds(&self, role: Role, is_guest: bool, known: Option<&Person>) -> bool {
        if known.is_some_and(|p| p.is_held) {
            return true; // LB4
        }
        if is_lead(role) || is_service(role) || known.is_some_and(|p| p.was_admitted) {
            return false; // LB2, LB3
        }
        match self.lobby {
            LobbyPolicy::Off => false,
            LobbyPolicy::Guests => is_guest,
            LobbyPolicy::Everyone => true,
        }
    }

    fn waits_for_host(&self, role: Role) -> bool {
        !self.before_host && !self.is_led() && !is_lead(role) && !is_service(role)
    }

    /// PR, LB: the door. True if taken; a newcomer's id is the one that was given.
    pub fn join(&mut self, door: &AtDoor, given: Option<ParticipantId>) -> bool {
        if self.is_over() {
            return false;
        }
        let known = self.find(door.user.as_ref(), door.session);
        let holder = self.holder(door.session);
        if holder.is_some() && holder != known {
            return false;
        }
        if let Some(i) = known {
            if self.people[i].is_banned {
                return false;
            }
            if self.people[i].place != Place::Gone {
                return self.open(i, door.session);
            }
        }
        let role = match known.map(|i| &self.people[i]) {
            Some(p) if p.is_own_host => Role::Host,
            Some(p) => p.role,
            None => door.role,
        };
        if self.locked && !is_lead(role) && !is_service(role) {
            return false;
        }
        let is_held = self.lobby_holds(role, door.user.is_none(), known.map(|i| &self.people[i]));
        let for_host = self.waits_for_host(role);
        let waits = is_held || for_host;
        if waits && self.waiting().len() >= self.limits.lobby_max as usize {
            return false;
        }
        if !waits && !self.has_seat(role) {
            return false;
        }
        let i = known.unwrap_or_else(|| {
            self.people.push(Person {
                id: given.expect("a newcomer who is taken has an id"),
                user: door.user.clone(),
                guest: door.user.is_none().then_some(door.session),
                place: Place::Gone,
                role,
                is_own_host: role == Role::Host,
                stands_in_from: None,
                was_admitted: false,
                is_held: false,
                is_banned: false,
                was_removed: false,
                room: MAIN,
                joined_at: self.now,
                sessions: BTreeMap::new(),
            });
            self.people.len() - 1
        });
        self.people[i].sessions.insert(door.session, None);
        self.people[i].was_removed = false;
        self.meet(i);
        if waits {
            self.people[i].place = Place::Waiting { since: self.now, for_host: !is_held };
            self.people[i].was_admitted = false;
        } else {
            self.come_in(i);
        }
        true
    }

    /// PR5: a session more, in the place of the longest lost one if there are too many.
    fn open(&mut self, i: usize, session: SessionId) -> bool {
        let most = self.limits.sessions_per_participant_max;
        let sessions = &mut self.people[i].sessions;
        if !sessions.contains_key(&session) && sessions.len() >= most {
            let lost = sessions.iter().filter_map(|(id, at)| at.map(|at| (at, *id))).min();
            let Some((_, oldest)) = lost else { return false };
            sessions.remove(&oldest);
        }
        sessions.insert(session, None);
        true
    }

    pub fn come_in(&mut self, i: usize) {
        let now = self.now;
        let room = self.door(i);
        self.has_come(i);
        let p = &mut self.people[i];
        p.room = room;
        p.place = Place::Inside;
        p.joined_at = now;
        if p.is_own_host {
            p.role = Role::Host;
        }
        if !is_service(p.role) && self.status == Status::Scheduled {
            self.go_live();
        }
        if self.people[i].role == Role::Host {
            for j in 0..self.people.len() {
                if j != i && self.people[j].is_inside() {
                    self.step_back(j); // RO6
                }
            }
        }
        self.succeed();
        if self.people[i].leads() {
            self.release();
        }
    }

    pub fn go_live(&mut self) {
        self.status = Status::Live;
        self.started_at = Some(self.now);
    }

    pub fn step_back(&mut self, i: usize) {
        if let Some(before) = self.people[i].stands_in_from.take() {
            self.people[i].role = before;
        }
    }

    /// RO5, RO8: somebody stands in where a host is wanting.
    pub fn succeed(&mut self) {
        let had_host = self.people.iter().any(|p| p.is_own_host || p.role == Role::Host);
        if self.status != Status::Live || self.hosts() > 0 || !had_host {
            return;
        }
        let may = |p: &Person| match p.role {
            Role::Cohost => p.is_inside(),
            Role::Participant => p.is_inside() && self.absent_s.is_none(),
            _ => false,
        };
        let rank = |p: &Person| (p.role != Role::Cohost, !p.is_connected(), p.joined_at, p.id);
        let heir = (0..self.people.len()).filter(|i| may(&self.people[*i])).min_by_key(|i| rank(&self.people[*i]));
        if let Some(i) = heir {
            self.people[i].stands_in_from = Some(self.people[i].role);
            self.people[i].role = Role::Host;
            self.release();
        }
    }

    /// LB6: in come those who waited for a host only.
    pub fn release(&mut self) {
        if self.locked {
            return;
        }
        for i in self.waiting() {
            let p = &self.people[i];
            let for_host = matches!(p.place, Place::Waiting { for_host: true, .. });
            let (role, is_guest) = (p.role, p.user.is_none());
            if for_host
                && !self.waits_for_host(role)
                && !self.lobby_holds(role, is_guest, Some(p))
                && self.has_seat(role)
            {
                self.people[i].was_admitted = false;
                self.come_in(i);
            }
        }
    }

    /// Out of the meeting: the office and the hand stay behind.
    pub fn go_out(&mut self, i: usize, place: Place) {
        let id = self.people[i].id;
        if self.people[i].is_inside() {
            self.step_back(i);
            self.hands.retain(|hand| *hand != id);
        }
        self.people[i].place = place;
    }

    pub fn throw_out(&mut self, i: usize) {
        self.go_out(i, Place::Gone);
        self.people[i].sessions.clear();
        self.people[i].is_held = true;
        self.people[i].was_removed = true;
        self.people[i].room = MAIN;
        self.forget_expected(i);
        self.people[i].was_admitted = false;
    }

    pub fn lost(&mut self, session: SessionId) {
        let now = self.now;
        if let Some(i) = self.holder(session) {
            self.people[i].sessions.entry(session).and_modify(|at| *at = at.or(Some(now)));
        }
    }

    pub fn back(&mut self, session: SessionId) -> bool {
        let Some(i) = self.holder(session) else { return false };
        self.people[i].sessions.insert(session, None);
        true
    }

    pub fn close(&mut self, i: usize, sessions: &[SessionId]) {
        self.people[i].sessions.retain(|id, _| !sessions.contains(id));
        if self.people[i].sessions.is_empty() {
            self.go_out(i, Place::Gone);
        }
    }

    pub fn end(&mut self, status: Status) {
        self.status = status;
        for p in &mut self.people {
            p.place = Place::Gone;
            p.sessions.clear();
        }
        self.hands.clear();
        self.end_rooms();
    }

    pub fn erase(&mut self, user: &UserId) {
        let Some(i) = self.people.iter().position(|p| p.user.as_ref() == Some(user)) else {
            if let Some(set) = &mut self.rooms.set {
                set.unlist(user);
            }
            return;
        };
        if self.people[i].place != Place::Gone {
            self.throw_out(i);
        }
        self.people[i].user = None;
        self.forget_expected(i);
        self.disown(i);
        self.succeed();
    }

    pub fn recovered(&mut self) {
        let now = self.now;
        if self.is_over() {
            return;
        }
        for at in self.people.iter_mut().flat_map(|p| p.sessions.values_mut()) {
            *at = at.map(|_| now);
        }
        self.empty_since = self.empty_since.map(|_| now);
        self.leaderless_since = self.leaderless_since.map(|_| now);
    }

    /// MT5 to MT8, PR7: everything that is due, earliest first.
    pub fn pass_to(&mut self, now: Millis) {
        self.now = now;
        while let Some((at, due)) = self.next() {
            if at > now {
                return;
            }
            match due {
                Due::Grace(session) => {
                    let i = self.holder(session).expect("a lost session is somebody's");
                    self.close(i, &[session]);
                    self.succeed();
                }
                Due::Rooms => self.fire_rooms(),
                Due::End => self.end(Status::Ended),
            }
            self.watch();
        }
    }

    /// The next deadline: a session's grace, the rooms', or the meeting's end; the first goes first.
    fn next(&self) -> Option<(Millis, Due)> {
        let sessions = self.people.iter().flat_map(|p| &p.sessions);
        let graces = sessions.filter_map(|(id, at)| at.map(|at| (at + self.limits.grace_ms, Due::Grace(*id))));
        let live = self.status == Status::Live;
        let rooms = self.rooms.next_at().map(|at| (at, Due::Rooms));
        let ms = |s: u32| u64::from(s) * 1_000;
        let ends = [
            self.started_at.zip(self.duration_s).map(|(at, s)| at + ms(s)),
            self.empty_since.map(|at| at + self.limits.empty_ms),
            self.leaderless_since.zip(self.absent_s).map(|(at, s)| at + ms(s)),
        ];
        let end = ends.into_iter().flatten().min().filter(|_| live).map(|at| (at, Due::End));
        graces.chain(rooms).chain(end).min()
    }

    /// Since when nobody, and since when no lead, has been here.
    pub fn watch(&mut self) {
        let (is_live, is_led) = (self.status == Status::Live, self.is_led());
        let is_empty = is_live && self.people_inside() == 0;
        self.empty_since = if is_empty { self.empty_since.or(Some(self.now)) } else { None };
        if !is_live || is_led {
            self.leaderless_since = None;
        } else if self.was_led {
            self.leaderless_since = Some(self.now);
        }
        self.was_led = is_led;
    }
}
