//! What is true of a meeting at any time, whatever happened to it: compared with the model, and
//! counted anew from the members alone.

use crate::boards;
use crate::roster::{Place, Roster, is_lead, is_service};
use convoke_domain::poll::LivePoll;
use convoke_domain::question::LiveQuestion;
use convoke_domain::shapes::{Connection, Role, Status};
use convoke_domain::state::Standing;
use convoke_domain::*;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The model says what the state says.
pub fn same(roster: &Roster, state: &Meeting) {
    assert_eq!(state.info.status, roster.status, "status");
    assert_eq!(state.info.settings.lobby, roster.lobby, "lobby");
    assert_eq!(state.members.len(), roster.people.len(), "people known");
    for p in &roster.people {
        let member = state.member(p.id).expect("somebody known");
        let place = match member.standing {
            Standing::Inside => Place::Inside,
            Standing::Waiting { since_at, awaits_host } => Place::Waiting { since: since_at, for_host: awaits_host },
            Standing::Gone { .. } | Standing::Removed { .. } => Place::Gone,
        };
        assert_eq!(place, p.place, "{p:?}");
        let sessions: BTreeSet<SessionId> = p.sessions.keys().copied().collect();
        assert_eq!(member.sessions, sessions, "{p:?}");
        for (id, lost_at) in &p.sessions {
            let session = &state.sessions[id];
            assert_eq!((session.participant, session.lost_at), (p.id, *lost_at), "{p:?}");
        }
        assert_eq!(member.banned, p.is_banned, "{p:?}");
        assert_eq!(member.must_wait, p.is_held, "{p:?}");
        assert_eq!(member.admitted, p.was_admitted, "{p:?}");
        assert_eq!(member.original_host, p.is_own_host, "{p:?}");
        assert_eq!(member.participant.user, p.user, "{p:?}");
        if !roster.is_over() {
            assert_eq!(member.participant.role, p.role, "{p:?}");
            assert_eq!(member.acting_from, p.stands_in_from, "{p:?}");
        }
        if p.is_inside() {
            assert_eq!(member.participant.state == Connection::Connected, p.is_connected(), "{p:?}");
            assert_eq!(member.participant.joined_at, p.joined_at, "{p:?}");
        }
    }
    roster.same_rooms(state);
    roster.same_boards(state);
    let hands: Vec<ParticipantId> = state.hands.iter().map(|hand| hand.participant).collect();
    assert_eq!(hands, roster.hands, "HD1: hands in order");
    assert_eq!(state.empty_since, roster.empty_since, "MT6");
    assert_eq!(state.leaderless_since, roster.leaderless_since, "MT7");
}

/// LG5, and what no sequence of inputs may bring about.
pub fn holds(state: &Meeting) {
    derived(state);
    rooms(state);
    boards::hold(state);
    let inside = || state.members.values().filter(|m| m.is_inside());
    assert!(inside().all(|m| !m.banned), "PR12: nobody inside is banned");
    assert!(inside().all(|m| !m.must_wait), "LB4: nobody inside has to wait");
    let own_host_is_here = inside().any(|m| m.original_host);
    assert!(!(own_host_is_here && inside().any(|m| m.acting_from.is_some())), "RO6: no stand-in beside the host");
    assert!(inside().filter(|m| m.original_host).all(|m| m.participant.role == Role::Host), "PR2");
    let is_live = state.info.status == Status::Live;
    let had_host = state.members.values().any(|m| m.original_host || m.participant.role == Role::Host);
    let only_cohosts = state.info.settings.host_absent_end_s.is_some();
    let has_heir = inside().any(|m| match m.participant.role {
        Role::Cohost => true,
        Role::Participant => !only_cohosts,
        _ => false,
    });
    if is_live && had_host && has_heir {
        assert!(inside().any(|m| m.participant.role == Role::Host), "RO5: somebody is host");
    }
    if state.info.status != Status::Live {
        assert_eq!(state.people_inside(), 0, "MT2, MT4: people inside are a live meeting");
    }
    for member in state.members.values() {
        let is_away = member.sessions.iter().all(|id| state.lost.contains_key(id));
        let is_here = member.is_inside() || member.is_waiting();
        assert_eq!(member.sessions.is_empty(), !is_here, "a session is where its person is");
        if member.is_inside() {
            assert_eq!(member.participant.state == Connection::Disconnected, is_away, "PR6");
        }
        let hand = state.hands.iter().find(|hand| hand.participant == member.participant.id);
        assert_eq!(hand.map(|hand| hand.at), member.participant.hand_at, "HD1: one hand, told the same");
        assert!(hand.is_none() || member.is_inside(), "HD4");
    }
}

