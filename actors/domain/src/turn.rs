//! One input's turn at the meeting. A turn first fires every deadline that is due, so that a late
//! vote cannot overtake the end of its poll; then it decides. Decisions check everything before
//! they emit anything; what is emitted is applied at once, so that each step sees the one before.
//!
//! A turn is deterministic: the same state, input and [`Now`] give the same outputs.

use crate::apply::{apply, create};
use crate::breakout::Move;
use crate::command::{By, Input};
use crate::deadlines;
use crate::decide;
use crate::effect::{Effect, Output};
use crate::event::{Audience, Cause, Event, Recorded};
use crate::ids::{Millis, ParticipantId, Seq, SessionId, WhiteboardId};
use crate::limits::Limits;
use crate::poll::{Poll, PollState, Results};
use crate::rejection::Rejection;
use crate::shapes::{Connection, Participant, Role, RoomState};
use crate::state::{Meeting, Member};
use uuid::Uuid;

/// The present moment and the chance of the day: all that a decision may not make up for itself.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub at: Millis,
    /// Unknown to anybody, and never the same: ids and keys are made of it.
    pub entropy: u128,
}

/// What a command's caller is answered beyond `ok`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reply {
    #[default]
    Done,
    /// The caller is inside: a snapshot is the answer.
    Inside(ParticipantId),
    /// The caller waits in the lobby.
    Waiting(ParticipantId),
    /// A page of the roster, after this participant.
    Roster { after: Option<ParticipantId> },
    /// The way to a whiteboard.
    Whiteboard { id: WhiteboardId, writable: bool },
}

/// Whoever asks, as the decision sees them.
#[derive(Clone, Debug)]
pub struct Caller {
    /// None for a backend, or for a token whose person the meeting has not met.
    pub participant: Option<ParticipantId>,
    pub role: Role,
    pub is_operator: bool,
    /// Takes no part in the log: a token's person who is not inside.
    pub is_inside: bool,
}

fn byte(number: u64, shift: u32) -> u8 {
    let [.., low] = (number >> shift).to_be_bytes();
    low
}

/// What came of a turn, in the order in which it leaves the meeting.
#[derive(Debug)]
pub struct Outcome {
    /// Events and effects before the answer. Due deadlines stand first, and hold even when the
    /// input itself is refused.
    pub outputs: Vec<Output>,
    pub reply: Result<Reply, Rejection>,
    /// Effects after the answer; they speak of the turn's end.
    pub after: Vec<Effect>,
}

pub struct Turn<'a> {
    pub state: &'a mut Meeting,
    pub limits: &'a Limits,
    pub now: Now,
    cause: Option<Cause>,
    outputs: Vec<Output>,
    after: Vec<Effect>,
}

/// Takes one input.
pub fn execute(state: &mut Meeting, input: Input, now: Now, limits: &Limits) -> Outcome {
    let at = now.at.max(state.at);
    let mut turn = Turn { state, limits, now: Now { at, ..now }, cause: None, outputs: Vec::new(), after: Vec::new() };
    if !matches!(input, Input::Recovered) {
        deadlines::fire_due(&mut turn);
    }
    turn.cause = match &input {
        Input::Command { by: By::Session { session, id }, .. } => Some(Cause { session: *session, id: *id }),
        Input::Once { request, .. } => Some(Cause { session: SessionId(*request), id: 0 }),
        _ => None,
    };
    let before = turn.outputs.len();
    let reply = decide::decide(&mut turn, input);
    // All or nothing: a refusal after an effect would be a half-done command.
    assert!(reply.is_ok() || turn.outputs.len() == before, "a command was refused after it had an effect");
    let asks_anew = |output: &Output| matches!(output, Output::Event(recorded) if recorded.event.asks_for_recording());
    if turn.outputs.iter().any(asks_anew) {
        turn.cause = None;
        decide::recordings::keep(&mut turn);
    }
    Outcome { outputs: turn.outputs, reply, after: turn.after }
}

