//! Folding questions, polls, the timer and the spotlight; and what is left of them when nobody may
//! know any more who took part.

use crate::event::{Cause, Event, Recorded};
use crate::ids::{Millis, ParticipantId, PollId, QuestionId, RoomId, SessionId};
use crate::limits::Limits;
use crate::poll::{LivePoll, Poll};
use crate::question::{LiveQuestion, Question};
use crate::shapes::Source;
use crate::state::Meeting;
use crate::veil::Veil;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A number that was taken under a veil: its session goes on counting, and no answer tells where in
/// the log the effect is. False: there is no veil, or none any more.
pub fn note_veiled(state: &mut Meeting, recorded: &Recorded, cause: Cause, limits: &Limits) -> bool {
    let Some(veil) = recorded.event.veiled_by().and_then(|of| state.veils.get_mut(&of)) else { return false };
    let Cause { session, id } = veil.cover(recorded.seq, cause);
    if id == 0 {
        super::note_request(state, session.0, limits);
    } else if let Some(known) = state.sessions.get_mut(&session) {
        known.last_id = known.last_id.max(id);
        veil.taken.entry(session).or_default().insert(id);
    }
    true
}

/// A session's id starts anew.
pub fn forget_session(state: &mut Meeting, session: SessionId) {
    for veil in state.veils.values_mut() {
        veil.taken.remove(&session);
    }
}

pub fn fold(state: &mut Meeting, recorded: &Recorded, limits: &Limits) {
    let at = recorded.at;
    match &recorded.event {
        Event::QuestionAsked { question } => ask(state, question, recorded, limits),
        Event::QuestionVoteSet { question, voter, up } => {
            // What was overwritten says nothing any more.
            if let Some(live) = state.questions.get_mut(question).filter(|_| !voter.is_nil()) {
                live.vote(*voter, *up);
                let counted_at = live.counted_at;
                due(state, question.0, counted_at, at, limits);
            }
        }
        Event::QuestionVoted { question } => {
            state.counts_due.remove(&question.id.0);
            if let Some(live) = state.questions.get_mut(&question.id) {
                live.counted_at = at;
                live.votes = question.votes;
                live.question = question.clone();
            }
        }
        Event::QuestionAnswered { question, by } => settle(state, question, *by, limits),
        Event::QuestionDismissed { question, .. } => settle(state, question, None, limits),
        Event::PollOpened { poll, .. } => {
            state.polls.insert(poll.id, LivePoll::new(poll.clone()));
            forget_oldest_poll(state, limits);
        }
        Event::PollVoted { poll, voter, choices } => {
            if let Some(live) = state.polls.get_mut(poll).filter(|_| !voter.is_nil()) {
                live.vote(*voter, choices);
                let counted_at = live.counted_at;
                due(state, poll.0, counted_at, at, limits);
            }
        }
        Event::PollCounted { poll } => {
            state.counts_due.remove(&poll.id.0);
            if let Some(live) = state.polls.get_mut(&poll.id) {
                live.counted_at = at;
                if !live.is_open() {
                    live.settle(poll);
                }
            }
        }
        Event::PollClosed { poll, .. } => close(state, poll, at),
        Event::AnonymityBegun { of, key } if !key.is_nil() => {
            state.veils.insert(*of, Veil::new(*key));
        }
        Event::AnonymityEnded { of, numbers } => unveil(state, of, numbers, limits),
        Event::TimerStarted { timer, .. } => state.timer = Some(timer.clone()),
        Event::TimerEnded { .. } => state.timer = None,
        Event::SpotlightChanged { participants, .. } => state.spotlight.clone_from(participants),
        Event::ScreenAsked { participant } => {
            state.screen_requests.retain(|other| other != participant);
            state.screen_requests.push(*participant);
        }
        _ => {}
    }
}

/// The counts of this thing are told as soon as that is due again.
fn due(state: &mut Meeting, of: Uuid, counted_at: Millis, at: Millis, limits: &Limits) {
    let due = at.max(counted_at.saturating_add(limits.count_interval_ms));
    state.counts_due.entry(of).or_insert(due);
}