/// BR: everybody is in one room that is not closed, and a set has a room that is not.
fn rooms(state: &Meeting) {
    use convoke_domain::shapes::RoomState;
    for member in state.members.values().filter(|m| m.is_inside()) {
        let room = state.rooms.get(&member.participant.room).expect("BR2: a room there is");
        assert_ne!(room.state, RoomState::Closed, "BR2: nobody is in a closed room");
    }
    let not_closed = state.rooms.values().filter(|room| room.id != RoomId::Main && room.state != RoomState::Closed);
    let ids: BTreeSet<RoomId> = not_closed.map(|room| room.id).collect();
    match &state.breakout {
        None => assert!(ids.is_empty(), "BR13: no set, no room"),
        Some(set) => {
            assert!(!ids.is_empty() && ids.iter().all(|id| set.rooms.contains(id)), "BR13: a set has rooms");
            let ends_at = set.shown.ends_at;
            let is_within = state.info.ends_at.is_none_or(|end| ends_at.is_some_and(|at| at <= end));
            let is_closing = ids.iter().all(|id| state.rooms[id].state == RoomState::Closing);
            assert!(is_within || is_closing, "BR10: not behind the meeting's end");
            assert_eq!(set.shown.state == convoke_domain::breakout::BreakoutState::Closing, is_closing);
            let here = |id: &ParticipantId| state.inside.contains(id);
            assert!(!set.expected.keys().any(here), "BR4: whoever is here is not waited for");
            assert!(set.help.iter().all(|help| here(&help.participant)), "BR16");
            let there = |id: &ParticipantId| state.members[id].participant.room;
            assert!(set.help.iter().all(|help| there(&help.participant) == help.room), "BR16");
        }
    }
}

fn derived(state: &Meeting) {
    let ids = |keep: &dyn Fn(&state::Member) -> bool| -> BTreeSet<ParticipantId> {
        state.members.values().filter(|m| keep(m)).map(|m| m.participant.id).collect()
    };
    assert_eq!(state.inside, ids(&|m| m.standing == Standing::Inside), "LG5: inside");
    assert_eq!(state.waiting, ids(&|m| matches!(m.standing, Standing::Waiting { .. })), "LG5: waiting");
    assert_eq!(state.leads, ids(&|m| m.is_inside() && is_lead(m.participant.role)), "LG5: leads");
    let gone: BTreeSet<ParticipantId> = state.gone.iter().copied().collect();
    assert_eq!(gone.len(), state.gone.len(), "LG5: gone once");
    let is_gone = |m: &state::Member| matches!(m.standing, Standing::Gone { .. } | Standing::Removed { .. });
    assert_eq!(gone, ids(&is_gone), "LG5: gone");
    // Inside, waiting and gone are three sets, and everybody is in one.
    assert_eq!(state.inside.len() + state.waiting.len() + gone.len(), state.members.len(), "LG5: in one place");
    let lost: Vec<(SessionId, Millis)> =
        state.sessions.iter().filter_map(|(id, s)| s.lost_at.map(|at| (*id, at))).collect();
    assert_eq!(state.lost.iter().map(|(id, at)| (*id, *at)).collect::<Vec<_>>(), lost, "LG5: lost");
    for (id, session) in &state.sessions {
        assert!(state.members[&session.participant].sessions.contains(id), "LG5: a session has its person");
    }
    let open: usize = state.members.values().map(|m| m.sessions.len()).sum();
    assert_eq!(open, state.sessions.len(), "LG5: a person has their sessions");
    let users = state.members.values().filter_map(|m| m.participant.user.clone().map(|u| (u, m.participant.id)));
    assert_eq!(state.users.clone().into_iter().collect::<BTreeSet<_>>(), users.collect(), "LG5: users");
    let guests = state.members.values().filter_map(|m| m.guest.map(|s| (s, m.participant.id)));
    assert_eq!(state.guests.clone().into_iter().collect::<BTreeSet<_>>(), guests.collect(), "LG5: guests");
    let is_counted = |id: &Uuid| {
        state.messages.contains_key(&MessageId(*id))
            || state.questions.get(&QuestionId(*id)).is_some_and(LiveQuestion::is_open)
            || state.polls.get(&PollId(*id)).is_some_and(LivePoll::is_open)
    };
    assert!(state.counts_due.keys().all(is_counted), "LG5: counts of what there is");
}

