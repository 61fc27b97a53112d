//! Captions: partial ones pass by as signals, final ones are written down.

use super::{checked, person};
use crate::caption::{Caption, PublishCaption};
use crate::effect::{Effect, Signal};
use crate::event::Event;
use crate::ids::{Millis, ParticipantId};
use crate::limits::Limits;
use crate::rejection::Rejection;
use crate::state::{Meeting, Member};
use crate::turn::{Caller, Reply, Turn};

const LANG_CHARS_MAX: usize = 35;
/// How long one caption may be, how old, and how far ahead of the meeting's clock.
const LENGTH_MS_MAX: Millis = 300_000;
const AGE_MS_MAX: Millis = 3_600_000;
const OWN_AGE_MS_MAX: Millis = 30_000;
const AHEAD_MS_MAX: Millis = 60_000;

pub fn publish(turn: &mut Turn<'_>, caller: &Caller, caption: PublishCaption) -> Result<Reply, Rejection> {
    let caption = check(turn.state, person(caller)?, caption, turn.now.at, turn.limits)?;
    let (room, is_final) = (caption.room, caption.is_final);
    // A final one goes both ways: in the slot of the partial ones it takes their place on the screen.
    turn.tell(Effect::Signal { room, signal: Signal::CaptionShown { caption: caption.clone() } });
    if is_final {
        turn.emit(Event::CaptionRecorded { caption });
    }
    Ok(Reply::Done)
}

/// The caption that is to be shown, if it is one that this person may publish now.
pub fn check(
    state: &Meeting,
    publisher: ParticipantId,
    caption: PublishCaption,
    now: Millis,
    limits: &Limits,
) -> Result<Caption, Rejection> {
    let PublishCaption { participant, lang, text, start_at, end_at, is_final } = caption;
    let nobody = || Rejection::not_found("no such participant in the meeting");
    let publishes = state.member(publisher).ok_or_else(nobody)?;
    let is_own = participant == publisher;
    let is_heard = |member: &&Member| member.is_inside() && (is_own || !member.is_service());
    let speaker = state.member(participant).filter(is_heard).ok_or_else(nobody)?;
    if !is_own && !publishes.is_service() {
        return Err(Rejection::not_permitted("a person writes down their own words only"));
    }
    let text = checked(&text, "text", limits.caption_chars_max)?;
    if !is_tag(&lang) {
        return Err(Rejection::bad_request("lang is a language tag, such as en or pt-BR"));
    }
    if start_at > end_at || end_at.saturating_sub(start_at) > LENGTH_MS_MAX {
        let why = format!("a caption is up to {LENGTH_MS_MAX} ms long, and ends behind its start");
        return Err(Rejection::bad_request(why));
    }
    // A person writes of the present: else one could go on writing into a room that one was sent from.
    let age_ms_max = if is_own && !publishes.is_service() { OWN_AGE_MS_MAX } else { AGE_MS_MAX };
    if end_at > now.saturating_add(AHEAD_MS_MAX) || end_at < now.saturating_sub(age_ms_max) {
        return Err(Rejection::bad_request("the caption is too old, or not of the present, by the server's clock"));
    }
    // Where it was said, though they may be elsewhere by now.
    let unknown = || Rejection::bad_request("nobody remembers where that was said");
    let room = speaker.room_at(start_at).ok_or_else(unknown)?;
    let room = state.merged_into.get(&room).copied().unwrap_or(room);
    Ok(Caption { participant, room, lang, text, start_at, end_at, is_final })
}

/// The shape of a language tag by RFC 5646; whether there is such a language is not looked up.
fn is_tag(lang: &str) -> bool {
    let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_first = |part: &str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_alphabetic());
    lang.len() <= LANG_CHARS_MAX && lang.split('-').all(is_part) && lang.split('-').next().is_some_and(is_first)
}
