//! The model's half of the commands: who may, against whom, and what it does to the roster. Written
//! from `SPEC.md` and the contract's table, once more and on its own.

use crate::plan::{BoardDeed, Deed, Patch, RoomDeed, Whose};
use crate::rooms::MAIN;
use crate::roster::{Person, Place, Roster, is_lead, is_service};
use convoke_domain::shapes::{LobbyPolicy, Role, Status, WhiteboardPolicy};
use convoke_domain::{ParticipantId, SessionId, UserId};

/// Who asks, as the model sees them.
pub struct Who {
    pub person: Option<usize>,
    pub session: Option<SessionId>,
    pub role: Role,
    pub is_operator: bool,
}

/// What the model says beforehand. Of some deeds it knows only that the roster stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    Refused,
    Either,
}

fn verdict(is_taken: bool) -> Verdict {
    if is_taken { Verdict::Taken } else { Verdict::Refused }
}

/// The contract's table of who may do what.
pub fn has(role: Role, deed: &Deed) -> bool {
    let leads = is_lead(role);
    match deed {
        Deed::End | Deed::Cancel => role == Role::Host,
        Deed::Start
        | Deed::Update(_)
        | Deed::Admit(_)
        | Deed::Deny(_)
        | Deed::TellLobby
        | Deed::SetRole(..)
        | Deed::Mute(_)
        | Deed::Permit(..)
        | Deed::Remove { .. }
        | Deed::ToLobby(_)
        | Deed::Invite => leads,
        Deed::Rooms(RoomDeed::Go(_)) => true,
        Deed::Rooms(RoomDeed::Help) => !is_service(role),
        Deed::Rooms(_) => leads,
        Deed::Boards(deed) => crate::boards::has(role, deed),
        Deed::React => leads || role == Role::Participant,
        Deed::Rename(_) | Deed::Raise | Deed::Lower(_) | Deed::ReactTo(..) => !is_service(role),
        Deed::Leave { .. } | Deed::Media(..) | Deed::List | Deed::Say(_) | Deed::Edit(_) | Deed::Delete(_) => true,
    }
}

impl Roster {
    pub fn who_by_session(&self, session: SessionId) -> Option<Who> {
        let i = self.holder(session)?;
        Some(Who { person: Some(i), session: Some(session), role: self.people[i].role, is_operator: false })
    }

    pub fn who_by_token(&self, user: Option<&UserId>, role: Role) -> Option<Who> {
        let known = user.and_then(|user| self.people.iter().position(|p| p.user.as_ref() == Some(user)));
        match known.map(|i| &self.people[i]) {
            Some(p) if p.is_banned => None,
            Some(p) => Some(Who { person: known, session: None, role: p.role, is_operator: false }),
            None => Some(Who { person: None, session: None, role, is_operator: false }),
        }
    }

    /// RO3.
    fn may_act(&self, who: &Who, target: usize) -> bool {
        if who.is_operator || who.person == Some(target) {
            return true;
        }
        let is_own_host = who.person.is_some_and(|i| self.people[i].is_own_host);
        let p = &self.people[target];
        (is_own_host || !p.is_own_host) && (who.role == Role::Host || p.role != Role::Host)
    }

    /// The number counts round everybody the meeting knows, and nobody.
    pub fn target(&self, number: u8) -> Option<usize> {
        Some(usize::from(number) % (self.people.len() + 1)).filter(|i| *i < self.people.len())
    }

    fn inside(&self, number: u8) -> Option<usize> {
        self.target(number).filter(|i| self.people[*i].is_person_inside())
    }

    pub fn ask(&mut self, who: Option<Who>, deed: &Deed) -> Verdict {
        if self.is_over() {
            return match (deed, who) {
                (Deed::Delete(_), _) => Verdict::Either,
                (Deed::Boards(deed @ BoardDeed::Delete(_)), Some(who)) if who.is_operator => {
                    verdict(self.board_deed(&who, deed)) // WB5
                }
                _ => Verdict::Refused,
            };
        }
        let Some(who) = who else { return Verdict::Refused };
        if !has(who.role, deed) {
            return Verdict::Refused;
        }
        if let Deed::Leave { all, to } = deed {
            return verdict(self.leave(&who, *all, *to));
        }
        let is_inside = who.is_operator || who.person.is_some_and(|i| self.people[i].is_inside());
        let is_held = who.person.is_some_and(|i| self.people[i].is_held);
        let from_outside = matches!(deed, Deed::Start | Deed::End | Deed::Invite) && !is_held;
        if !is_inside && !from_outside {
            return Verdict::Refused;
        }
        self.deed(&who, deed)
    }