fn ask(state: &mut Meeting, question: &Question, recorded: &Recorded, limits: &Limits) {
    let of = question.id.0;
    let veiled = recorded.cause.zip(state.veils.get(&of)).and_then(|(cause, veil)| {
        let session = state.sessions.get(&veil.cover(recorded.seq, cause).session)?;
        Some(veil.pseudonym(session.participant))
    });
    let live = LiveQuestion {
        question: question.clone(),
        asked: recorded.seq,
        asker: question.by.map(|id| id.0).or(veiled).unwrap_or_default(),
        voters: BTreeSet::new(),
        votes: question.votes,
        answered_by: None,
        counted_at: 0,
    };
    state.questions.insert(question.id, live);
    forget_oldest_question(state, limits);
}

fn settle(state: &mut Meeting, question: &Question, answered_by: Option<ParticipantId>, limits: &Limits) {
    state.counts_due.remove(&question.id.0);
    if let Some(live) = state.questions.get_mut(&question.id) {
        live.votes = question.votes;
        live.question = question.clone();
        live.answered_by = answered_by;
        live.voters.clear();
        live.asker = Uuid::nil();
    }
    forget_oldest_question(state, limits);
}

fn close(state: &mut Meeting, poll: &Poll, at: Millis) {
    state.counts_due.remove(&poll.id.0);
    if let Some(live) = state.polls.get_mut(&poll.id) {
        live.poll = Poll { counts: None, voters: None, ..poll.clone() };
        live.settle(poll);
        live.votes.clear();
        live.counted_at = at;
    }
}

/// Nobody can tell any more who took part: neither from the state nor, once it is overwritten, from
/// the log. That a number had an effect is still known.
fn unveil(state: &mut Meeting, of: &BTreeSet<Uuid>, numbers: &BTreeMap<SessionId, Vec<(u64, u64)>>, limits: &Limits) {
    for id in of {
        state.veils.remove(id);
        state.counts_due.remove(id);
        if let Some(live) = state.polls.get_mut(&PollId(*id)) {
            live.votes.clear();
        }
        if let Some(live) = state.questions.get_mut(&QuestionId(*id)) {
            live.voters.clear();
            live.asker = Uuid::nil();
        }
    }
    let open = state.sessions.iter_mut();
    for (id, session) in open.chain(state.closed.iter_mut().map(|(id, session)| (&*id, session))) {
        for (first, last) in numbers.get(id).into_iter().flatten() {
            (*first..=*last).for_each(|number| session.had_effect(number, limits));
        }
    }
}

fn forget_oldest_question(state: &mut Meeting, limits: &Limits) {
    while state.questions.len() > limits.questions_kept_max {
        let Some(id) = state.questions.values().find(|live| !live.is_open()).map(|live| live.question.id) else {
            return;
        };
        state.questions.remove(&id);
    }
}

fn forget_oldest_poll(state: &mut Meeting, limits: &Limits) {
    while state.polls.len() > limits.polls_kept_max {
        let Some(id) = state.polls.values().find(|live| !live.is_open()).map(|live| live.poll.id) else { return };
        state.polls.remove(&id);
    }
}

/// What was asked in these rooms belongs to another.
pub fn merge(state: &mut Meeting, from: &[RoomId], into: RoomId) {
    let asked = state.questions.values_mut().map(|live| &mut live.question.room);
    let polled = state.polls.values_mut().map(|live| &mut live.poll.room);
    for room in asked.chain(polled).filter(|room| from.contains(room)) {
        *room = into;
    }
}

/// Somebody is not inside any more.
pub fn left(state: &mut Meeting, id: ParticipantId) {
    state.spotlight.retain(|other| *other != id);
    state.screen_requests.retain(|other| *other != id);
}

/// The hosts said something about somebody's screen, which answers what they asked.
pub fn permitted(state: &mut Meeting, participants: &BTreeSet<ParticipantId>, source: Source) {
    if source == Source::Screen {
        state.screen_requests.retain(|id| !participants.contains(id));
    }
}

pub fn end(state: &mut Meeting) {
    state.timer = None;
    state.spotlight.clear();
    state.screen_requests.clear();
}

/// Whatever this person wrote under their name is taken back.
pub fn erase(state: &mut Meeting, id: ParticipantId) {
    for live in state.questions.values_mut() {
        if live.question.by == Some(id) {
            live.question.text.clear();
        }
        if live.answered_by == Some(id) {
            live.question.answer = None;
        }
    }
}
