//! Captions: partial ones pass by as signals, final ones are written down.

use super::{checked, person};
use crate::caption::{Caption, PublishCaption};
use crate::effect::{Effect, Signal};
use crate::event::Event;
use crate::ids::Millis;
use crate::rejection::Rejection;
use crate::turn::{Caller, Reply, Turn};

const LANG_CHARS_MAX: usize = 35;
/// How long one caption may be, how old, and how far ahead of the meeting's clock.
const LENGTH_MS_MAX: Millis = 300_000;
const AGE_MS_MAX: Millis = 3_600_000;
const AHEAD_MS_MAX: Millis = 60_000;

pub fn publish(turn: &mut Turn<'_>, caller: &Caller, caption: PublishCaption) -> Result<Reply, Rejection> {
    let caption = check(turn, caller, caption)?;
    let (room, is_final) = (caption.room, caption.is_final);
    // A final one goes both ways: in the slot of the partial ones it takes their place on the screen.
    turn.tell(Effect::Signal { room, signal: Signal::CaptionShown { caption: caption.clone() } });
    if is_final {
        turn.emit(Event::CaptionRecorded { caption });
    }
    Ok(Reply::Done)
}

fn check(turn: &Turn<'_>, caller: &Caller, caption: PublishCaption) -> Result<Caption, Rejection> {
    let PublishCaption { participant, lang, text, start_at, end_at, is_final } = caption;
    let publisher = person(caller)?;
    let speaker = turn.inside(participant).or_else(|rejection| match participant == publisher {
        true => turn.member(publisher),
        false => Err(rejection),
    })?;
    if participant != publisher && !caller.role.is_service() {
        return Err(Rejection::not_permitted("a person writes down their own words only"));
    }
    let text = checked(&text, "text", turn.limits.caption_chars_max)?;
    let is_tag = |lang: &str| {
        let parts = || lang.split('-');
        lang.len() <= LANG_CHARS_MAX
            && parts().next().is_some_and(|first| first.len() >= 2 && first.bytes().all(|b| b.is_ascii_alphabetic()))
            && parts()
                .all(|part| !part.is_empty() && part.len() <= 8 && part.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    if !is_tag(&lang) {
        return Err(Rejection::bad_request("lang is a language tag, such as en or pt-BR"));
    }
    if start_at > end_at || end_at.saturating_sub(start_at) > LENGTH_MS_MAX {
        return Err(Rejection::bad_request(format!(
            "a caption is up to {LENGTH_MS_MAX} ms long, and ends behind its start"
        )));
    }
    let now = turn.now.at;
    if end_at > now.saturating_add(AHEAD_MS_MAX) || start_at < now.saturating_sub(AGE_MS_MAX) {
        return Err(Rejection::bad_request("the caption is not of this hour, by the server's clock"));
    }
    Ok(Caption { participant, room: speaker.participant.room, lang, text, start_at, end_at, is_final })
}
