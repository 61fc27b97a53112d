//! What draws everybody's attention: the timer, the spotlight, and the wish to share a screen.

use super::{checked, person};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::{Millis, ParticipantId};
use crate::rejection::Rejection;
use crate::shapes::{Source, Timer};
use crate::turn::{Caller, Reply, Turn};
use std::collections::BTreeSet;

/// A day.
const DURATION_S_MAX: u32 = 24 * 3_600;

/// Starts the meeting's timer. It is the meeting's: it goes on when whoever started it leaves.
pub fn start_timer(
    turn: &mut Turn<'_>,
    caller: &Caller,
    duration_s: u32,
    title: Option<String>,
) -> Result<Reply, Rejection> {
    if duration_s == 0 || duration_s > DURATION_S_MAX {
        return Err(Rejection::bad_request(format!("duration_s is from 1 to {DURATION_S_MAX}")));
    }
    let title = title.map(|title| checked(&title, "title", turn.limits.title_chars_max)).transpose()?;
    if turn.state.timer.is_some() {
        return Err(Rejection::wrong_state("a timer is running"));
    }
    let started_at = turn.now.at;
    let ends_at = started_at.saturating_add(Millis::from(duration_s).saturating_mul(1_000));
    turn.emit(Event::TimerStarted { timer: Timer { title, started_at, ends_at }, by: caller.participant });
    Ok(Reply::Done)
}

pub fn stop_timer(turn: &mut Turn<'_>, caller: &Caller) -> Result<Reply, Rejection> {
    if turn.state.timer.is_none() {
        return Err(Rejection::wrong_state("no timer is running"));
    }
    end_timer(turn, caller.participant);
    Ok(Reply::Done)
}

/// The timer has run out, or was stopped by somebody.
pub fn end_timer(turn: &mut Turn<'_>, by: Option<ParticipantId>) {
    if let Some(timer) = turn.state.timer.clone() {
        turn.emit(Event::TimerEnded { timer, by });
    }
}

/// Puts these people before all others, in this order; nobody, if the list is empty.
pub fn spotlight(turn: &mut Turn<'_>, caller: &Caller, participants: Vec<ParticipantId>) -> Result<Reply, Rejection> {
    let most = turn.limits.spotlight_max;
    if participants.len() > most {
        return Err(Rejection::capacity(format!("at most {most} people are in the spotlight")));
    }
    let different: BTreeSet<&ParticipantId> = participants.iter().collect();
    if different.len() != participants.len() {
        return Err(Rejection::bad_request("somebody is listed twice"));
    }
    for id in &participants {
        turn.inside(*id)?;
    }
    if participants != turn.state.spotlight {
        turn.emit(Event::SpotlightChanged { participants, by: caller.participant });
    }
    Ok(Reply::Done)
}

/// Asks those who lead for leave to share one's screen; once, until they say something.
pub fn ask_for_screen(turn: &mut Turn<'_>, caller: &Caller) -> Result<Reply, Rejection> {
    let id = person(caller)?;
    if turn.state.may_publish(turn.member(id)?, Source::Screen) {
        return Err(Rejection::conflict("you may share your screen"));
    }
    if !turn.state.screen_requests.contains(&id) {
        turn.emit(Event::ScreenAsked { participant: id });
        turn.tell(Effect::ScreenRequested(id));
    }
    Ok(Reply::Done)
}
