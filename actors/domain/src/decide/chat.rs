//! Chat: to the room, to everyone, to one person. Policies bind posting and editing; taking one's
//! own words back is always allowed. What was deleted is overwritten in the log too (`redact`).

use super::{checked, person};
use crate::event::Event;
use crate::ids::{MessageId, To};
use crate::redact;
use crate::rejection::Rejection;
use crate::shapes::{ChatPolicy, Message};
use crate::state::LiveMessage;
use crate::turn::{Caller, Reply, Turn};
use std::collections::BTreeMap;

fn check_policy(turn: &Turn<'_>, caller: &Caller) -> Result<(), Rejection> {
    match turn.state.info.settings.chat {
        ChatPolicy::Everyone => Ok(()),
        ChatPolicy::Hosts if caller.role.leads() => Ok(()),
        ChatPolicy::Hosts => Err(Rejection::not_permitted("only hosts may chat in this meeting")),
        ChatPolicy::Off => Err(Rejection::not_permitted("chat is off in this meeting")),
    }
}

pub fn post(
    turn: &mut Turn<'_>,
    caller: &Caller,
    to: To,
    text: String,
    reply_to: Option<MessageId>,
) -> Result<Reply, Rejection> {
    check_policy(turn, caller)?;
    let from = person(caller)?;
    let text = checked(&text, "text", turn.limits.chat_chars_max)?;
    if let To::Participant(id) = to {
        if id == from {
            return Err(Rejection::bad_request("a message to yourself"));
        }
        turn.inside(id)?;
    }
    if let Some(id) = reply_to {
        readable(turn, caller, id)?;
    }
    let message = Message {
        id: MessageId(turn.id()),
        from: Some(from),
        to,
        room: turn.member(from)?.participant.room,
        origin: None,
        text,
        at: turn.now.at,
        reply_to,
        edited_at: None,
        deleted: false,
        reactions: BTreeMap::new(),
    };
    turn.emit(Event::ChatPosted { message });
    Ok(Reply::Done)
}

/// A message that the caller can see and that was not deleted.
fn readable<'a>(turn: &'a Turn<'_>, caller: &Caller, id: MessageId) -> Result<&'a LiveMessage, Rejection> {
    let unknown = || Rejection::not_found("no such message");
    let live = turn.state.messages.get(&id).ok_or_else(unknown)?;
    let may_read = match caller.participant {
        Some(reader) => live.message.is_readable_by(turn.member(reader)?),
        None => caller.is_operator,
    };
    if !may_read || live.message.deleted {
        return Err(unknown());
    }
    Ok(live)
}

pub fn edit(turn: &mut Turn<'_>, caller: &Caller, id: MessageId, text: String) -> Result<Reply, Rejection> {
    check_policy(turn, caller)?;
    let author = person(caller)?;
    let mut message = readable(turn, caller, id)?.message.clone();
    if message.from != Some(author) {
        return Err(Rejection::not_permitted("only the author can edit a message"));
    }
    message.text = checked(&text, "text", turn.limits.chat_chars_max)?;
    message.edited_at = Some(turn.now.at);
    turn.emit(Event::ChatEdited { message });
    Ok(Reply::Done)
}

/// One's own words can be taken back from any room, and hosts have their say in every room.
fn deletable(turn: &Turn<'_>, caller: &Caller, id: MessageId) -> Result<Message, Rejection> {
    let is_known = |message: &&Message| {
        let is_own = caller.participant.is_some() && caller.participant == message.from;
        !message.deleted && (is_own || (caller.role.leads() && !matches!(message.to, To::Participant(_))))
    };
    match turn.state.messages.get(&id).map(|live| &live.message).filter(is_known) {
        Some(message) => Ok(message.clone()),
        None => readable(turn, caller, id).map(|live| live.message.clone()),
    }
}

pub fn delete(turn: &mut Turn<'_>, caller: &Caller, id: MessageId) -> Result<Reply, Rejection> {
    let mut message = deletable(turn, caller, id)?;
    let is_author = caller.participant.is_some() && caller.participant == message.from;
    if !is_author && !caller.role.leads() {
        return Err(Rejection::not_permitted("only the author and hosts can delete a message"));
    }
    redact::blank(&mut message);
    turn.emit(Event::ChatDeleted { message, by: caller.participant });
    Ok(Reply::Done)
}

pub fn react(turn: &mut Turn<'_>, caller: &Caller, id: MessageId, emoji: String, on: bool) -> Result<Reply, Rejection> {
    check_policy(turn, caller)?;
    let participant = person(caller)?;
    let emoji = checked(&emoji, "emoji", turn.limits.emoji_chars_max)?;
    let live = readable(turn, caller, id)?;
    let has = live.reactors.get(&emoji).is_some_and(|who| who.contains(&participant));
    if on && !live.reactors.contains_key(&emoji) && live.reactors.len() >= turn.limits.reactions_per_message_max {
        return Err(Rejection::capacity("the message has too many different reactions"));
    }
    if has != on {
        turn.emit(Event::ReactionSet { message: id, participant, emoji, on });
    }
    Ok(Reply::Done)
}
