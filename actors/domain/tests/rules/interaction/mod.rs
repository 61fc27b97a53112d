//! QU, PO, AN, AT, CP: questions, polls, what stays unknown of them, what draws attention, captions.

mod anonymity;
mod attention;
mod captions;
mod polls;
mod questions;

use crate::common::*;
use convoke_domain::poll::{OpenPoll, Poll, Results};
use convoke_domain::question::Question;
use convoke_domain::*;

/// A poll with two options.
pub fn poll(results: Results) -> OpenPoll {
    OpenPoll {
        question: "Coffee or tea?".to_owned(),
        options: vec!["Coffee".to_owned(), "Tea".to_owned()],
        multiple: false,
        anonymous: false,
        results,
        duration_s: None,
    }
}

pub fn open(wanted: OpenPoll) -> Command {
    Command::OpenPoll(wanted)
}

pub fn vote(poll: PollId, choices: &[u32]) -> Command {
    Command::Vote { poll, choices: choices.to_vec() }
}

pub fn close(poll: PollId) -> Command {
    Command::ClosePoll { poll }
}

/// Opens a poll and answers its id.
pub fn opens(scene: &mut Scene, host: &Device, wanted: OpenPoll) -> PollId {
    scene.does(host, open(wanted));
    told(scene, "poll.opened").id
}

/// The poll that an event of the last turn tells of.
pub fn told(scene: &Scene, kind: &str) -> Poll {
    match &scene.event(kind).event {
        Event::PollOpened { poll, .. } | Event::PollCounted { poll } | Event::PollClosed { poll, .. } => poll.clone(),
        other => panic!("no poll: {other:?}"),
    }
}

pub fn ask(text: &str, anonymous: bool) -> Command {
    Command::AskQuestion { text: text.to_owned(), anonymous }
}

pub fn up(question: QuestionId, up: bool) -> Command {
    Command::VoteForQuestion { question, up }
}

pub fn answer(question: QuestionId, text: &str) -> Command {
    Command::AnswerQuestion { question, text: Some(text.to_owned()), live: false }
}

pub fn asks(scene: &mut Scene, device: &Device, text: &str, anonymous: bool) -> QuestionId {
    scene.does(device, ask(text, anonymous));
    asked(scene, "question.asked").id
}

/// The question that an event of the last turn tells of.
pub fn asked(scene: &Scene, kind: &str) -> Question {
    match &scene.event(kind).event {
        Event::QuestionAsked { question }
        | Event::QuestionVoted { question }
        | Event::QuestionAnswered { question, .. }
        | Event::QuestionDismissed { question, .. } => question.clone(),
        other => panic!("no question: {other:?}"),
    }
}
