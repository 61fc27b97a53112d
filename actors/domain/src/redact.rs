//! Erasure. What was deleted, or belonged to an erased person, is overwritten in the log too: each
//! event keeps its place, its time and its kind, and loses its words. Replaying the overwritten log
//! gives the state that the deletion had left, so neither order nor replay breaks.

use crate::event::{Event, Recorded};
use crate::ids::{MessageId, ParticipantId, UserId};
use crate::poll::PollState;
use crate::shapes::{Message, Participant};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The name that an erased person is shown by.
pub const ERASED_NAME: &str = "Erased";

/// Takes the words out of a message and leaves its place.
pub fn blank(message: &mut Message) {
    message.text.clear();
    message.deleted = true;
    message.reactions.clear();
}

/// Overwrites what an event says of a deleted message. True if anything changed.
pub fn message(event: &mut Event, id: MessageId) -> bool {
    match event {
        Event::ChatPosted { message } | Event::ChatEdited { message } | Event::ChatReacted { message }
            if message.id == id && !message.text.is_empty() =>
        {
            message.text.clear();
            true
        }
        Event::BreakoutBroadcast { message, text, .. } if message.id == id && !text.is_empty() => {
            message.text.clear();
            text.clear();
            true
        }
        _ => false,
    }
}

/// Overwrites what an event says of a person: name, user and every word of theirs.
pub fn person(event: &mut Event, id: ParticipantId) -> bool {
    let before = event.clone();
    match event {
        Event::SessionOpened { participant, person: Some(person), .. } if *participant == id => {
            person.user = None;
            person.erased = true;
            ERASED_NAME.clone_into(&mut person.name);
        }
        Event::LobbyEntered { entry, .. } if entry.participant == id => {
            entry.user = None;
            ERASED_NAME.clone_into(&mut entry.name);
        }
        Event::ParticipantJoined { participant }
        | Event::ParticipantLeft { participant, .. }
        | Event::ParticipantDisconnected { participant }
        | Event::ParticipantReconnected { participant }
        | Event::RoleChanged { participant, .. }
        | Event::Renamed { participant, .. }
        | Event::ParticipantRemoved { participant, .. }
            if participant.id == id =>
        {
            unname(participant);
        }
        Event::ChatPosted { message }
        | Event::ChatEdited { message }
        | Event::ChatDeleted { message, .. }
        | Event::ChatReacted { message }
            if message.from == Some(id) =>
        {
            message.text.clear();
        }
        Event::BreakoutBroadcast { message, text, .. } if message.from == Some(id) => {
            message.text.clear();
            text.clear();
        }
        Event::QuestionAsked { question }
        | Event::QuestionVoted { question }
        | Event::QuestionAnswered { question, .. }
        | Event::QuestionDismissed { question, .. }
            if question.by == Some(id) =>
        {
            question.text.clear();
        }
        Event::WhiteboardCreated { whiteboard, .. }
        | Event::WhiteboardUpdated { whiteboard, .. }
        | Event::WhiteboardDeleted { whiteboard, .. }
            if whiteboard.tells_of(id) =>
        {
            ERASED_NAME.clone_into(&mut whiteboard.name);
        }
        Event::CaptionRecorded { caption } if caption.participant == id => caption.text.clear(),
        _ => {}
    }
    if let Event::QuestionAnswered { question, by } = event
        && *by == Some(id)
    {
        question.answer = None;
    }
    *event != before
}

/// The user that an event says this person is, while it still does.
pub fn user_of(event: &Event, id: ParticipantId) -> Option<&UserId> {
    match event {
        Event::SessionOpened { participant, person: Some(person), .. } if *participant == id => person.user.as_ref(),
        _ => None,
    }
}

/// Takes an erased user off the lists of those who are expected somewhere: they may stand there
/// before the meeting has met them. True if anything changed.
pub fn user(event: &mut Event, user: &UserId) -> bool {
    match event {
        Event::MeetingCreated { breakout: Some(plan), .. } | Event::BreakoutPlanned { plan: Some(plan), .. } => {
            plan.forget_user(user)
        }
        Event::BreakoutAssigned { users, .. } => users.remove(user).is_some(),
        _ => false,
    }
}

/// Takes away what ties people to polls and questions that were anonymous: the key, the votes, the
/// commands that they came of, and the counts in between, which would tell a vote by its time. True if
/// anything changed.
pub fn anonymous(recorded: &mut Recorded, of: &BTreeSet<Uuid>) -> bool {
    if recorded.event.veiled_by().is_some_and(|id| of.contains(&id)) {
        let had_cause = recorded.cause.take().is_some();
        return forget_vote(&mut recorded.event) || had_cause;
    }
    match &mut recorded.event {
        Event::AnonymityBegun { of: id, key } if of.contains(id) && !key.is_nil() => {
            *key = Uuid::nil();
            true
        }
        Event::PollCounted { poll } if of.contains(&poll.id.0) && poll.state == PollState::Open => {
            (poll.counts.take().is_some(), poll.voters.take().is_some()) != (false, false)
        }
        _ => false,
    }
}

fn forget_vote(event: &mut Event) -> bool {
    match event {
        Event::PollVoted { voter, choices, .. } if !voter.is_nil() => {
            *voter = Uuid::nil();
            choices.clear();
            true
        }
        Event::QuestionVoteSet { voter, up, .. } if !voter.is_nil() => {
            *voter = Uuid::nil();
            *up = false;
            true
        }
        _ => false,
    }
}

fn unname(participant: &mut Participant) {
    participant.user = None;
    ERASED_NAME.clone_into(&mut participant.name);
}