    fn deed(&mut self, who: &Who, deed: &Deed) -> Verdict {
        match deed {
            Deed::Leave { .. } => Verdict::Refused,
            Deed::Start if self.status == Status::Scheduled => {
                self.go_live();
                Verdict::Taken
            }
            Deed::Cancel if self.status == Status::Scheduled => {
                self.end(Status::Cancelled);
                Verdict::Taken
            }
            Deed::Start | Deed::Cancel => Verdict::Refused,
            Deed::End => {
                self.end(Status::Ended);
                Verdict::Taken
            }
            Deed::Update(patch) => verdict(self.update(patch)),
            Deed::Admit(whom) => verdict(self.admit(*whom)),
            Deed::Deny(whom) => verdict(self.deny(*whom)),
            Deed::SetRole(whom, role) => verdict(self.set_role(who, *whom, *role)),
            Deed::Remove { whom, ban } => verdict(self.remove(who, *whom, *ban)),
            Deed::ToLobby(whom) => verdict(self.send_back(who, *whom)),
            Deed::Raise | Deed::React if who.person.is_none() => Verdict::Refused,
            Deed::Raise => {
                let hand = who.person.map(|i| self.people[i].id);
                self.hands.extend(hand.filter(|id| !self.hands.contains(id)));
                Verdict::Taken
            }
            Deed::Lower(whose) => verdict(self.lower(who, whose)),
            Deed::Rename(whom) => {
                let target = self.target(*whom).filter(|i| {
                    let p = &self.people[*i];
                    p.place != Place::Gone && !is_service(p.role)
                });
                let may = |i: usize| who.person == Some(i) || (is_lead(who.role) && self.may_act(who, i));
                verdict(target.is_some_and(may))
            }
            Deed::Mute(whom) | Deed::Permit(whom, _) => verdict(match whom {
                Some(whom) => self.inside(*whom).is_some_and(|i| self.may_act(who, i)),
                None => true,
            }),
            Deed::Rooms(deed) => verdict(self.room_deed(who, deed)),
            Deed::Boards(deed) => verdict(self.board_deed(who, deed)),
            Deed::TellLobby | Deed::List | Deed::React => Verdict::Taken,
            Deed::Media(..) | Deed::Say(_) | Deed::Edit(_) | Deed::Delete(_) | Deed::ReactTo(..) | Deed::Invite => {
                Verdict::Either
            }
        }
    }

    fn leave(&mut self, who: &Who, all: bool, to: Option<u8>) -> bool {
        let (Some(i), Some(session)) = (who.person, who.session) else { return false };
        if let Some(to) = to {
            let is_host_here = self.people[i].is_inside() && who.role == Role::Host;
            let Some(heir) = self.inside(to).filter(|heir| is_host_here && *heir != i) else { return false };
            if self.people[heir].role != Role::Host {
                let former = self.people[heir].role;
                let is_stand_in = self.people[i].stands_in_from.is_some();
                self.people[heir].stands_in_from = is_stand_in.then_some(former); // RO7
                self.people[heir].role = Role::Host;
            }
        }
        let leaving: Vec<SessionId> =
            if all { self.people[i].sessions.keys().copied().collect() } else { vec![session] };
        self.close(i, &leaving);
        self.succeed();
        true
    }

    fn update(&mut self, patch: &Patch) -> bool {
        let has_passed = |s: u32| self.started_at.is_some_and(|at| at + u64::from(s) * 1_000 <= self.now);
        let changed = patch.duration_s.filter(|new| *new != self.duration_s).flatten();
        if patch.seats == Some(0) || changed.is_some_and(has_passed) {
            return false;
        }
        let settings = |r: &Self| (r.lobby, r.before_host, r.locked, r.seats, r.duration_s, r.absent_s);
        let before = settings(self);
        self.lobby = patch.lobby.unwrap_or(self.lobby);
        self.before_host = patch.before_host.unwrap_or(self.before_host);
        self.locked = patch.locked.unwrap_or(self.locked);
        self.boards.is_hosts_only = patch.boards.map_or(self.boards.is_hosts_only, |p| p == WhiteboardPolicy::Hosts);
        self.seats = patch.seats.unwrap_or(self.seats);
        self.duration_s = patch.duration_s.unwrap_or(self.duration_s);
        self.absent_s = patch.absent_s.unwrap_or(self.absent_s);
        if settings(self) != before {
            self.hold_rooms_to_end();
            self.succeed();
            self.release();
        }
        true
    }