/// Follows the log event by event, for what is true of each as it happens.
pub struct Follower {
    state: Meeting,
    limits: Limits,
    /// Warnings of the present deadline that were given.
    warned: BTreeSet<(Millis, u32)>,
}

impl Follower {
    pub fn new(state: Meeting, limits: Limits) -> Self {
        Self { state, limits, warned: BTreeSet::new() }
    }

    pub fn seq(&self) -> Seq {
        self.state.seq
    }

    pub fn follow(&mut self, recorded: &Recorded) {
        if let Audience::Only(named) = &recorded.audience {
            assert!(named.is_subset(&self.state.inside), "LG4: named people are inside");
        }
        let deadline = |state: &Meeting| state.breakout.as_ref().and_then(|set| set.shown.ends_at);
        let before = deadline(&self.state);
        let of_board = recorded.event.kind().starts_with("whiteboard.").then(|| self.state.clone());
        apply::apply(&mut self.state, recorded, &self.limits);
        if let Some(before) = of_board {
            boards::follow(&before, &self.state, recorded, &self.limits);
        }
        if deadline(&self.state) != before {
            self.warned.clear();
        }
        if let Event::BreakoutEndingSoon { ends_at, warn_s } = recorded.event {
            assert!(self.warned.insert((ends_at, warn_s)), "BR11: each warning once");
            assert!(recorded.at + u64::from(warn_s) * 1_000 >= ends_at, "BR11: not before its time");
        }
        if let Event::ParticipantJoined { participant } = &recorded.event {
            let (role, seats) = (participant.role, self.state.info.settings.max_participants as usize);
            let needs_seat = !is_lead(role) && !is_service(role);
            assert!(!needs_seat || self.state.people_inside() <= seats, "PR10: no seat beyond the last");
            assert_eq!(is_service(role), recorded.audience == Audience::Nobody, "LG4: services are hidden");
        }
        if let Event::SessionOpened { participant, .. } = &recorded.event {
            let open = self.state.members[participant].sessions.len();
            assert!(open <= self.limits.sessions_per_participant_max, "PR5");
        }
        assert!(self.state.waiting.len() <= self.limits.lobby_max as usize, "LB12");
    }
}

fn user_of(log: &[Recorded], id: ParticipantId) -> Option<UserId> {
    log.iter().find_map(|recorded| match &recorded.event {
        Event::SessionOpened { participant, person: Some(person), .. } if *participant == id => person.user.clone(),
        _ => None,
    })
}

/// LG6: the log without the words of deleted messages and erased people folds to the same.
pub fn overwritten(log: &[Recorded], limits: &Limits) -> Meeting {
    let mut log = log.to_vec();
    for upto in 0..log.len() {
        let change: Box<dyn Fn(&mut Event) -> bool> = match log[upto].event.clone() {
            Event::ChatDeleted { message, .. } => Box::new(move |event| redact::message(event, message.id)),
            Event::PersonErased { participant } => {
                let user = user_of(&log[..upto], participant);
                Box::new(move |event| {
                    let is_changed = user.as_ref().is_some_and(|user| redact::user(event, user));
                    redact::person(event, participant) || is_changed
                })
            }
            _ => continue,
        };
        for recorded in &mut log[..=upto] {
            change(&mut recorded.event);
        }
    }
    let text = serde_json::to_string(&log).expect("a log is written down");
    let log: Vec<Recorded> = serde_json::from_str(&text).expect("a log is read");
    let mut state = apply::create(&log[0]).expect("a log begins with a meeting");
    for recorded in &log[1..] {
        apply::apply(&mut state, recorded, limits);
    }
    state
}
