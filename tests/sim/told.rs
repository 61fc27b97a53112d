//! The log, folded event by event: who was in which room when, and what the rooms were. It says whom
//! each event was for, and what must be true of rooms at any time.

use crate::client::Record;
use crate::database::Meeting;
use crate::interaction::{Truth, recount, votes_are_kept};
use convoke_actors::meeting::decode;
use convoke_domain::apply::{apply, create};
use convoke_domain::shapes::RoomState;
use convoke_domain::{Audience, Event, Limits, ParticipantId, Recorded, RoomId};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

type State = convoke_domain::Meeting;

pub struct Story {
    /// Where each person was, and whether they led, before each event, and at the end.
    places: Vec<BTreeMap<ParticipantId, (RoomId, bool)>>,
    /// The rooms, and when their set ends, after each event.
    rooms: Vec<(BTreeMap<String, String>, Option<u64>)>,
    /// What polls, questions and the timer were, after each event.
    truths: Vec<Rc<Truth>>,
    pub log: Vec<Recorded>,
    /// What it folds to.
    pub state: Option<State>,
    violations: Vec<String>,
}

impl Story {
    pub fn of(meeting: &Meeting) -> Self {
        let mut story = Self {
            state: None,
            places: Vec::new(),
            rooms: Vec::new(),
            truths: Vec::new(),
            log: Vec::new(),
            violations: Vec::new(),
        };
        let limits = Limits::default();
        let mut state: Option<State> = None;
        let mut fired = BTreeSet::new();
        let log: Vec<Recorded> = meeting.events.values().map(|row| decode(row).unwrap()).collect();
        for (place, recorded) in log.iter().enumerate() {
            story.places.push(state.iter().flat_map(places).collect());
            match &mut state {
                None => state = create(recorded),
                Some(state) => apply(state, recorded, &limits),
            }
            let Some(state) = &state else { break };
            story.once(recorded, &mut fired);
            let is_on_the_way = log
                .get(place + 1)
                .is_some_and(|next| matches!(next.event, Event::ParticipantsMoved { .. } | Event::HandsLowered { .. }));
            if !is_on_the_way {
                story.everybody_has_a_room(state, recorded);
            }
            let named = |room: RoomState| match room {
                RoomState::Open => "open",
                RoomState::Closing => "closing",
                RoomState::Closed => "closed",
            };
            let rooms = state.rooms.values().map(|room| (room.id.to_string(), named(room.state).to_owned())).collect();
            story.rooms.push((rooms, state.breakout.as_ref().and_then(|set| set.shown.ends_at)));
            let truth = match story.truths.last() {
                Some(truth) if !Truth::is_another_after(recorded) => Rc::clone(truth),
                _ => Rc::new(Truth::of(state)),
            };
            story.truths.push(truth);
        }
        story.places.push(state.iter().flat_map(places).collect());
        if let Some(state) = &state {
            recount(&log, state, &mut |what| story.violations.push(what));
        }
        story.log = log;
        story.state = state;
        story
    }

    /// Each room closes once, each warning of a deadline is given once.
    fn once(&mut self, recorded: &Recorded, fired: &mut BTreeSet<String>) {
        let keys: Vec<String> = match &recorded.event {
            Event::BreakoutClosed { rooms, .. } => rooms.iter().map(|room| format!("close {}", room.id)).collect(),
            Event::BreakoutMerged { from, .. } => from.iter().map(|room| format!("close {room}")).collect(),
            Event::BreakoutEndingSoon { ends_at, warn_s } => vec![format!("warn {warn_s} of {ends_at}")],
            Event::PollClosed { poll, .. } => vec![format!("close {}", poll.id)],
            Event::TimerEnded { timer, .. } => vec![format!("end the timer of {}", timer.started_at)],
            Event::BreakoutOpened { ends_at, .. } | Event::BreakoutChanged { ends_at, .. }
                if self.rooms.last().is_none_or(|(_, before)| before != ends_at) =>
            {
                fired.retain(|key| !key.starts_with("warn"));
                Vec::new()
            }
            _ => Vec::new(),
        };
        for key in keys {
            if !fired.insert(key.clone()) {
                self.violations.push(format!("at {}: {key}, for the second time", recorded.seq));
            }
        }
    }

    fn everybody_has_a_room(&mut self, state: &State, recorded: &Recorded) {
        for (id, (room, _)) in places(state) {
            if state.rooms.get(&room).is_none_or(|room| room.state == RoomState::Closed) {
                self.violations.push(format!("at {}: {id} is in {room}, which is closed", recorded.seq));
            }
        }
    }

    /// Whom an event is for is decided by where people were when it happened.
    pub fn is_for(&self, participant: ParticipantId, seq: u64, audience: &Audience) -> bool {
        let place = usize::try_from(seq).unwrap() - 1;
        let was = self.places[place].get(&participant);
        match audience {
            Audience::Nobody => false,
            Audience::Everyone => true,
            Audience::Only(people) => people.contains(&participant),
            Audience::Leads => was.is_some_and(|(_, leads)| *leads),
            Audience::Room(room) => was.is_some_and(|(own, _)| own == room),
            Audience::RoomAndLeads(room) => was.is_some_and(|(own, leads)| *leads || own == room),
        }
    }

    pub fn check(&self, say: &mut impl FnMut(String)) {
        self.violations.iter().cloned().for_each(say);
    }

    pub fn votes_are_kept(&self, record: &Record, say: &mut impl FnMut(String)) {
        votes_are_kept(&self.log, record, say);
    }

    /// What a client shows of rooms is what the log says, as far as the client has heard it.
    pub fn is_shown(&self, record: &Record, say: &mut impl FnMut(String)) {
        let Some(place) = usize::try_from(record.cursor).unwrap().checked_sub(1) else { return };
        let Some((rooms, ends_at)) = self.rooms.get(place) else { return };
        if record.closed.is_some() {
            return;
        }
        if *rooms != record.rooms.states || *ends_at != record.rooms.ends_at {
            let shown = &record.rooms;
            say(format!("shows {:?} until {:?}; the log has {rooms:?} until {ends_at:?}", shown.states, shown.ends_at));
        }
        let Ok(participant) = serde_json::from_value::<ParticipantId>(record.participant.clone()) else { return };
        if let Some((room, _)) = self.places.get(place + 1).and_then(|p| p.get(&participant))
            && room.to_string() != record.rooms.own
        {
            say(format!("shows itself in {}; the log has it in {room}", record.rooms.own));
        }
        if let Some(own) = self.places.get(place + 1).and_then(|places| places.get(&participant))
            && let Some(truth) = self.truths.get(place)
        {
            truth.is_shown(record, *own, say);
        }
    }
}

fn places(state: &State) -> impl Iterator<Item = (ParticipantId, (RoomId, bool))> + '_ {
    let inside = state.members.values().filter(|member| member.is_inside());
    inside.map(|member| (member.participant.id, (member.participant.room, member.leads())))
}