    fn admit(&mut self, whom: Option<u8>) -> bool {
        let chosen = match whom {
            None => self.waiting(),
            Some(whom) => match self.target(whom).filter(|i| self.people[*i].is_waiting()) {
                Some(i) => vec![i],
                None => return false,
            },
        };
        let mut free = (self.seats as usize).saturating_sub(self.people_inside());
        let mut admitted = Vec::new();
        for i in &chosen {
            let role = self.people[*i].role;
            if free > 0 || is_lead(role) || is_service(role) {
                admitted.push(*i);
                free = free.saturating_sub(usize::from(!is_service(role)));
            }
        }
        if admitted.is_empty() && !chosen.is_empty() {
            return false;
        }
        for i in admitted {
            self.people[i].was_admitted = true;
            self.people[i].is_held = false;
            self.come_in(i);
        }
        true
    }

    fn deny(&mut self, whom: Option<u8>) -> bool {
        let chosen = match whom {
            None => self.waiting(),
            Some(whom) => match self.target(whom).filter(|i| self.people[*i].is_waiting()) {
                Some(i) => vec![i],
                None => return false,
            },
        };
        for i in chosen {
            self.people[i].sessions.clear();
            self.people[i].place = Place::Gone;
        }
        true
    }

    fn set_role(&mut self, who: &Who, whom: u8, role: Role) -> bool {
        let Some(i) = self.inside(whom).filter(|i| self.may_act(who, *i)) else { return false };
        let is_beyond = who.role == Role::Cohost && role == Role::Host;
        if is_service(role) || is_beyond {
            return false;
        }
        let p = &self.people[i];
        if p.role == role {
            return true;
        }
        if p.role == Role::Host && self.hosts() == 1 {
            return false; // RO4
        }
        let p = &mut self.people[i];
        p.role = role;
        p.stands_in_from = None;
        p.is_own_host = p.is_own_host && role == Role::Host;
        if is_lead(role) {
            self.release();
        }
        self.succeed();
        true
    }

    fn remove(&mut self, who: &Who, whom: u8, ban: bool) -> bool {
        let Some(i) = self.target(whom) else { return false };
        let is_here = self.people[i].place != Place::Gone;
        if (!is_here && !ban) || who.person == Some(i) || !self.may_act(who, i) {
            return false;
        }
        if self.people[i].is_banned {
            return true;
        }
        self.throw_out(i);
        self.people[i].is_banned = ban;
        if ban && self.people[i].guest.is_some() && self.lobby == LobbyPolicy::Off {
            self.lobby = LobbyPolicy::Guests; // MD7
        }
        self.succeed();
        true
    }

    fn send_back(&mut self, who: &Who, whom: u8) -> bool {
        let is_full = self.waiting().len() >= self.limits.lobby_max as usize;
        let allowed = |i: &usize| who.person != Some(*i) && self.may_act(who, *i) && !is_full;
        let Some(i) = self.inside(whom).filter(allowed) else { return false };
        self.go_out(i, Place::Waiting { since: self.now, for_host: false });
        self.people[i].is_held = true;
        self.people[i].room = MAIN;
        self.forget_expected(i);
        self.people[i].was_admitted = false;
        self.succeed();
        true
    }

    fn lower(&mut self, who: &Who, whose: &Whose) -> bool {
        let target = match whose {
            Whose::All => {
                if is_lead(who.role) {
                    let own = who.person.map(|i| self.people[i].room);
                    let there = |id: &ParticipantId| self.people.iter().find(|p| p.id == *id).map(|p| p.room);
                    let kept = |id: &ParticipantId| own.is_some() && there(id) != own;
                    self.hands = self.hands.iter().copied().filter(kept).collect();
                }
                return is_lead(who.role);
            }
            Whose::Own => who.person,
            Whose::Of(whom) => {
                self.inside(*whom).filter(|i| who.person == Some(*i) || (is_lead(who.role) && self.may_act(who, *i)))
            }
        };
        let Some(p) = target.map(|i: usize| -> &Person { &self.people[i] }) else { return false };
        let id = p.id;
        self.hands.retain(|hand| *hand != id);
        true
    }
}