/// The first turn of all: a meeting's creation.
pub fn begin(
    create_meeting: crate::command::Create,
    now: Now,
    limits: &Limits,
) -> Result<(Meeting, Recorded), Rejection> {
    let event = decide::lifecycle::create(create_meeting, now, limits)?;
    let recorded = Recorded { seq: Seq(1), at: now.at, cause: None, audience: Audience::Nobody, event };
    let state = create(&recorded).ok_or_else(|| Rejection::bad_request("not a meeting"))?;
    Ok((state, recorded))
}

impl Turn<'_> {
    /// Writes an event down: numbers it, resolves its audience, applies it.
    pub fn emit(&mut self, event: Event) {
        let audience = self.audience(&event);
        let seq = self.state.seq.next();
        let cause = self.cause_of(&event, seq);
        let recorded = Recorded { seq, at: self.now.at, cause, audience, event };
        apply(self.state, &recorded, self.limits);
        self.outputs.push(Output::Event(recorded));
    }

    /// The command that this comes of; under a veil it cannot be told whose that is.
    fn cause_of(&self, event: &Event, seq: Seq) -> Option<Cause> {
        if matches!(event, Event::AnonymityBegun { .. }) {
            return None;
        }
        let cause = self.cause?;
        let veil = event.veiled_by().and_then(|of| self.state.veils.get(&of));
        Some(veil.map_or(cause, |veil| veil.cover(seq, cause)))
    }

    /// Destroys the keys of these. The log will not say any more which command did what, so it is told
    /// which had an effect at all.
    pub fn unveil(&mut self, of: std::collections::BTreeSet<Uuid>) {
        if of.is_empty() {
            return;
        }
        let numbers = self.state.numbers(self.limits);
        self.emit(Event::AnonymityEnded { of, numbers });
    }

    /// A key for pseudonyms that nothing else tells anything about.
    pub fn key(&self) -> Uuid {
        let position = self.state.seq.next().0;
        Uuid::new_v5(&Uuid::from_u128(self.now.entropy), &position.to_be_bytes())
    }

    /// Something to tell that is not in the log, at this point of the order.
    pub fn tell(&mut self, effect: Effect) {
        self.outputs.push(Output::Effect(effect));
    }

    /// Something to tell when the whole turn is done: a snapshot speaks of its end.
    pub fn tell_after(&mut self, effect: Effect) {
        if !self.after.contains(&effect) {
            self.after.push(effect);
        }
    }

    /// Whether this person is given a whole snapshot when the turn is done.
    pub fn is_shown_after(&self, id: ParticipantId) -> bool {
        self.after.contains(&Effect::Admitted(id))
    }

    /// What this turn leaves to chance. Ids are made of it too, so it is no secret.
    pub fn chance(&self) -> u64 {
        u64::try_from(self.now.entropy & u128::from(u64::MAX)).unwrap_or(0)
    }

    /// A fresh UUIDv7, ordered as the events are: time, then position in the log, then chance.
    pub fn id(&self) -> Uuid {
        let position = self.state.seq.next().0;
        let mut chance = self.chance() ^ position.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        chance = (chance ^ (chance >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        chance ^= chance >> 31;
        let bits = [
            byte(position, 30) & 0x0F,
            byte(position, 22),
            byte(position, 16) & 0x3F,
            byte(position, 8),
            byte(position, 0),
            byte(chance, 0),
            byte(chance, 8),
            byte(chance, 16),
            byte(chance, 24),
            byte(chance, 32),
        ];
        uuid::Builder::from_unix_timestamp_millis(self.now.at, &bits).into_uuid()
    }

    /// Fresh ids for many things of one event, in their order.
    pub fn ids(&self, count: u16) -> impl Iterator<Item = Uuid> + use<> {
        let first = self.id();
        (0..count).map(move |number| {
            let mut bytes = *first.as_bytes();
            let [high, low] = number.to_be_bytes();
            // The first two bytes behind the position in the log are chance; these are the order.
            bytes[11] = high;
            bytes[12] = low;
            Uuid::from_bytes(bytes)
        })
    }

    pub fn member(&self, id: ParticipantId) -> Result<&Member, Rejection> {
        self.state.member(id).ok_or_else(|| Rejection::not_found("no such participant"))
    }

    /// Somebody who is inside the meeting.
    pub fn inside(&self, id: ParticipantId) -> Result<&Member, Rejection> {
        match self.state.member(id) {
            Some(member) if member.is_inside() && !member.is_service() => Ok(member),
            _ => Err(Rejection::not_found("no such participant in the meeting")),
        }
    }

    /// The participant's shape as it is now, to be changed and written into an event.
    pub fn shape(&self, id: ParticipantId) -> Result<Participant, Rejection> {
        self.member(id).map(|member| member.participant.clone())
    }

    pub fn caller(&self, by: &By) -> Result<Caller, Rejection> {
        match by {
            By::Operator => Ok(Caller { participant: None, role: Role::Host, is_operator: true, is_inside: true }),
            By::Session { session, .. } => {
                let member = self
                    .state
                    .session_member(*session)
                    .ok_or_else(|| Rejection::wrong_state("the session is not in the meeting"))?;
                Ok(Caller {
                    participant: Some(member.participant.id),
                    role: member.participant.role,
                    is_operator: false,
                    is_inside: member.is_inside(),
                })
            }
            By::Token { user, role } => {
                let known = user.as_ref().and_then(|user| self.state.users.get(user));
                match known.and_then(|id| self.state.member(*id)) {
                    Some(member) if member.banned => Err(Rejection::not_permitted("banned from this meeting")),
                    Some(member) => Ok(Caller {
                        participant: Some(member.participant.id),
                        role: member.participant.role,
                        is_operator: false,
                        is_inside: member.is_inside(),
                    }),
                    None => Ok(Caller { participant: None, role: *role, is_operator: false, is_inside: false }),
                }
            }
        }
    }

    fn audience(&self, event: &Event) -> Audience {
        let of_person = |participant: &Participant| {
            if participant.role.is_service() { Audience::Nobody } else { Audience::Everyone }
        };
        match event {
            Event::MeetingCreated { .. }
            | Event::MeetingRecovered {}
            | Event::SessionOpened { .. }
            | Event::SessionLost { .. }
            | Event::SessionBack { .. }
            | Event::SessionClosed { .. }
            | Event::MediaSet { .. }
            | Event::ReactionSet { .. }
            | Event::InvitationCreated { .. } => Audience::Nobody,
            Event::BreakoutAssigned { .. }
            | Event::QuestionVoteSet { .. }
            | Event::PollVoted { .. }
            | Event::AnonymityBegun { .. }
            | Event::AnonymityEnded { .. } => Audience::Nobody,
            Event::ScreenAsked { .. } => Audience::Leads,
            Event::TimerStarted { .. } | Event::TimerEnded { .. } | Event::SpotlightChanged { .. } => {
                Audience::Everyone
            }
            Event::QuestionAsked { question }
            | Event::QuestionVoted { question }
            | Event::QuestionAnswered { question, .. }
            | Event::QuestionDismissed { question, .. } => self.those_who_see(question.room),
            Event::PollCounted { poll } if poll.results == Results::Hosts => Audience::Only(self.who_counts(poll)),
            Event::PollOpened { poll, .. } | Event::PollCounted { poll } | Event::PollClosed { poll, .. } => {
                self.those_who_see(poll.room)
            }
            Event::WhiteboardCreated { whiteboard, .. }
            | Event::WhiteboardUpdated { whiteboard, .. }
            | Event::WhiteboardDeleted { whiteboard, .. } => Audience::RoomAndLeads(whiteboard.room),
            Event::CaptionRecorded { caption } => Audience::Room(caption.room),
            Event::RecordingChanged { .. } => Audience::Everyone,
            Event::TakeChanged { .. } => Audience::Nobody,
            Event::RecordingConsented { participant, .. } => {
                Audience::Only(self.state.leads.iter().copied().chain([*participant]).collect())
            }
            Event::BreakoutOpened { .. }
            | Event::BreakoutChanged { .. }
            | Event::BreakoutEndingSoon { .. }
            | Event::BreakoutMerged { .. }
            | Event::BreakoutClosed { .. }
            | Event::BreakoutBroadcast { .. } => Audience::Everyone,
            Event::BreakoutPlanned { .. } | Event::BreakoutHelpRequested { .. } => Audience::Leads,
            Event::ParticipantsMoved { moves, .. } => {
                let is_service = |m: &Move| self.state.member(m.participant).is_some_and(Member::is_service);
                if moves.iter().all(is_service) { Audience::Nobody } else { Audience::Everyone }
            }
            Event::MeetingStarted { .. }
            | Event::MeetingUpdated { .. }
            | Event::MeetingEnded { .. }
            | Event::MeetingCancelled { .. }
            | Event::HostChanged { .. }
            | Event::ParticipantsMuted { .. }
            | Event::ParticipantsPermitted { .. }
            | Event::PersonErased { .. } => Audience::Everyone,
            Event::LobbyEntered { .. }
            | Event::LobbyLeft { .. }
            | Event::LobbyAdmitted { .. }
            | Event::LobbyDenied { .. } => Audience::Leads,
            Event::ParticipantRemoved { participant, .. } | Event::Renamed { participant, .. } => {
                match self.state.member(participant.id) {
                    Some(member) if member.is_inside() => of_person(participant),
                    // Somebody who waits, or has gone, is nobody that the others see.
                    _ => Audience::Leads,
                }
            }
            Event::ParticipantJoined { participant }
            | Event::ParticipantLeft { participant, .. }
            | Event::ParticipantDisconnected { participant }
            | Event::ParticipantReconnected { participant }
            | Event::RoleChanged { participant, .. } => of_person(participant),
            Event::HandRaised { hand } => Audience::Room(self.room_of(hand.participant)),
            Event::HandsLowered { hands, .. } => {
                Audience::Room(hands.iter().next().map(|id| self.room_of(*id)).unwrap_or_default())
            }
            Event::ChatPosted { message }
            | Event::ChatEdited { message }
            | Event::ChatDeleted { message, .. }
            | Event::ChatReacted { message } => match message.to {
                crate::ids::To::Everyone => Audience::Everyone,
                crate::ids::To::Room => Audience::Room(message.room),
                crate::ids::To::Participant(to) => {
                    let is_inside = |id: &ParticipantId| self.state.inside.contains(id);
                    Audience::Only(message.from.into_iter().chain([to]).filter(is_inside).collect())
                }
            },
        }
    }

    /// Where whoever asks is; a backend, in the main room.
    pub fn room_of_caller(&self, caller: &Caller) -> crate::ids::RoomId {
        caller.participant.map(|id| self.room_of(id)).unwrap_or_default()
    }

    fn room_of(&self, id: ParticipantId) -> crate::ids::RoomId {
        self.state.member(id).map(|member| member.participant.room).unwrap_or_default()
    }

    /// Whoever is in the room; of a closed one, those who lead in the main room are shown what is left.
    fn those_who_see(&self, room: crate::ids::RoomId) -> Audience {
        let is_closed = self.state.rooms.get(&room).is_none_or(|room| room.state == RoomState::Closed);
        if is_closed { Audience::Only(self.leads_in(crate::ids::RoomId::Main)) } else { Audience::Room(room) }
    }

    fn leads_in(&self, room: crate::ids::RoomId) -> std::collections::BTreeSet<ParticipantId> {
        self.state.leads_of(room).into_iter().collect()
    }

    /// Those who lead in the room; the result is for those in the main room too, who may be the only ones.
    fn who_counts(&self, poll: &Poll) -> std::collections::BTreeSet<ParticipantId> {
        let mut leads = self.leads_in(poll.room);
        if poll.state == PollState::Closed {
            leads.extend(self.leads_in(crate::ids::RoomId::Main));
        }
        leads
    }

    /// Writes down that somebody came in, whoever they are and by whatever door.
    pub fn enter(&mut self, id: ParticipantId) {
        let Some(member) = self.state.member(id) else { return };
        let mut participant = member.participant.clone();
        participant.state = Connection::Connected;
        participant.joined_at = self.now.at;
        participant.hand_at = None;
        participant.room = self.state.door_of(id);
        if member.original_host {
            participant.role = Role::Host;
        }
        self.emit(Event::ParticipantJoined { participant });
    }
}
