//! Questions to whoever leads: asked by name or anonymously, voted for by the others in the room,
//! answered in writing or in the meeting itself, or dismissed.

use super::{checked, person};
use crate::event::Event;
use crate::ids::{ParticipantId, QuestionId};
use crate::question::{LiveQuestion, Question, QuestionState};
use crate::rejection::Rejection;
use crate::turn::{Caller, Reply, Turn};
use std::collections::BTreeSet;

pub fn ask(turn: &mut Turn<'_>, caller: &Caller, text: &str, anonymous: bool) -> Result<Reply, Rejection> {
    let asker = person(caller)?;
    let limits = turn.limits;
    let text = checked(text, "question", limits.question_chars_max)?;
    let room = turn.member(asker)?.participant.room;
    let open = || turn.state.questions.values().filter(|live| live.is_open());
    if open().filter(|live| live.question.room == room).count() >= limits.questions_open_max {
        let most = limits.questions_open_max;
        return Err(Rejection::capacity(format!("a room has at most {most} open questions")));
    }
    let is_own = |live: &&LiveQuestion| live.asker == turn.state.known_as(live.question.id.0, asker);
    if open().filter(is_own).count() >= limits.questions_of_one_max {
        let most = limits.questions_of_one_max;
        return Err(Rejection::capacity(format!("you have {most} open questions already")));
    }
    let question = Question {
        id: QuestionId(turn.id()),
        room,
        text,
        by: (!anonymous).then_some(asker),
        anonymous,
        votes: 0,
        state: QuestionState::Open,
        answer: None,
        live: false,
    };
    if anonymous {
        turn.emit(Event::AnonymityBegun { of: question.id.0, key: turn.key() });
    }
    turn.emit(Event::QuestionAsked { question });
    Ok(Reply::Done)
}

/// A question that is open.
fn open<'a>(turn: &'a Turn<'_>, id: QuestionId) -> Result<&'a LiveQuestion, Rejection> {
    let live = turn.state.questions.get(&id).ok_or_else(|| Rejection::not_found("no such question"))?;
    match live.question.state {
        QuestionState::Open => Ok(live),
        QuestionState::Answered => Err(Rejection::wrong_state("the question was answered")),
        QuestionState::Dismissed => Err(Rejection::wrong_state("the question was dismissed")),
    }
}

pub fn vote(turn: &mut Turn<'_>, caller: &Caller, id: QuestionId, up: bool) -> Result<Reply, Rejection> {
    let voter = person(caller)?;
    let room = turn.member(voter)?.participant.room;
    if turn.state.questions.get(&id).is_some_and(|live| live.question.room != room) {
        return Err(Rejection::not_found("no such question in your room"));
    }
    let live = open(turn, id)?;
    let voter = turn.state.known_as(id.0, voter);
    if live.voters.contains(&voter) != up {
        turn.emit(Event::QuestionVoteSet { question: id, voter, up });
    }
    Ok(Reply::Done)
}

/// Those who lead answer from whatever room they are in.
pub fn answer(
    turn: &mut Turn<'_>,
    caller: &Caller,
    id: QuestionId,
    text: Option<String>,
    live: bool,
) -> Result<Reply, Rejection> {
    let mut question = open(turn, id)?.counted();
    question.answer = match (text, live) {
        (Some(text), false) => Some(checked(&text, "answer", turn.limits.chat_chars_max)?),
        (None, true) => None,
        _ => return Err(Rejection::bad_request("answer with a text, or live")),
    };
    question.live = live;
    question.state = QuestionState::Answered;
    turn.unveil(veiled(&question));
    turn.emit(Event::QuestionAnswered { question, by: caller.participant });
    Ok(Reply::Done)
}

pub fn dismiss(turn: &mut Turn<'_>, caller: &Caller, id: QuestionId) -> Result<Reply, Rejection> {
    let mut question = open(turn, id)?.counted();
    question.state = QuestionState::Dismissed;
    turn.unveil(veiled(&question));
    turn.emit(Event::QuestionDismissed { question, by: caller.participant });
    Ok(Reply::Done)
}

/// Whoever is forgotten asks nothing any more.
pub fn withdraw(turn: &mut Turn<'_>, asker: ParticipantId) {
    if turn.state.info.status.is_over() {
        return;
    }
    let is_theirs = |live: &&LiveQuestion| live.is_open() && live.question.by == Some(asker);
    let open: Vec<Question> = turn.state.questions.values().filter(is_theirs).map(LiveQuestion::counted).collect();
    for mut question in open {
        question.state = QuestionState::Dismissed;
        turn.emit(Event::QuestionDismissed { question, by: None });
    }
}

fn veiled(question: &Question) -> BTreeSet<uuid::Uuid> {
    question.anonymous.then_some(question.id.0).into_iter().collect()
}

/// The votes of a question that changed.
pub fn tell_count(turn: &mut Turn<'_>, id: QuestionId) {
    if let Some(live) = turn.state.questions.get(&id) {
        let question = live.counted();
        turn.emit(Event::QuestionVoted { question });
    }
}

/// The meeting ends: what was not told is told, and then nobody can tell any more who it was.
pub fn finish_all(turn: &mut Turn<'_>) {
    let is_due = |live: &&LiveQuestion| turn.state.counts_due.contains_key(&live.question.id.0);
    let due: Vec<QuestionId> = turn.state.questions.values().filter(is_due).map(|live| live.question.id).collect();
    for id in due {
        tell_count(turn, id);
    }
    turn.unveil(turn.state.veils.keys().copied().collect());
}
